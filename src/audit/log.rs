//! The handle that the rest of the house records through.
//!
//! [`Audit::record`] resolves when the entry is on the disk and gives a [`Receipt`], which cannot be
//! had otherwise. [`Audit::note`] is for what nobody waits for. One thread (`writer`) does the
//! writing, so that many exchanges share one `fdatasync`.
//!
//! # Why
//!
//! 2026-11: an entry that nobody waits for may be left out when 8,192 are waiting already; the log
//! then says how many. Waiting would let a slow disk stop traffic that touches nothing protected.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicU64, Ordering},
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::base::clock::Clock;

use super::{
    event::Entry,
    line::{Link, Said},
    writer::Writer,
};

/// Entries that may wait for the disk. Who comes later waits for room.
const QUEUE: usize = 8_192;

/// A file is closed and the next one begun when it would grow beyond this.
const FILE_BYTES: u64 = 64 << 20;

/// Why the log cannot be opened, or an entry not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The last line does not match its hash, or not the checkpoint.
    #[error(
        "the audit log is broken at the end of {}; run `labseal audit verify`, keep the folder as \
         evidence, and start with an empty one",
        .0.display()
    )]
    Broken(PathBuf),
    /// The log was closed before.
    #[error("the audit log is closed")]
    Closed,
    /// The log ends before its checkpoint.
    #[error(
        "the audit log in {} ends at entry {reached}, but had reached {checkpoint}: its tail was cut \
         off; keep the folder as evidence, and start with an empty one",
        folder.display()
    )]
    Cut {
        /// Where.
        folder: PathBuf,
        /// The last entry that is there.
        reached: u64,
        /// The entry that the checkpoint names.
        checkpoint: u64,
    },
    /// Another process writes to the folder.
    #[error("another process writes to the audit log in {}", .0.display())]
    InUse(PathBuf),
    /// The folder cannot be read or made.
    #[error("the audit log in {} cannot be opened", folder.display())]
    Open {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The entry could not be made durable.
    #[error("the audit log cannot be written ({0})")]
    Unwritable(io::ErrorKind),
}

/// Whether entries can be recorded, for readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The last attempt failed; the next one may succeed, as when a full disk has room again.
    Failing,
    /// Nothing more will be recorded until a restart: what is on the disk is no longer certain.
    Poisoned,
    /// Entries become durable.
    Sound,
}

/// Proof that an entry is on the disk.
#[must_use = "what was recorded may now be released"]
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt {
    seq: u64,
}

impl Receipt {
    /// Only the writer makes one, after `fdatasync`.
    pub(super) fn new(seq: u64) -> Self {
        Self { seq }
    }

    /// The number of the entry.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

/// The audit log, open for writing. Cheap to clone; the last one dropped closes the log.
#[derive(Clone)]
pub struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Sender<Message>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What handle and writer both see.
pub(super) struct Shared {
    /// Entries that were left out since the last one was written.
    pub omitted: AtomicU64,
    standing: AtomicU8,
}

impl Shared {
    /// Says how the log stands.
    pub fn set_standing(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Release);
    }
}

/// What the writer is told.
pub(super) enum Message {
    /// Write out what is queued and end.
    Close,
    /// Write this.
    Write(Job),
}

/// An entry on its way to the disk.
pub(super) struct Job {
    /// What to write.
    pub said: Said,
    /// Who waits.
    pub waiting: Option<oneshot::Sender<Result<Receipt, AuditError>>>,
    /// Its place in the queue, given back when it is dropped.
    pub room: OwnedSemaphorePermit,
}

impl Audit {
    /// Opens the log in `folder`, making it if need be, and starts its writer.
    ///
    /// A line that a crash left unfinished is cut off, which is itself recorded. A log that was
    /// tampered with at its end is refused.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        Self::open_sized(folder, clock, FILE_BYTES)
    }

    /// [`Audit::open`] with another size of files.
    pub fn open_sized(
        folder: &Path,
        clock: Arc<dyn Clock>,
        file_bytes: u64,
    ) -> Result<Self, AuditError> {
        let standing = AtomicU8::new(Standing::Sound as u8);
        let shared = Arc::new(Shared { omitted: AtomicU64::new(0), standing });
        let writer = Writer::open(folder, clock, file_bytes, Arc::clone(&shared))?;
        let (queue, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run(&jobs))
            .map_err(|source| AuditError::Open { folder: folder.to_owned(), source })?;
        let room = Arc::new(Semaphore::new(QUEUE));
        let thread = Mutex::new(Some(thread));
        Ok(Self { inner: Arc::new(Inner { queue, room, shared, thread }) })
    }

    /// Records an entry and waits until it is on the disk.
    ///
    /// If the future is dropped before it resolves, the entry may be recorded all the same.
    pub async fn record(&self, entry: impl Into<Entry>) -> Result<Receipt, AuditError> {
        let said = Said::Entry(entry.into());
        let room = Arc::clone(&self.inner.room).acquire_owned().await;
        let room = room.map_err(|_| AuditError::Closed)?;
        let (waiting, answer) = oneshot::channel();
        let job = Job { said, waiting: Some(waiting), room };
        self.inner.queue.send(Message::Write(job)).map_err(|_| AuditError::Closed)?;
        answer.await.unwrap_or(Err(AuditError::Closed))
    }

    /// Records an entry that nobody waits for. Never blocks.
    pub fn note(&self, entry: impl Into<Entry>) {
        let Ok(room) = Arc::clone(&self.inner.room).try_acquire_owned() else {
            self.inner.shared.omitted.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let job = Job { said: Said::Entry(entry.into()), waiting: None, room };
        // Only a closed log hangs up, and then there is nobody left to tell.
        let _closed = self.inner.queue.send(Message::Write(job)).is_err();
    }

    /// Whether entries can be recorded.
    pub fn standing(&self) -> Standing {
        match self.inner.shared.standing.load(Ordering::Acquire) {
            standing if standing == Standing::Sound as u8 => Standing::Sound,
            standing if standing == Standing::Failing as u8 => Standing::Failing,
            _ => Standing::Poisoned,
        }
    }

    /// Whether the next entry can be expected to become durable.
    pub fn is_writable(&self) -> bool {
        self.standing() == Standing::Sound
    }

    /// Writes out what is queued and the checkpoint, and ends the writer. Blocks for that long.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        let thread = match self.thread.lock() {
            Ok(mut thread) => thread.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        if let Some(thread) = thread {
            let _closed = self.queue.send(Message::Close).is_err();
            if thread.join().is_err() {
                tracing::error!("the audit writer ended in a panic");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// The chain stands here, for whoever opens or verifies: the log must reach the checkpoint.
pub(super) fn reaches(link: Link, checkpoint: Link) -> bool {
    link.seq > checkpoint.seq || link == checkpoint
}
