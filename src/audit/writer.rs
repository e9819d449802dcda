//! The one thread that writes the log: takes what is queued, writes it at once, and syncs once.
//!
//! # Why
//!
//! 2026-11: a write that fails (a full disk) is taken back to the last durable byte, so that the log
//! stays whole and can go on when there is room again; everything in the failed batch is refused. A
//! sync that fails, or a file that is no longer where we left it, ends the log until a restart: the
//! kernel may have dropped the pages, and nobody can say what is on the disk.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use crate::base::clock::Clock;

use super::{
    folder::{self, Folder, Tail, Unavailable},
    head,
    line::{self, Link, MAX_LINE, Said},
    log::{AuditError, Job, Message, Receipt, Shared, Standing, reaches},
};

/// Entries that share one sync at most.
const BATCH: usize = 1_024;

/// The checkpoint follows the log by no more than this.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// The writing end of a log. Nine fields, because it is the whole state of one thread.
pub(super) struct Writer {
    folder: Folder,
    clock: Arc<dyn Clock>,
    file_bytes: u64,
    shared: Arc<Shared>,
    end: End,
    /// Where the durable chain stands.
    link: Link,
    /// What the checkpoint says, and since when.
    checkpoint: (Link, Instant),
    /// Entries refused since the last one that became durable.
    refused: u64,
    poisoned: bool,
}

/// The file that lines are appended to.
struct End {
    file: File,
    number: u32,
    /// Its durable length.
    length: u64,
}

impl Writer {
    /// Locks the folder, finds the end of the chain and makes it whole.
    pub fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        file_bytes: u64,
        shared: Arc<Shared>,
    ) -> Result<Self, AuditError> {
        let failed = |source| AuditError::Open { folder: path.to_owned(), source };
        let folder = Folder::lock(path).map_err(|why| match why {
            Unavailable::InUse => AuditError::InUse(path.to_owned()),
            Unavailable::Io(source) => failed(source),
        })?;
        let numbers = folder::numbers(path).map_err(failed)?;
        let checkpoint = match head::read(path).map_err(failed)? {
            Some(checkpoint) => checkpoint,
            // The checkpoint is made before the first file, so it is never missing beside one.
            None if numbers.is_empty() => {
                head::write(path, Link::START, clock.wall()).map_err(failed)?;
                Link::START
            }
            None => return Err(AuditError::Broken(path.join(head::NAME))),
        };
        let (end, link, torn) = match numbers.last() {
            Some(&number) => Self::find(&folder, number)?,
            None if checkpoint == Link::START => {
                let file = folder.create(1).map_err(failed)?;
                (End { file, number: 1, length: 0 }, Link::START, 0)
            }
            None => return Err(cut(&folder, Link::START, checkpoint)),
        };
        if !reaches(link, checkpoint) {
            return Err(cut(&folder, link, checkpoint));
        }
        let checkpoint = (checkpoint, clock.instant());
        let (refused, poisoned) = (0, false);
        let mut writer =
            Self { folder, clock, file_bytes, shared, end, link, checkpoint, refused, poisoned };
        if torn > 0 {
            let end = &writer.end;
            end.file.set_len(end.length).and_then(|()| end.file.sync_data()).map_err(failed)?;
            tracing::warn!(bytes = torn, "cut an unfinished line off the audit log");
            writer.append(&[Said::Recovered(torn)])?;
        }
        Ok(writer)
    }

    /// The end of the chain, and how many bytes of an unfinished line stand behind it.
    fn find(folder: &Folder, number: u32) -> Result<(End, Link, u64), AuditError> {
        let failed = |source| AuditError::Open { folder: folder.path().to_owned(), source };
        let broken = |number| AuditError::Broken(folder.path().join(folder::name(number)));
        let mut file = folder.open(number).map_err(failed)?;
        let tail = folder::tail(&mut file).map_err(failed)?;
        let link = match tail.line {
            Some(line) => line.map_err(|_| broken(number))?.link,
            None if number == 1 => Link::START,
            // Begun just before a crash: the chain stands where the file before ends.
            None => {
                let mut before = folder.open(number - 1).map_err(failed)?;
                match folder::tail(&mut before).map_err(failed)? {
                    Tail { line: Some(Ok(line)), torn: 0, .. } => line.link,
                    _ => return Err(broken(number - 1)),
                }
            }
        };
        Ok((End { file, number, length: tail.sound }, link, tail.torn))
    }

    /// Writes until the log is closed or the last handle is dropped.
    pub fn run(mut self, queue: &Receiver<Message>) {
        let mut open = true;
        while open {
            let idle = self.checkpoint.0 == self.link && self.refused == 0;
            let first = if idle || self.poisoned {
                queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                queue.recv_timeout(CHECKPOINT_EVERY)
            };
            match first {
                Ok(Message::Write(job)) => open = self.batch(job, queue),
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => open = false,
                Err(RecvTimeoutError::Timeout) => {
                    // A log that failed tries by itself, so that readiness can come back.
                    if self.refused > 0 {
                        self.commit(Vec::new());
                    }
                    self.catch_up(Duration::ZERO);
                }
            }
        }
        self.catch_up(Duration::ZERO);
    }

    /// Writes `first` and whatever is queued behind it. False if the log is to be closed.
    fn batch(&mut self, first: Job, queue: &Receiver<Message>) -> bool {
        let mut jobs = vec![first];
        let mut open = true;
        while open && jobs.len() < BATCH {
            match queue.try_recv() {
                Ok(Message::Write(job)) => jobs.push(job),
                Ok(Message::Close) => open = false,
                Err(_) => break,
            }
        }
        self.commit(jobs);
        self.catch_up(CHECKPOINT_EVERY);
        open
    }

    /// Makes jobs durable, and what there is to say about the log before them; tells who waits.
    fn commit(&mut self, jobs: Vec<Job>) {
        let mut said = Vec::with_capacity(jobs.len() + 2);
        let omitted = self.shared.omitted.swap(0, Ordering::Relaxed);
        if self.refused > 0 {
            said.push(Said::Resumed(self.refused));
        }
        if omitted > 0 {
            said.push(Said::Omitted(omitted));
        }
        let first = self.link.seq + 1 + said.len() as u64;
        let mut waiting = Vec::with_capacity(jobs.len());
        for job in jobs {
            said.push(job.said);
            waiting.push((job.waiting, job.room));
        }
        let result = self.append(&said);
        match &result {
            Ok(()) => {
                self.refused = 0;
                self.shared.set_standing(Standing::Sound);
            }
            Err(error) => {
                self.refused += waiting.len() as u64;
                self.shared.omitted.fetch_add(omitted, Ordering::Relaxed);
                let poisoned = self.poisoned;
                let standing = if poisoned { Standing::Poisoned } else { Standing::Failing };
                self.shared.set_standing(standing);
                tracing::error!(%error, entries = waiting.len(), poisoned, "audit entries refused");
            }
        }
        for (seq, (waiting, room)) in (first..).zip(waiting) {
            let answer = match &result {
                Ok(()) => Ok(Receipt::new(seq)),
                Err(error) => Err(AuditError::Unwritable(error.0)),
            };
            // Whoever no longer waits does not need the receipt.
            let _gone = waiting.is_some_and(|waiting| waiting.send(answer).is_err());
            drop(room);
        }
    }

    /// Makes lines durable, all or none.
    fn append(&mut self, said: &[Said]) -> Result<(), Unwritable> {
        if self.poisoned {
            return Err(Unwritable(io::ErrorKind::Other));
        }
        let time = self.clock.wall();
        let mut link = self.link;
        let mut bytes = Vec::with_capacity(512 * said.len());
        for said in said {
            let start = bytes.len();
            link = line::append(&mut bytes, link, time, said);
            if bytes.len() - start > MAX_LINE {
                return Err(Unwritable(io::ErrorKind::FileTooLarge));
            }
        }
        let end = &mut self.end;
        if !self.folder.holds(end.number, &end.file, end.length)? {
            self.poisoned = true;
            return Err(Unwritable(io::ErrorKind::StaleNetworkFileHandle));
        }
        if end.length > 0 && end.length + bytes.len() as u64 > self.file_bytes {
            let number = end.number + 1;
            *end = End { file: self.folder.create(number)?, number, length: 0 };
        }
        if let Err(error) = end.file.write_all(&bytes) {
            let undone = end.file.set_len(end.length).and_then(|()| end.file.sync_data());
            self.poisoned = undone.is_err();
            return Err(error.into());
        }
        if let Err(error) = end.file.sync_data() {
            self.poisoned = true;
            return Err(error.into());
        }
        end.length += bytes.len() as u64;
        self.link = link;
        Ok(())
    }

    /// Writes the checkpoint if it lags behind by `age`.
    fn catch_up(&mut self, age: Duration) {
        let now = self.clock.instant();
        let (checkpoint, since) = self.checkpoint;
        if self.poisoned || checkpoint == self.link || now.saturating_duration_since(since) < age {
            return;
        }
        match head::write(self.folder.path(), self.link, self.clock.wall()) {
            Ok(()) => self.checkpoint = (self.link, now),
            Err(error) => {
                // The entries are durable; only the detection of a cut tail lags. Tried again soon.
                self.checkpoint.1 = now;
                tracing::error!(kind = %error.kind(), "the audit checkpoint cannot be written");
            }
        }
    }
}

fn cut(folder: &Folder, link: Link, checkpoint: Link) -> AuditError {
    if link.seq == checkpoint.seq {
        return AuditError::Broken(folder.path().join(head::NAME));
    }
    let folder = folder.path().to_owned();
    AuditError::Cut { folder, reached: link.seq, checkpoint: checkpoint.seq }
}

/// A batch that did not become durable.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be written ({0})")]
struct Unwritable(io::ErrorKind);

impl From<io::Error> for Unwritable {
    fn from(error: io::Error) -> Self {
        Self(error.kind())
    }
}

impl From<Unwritable> for AuditError {
    fn from(error: Unwritable) -> Self {
        Self::Unwritable(error.0)
    }
}
