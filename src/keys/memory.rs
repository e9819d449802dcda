//! Root key and key log in memory: for tests and the demonstration, gone with the process.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    entry::Record,
    provider::{Provider, ProviderError},
    store::{Appended, Store, StoreError},
};
use crate::{base::secret::SecretKey, crypto::RootKey};

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

/// A root key in memory.
pub struct MemoryProvider(SecretKey);

impl MemoryProvider {
    /// A provider of this root key.
    pub fn new(root: SecretKey) -> Self {
        Self(root)
    }
}

impl Provider for MemoryProvider {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn create(&self) -> Result<RootKey, ProviderError> {
        self.root()
    }

    fn root(&self) -> Result<RootKey, ProviderError> {
        Ok(RootKey::from_secret(SecretKey::new(*self.0.expose())))
    }
}
