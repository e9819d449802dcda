//! A slot: a root key as one provider has wrapped it, kept in the key store.
//!
//! # Grammar
//!
//! ```json
//! {"v": 1, "kind": "file", "key": "8f1c02aa41b09d77", "ct": "<base64url>", "commitment": "<base64url>"}
//! ```
//!
//! `kind` and `key` name the wrapping key; `ct` is what the provider gave. `commitment` is
//! HMAC-SHA256 under a key derived from the *unwrapped* root key over place, kind, key and `ct`, each
//! preceded by its length. So whatever a key service promises of its own wrapping, the root key
//! that comes out is the one that went in, here and for this log, or there is none.

use serde::{Deserialize, Serialize};

use super::{
    provider::{Place, Provider, ProviderError},
    spelling::base64url,
};
use crate::{base::digest::Digest, crypto::RootKey};

const VERSION: u8 = 1;

/// A root key, wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    v: u8,
    kind: String,
    key: String,
    #[serde(with = "base64url")]
    ct: Vec<u8>,
    #[serde(with = "base64url")]
    commitment: Vec<u8>,
}

/// A slot does not give a root key.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The root key that comes out is not the one that went in. Fatal.
    #[error(
        "the wrapped root key of generation {generation} has the wrong commitment: it was swapped or \
         altered, or stands in another place; restore the key store from its backup"
    )]
    Commitment {
        /// Of which root key.
        generation: u32,
    },
    /// Not of the grammar of this version.
    #[error(
        "the wrapped root key cannot be read by this version of labseal; a newer one wrote it, or \
         it is damaged"
    )]
    Malformed,
    /// The provider refuses it.
    #[error("{kind} key {key} does not unwrap the root key of generation {generation}")]
    Refused {
        /// The kind of the provider.
        kind: &'static str,
        /// The wrapping key.
        key: String,
        /// Of which root key.
        generation: u32,
        /// Why.
        #[source]
        source: ProviderError,
    },
    /// The provider cannot be asked.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl Slot {
    /// Has a provider wrap a root key.
    pub fn wrap(
        provider: &dyn Provider,
        root: &RootKey,
        place: &Place,
    ) -> Result<Self, ProviderError> {
        let (kind, key) = (provider.kind().to_owned(), provider.key()?);
        let ct = provider.wrap(root, place)?;
        let mut slot = Self { v: VERSION, kind, key, ct, commitment: Vec::new() };
        slot.commitment = root.commitment(&slot.committed(place)).to_vec();
        Ok(slot)
    }

    /// The same, and unwraps it again: a root key is not used before it has been got back.
    pub fn proven(
        provider: &dyn Provider,
        root: &RootKey,
        place: &Place,
    ) -> Result<Self, SlotError> {
        let slot = Self::wrap(provider, root, place)?;
        Self::parse(&slot.to_bytes())?.unwrap(provider, place)?;
        Ok(slot)
    }

    /// Its name among the slots of one root key: the kind, and sixteen digits for the wrapping key.
    pub fn name(&self) -> String {
        let digest = Digest::of(&[self.key.as_bytes()]).to_string();
        format!("{}-{}", self.kind, digest.get(..16).unwrap_or_default())
    }

    /// Has the provider unwrap it, and checks that this is the root key that was wrapped.
    pub fn unwrap(&self, provider: &dyn Provider, place: &Place) -> Result<RootKey, SlotError> {
        let generation = place.generation;
        let root = provider.unwrap(&self.ct, place).map_err(|source| SlotError::Refused {
            kind: provider.kind(),
            key: self.key.clone(),
            generation,
            source,
        })?;
        root.verify_commitment(&self.committed(place), &self.commitment)
            .map_err(|_| SlotError::Commitment { generation })?;
        Ok(root)
    }

    /// Whether this is of the wrapping key that the provider has.
    pub fn is_of(&self, provider: &dyn Provider) -> Result<bool, ProviderError> {
        Ok(self.kind == provider.kind() && self.key == provider.key()?)
    }

    /// The kind of the provider that wrapped it.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The name of the wrapping key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its text for a store.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Invariant: a slot is made of strings and numbers, which JSON has.
        #[allow(clippy::unwrap_used)]
        serde_json::to_vec(self).unwrap()
    }

    /// Reads the text of a store.
    pub fn parse(text: &[u8]) -> Result<Self, SlotError> {
        let slot: Self = serde_json::from_slice(text).map_err(|_| SlotError::Malformed)?;
        if slot.v == VERSION { Ok(slot) } else { Err(SlotError::Malformed) }
    }

    /// What the commitment is over.
    fn committed(&self, place: &Place) -> Vec<u8> {
        let mut text = Vec::new();
        for part in [&place.aad()[..], self.kind.as_bytes(), self.key.as_bytes(), &self.ct] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
        text
    }
}
