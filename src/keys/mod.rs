//! Floor 2: keys, from the provider of the root key down to the key of one class.
//!
//! A [`provider`] unwraps the root key, once. The key [`log`], kept in a [`store`], says which rings,
//! versions and classes there are, and [`life`] what becomes of a version; [`state`] reads it and
//! unwraps the ring keys; [`Snapshot`] is what sealing and opening use. [`Keys`] holds these together: it
//! adds to the log by compare-and-set and swaps in a new snapshot when the log has grown. A process that
//! seals is a [`replica`], and nothing comes into use that a live replica has not acknowledged.
//! `docs/keys.md` is the custodian's view.
//!
//! **Persist before use**: an entry is durable before a snapshot knows of it, without exception.
//! Only the cipher of a class key is decided below, in `crypto`; who may use it, above, in `policy`.

pub mod aws_kms;
pub mod conformance;
pub mod entry;
mod error;
pub mod escrow;
pub mod file;
pub mod harden;
pub mod life;
pub mod log;
pub mod mark;
pub mod memory;
mod meter;
pub mod named;
pub mod params;
pub mod pkcs11;
pub mod postgres;
pub mod private;
pub mod provider;
mod replay;
pub mod replica;
pub mod ring;
mod root;
mod rotate;
pub mod slot;
pub mod snapshot;
mod spelling;
pub mod sqlite;
mod state;
mod status;
pub mod store;
mod turns;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, atomic::Ordering};

use arc_swap::ArcSwap;

pub use error::KeysError;
pub use life::State;
pub use params::Registered;
pub use replica::{AutoRotate, Freshness, Membership, Replica};
pub use ring::Ring;
pub use root::Rerooted;
pub use rotate::{Rotated, Step, WAIT};
pub use snapshot::{Opened, SealError, Snapshot, Unavailable, Under};
pub use status::{KeyVersion, Status};
pub use store::StoreAddress;
pub use turns::Change as Turned;
pub use writer::Done;

use entry::Op;
use mark::Mark;
use provider::Provider;
use replica::Member;
use slot::Slot;
use state::{Draft, State as LogState};
use store::{Appended, StoreError};
use writer::Writer;

use crate::{
    base::{class::ClassParams, clock::Clock, ident::Tenant},
    crypto::RootKey,
};

/// How often an append is tried again because somebody else was first. Each time somebody else has
/// got further, so this ends; the bound is for a store that lies.
const ATTEMPTS: usize = 1_000;

/// All keys of one tenant. Clones share them.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    snapshot: ArcSwap<Snapshot>,
    writer: Mutex<Writer>,
    clock: Arc<dyn Clock>,
    /// What makes this process a replica, once it is one.
    member: OnceLock<Arc<Member>>,
    /// For the snapshots, which ask here about keys that they do not know.
    this: Weak<Inner>,
}

impl Keys {
    /// Makes wrapping key, store and the first version of each ring. Refuses what exists.
    pub fn create(
        address: &StoreAddress,
        provider: &dyn Provider,
        tenant: &Tenant,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeysError> {
        let mark = address.seen();
        for path in address.path().into_iter().chain(mark.as_deref()) {
            if path.symlink_metadata().is_ok() {
                return Err(StoreError::Exists { path: path.to_owned() }.into());
            }
        }
        // The store first, since it is empty and can go again if there can be no root key.
        let store = address.create()?;
        let begun = Self::begin(provider, tenant, clock.as_ref());
        let (root, draft) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                drop(store);
                address.discard();
                return Err(error);
            }
        };
        let (state, material) = (LogState::new(tenant.clone()), Default::default());
        let (mark, done) = (Mark::open(mark)?, Vec::new());
        let root = Arc::new(root);
        let mut writer = Writer { store, root, before: None, state, material, mark, done };
        // One append: a store has all of this or nothing.
        match writer.commit(draft, clock.as_ref())? {
            Appended::Done => Self::hold(writer, clock),
            Appended::Conflict => Err(KeysError::Contended),
        }
    }

    /// A root key, and what a log begins with.
    fn begin(
        provider: &dyn Provider,
        tenant: &Tenant,
        clock: &dyn Clock,
    ) -> Result<(RootKey, Draft), KeysError> {
        provider.create()?;
        conformance::prove(provider)?;
        let root = RootKey::generate()?;
        let mut instance = [0; 16];
        getrandom::fill(&mut instance).map_err(KeysError::NoEntropy)?;
        let instance = format!("{:032x}", u128::from_be_bytes(instance));
        let genesis =
            Op::Genesis { tenant: tenant.as_str().to_owned(), instance: instance.clone() };
        let mut draft = Draft::from(genesis);
        let place = provider::Place { tenant: tenant.clone(), instance, generation: 1 };
        draft.then(root::slots(1, &[Slot::proven(provider, &root, &place)?]));
        let empty = LogState::new(tenant.clone());
        for ring in Ring::ALL {
            let (_, ahead) = empty.prepare(&draft, clock.wall(), &Default::default(), &root)?;
            draft.then(ahead.new_key(ring, &root)?);
            draft.then(Op::Activate { ring, version: 1 }.into());
        }
        Ok((root, draft))
    }

    /// Asks the provider for the root key and reads the whole log.
    pub fn open(
        address: &StoreAddress,
        provider: &dyn Provider,
        tenant: &Tenant,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeysError> {
        let (store, mark) = (address.open()?, Mark::open(address.seen())?);
        Self::hold(Writer::open(store, provider, tenant, mark)?, clock)
    }

    /// The keys as they stand. Take it anew for each direction of an exchange: an answer may hold
    /// values sealed after the request came in.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// Reads what others have added to the log. Whether there was anything.
    pub fn refresh(&self) -> Result<bool, KeysError> {
        self.0.refresh()
    }

    /// Registers the classes that are new, durably, before anything is sealed under them. Refuses a
    /// class that was registered with other parameters; then none is registered.
    pub fn register(&self, classes: &[ClassParams]) -> Result<(), KeysError> {
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            let ops = writer.registrations(classes)?;
            let draft = Draft { ops, ..Draft::default() };
            if draft.ops.is_empty()
                || writer.commit(draft, self.0.clock.as_ref())? == Appended::Done
            {
                return self.0.publish(&mut writer);
            }
        }
        Err(KeysError::Contended)
    }

    /// What [`Keys::register`] would refuse of these classes. Changes nothing.
    pub fn compare(&self, classes: &[ClassParams]) -> Result<(), KeysError> {
        self.writer().registrations(classes).map(drop)
    }

    /// What the log has been seen to do since this was last asked.
    pub fn done(&self) -> Vec<Done> {
        std::mem::take(&mut self.writer().done)
    }

    fn hold(writer: Writer, clock: Arc<dyn Clock>) -> Result<Self, KeysError> {
        let snapshot = Snapshot::new(&writer.state)?;
        Ok(Self(Arc::new_cyclic(|this| Inner {
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: Mutex::new(writer),
            clock,
            member: OnceLock::new(),
            this: this.clone(),
        })))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer()
    }
}

impl Inner {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        // Everything in it is replaced as a whole, so what a panic leaves behind is sound.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(&self) -> Result<bool, KeysError> {
        let mut writer = self.writer();
        let grown = writer.catch_up()?;
        if grown || self.snapshot.load().epoch() < writer.state.log().next().saturating_sub(1) {
            self.publish(&mut writer)?;
        }
        Ok(grown)
    }

    /// Makes what is durable usable, and says so to the other replicas.
    fn publish(&self, writer: &mut Writer) -> Result<(), KeysError> {
        let mut snapshot = Snapshot::new(&writer.state)?;
        if let Some(member) = self.member.get() {
            self.provide(member, writer)?;
            snapshot.belong(member.clone(), self.this.clone());
        }
        let sealing = snapshot.sealing_version();
        self.snapshot.store(Arc::new(snapshot));
        let Some(member) = self.member.get() else { return Ok(()) };
        // Before anybody is told: whoever holds older keys looks here before it seals.
        member.sealing.store(sealing.unwrap_or_default(), Ordering::Release);
        self.beat(member, writer)
    }
}
