//! One entry of the key log: its grammar, and its record in a store.
//!
//! # Grammar
//!
//! A record is `(epoch, body, mac)`. The body is JSON, kept byte for byte as it was written:
//!
//! ```json
//! {"v": 1, "epoch": 3, "prev": "<64 hex>", "time": 1795536413000, "approvals": [],
//!  "op": {"activate": {"ring": "data", "version": 2}}}
//! ```
//!
//! - `prev` is the hash of the record before, zeros in epoch 0. The hash of a record is
//!   SHA-256("labseal/v1 key log" ‖ 00 ‖ body ‖ mac); the last part has a fixed length, so the
//!   joints are unambiguous.
//! - `mac` is HMAC-SHA256 of the body under a key derived from the root key. It is checked before
//!   the body is parsed.
//! - `time` is milliseconds since 1970, for people; nothing is decided by it.
//! - `approvals` is empty in version 1; anything in it is refused.
//!
//! What this reader does not know it refuses: an unknown operation may have taken a key away.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    params::{Registered, Span},
    ring::Ring,
};
use crate::base::{digest::Digest, ident::Kid};

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

/// A parsed body.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
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
    pub op: Op,
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
        /// Its kid under every live version of its ring.
        kids: BTreeMap<u32, KidText>,
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
        /// The ring key under the root key, with its commitment: base64url without padding.
        #[serde(with = "base64url")]
        wrapped: Vec<u8>,
        /// The kid of every registered class of the ring, by class id.
        kids: BTreeMap<String, KidText>,
    },
    /// Lets dates of more years be stored in a class.
    Widen {
        /// Its id.
        class: String,
        /// All years from now on: those before, and more.
        years: Span,
    },
}

/// A kid as ten hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KidText(pub Kid);

impl TryFrom<String> for KidText {
    type Error = crate::base::ident::NotAKid;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<KidText> for String {
    fn from(kid: KidText) -> Self {
        kid.0.to_string()
    }
}

mod digest {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::base::digest::Digest;

    pub fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(digest)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let hex = String::deserialize(from)?;
        Digest::parse(&hex).ok_or_else(|| D::Error::custom("not 64 hexadecimal digits"))
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// Bytes as base64url without padding, inside JSON. Used by the file provider too.
pub(super) mod base64url {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        URL_SAFE_NO_PAD.decode(text).map_err(|_| D::Error::custom("not base64url without padding"))
    }
}
