//! The key log: chain, authenticator and replay of its records.
//!
//! Reading a record checks, in this order: its place, its authenticator, its grammar, and its link to
//! the record before; then, when all of them are believed, whether the state allows it. The first
//! failure ends everything; a log is believed whole or not at all. Keys are unwrapped one floor up, in
//! [`super::state`].
//!
//! The root key at hand is the newest. What it cannot authenticate, because an older one did, lies
//! before the last entry that brought a root key, and is held in place by the hashes up to that one.

use std::time::Duration;

use super::{
    entry::{Entry, Op, Record, VERSION},
    replay::Rings,
    ring::Illegal,
};
use crate::{
    base::{digest::Digest, ident::Tenant},
    crypto::RootKey,
};

/// The log cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The body was changed, or written under another root key.
    #[error(
        "key log entry {epoch} was altered, or was not written under this root key; restore the \
         key store and the root key from backups of the same instance"
    )]
    Authenticator {
        /// Where.
        epoch: u64,
    },
    /// The entry does not follow the one before it.
    #[error(
        "key log entry {epoch} does not follow the entry before it: one of the two was altered, or the \
         log was forked or reordered"
    )]
    Chain {
        /// Where.
        epoch: u64,
    },
    /// No entries at all.
    #[error("the key store is empty; create it with `labseal init`")]
    Empty,
    /// An entry is missing.
    #[error("key log entry {expected} is missing: entry {found} stands in its place")]
    Gap {
        /// What should come next.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The state does not allow the operation.
    #[error("key log entry {epoch}: {reason}")]
    Illegal {
        /// Where.
        epoch: u64,
        /// Why.
        reason: Illegal,
    },
    /// Not of the grammar of this version.
    #[error(
        "key log entry {epoch} cannot be read by this version of labseal; a newer one wrote it"
    )]
    Unreadable {
        /// Where.
        epoch: u64,
        /// What is wrong with it. Entries hold no secret in clear.
        #[source]
        source: Option<serde_json::Error>,
    },
}

/// A log read so far.
#[derive(Clone, Debug)]
pub struct Log {
    tenant: Tenant,
    next: u64,
    head: Digest,
    rings: Option<Rings>,
}

impl Log {
    /// Before the first entry.
    pub fn new(tenant: Tenant) -> Self {
        Self { tenant, next: 0, head: Digest([0; 32]), rings: None }
    }

    /// The epoch that comes next, which is also the number of entries.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The hash of the last entry.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// The state. Fails before genesis.
    pub fn rings(&self) -> Result<&Rings, LogError> {
        self.rings.as_ref().ok_or(LogError::Empty)
    }

    /// Reads records and gives back what they did. `root` is the root key after the last of them.
    /// After an error the log must not be used.
    pub fn read(&mut self, records: &[Record], root: &RootKey) -> Result<Vec<Op>, LogError> {
        let parsed: Vec<_> = records.iter().map(|record| Entry::parse(&record.body)).collect();
        let brings_root = |parsed: &Result<(Entry, _), _>| {
            matches!(parsed, Ok((Entry { op: Op::Root { .. }, .. }, _)))
        };
        let authentic = parsed.iter().rposition(brings_root).unwrap_or(0);
        let mut believed = Vec::with_capacity(records.len());
        for (at, (record, parsed)) in records.iter().zip(parsed).enumerate() {
            let epoch = record.epoch;
            if epoch != self.next {
                return Err(LogError::Gap { expected: self.next, found: epoch });
            }
            if at >= authentic {
                root.verify_mac(&record.body, &record.mac)
                    .map_err(|_| LogError::Authenticator { epoch })?;
            }
            let (entry, inline) =
                parsed.map_err(|source| LogError::Unreadable { epoch, source })?;
            if entry.epoch != epoch || entry.prev != self.head {
                return Err(LogError::Chain { epoch });
            }
            self.next += 1;
            self.head = record.hash();
            believed.push((entry, inline));
        }
        let mut done = Vec::with_capacity(believed.len());
        for (entry, inline) in believed {
            let Entry { epoch, time, op, .. } = entry;
            let illegal = |reason| LogError::Illegal { epoch, reason };
            match &mut self.rings {
                Some(rings) => rings.apply(&op, inline, (epoch, time)).map_err(illegal)?,
                None => {
                    self.rings = Some(Rings::begin(&op, &self.tenant, time).map_err(illegal)?);
                }
            }
            done.push(op);
        }
        Ok(done)
    }

    /// The record that would do `op` next. Nothing is changed until it has been stored and read.
    pub fn write(&self, op: Op, time: Duration, root: &RootKey) -> Record {
        let entry =
            Entry { v: VERSION, epoch: self.next, prev: self.head, time, approvals: [], op };
        // Invariant: an entry is made of strings, numbers and maps with string keys, which JSON has.
        #[allow(clippy::unwrap_used)]
        let body = serde_json::to_vec(&entry).unwrap();
        let mac = root.mac(&body);
        Record { epoch: self.next, body, mac }
    }
}
