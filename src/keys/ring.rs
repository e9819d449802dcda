//! Rings, their versions and states: the replay of the key log.
//!
//! ```text
//! pre_active ──activate──▶ active ──activate of a later one──▶ decrypt_only
//! ```
//!
//! Replay is strict: an operation that this state does not allow is refused, even when its
//! authenticator is right, since then a bug or another version wrote it and guessing would cost data.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    entry::{KidText, Op},
    params::{self, Registered, Span, UnknownWord},
};
use crate::base::{
    class::ClassParams,
    ident::{ClassId, Kid, Tenant},
};

/// A named series of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ring {
    /// Bodies of modes r and s. Rotates freely.
    Data,
    /// Mode d and search tokens: what is stored can only be found under the same key.
    Index,
}

impl Ring {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Data, Self::Index];

    /// The word of the log and of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Index => "index",
        }
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a key version may be used for (the states of NIST SP 800-57 part 1 that a command makes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Seals and opens. One per ring.
    Active,
    /// Opens.
    DecryptOnly,
    /// Stored, known to all, not yet sealed with.
    PreActive,
}

impl State {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::DecryptOnly => "decrypt_only",
            Self::PreActive => "pre_active",
        }
    }
}

/// One version of a ring.
#[derive(Clone, Debug)]
pub struct Version {
    /// Counts from 1.
    pub number: u32,
    /// What it may be used for.
    pub state: State,
    /// When it was made.
    pub created: Duration,
    /// The ring key under the root key.
    pub wrapped: Vec<u8>,
    /// The kid of each class.
    pub kids: BTreeMap<ClassId, Kid>,
}

/// A registered class.
#[derive(Clone, Debug)]
pub struct RegisteredClass {
    /// As registered.
    pub registered: Registered,
    /// The same, parsed.
    pub params: ClassParams,
}

/// An operation that the state before it does not allow.
#[derive(Debug, thiserror::Error)]
pub enum Illegal {
    /// The version to activate is not pre-active.
    #[error("version {version} of the {ring} ring is activated but was not pre-active")]
    Activation {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// The class is registered already.
    #[error("class {class} is registered twice")]
    Class {
        /// The class.
        class: ClassId,
    },
    /// Genesis anywhere but first, or something else first.
    #[error("the log must begin with its genesis, and have only one")]
    Genesis,
    /// The same kid twice.
    #[error("kid {kid} names two keys")]
    Kid {
        /// The kid.
        kid: Kid,
    },
    /// The kids are not those of the classes or versions that exist.
    #[error("the kids listed are not those of the classes and versions that exist")]
    Kids,
    /// Another tenant.
    #[error("the key store belongs to tenant {stored}, but the configuration says {configured}")]
    Tenant {
        /// In the log.
        stored: String,
        /// In the configuration.
        configured: Tenant,
    },
    /// The years of a class that is not there, or not more years than before.
    #[error("the years of class {class} do not grow")]
    Years {
        /// The class.
        class: ClassId,
    },
    /// A version out of order.
    #[error("version {version} of the {ring} ring is out of order")]
    Version {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// Class parameters that this version cannot carry out.
    #[error(transparent)]
    Word(#[from] UnknownWord),
}

/// All rings and the register, as the log has left them.
#[derive(Clone, Debug)]
pub struct Rings {
    tenant: Tenant,
    instance: String,
    data: Vec<Version>,
    index: Vec<Version>,
    classes: BTreeMap<ClassId, RegisteredClass>,
    kids: BTreeMap<Kid, (Ring, u32, ClassId)>,
}

impl Rings {
    /// The state after epoch 0.
    pub fn begin(op: &Op, tenant: &Tenant) -> Result<Self, Illegal> {
        let Op::Genesis { tenant: stored, instance } = op else { return Err(Illegal::Genesis) };
        if stored != tenant.as_str() {
            return Err(Illegal::Tenant { stored: stored.clone(), configured: tenant.clone() });
        }
        Ok(Self {
            tenant: tenant.clone(),
            instance: instance.clone(),
            data: Vec::new(),
            index: Vec::new(),
            classes: BTreeMap::new(),
            kids: BTreeMap::new(),
        })
    }

    /// Carries out one operation. After an error the state must not be used.
    pub fn apply(&mut self, op: &Op, time: Duration) -> Result<(), Illegal> {
        match op {
            Op::Activate { ring, version } => self.activate(*ring, *version),
            Op::Class { class, kids } => self.register(class, kids),
            Op::Genesis { .. } => Err(Illegal::Genesis),
            Op::Key { ring, version, wrapped, kids } => {
                self.add(*ring, *version, wrapped, kids, time)
            }
            Op::Widen { class, years } => self.widen(class, *years),
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The name of the log.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The versions of a ring, in order.
    pub fn versions(&self, ring: Ring) -> &[Version] {
        match ring {
            Ring::Data => &self.data,
            Ring::Index => &self.index,
        }
    }

    /// The version of a ring in a state that only one version at a time has.
    pub fn version_in(&self, ring: Ring, state: State) -> Option<&Version> {
        self.versions(ring).iter().rev().find(|version| version.state == state)
    }

    /// Registered classes by id.
    pub fn classes(&self) -> &BTreeMap<ClassId, RegisteredClass> {
        &self.classes
    }

    /// The registered classes whose kids name versions of `ring`.
    pub fn classes_of(&self, ring: Ring) -> impl Iterator<Item = &ClassParams> {
        let classes = self.classes.values().map(|class| &class.params);
        classes.filter(move |params| params::ring_of(params.mode) == ring)
    }

    /// Whether a kid names a key, whatever its state.
    pub fn has_kid(&self, kid: Kid) -> bool {
        self.kids.contains_key(&kid)
    }

    fn versions_mut(&mut self, ring: Ring) -> &mut Vec<Version> {
        match ring {
            Ring::Data => &mut self.data,
            Ring::Index => &mut self.index,
        }
    }

    fn claim(
        &mut self,
        kid: Kid,
        ring: Ring,
        version: u32,
        class: &ClassId,
    ) -> Result<(), Illegal> {
        match self.kids.insert(kid, (ring, version, class.clone())) {
            None => Ok(()),
            Some(_) => Err(Illegal::Kid { kid }),
        }
    }

    fn activate(&mut self, ring: Ring, number: u32) -> Result<(), Illegal> {
        let versions = self.versions_mut(ring);
        let next = versions.iter().position(|version| version.number == number);
        let next = next.filter(|&at| versions.get(at).is_some_and(|v| v.state == State::PreActive));
        let Some(next) = next else {
            return Err(Illegal::Activation { ring, version: number });
        };
        for (at, version) in versions.iter_mut().enumerate() {
            if at == next {
                version.state = State::Active;
            } else if version.state == State::Active {
                version.state = State::DecryptOnly;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        ring: Ring,
        number: u32,
        wrapped: &[u8],
        kids: &BTreeMap<String, KidText>,
        created: Duration,
    ) -> Result<(), Illegal> {
        // One pre-active version at a time: the next rotation activates it before it makes another,
        // so a rotation that was cut short leaves no key behind that nobody uses.
        let last = self.versions(ring).last();
        if number != last.map_or(1, |last| last.number.saturating_add(1))
            || last.is_some_and(|last| last.state == State::PreActive)
        {
            return Err(Illegal::Version { ring, version: number });
        }
        if !self.classes_of(ring).map(|class| class.id.as_str()).eq(kids.keys().map(String::as_str))
        {
            return Err(Illegal::Kids);
        }
        let kids: BTreeMap<ClassId, Kid> =
            kids.iter().map(|(class, kid)| (ClassId::new(class.as_str()), kid.0)).collect();
        for (class, kid) in &kids {
            self.claim(*kid, ring, number, class)?;
        }
        let state = State::PreActive;
        self.versions_mut(ring).push(Version {
            number,
            state,
            created,
            wrapped: wrapped.to_vec(),
            kids,
        });
        Ok(())
    }

    fn register(
        &mut self,
        class: &Registered,
        kids: &BTreeMap<u32, KidText>,
    ) -> Result<(), Illegal> {
        let params = class.params()?;
        let id = params.id.clone();
        let ring = params::ring_of(params.mode);
        if self.classes.contains_key(&id) {
            return Err(Illegal::Class { class: id });
        }
        if !self.versions(ring).iter().map(|version| version.number).eq(kids.keys().copied()) {
            return Err(Illegal::Kids);
        }
        for (number, kid) in kids {
            self.claim(kid.0, ring, *number, &id)?;
        }
        for version in self.versions_mut(ring) {
            if let Some(kid) = kids.get(&version.number) {
                version.kids.insert(id.clone(), kid.0);
            }
        }
        self.classes.insert(id, RegisteredClass { registered: class.clone(), params });
        Ok(())
    }

    fn widen(&mut self, class: &str, span: Span) -> Result<(), Illegal> {
        let id = ClassId::new(class);
        let known = self.classes.get_mut(&id).zip(span.years());
        let grown = known.filter(|(known, years)| {
            *years != known.params.years && years.covers(known.params.years)
        });
        let Some((known, years)) = grown else { return Err(Illegal::Years { class: id }) };
        known.registered = known.registered.within(years);
        known.params.years = years;
        Ok(())
    }
}
