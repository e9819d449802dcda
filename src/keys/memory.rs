//! Wrapping key and key log in memory: for tests and the demonstration, gone with the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    entry::Record,
    provider::{Place, Provider, ProviderError},
    ring::Ring,
    store::{Appended, Change, Row, Seen, Store, StoreError},
};
use crate::{
    base::{
        clock::{Clock as _, SystemClock},
        secret::SecretKey,
    },
    crypto::{Kek, RootKey, WrappedKey},
};

/// A key log in memory. Clones share it, as replicas share a database.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    records: Vec<Record>,
    material: BTreeMap<String, Vec<u8>>,
    replicas: BTreeMap<String, (Row, Duration)>,
    leased: BTreeMap<(Ring, u32), u64>,
}

impl MemoryStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load(&mut self, epoch: u64) -> Result<Vec<Record>, StoreError> {
        let tables = self.tables();
        Ok(tables.records.iter().filter(|record| record.epoch >= epoch).cloned().collect())
    }

    fn append(&mut self, added: &[Record], change: &Change) -> Result<Appended, StoreError> {
        let mut tables = self.tables();
        let next = tables.records.last().map_or(0, |last| last.epoch + 1);
        if added.first().is_none_or(|first| first.epoch != next) {
            return Ok(Appended::Conflict);
        }
        tables.records.extend_from_slice(added);
        change.apply(&mut tables.material);
        Ok(Appended::Done)
    }

    fn material(&mut self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        Ok(self.tables().material.clone())
    }

    fn beat(&mut self, row: &Row) -> Result<(), StoreError> {
        let now = SystemClock.wall();
        self.tables().replicas.insert(row.id.clone(), (row.clone(), now));
        Ok(())
    }

    fn replicas(&mut self) -> Result<Vec<Seen>, StoreError> {
        let now = SystemClock.wall();
        let seen =
            |(row, at): &(Row, Duration)| Seen { row: row.clone(), age: now.saturating_sub(*at) };
        Ok(self.tables().replicas.values().map(seen).collect())
    }

    fn forget(&mut self, id: &str) -> Result<(), StoreError> {
        self.tables().replicas.remove(id);
        Ok(())
    }

    fn lease(&mut self, ring: Ring, version: u32, n: u64) -> Result<u64, StoreError> {
        let mut tables = self.tables();
        let sum = tables.leased.entry((ring, version)).or_default();
        *sum = sum.saturating_add(n);
        Ok(*sum)
    }

    fn leased(&mut self) -> Result<BTreeMap<(Ring, u32), u64>, StoreError> {
        Ok(self.tables().leased.clone())
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
