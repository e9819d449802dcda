//! Rings and their versions, as the key log has left them. [`super::replay`] carries out its
//! operations; [`super::life`] says what may be done to a version.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    life::{Refused, Standing, State},
    params::{Registered, UnknownWord},
};
use crate::base::{
    class::ClassParams,
    digest::Digest,
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

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ring| ring.as_str() == word)
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One version of a ring.
#[derive(Clone, Debug)]
pub struct Version {
    /// Counts from 1.
    pub number: u32,
    /// What it may be used for.
    pub standing: Standing,
    /// When it was made.
    pub created: Duration,
    /// When it became the one that seals.
    pub activated: Option<Duration>,
    /// The entry that added it.
    pub entry: u64,
    /// Of the ring key under the root key.
    pub digest: Digest,
    /// The wrapped key itself, in an entry of version 1.
    pub inline: Option<Vec<u8>>,
    /// Whether a copy of the wrapped key stands in the log, which forgets nothing.
    pub is_in_log: bool,
    /// The kid of each class.
    pub kids: BTreeMap<ClassId, Kid>,
}

impl Version {
    /// What it may be used for.
    pub fn state(&self) -> State {
        self.standing.state
    }

    /// The name of its wrapped key among the material.
    pub fn material(&self, ring: Ring) -> String {
        format!("ring/{ring}/{}", self.number)
    }
}

/// A registered class.
#[derive(Clone, Debug)]
pub struct RegisteredClass {
    /// As registered.
    pub registered: Registered,
    /// The same, parsed.
    pub params: ClassParams,
    /// The entry that registered it.
    pub entry: u64,
}

/// An operation that the state before it does not allow.
#[derive(Debug, thiserror::Error)]
pub enum Illegal {
    /// The class is registered already.
    #[error("class {class} is registered twice")]
    Class {
        /// The class.
        class: ClassId,
    },
    /// A copy of the key would be left.
    #[error(
        "version {version} of the {ring} ring was added by an entry of format 1, which holds the \
         wrapped key, and the log forgets nothing; it can be retired, not destroyed"
    )]
    Copied {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// The digests are not of the material that there is.
    #[error("the digests listed are not those of the keys that exist")]
    Digests,
    /// A root key out of order.
    #[error("generation {generation} of the root key is out of order")]
    Generation {
        /// The generation.
        generation: u32,
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
    /// The state of the version does not allow it.
    #[error(transparent)]
    Turn(#[from] Refused),
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
