//! The keys as they stand at one moment: what sealing and opening use. No I/O, no locks.
//!
//! A snapshot is made after the key log has been read or written, never before, so whatever it
//! seals with is durable. It holds every class key with the cipher's state in it.

use std::{collections::HashMap, sync::Arc};

use super::{
    KeysError,
    params::ring_of,
    ring::{Ring, State as KeyState},
    state::{ClassKey, State},
};
use crate::{
    base::{
        class::{ClassParams, Mode, Rung},
        ident::{ClassId, Kid},
    },
    crypto::{
        self, IndexClassKey, Ladder, LadderError, Nonces, Parity, Record, Typed, envelope,
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

/// What became of a text that may be an envelope.
#[derive(Debug)]
pub enum Opened {
    /// An envelope under a key of ours that does not open.
    Fails {
        /// Its kid.
        kid: Kid,
        /// The class of the kid.
        class: ClassId,
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
}

/// Every key at one moment.
pub struct Snapshot {
    epoch: u64,
    classes: HashMap<ClassId, Sealing>,
    kids: HashMap<Kid, Known>,
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
    key: ClassKey,
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
                let Some(key) = state.class_key(version.number, id) else { continue };
                sealing.live.push(key.clone());
                if version.state == KeyState::Active {
                    sealing.active = Some(key.clone());
                }
                let number = version.number;
                let known = Known { class: id.clone(), ring, version: number, key: key.clone() };
                kids.insert(key.kid(), known);
            }
            for version in rings.versions(Ring::Index) {
                let Some(key) = state.token_key(version.number, id) else { continue };
                sealing.tokens.push(key.clone());
                if version.state == KeyState::Active {
                    sealing.active_tokens = Some((key.clone(), Parity::of(version.number)));
                }
            }
            classes.insert(id.clone(), sealing);
        }
        Ok(Self { epoch: state.log().next().saturating_sub(1), classes, kids })
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
        let sealing = self.sealing(class)?;
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
        let Some(known) = self.kids.get(&kid) else { return Opened::NotOurs };
        let class = known.class.clone();
        let opened = match &known.key {
            ClassKey::Data(key) => match record {
                Some(record) => key.open_in(record, &parsed),
                None => key.open(&parsed),
            },
            ClassKey::Index(key) => key.open(&parsed),
        };
        match opened {
            Ok(typed) => Opened::Value { kid, class, typed },
            Err(_) => Opened::Fails { kid, class },
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

fn not_testable(sealing: &Sealing) -> SealError {
    SealError::NotTestable { class: sealing.params.id.clone(), mode: sealing.params.mode }
}
