//! Wrapping key and key log in memory: for tests and the demonstration, gone with the process.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    entry::Record,
    provider::{Place, Provider, ProviderError},
    store::{Appended, Store, StoreError},
};
use crate::{
    base::secret::SecretKey,
    crypto::{Kek, RootKey, WrappedKey},
};

/// A key log in memory. Clones share it, as replicas share a database.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Vec<Record>>>);

impl Store for MemoryStore {
    fn load(&mut self, epoch: u64) -> Result<Vec<Record>, StoreError> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(records.iter().filter(|record| record.epoch >= epoch).cloned().collect())
    }

    fn append(&mut self, added: &[Record]) -> Result<Appended, StoreError> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = records.last().map_or(0, |last| last.epoch + 1);
        if added.first().is_some_and(|first| first.epoch != next) {
            return Ok(Appended::Conflict);
        }
        records.extend_from_slice(added);
        Ok(Appended::Done)
    }
}

/// A wrapping key in memory.
pub struct MemoryProvider(SecretKey);

impl MemoryProvider {
    /// A provider with this wrapping key.
    pub fn new(secret: SecretKey) -> Self {
        Self(secret)
    }

    fn kek(&self) -> Kek {
        Kek::from_secret(&self.0)
    }
}

impl Provider for MemoryProvider {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn key(&self) -> Result<String, ProviderError> {
        Ok(self.kek().fingerprint().to_owned())
    }

    fn create(&self) -> Result<(), ProviderError> {
        Ok(())
    }

    fn wrap(&self, root: &RootKey, place: &Place) -> Result<Vec<u8>, ProviderError> {
        Ok(self.kek().wrap(root, &place.aad())?.as_bytes().to_vec())
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place) -> Result<RootKey, ProviderError> {
        Ok(self.kek().unwrap(&WrappedKey::from_bytes(wrapped)?, &place.aad())?)
    }

    fn legacy_root(&self) -> Result<Option<RootKey>, ProviderError> {
        Ok(Some(RootKey::from_secret(SecretKey::filled(|room| {
            room.copy_from_slice(self.0.expose())
        }))))
    }
}
