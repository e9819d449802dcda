//! The keys as they stand at one moment: what sealing and opening use. No I/O, no locks.
//!
//! A snapshot is made after the key log has been read or written, never before, so whatever it
//! seals with is durable. It holds every class key with the cipher's state in it.

mod standing;

use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::Ordering},
};

pub use standing::Under;

use super::{
    Inner, KeysError,
    life::State as KeyState,
    meter::{Meter, Uncounted},
    params::ring_of,
    replica::{Freshness, Member},
    ring::Ring,
    state::{ClassKey, State},
};
use crate::{
    base::{
        class::{ClassParams, Mode, Rung},
        ident::{ClassId, Kid},
        refusal::Code,
    },
    crypto::{
        self, IndexClassKey, Ladder, LadderError, Nonces, Parity, Parsed, Record, Typed, envelope,
        seal_deterministic, seal_random_in, seal_searchable_in,
    },
};

/// Why a value was not sealed, or a test not turned into one on envelopes.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The cipher refused.
    #[error(transparent)]
    Cipher(#[from] crypto::SealError),
    /// The registered ladder is not one.
    #[error(transparent)]
    Ladder(#[from] LadderError),
    /// The key has sealed all that it may.
    #[error("version {version} of the data ring has sealed as many values as it may; rotate")]
    Exhausted {
        /// The version.
        version: u32,
    },
    /// Others may believe this process gone, and seal with keys that it does not know.
    #[error(
        "this replica could not say to the key store for longer than its lease that it is there"
    )]
    Stale,
    /// The store has not granted more values to count.
    #[error("values are sealed faster than the key store counts them")]
    Uncounted,
    /// The class has no key that seals.
    #[error("class {class} has no active key")]
    NoActiveKey {
        /// The class.
        class: ClassId,
    },
    /// The class cannot be tested this way.
    #[error("class {class} cannot be tested for equality like this: it is {}", mode.as_str())]
    NotTestable {
        /// The class.
        class: ClassId,
        /// Its mode.
        mode: Mode,
    },
    /// The class is not registered.
    #[error("class {class} is not registered in the key log")]
    Unregistered {
        /// The class.
        class: ClassId,
    },
}

impl SealError {
    /// How it is refused.
    pub fn code(&self) -> Code {
        match self {
            Self::Exhausted { .. } => Code::KeyExhausted,
            Self::Stale | Self::Uncounted => Code::KeysStale,
            Self::Cipher(_)
            | Self::Ladder(_)
            | Self::NoActiveKey { .. }
            | Self::NotTestable { .. }
            | Self::Unregistered { .. } => Code::KeysUnavailable,
        }
    }
}

/// What became of a text that may be an envelope.
#[derive(Debug)]
pub enum Opened {
    /// An envelope under a key of ours that does not open.
    Fails {
        /// Its kid.
        kid: Kid,
        /// The class of the kid.
        class: ClassId,
        /// The state of the key, where that is the reason.
        state: Option<KeyState>,
    },
    /// Not an envelope, or not under a key of ours.
    NotOurs,
    /// It opened.
    Value {
        /// Its kid.
        kid: Kid,
        /// The class of the kid.
        class: ClassId,
        /// What it holds.
        typed: Typed,
    },
    /// Nobody can say now.
    Unavailable(Unavailable),
}

/// Why nobody can say what a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The keys are too old to be relied on.
    #[error("the key store could not be reached for longer than keys.grace")]
    Expired,
    /// It may be under a key that this process has not learnt of.
    #[error(
        "a value is under a key that this replica does not know, and the key store cannot be asked"
    )]
    Unknown,
}

impl Unavailable {
    /// How it is refused.
    pub fn code(self) -> Code {
        match self {
            Self::Expired => Code::KeysExpired,
            Self::Unknown => Code::UnknownKey,
        }
    }
}

/// Every key at one moment.
pub struct Snapshot {
    epoch: u64,
    classes: HashMap<ClassId, Sealing>,
    kids: HashMap<Kid, Known>,
    /// The version of the data ring that seals.
    data: Option<u32>,
    /// The live versions of the index ring, in order, and the active one.
    index: (Vec<u32>, Option<u32>),
    /// Of a replica: what it may rely on, how it counts, and where to ask.
    life: Option<Life>,
}

struct Life {
    member: Arc<Member>,
    meter: Option<Arc<Meter>>,
    owner: Weak<Inner>,
}

/// How a class is sealed and tested.
struct Sealing {
    params: ClassParams,
    active: Option<ClassKey>,
    /// Keys under every live version of the class's own ring, in order.
    live: Vec<ClassKey>,
    /// Token keys under every live version of the index ring, in order. Mode s only.
    tokens: Vec<Arc<IndexClassKey>>,
    /// The token key of new values, and which of two versions it is of.
    active_tokens: Option<(Arc<IndexClassKey>, Parity)>,
}

struct Known {
    class: ClassId,
    ring: Ring,
    version: u32,
    state: KeyState,
    /// None, if there is none any more.
    key: Option<ClassKey>,
}

impl Snapshot {
    /// The keys of a log that was read.
    pub(super) fn new(state: &State) -> Result<Self, KeysError> {
        let rings = state.rings()?;
        let mut classes = HashMap::new();
        let mut kids = HashMap::new();
        for (id, class) in rings.classes() {
            let params = class.params.clone();
            let ring = ring_of(params.mode);
            let mut sealing = Sealing {
                active: None,
                live: Vec::new(),
                tokens: Vec::new(),
                active_tokens: None,
                params,
            };
            for version in rings.versions(ring) {
                let (number, now) = (version.number, version.state());
                let key = state.class_key(number, id).filter(|_| now.opens());
                if let Some(kid) = version.kids.get(id) {
                    let key = key.cloned();
                    let known = Known { class: id.clone(), ring, version: number, state: now, key };
                    kids.insert(*kid, known);
                }
                let Some(key) = key else { continue };
                sealing.live.push(key.clone());
                if now == KeyState::Active {
                    sealing.active = Some(key.clone());
                }
            }
            for version in rings.versions(Ring::Index) {
                let Some(key) = state.token_key(version.number, id) else { continue };
                if !version.state().opens() {
                    continue;
                }
                sealing.tokens.push(key.clone());
                if version.state() == KeyState::Active {
                    sealing.active_tokens = Some((key.clone(), Parity::of(version.number)));
                }
            }
            classes.insert(id.clone(), sealing);
        }
        let data = rings.version_in(Ring::Data, KeyState::Active).map(|version| version.number);
        let epoch = state.log().next().saturating_sub(1);
        let index = rings.versions(Ring::Index);
        let index = index.iter().map(|version| version.number).collect();
        let active = rings.version_in(Ring::Index, KeyState::Active);
        let index = (index, active.map(|version| version.number));
        Ok(Self { epoch, classes, kids, data, index, life: None })
    }

    /// The version of the data ring that seals.
    pub(super) fn sealing_version(&self) -> Option<u32> {
        self.data
    }

    /// Makes this the keys of a replica.
    pub(super) fn belong(&mut self, member: Arc<Member>, owner: Weak<Inner>) {
        let meter = self.data.map(|version| member.meters.of(version));
        self.life = Some(Life { member, meter, owner });
    }

    /// The last entry of the key log that is in it. Grows with every change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Seals under the active key, in the mode of the register, and appends the envelope to `out`.
    /// On error nothing is appended.
    pub fn seal(
        &self,
        class: &ClassId,
        value: &Typed,
        out: &mut Vec<u8>,
    ) -> Result<Kid, SealError> {
        self.seal_in(class, None, value, out)
    }

    /// The same, bound to a record if there is one. A value of mode d is bound to none.
    pub fn seal_in(
        &self,
        class: &ClassId,
        record: Option<&Record>,
        value: &Typed,
        out: &mut Vec<u8>,
    ) -> Result<Kid, SealError> {
        if let Some(newest) = self.superseded() {
            return newest.seal_in(class, record, value, out);
        }
        let sealing = self.sealing(class)?;
        self.may_seal(ring_of(sealing.params.mode))?;
        let none = || SealError::NoActiveKey { class: class.clone() };
        match sealing.active.as_ref().ok_or_else(none)? {
            ClassKey::Index(key) => {
                seal_deterministic(key, value, out)?;
                Ok(key.kid())
            }
            ClassKey::Data(key) => {
                match sealing.params.mode {
                    Mode::Searchable => {
                        let (tokens, parity) = sealing.active_tokens.as_ref().ok_or_else(none)?;
                        let ladder = Ladder::new(
                            tokens,
                            &sealing.params.rungs,
                            sealing.params.equality,
                            value,
                        )?;
                        Nonces::with_thread(|nonces| {
                            seal_searchable_in(key, record, (&ladder, *parity), value, nonces, out)
                        })?;
                    }
                    Mode::Random | Mode::Deterministic => {
                        Nonces::with_thread(|nonces| {
                            seal_random_in(key, record, value, nonces, out)
                        })?;
                    }
                }
                Ok(key.kid())
            }
        }
    }

    /// Opens a whole text, if it is an envelope under one of these keys. One key is tried: the one
    /// that the kid names. What is bound to a record does not open here.
    pub fn open(&self, text: &[u8]) -> Opened {
        self.open_in(None, text)
    }

    /// The same for a value that is bound to this record, if there is one, and to no other. A value
    /// of mode d is bound to none and opens everywhere.
    pub fn open_in(&self, record: Option<&Record>, text: &[u8]) -> Opened {
        if !envelope::could_be(text) {
            return Opened::NotOurs;
        }
        let Ok(parsed) = envelope::parse(text) else { return Opened::NotOurs };
        let kid = parsed.kid();
        let freshness = self.life.as_ref().map_or(Freshness::Fresh, |life| life.member.freshness());
        if freshness == Freshness::Expired {
            return Opened::Unavailable(Unavailable::Expired);
        }
        if let Some(known) = self.kids.get(&kid) {
            return known.open(record, &parsed);
        }
        match &self.life {
            None => Opened::NotOurs,
            Some(life) => match life.again(kid, freshness) {
                Ok(Some(newer)) => match newer.kids.get(&kid) {
                    Some(known) => known.open(record, &parsed),
                    None => Opened::NotOurs,
                },
                Ok(None) => Opened::NotOurs,
                Err(unavailable) => Opened::Unavailable(unavailable),
            },
        }
    }

    /// Newer keys, if these do not know a kid and newer ones may. Waits for the store at times.
    pub fn newer(&self, kid: Kid) -> Result<Option<Arc<Self>>, Unavailable> {
        match &self.life {
            Some(life) if !self.knows(kid) => life.again(kid, life.member.freshness()),
            Some(_) | None => Ok(None),
        }
    }

    /// The newest keys, if another version seals by now: who has acknowledged that seals with no other,
    /// however long an exchange goes on with the keys that it began with.
    fn superseded(&self) -> Option<Arc<Self>> {
        let life = self.life.as_ref()?;
        if Some(life.member.sealing.load(Ordering::Acquire)) == self.data {
            return None;
        }
        let newest = life.owner.upgrade()?.snapshot.load_full();
        (newest.epoch > self.epoch && newest.data != self.data).then_some(newest)
    }

    /// A replica seals while the others wait for it, and what it has counted.
    fn may_seal(&self, ring: Ring) -> Result<(), SealError> {
        let Some(life) = &self.life else { return Ok(()) };
        if life.member.freshness() != Freshness::Fresh {
            return Err(SealError::Stale);
        }
        match (&life.meter, ring) {
            (Some(meter), Ring::Data) => meter.count().map_err(|uncounted| match uncounted {
                Uncounted::Exhausted => {
                    SealError::Exhausted { version: self.data.unwrap_or_default() }
                }
                Uncounted::Waiting => SealError::Uncounted,
            }),
            (None, _) | (_, Ring::Index) => Ok(()),
        }
    }

    /// Whether a kid names a key of ours.
    pub fn knows(&self, kid: Kid) -> bool {
        self.kids.contains_key(&kid)
    }

    /// The class that a kid names.
    pub fn class_of(&self, kid: Kid) -> Option<&ClassId> {
        self.kids.get(&kid).map(|known| &known.class)
    }

    /// The ring and key version that a kid names.
    pub fn version_of(&self, kid: Kid) -> Option<(Ring, u32)> {
        self.kids.get(&kid).map(|known| (known.ring, known.version))
    }

    /// The registered parameters of a class.
    pub fn params(&self, class: &ClassId) -> Option<&ClassParams> {
        self.classes.get(class).map(|sealing| &sealing.params)
    }

    /// Mode d: the envelopes that a value has, one per live version of the index ring.
    pub fn exact(&self, class: &ClassId, value: &Typed) -> Result<Vec<String>, SealError> {
        let sealing = self.sealing(class)?;
        let keys = sealing.live.iter().map(|key| match key {
            ClassKey::Data(_) => Err(not_testable(sealing)),
            ClassKey::Index(key) => {
                let mut text = Vec::new();
                seal_deterministic(key, value, &mut text)?;
                // Invariant: an envelope is ASCII.
                Ok(String::from_utf8(text).unwrap_or_default())
            }
        });
        keys.collect()
    }

    /// Mode s: the half-open ranges of text in which the envelopes of all values lie that agree with
    /// this one on a rung, one per live version of the index ring.
    pub fn ranges(
        &self,
        class: &ClassId,
        rung: Rung,
        value: &Typed,
    ) -> Result<Vec<(String, String)>, SealError> {
        let sealing = self.sealing(class)?;
        let rungs = &sealing.params.rungs;
        let at = rungs.iter().position(|other| *other == rung);
        let count = at.ok_or_else(|| not_testable(sealing))? + 1;
        let ranges = sealing.tokens.iter().map(|key| {
            let ladder = Ladder::new(key, rungs, sealing.params.equality, value)?;
            ladder.range(count).ok_or_else(|| not_testable(sealing))
        });
        ranges.collect()
    }

    fn sealing(&self, class: &ClassId) -> Result<&Sealing, SealError> {
        self.classes.get(class).ok_or_else(|| SealError::Unregistered { class: class.clone() })
    }
}

impl Known {
    fn open(&self, record: Option<&Record>, parsed: &Parsed<'_>) -> Opened {
        let class = self.class.clone();
        let kid = parsed.kid();
        let opened = match &self.key {
            None => return Opened::Fails { kid, class, state: Some(self.state) },
            Some(ClassKey::Data(key)) => match record {
                Some(record) => key.open_in(record, parsed),
                None => key.open(parsed),
            },
            Some(ClassKey::Index(key)) => key.open(parsed),
        };
        match opened {
            Ok(typed) => Opened::Value { kid, class, typed },
            Err(_) => Opened::Fails { kid, class, state: None },
        }
    }
}

impl Life {
    /// Newer keys that may know what these do not. None: nobody knows it, so it is not ours.
    fn again(&self, kid: Kid, freshness: Freshness) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        let Some(owner) = self.owner.upgrade() else { return Ok(None) };
        let newest = owner.snapshot.load_full();
        if newest.knows(kid) {
            return Ok(Some(newest));
        }
        if freshness != Freshness::Fresh {
            return Err(Unavailable::Unknown);
        }
        // While it is fresh nobody seals with a key that it has not acknowledged, so a look now and
        // then is enough; it is for keys that were brought in by force.
        if !self.member.may_look() {
            return Ok(None);
        }
        waiting(|| owner.refresh()).map_err(|_| Unavailable::Unknown)?;
        Ok(Some(owner.snapshot.load_full()))
    }
}

/// Does what may wait for a disk or a server, on a thread that should not.
fn waiting<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

fn not_testable(sealing: &Sealing) -> SealError {
    SealError::NotTestable { class: sealing.params.id.clone(), mode: sealing.params.mode }
}
