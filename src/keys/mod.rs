//! Floor 2: keys, from the provider of the root key down to the key of one class.
//!
//! A [`provider`] gives the root key, once. The key [`log`], kept in a [`store`], says which rings,
//! versions and classes there are; [`state`] reads it and unwraps the ring keys; [`Snapshot`] is what
//! sealing and opening use. [`Keys`] holds these together: it adds to the log by compare-and-set and
//! swaps in a new snapshot when the log has grown. `docs/keys.md` is the custodian's view.
//!
//! **Persist before use**: an entry is durable before a snapshot knows of it, without exception.
//! Only the cipher of a class key is decided below, in `crypto`; who may use it, above, in `policy`.

pub mod entry;
pub mod escrow;
pub mod file;
pub mod harden;
pub mod log;
pub mod mark;
pub mod memory;
pub mod named;
mod params;
pub mod postgres;
pub mod private;
pub mod provider;
pub mod ring;
mod rotate;
pub mod slot;
pub mod snapshot;
pub mod sqlite;
mod state;
pub mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

pub use params::Registered;
pub use ring::{Ring, State};
pub use rotate::{Rotated, Step};
pub use snapshot::{Opened, SealError, Snapshot};
pub use store::StoreAddress;

use entry::Op;
use log::LogError;
use mark::{Mark, MarkError};
use provider::{Provider, ProviderError};
use state::State as LogState;
use store::{Appended, Store, StoreError};

use crate::{
    base::{
        class::ClassParams,
        clock::Clock,
        ident::{ClassId, Kid, Tenant},
    },
    crypto::{DeriveError, NoRandomness, RootKey, WrapError},
};

/// How often an append is tried again because somebody else was first. Each time somebody else has
/// got further, so this ends; the bound is for a store that lies.
const ATTEMPTS: usize = 1_000;

/// Keys cannot be had, or not be changed as asked.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A class means something else than when it was registered.
    #[error(
        "class {class} was registered as: {registered}; the policy now says: {policy}. Stored values \
         depend on these, so they never change for an id; declare a class with a new id instead"
    )]
    ClassDiffers {
        /// The class.
        class: ClassId,
        /// The register's side.
        registered: Box<Registered>,
        /// The policy's side.
        policy: Box<Registered>,
    },
    /// Others keep being faster.
    #[error("the key store kept changing while an entry was to be added; try again")]
    Contended,
    /// The name of a tenant or class is of no use.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// The index ring does not rotate on its own.
    #[error(
        "the index ring cannot be rotated on its own: values of deterministic classes and search \
         tokens are found only under the key they were stored with, so its rotation needs every such \
         value to be sealed again"
    )]
    IndexRotation,
    /// The kids in the log are not those of its keys.
    #[error(
        "key log entry {epoch}: the kid of class {class} is not the one that its key gives; keys were \
         swapped"
    )]
    Kid {
        /// Where.
        epoch: u64,
        /// The class.
        class: ClassId,
    },
    /// The log cannot be believed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store is older than what was used here before.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// The store has no root key that this provider could unwrap.
    #[error("the key store has no root key for this provider")]
    NoRoot,
    /// No root key.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// No randomness for a new key.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The operating system gives no random bytes.
    #[error("no random bytes from the operating system")]
    NoEntropy(#[source] getrandom::Error),
    /// No store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A new key cannot be wrapped.
    #[error("a new key cannot be wrapped")]
    Wrap(#[from] WrapError),
    /// A key in the log does not unwrap.
    #[error("version {version} of the {ring} ring cannot be unwrapped")]
    Wrapped {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
        /// Why: the commitment above all.
        #[source]
        source: WrapError,
    },
}

/// One key version, for people.
#[derive(Clone, Debug)]
pub struct KeyVersion {
    /// Its ring.
    pub ring: Ring,
    /// Its number.
    pub version: u32,
    /// What it may be used for.
    pub state: State,
    /// When it was made, since the Unix epoch.
    pub created: std::time::Duration,
    /// The kid of each class.
    pub kids: Vec<(ClassId, Kid)>,
}

/// All keys of one tenant. Clones share them.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    snapshot: ArcSwap<Snapshot>,
    writer: Mutex<Writer>,
    clock: Arc<dyn Clock>,
}

/// What reads and extends the log. One at a time in a process; other processes are kept apart by
/// the store.
struct Writer {
    store: Box<dyn Store>,
    root: RootKey,
    state: LogState,
    mark: Mark,
}

impl Keys {
    /// Makes root key, store and the first version of each ring. Refuses what exists.
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
        let root = match provider.create().map_err(KeysError::from).and_then(|()| root(provider)) {
            Ok(root) => root,
            Err(error) => {
                drop(store);
                address.discard();
                return Err(error);
            }
        };
        let state = LogState::new(tenant.clone());
        let mut writer = Writer { store, root, state, mark: Mark::open(mark)? };
        let mut instance = [0; 16];
        getrandom::fill(&mut instance).map_err(KeysError::NoEntropy)?;
        let instance = format!("{:032x}", u128::from_be_bytes(instance));
        let mut ops = vec![Op::Genesis { tenant: tenant.as_str().to_owned(), instance }];
        let (_, mut ahead) = writer.state.prepare(ops.clone(), clock.wall(), &writer.root)?;
        for ring in Ring::ALL {
            let added = [ahead.new_key(ring, &writer.root)?, Op::Activate { ring, version: 1 }];
            ahead = ahead.prepare(added.to_vec(), clock.wall(), &writer.root)?.1;
            ops.extend(added);
        }
        // One append: a store has all of this or nothing.
        match writer.commit(ops, clock.as_ref())? {
            Appended::Done => Self::hold(writer, clock),
            Appended::Conflict => Err(KeysError::Contended),
        }
    }

    /// Asks the provider for the root key and reads the whole log.
    pub fn open(
        address: &StoreAddress,
        provider: &dyn Provider,
        tenant: &Tenant,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeysError> {
        let mut store = address.open()?;
        let mut mark = Mark::open(address.seen())?;
        let root = root(provider)?;
        let records = store.load(0)?;
        let state = LogState::new(tenant.clone()).follow(&records, &root)?;
        state.rings()?;
        for record in &records {
            mark.agrees(record.epoch, record.hash())?;
        }
        mark.reached(state.log().next())?;
        mark.raise(state.log().next() - 1, state.log().head())?;
        Self::hold(Writer { store, root, state, mark }, clock)
    }

    /// The keys as they stand. Take it anew for each direction of an exchange: an answer may hold
    /// values sealed after the request came in.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// Reads what others have added to the log. Whether there was anything.
    pub fn refresh(&self) -> Result<bool, KeysError> {
        let mut writer = self.writer();
        let grown = writer.catch_up()?;
        if grown {
            self.publish(&writer)?;
        }
        Ok(grown)
    }

    /// Registers the classes that are new, durably, before anything is sealed under them. Refuses a
    /// class that was registered with other parameters; then none is registered.
    pub fn register(&self, classes: &[ClassParams]) -> Result<(), KeysError> {
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            let ops = writer.registrations(classes)?;
            if ops.is_empty() || writer.commit(ops, self.0.clock.as_ref())? == Appended::Done {
                return self.publish(&writer);
            }
        }
        Err(KeysError::Contended)
    }

    /// Every version of every ring, for people.
    pub fn describe(&self) -> Result<Vec<KeyVersion>, KeysError> {
        let writer = self.writer();
        let rings = writer.state.rings()?;
        let versions = Ring::ALL.into_iter().flat_map(|ring| {
            rings.versions(ring).iter().map(move |version| KeyVersion {
                ring,
                version: version.number,
                state: version.state,
                created: version.created,
                kids: version.kids.iter().map(|(class, kid)| (class.clone(), *kid)).collect(),
            })
        });
        Ok(versions.collect())
    }

    fn hold(writer: Writer, clock: Arc<dyn Clock>) -> Result<Self, KeysError> {
        let snapshot = ArcSwap::from_pointee(Snapshot::new(&writer.state)?);
        Ok(Self(Arc::new(Inner { snapshot, writer: Mutex::new(writer), clock })))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // Everything in it is replaced as a whole, so what a panic leaves behind is sound.
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what is durable usable.
    fn publish(&self, writer: &Writer) -> Result<(), KeysError> {
        self.0.snapshot.store(Arc::new(Snapshot::new(&writer.state)?));
        Ok(())
    }
}

fn root(provider: &dyn Provider) -> Result<RootKey, KeysError> {
    provider.legacy_root()?.ok_or(KeysError::NoRoot)
}

impl Writer {
    /// Reads what the store has more. Refuses a store that has less, or something else.
    fn catch_up(&mut self) -> Result<bool, KeysError> {
        let log = self.state.log();
        let seen = log.next().saturating_sub(1);
        let records = self.store.load(seen)?;
        let added = match records.split_first() {
            Some((last, added)) if last.epoch == seen => {
                if last.hash() != log.head() {
                    return Err(MarkError::Forked { epoch: seen }.into());
                }
                added
            }
            _ => return Err(MarkError::RolledBack { seen }.into()),
        };
        if added.is_empty() {
            return Ok(false);
        }
        self.advance(self.state.follow(added, &self.root)?)?;
        Ok(true)
    }

    /// Adds `ops` to the store, if nobody else added something, after checking that they can be
    /// read back.
    fn commit(&mut self, ops: Vec<Op>, clock: &dyn Clock) -> Result<Appended, KeysError> {
        let (records, next) = self.state.prepare(ops, clock.wall(), &self.root)?;
        let appended = self.store.append(&records)?;
        if appended == Appended::Done {
            self.advance(next)?;
        }
        Ok(appended)
    }

    fn advance(&mut self, next: LogState) -> Result<(), KeysError> {
        self.state = next;
        let log = self.state.log();
        self.mark.raise(log.next().saturating_sub(1), log.head())?;
        Ok(())
    }

    fn registrations(&self, classes: &[ClassParams]) -> Result<Vec<Op>, KeysError> {
        let rings = self.state.rings()?;
        let mut ops = Vec::new();
        for params in classes {
            let policy = Registered::new(params);
            match rings.classes().get(&params.id) {
                Some(class) if class.registered == policy => {}
                Some(class) => {
                    return Err(KeysError::ClassDiffers {
                        class: params.id.clone(),
                        registered: Box::new(class.registered.clone()),
                        policy: Box::new(policy),
                    });
                }
                None => ops.push(self.state.new_class(params)?),
            }
        }
        Ok(ops)
    }
}
