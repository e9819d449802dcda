//! One entry of the key log: its grammar, and its record in a store.
//!
//! # Grammar
//!
//! A record is `(epoch, body, mac)`. The body is JSON, kept byte for byte as it was written:
//!
//! ```json
//! {"v": 2, "epoch": 3, "prev": "<64 hex>", "time": 1795536413000, "approvals": [],
//!  "op": {"activate": {"ring": "data", "version": 2}}}
//! ```
//!
//! - `prev` is the hash of the record before, zeros in epoch 0. The hash of a record is
//!   SHA-256("labseal/v1 key log" ‖ 00 ‖ body ‖ mac); the last part has a fixed length, so the
//!   joints are unambiguous.
//! - `mac` is HMAC-SHA256 of the body under a key derived from the root key that is in force after
//!   the entry. Entries before the last `root` entry are authenticated by the chain alone, so that
//!   no older root key is needed to believe a log.
//! - `time` is milliseconds since 1970, for people; but what was scheduled is not destroyed before.
//! - `approvals` is empty in these versions; anything in it is refused.
//!
//! Version 1 had the operations genesis, key, activate, class and widen, and a key entry held the wrapped
//! key itself. From version 2 on it holds the SHA-256 of it, and the wrapped key is material beside
//! the log: a hash chain forgets nothing, and a key that is to be destroyed has to be forgotten.
//!
//! What this reader does not know it refuses: an unknown operation may have taken a key away.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    params::{Registered, Span},
    ring::Ring,
    spelling::{base64url, digest, millis},
};
use crate::base::digest::Digest;

pub use super::spelling::{DigestText, KidText};

/// A record as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place: 0 for the first, without gaps.
    pub epoch: u64,
    /// The JSON text.
    pub body: Vec<u8>,
    /// The authenticator of the body.
    pub mac: [u8; 32],
}

impl Record {
    /// What the next record names as `prev`.
    pub fn hash(&self) -> Digest {
        Digest::of(&[b"labseal/v1 key log\0", &self.body, &self.mac])
    }
}

/// A body, as its version spells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry<O = Op> {
    /// Version of the grammar.
    pub v: u8,
    /// Must agree with the record's.
    pub epoch: u64,
    /// Hash of the record before.
    #[serde(with = "digest")]
    pub prev: Digest,
    /// When it was written.
    #[serde(with = "millis")]
    pub time: Duration,
    /// None in this version.
    pub approvals: [(); 0],
    /// What it does.
    pub op: O,
}

/// The version of the grammar that is written.
pub const VERSION: u8 = 2;

impl Entry {
    /// Reads a body of any version, with the wrapped key that stands in an entry of version 1.
    pub fn parse(body: &[u8]) -> Result<(Self, Option<Vec<u8>>), Option<serde_json::Error>> {
        #[derive(Deserialize)]
        struct Head {
            v: u8,
        }
        let head: Head = serde_json::from_slice(body).map_err(Some)?;
        match head.v {
            1 => {
                let old: Entry<First> = serde_json::from_slice(body).map_err(Some)?;
                let Entry { v, epoch, prev, time, approvals, op } = old;
                let (op, wrapped) = op.today();
                Ok((Self { v, epoch, prev, time, approvals, op }, wrapped))
            }
            VERSION => Ok((serde_json::from_slice(body).map_err(Some)?, None)),
            _ => Err(None),
        }
    }
}

/// A key operation of version 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum First {
    Activate {
        ring: Ring,
        version: u32,
    },
    Class {
        class: Registered,
        kids: BTreeMap<u32, KidText>,
    },
    Genesis {
        tenant: String,
        instance: String,
    },
    Key {
        ring: Ring,
        version: u32,
        #[serde(with = "base64url")]
        wrapped: Vec<u8>,
        kids: BTreeMap<String, KidText>,
    },
    Widen {
        class: String,
        years: Span,
    },
}

impl First {
    fn today(self) -> (Op, Option<Vec<u8>>) {
        match self {
            Self::Activate { ring, version } => (Op::Activate { ring, version }, None),
            Self::Class { class, kids } => (Op::Class { class, kids }, None),
            Self::Genesis { tenant, instance } => (Op::Genesis { tenant, instance }, None),
            Self::Key { ring, version, wrapped, kids } => {
                let digest = DigestText(Digest::of(&[&wrapped]));
                (Op::Key { ring, version, digest, kids }, Some(wrapped))
            }
            Self::Widen { class, years } => (Op::Widen { class, years }, None),
        }
    }
}

/// A key operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Makes a version the active one of its ring; the active one before becomes decrypt-only.
    Activate {
        /// The ring.
        ring: Ring,
        /// A version that is pre-active.
        version: u32,
    },
    /// Registers a class, once and for ever.
    Class {
        /// Its parameters.
        class: Registered,
        /// Its kid under every version of its ring that is not destroyed.
        kids: BTreeMap<u32, KidText>,
    },
    /// Others may have the key: it seals no more, and opens so that its values can be sealed anew.
    Compromise {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// The wrapped key is erased; kids and digest are kept for ever.
    Destroy {
        /// The ring.
        ring: Ring,
        /// A version whose time has come.
        version: u32,
    },
    /// The first entry, and only that.
    Genesis {
        /// The tenant that every key here belongs to.
        tenant: String,
        /// Names this log, so that a wrapped key is of no use in another one.
        instance: String,
    },
    /// Adds a version to a ring, pre-active.
    Key {
        /// The ring.
        ring: Ring,
        /// The highest version of the ring, plus one.
        version: u32,
        /// Of the ring key under the root key, which is material.
        digest: DigestText,
        /// The kid of every registered class of the ring, by class id.
        kids: BTreeMap<String, KidText>,
    },
    /// Ends a suspension; the version is what it was before.
    Resume {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// Nothing is stored under the version any more; it opens nothing.
    Retire {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// Another root key comes into force, under which all material is wrapped anew.
    Root {
        /// The generation before, plus one.
        generation: u32,
        /// Of all material, but for the handover.
        digests: BTreeMap<String, DigestText>,
    },
    /// Sets the time from which a retired version may be destroyed.
    Schedule {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
        /// Since 1970.
        #[serde(with = "millis")]
        due: Duration,
    },
    /// Every replica has the root key of this generation; the handover is erased.
    Settle {
        /// The generation.
        generation: u32,
    },
    /// From now on these are the wrapped root keys, one for each provider.
    Slots {
        /// Of the root key in force.
        generation: u32,
        /// Of the slots, by name.
        digests: BTreeMap<String, DigestText>,
    },
    /// The version opens nothing until this is ended.
    Suspend {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// Takes back a schedule.
    Undo {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// Takes back a retirement; the version is what it was before.
    Unretire {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// Lets dates of more years be stored in a class.
    Widen {
        /// Its id.
        class: String,
        /// All years from now on: those before, and more.
        years: Span,
    },
}

impl Op {
    /// The word of the log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Activate { .. } => "activate",
            Self::Class { .. } => "class",
            Self::Compromise { .. } => "compromise",
            Self::Destroy { .. } => "destroy",
            Self::Genesis { .. } => "genesis",
            Self::Key { .. } => "key",
            Self::Resume { .. } => "resume",
            Self::Retire { .. } => "retire",
            Self::Root { .. } => "root",
            Self::Schedule { .. } => "schedule",
            Self::Settle { .. } => "settle",
            Self::Slots { .. } => "slots",
            Self::Suspend { .. } => "suspend",
            Self::Undo { .. } => "undo",
            Self::Unretire { .. } => "unretire",
            Self::Widen { .. } => "widen",
        }
    }

    /// The version that it is about.
    pub fn version(&self) -> Option<(Ring, u32)> {
        match self {
            Self::Activate { ring, version }
            | Self::Compromise { ring, version }
            | Self::Destroy { ring, version }
            | Self::Key { ring, version, .. }
            | Self::Resume { ring, version }
            | Self::Retire { ring, version }
            | Self::Schedule { ring, version, .. }
            | Self::Suspend { ring, version }
            | Self::Undo { ring, version }
            | Self::Unretire { ring, version } => Some((*ring, *version)),
            Self::Class { .. }
            | Self::Genesis { .. }
            | Self::Root { .. }
            | Self::Settle { .. }
            | Self::Slots { .. }
            | Self::Widen { .. } => None,
        }
    }
}
