//! The folder of a log: its lock, the names of its files, and the end of the last of them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::line::{self, Line, MAX_LINE};

const LOCK: &str = "lock";

/// The name of file number `number`.
pub(super) fn name(number: u32) -> String {
    format!("audit-{number:06}.jsonl")
}

/// The numbers of the files that are there, ascending.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let digits = file
            .to_str()
            .and_then(|text| text.strip_prefix("audit-"))
            .and_then(|text| text.strip_suffix(".jsonl"));
        if let Some(number) = digits.and_then(|digits| digits.parse().ok()) {
            // Only the one spelling counts: `audit-1.jsonl` is nobody's.
            if file.to_str() == Some(name(number).as_str()) {
                numbers.push(number);
            }
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A folder that this process alone writes to, for as long as it holds this.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Why a folder cannot be had.
pub(super) enum Unavailable {
    /// Another process writes to it.
    InUse,
    /// It cannot be made or locked.
    Io(io::Error),
}

impl Folder {
    /// Makes the folder if need be, and locks it.
    pub fn lock(path: &Path) -> Result<Self, Unavailable> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Unavailable::Io)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(Unavailable::Io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Unavailable::InUse),
            Err(TryLockError::Error(error)) => Err(Unavailable::Io(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes file number `number`, which must not be there, durably.
    pub fn create(&self, number: u32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path.join(name(number)))?;
        File::open(&self.path)?.sync_all()?;
        Ok(file)
    }

    /// Opens file number `number` for appending.
    pub fn open(&self, number: u32) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).open(self.path.join(name(number)))
    }

    /// Whether `file` still is what its name leads to, with the length that we left it with.
    pub fn holds(&self, number: u32, file: &File, length: u64) -> io::Result<bool> {
        let ours = file.metadata()?;
        let named = match fs::metadata(self.path.join(name(number))) {
            Ok(named) => named,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok((ours.dev(), ours.ino(), ours.len()) == (named.dev(), named.ino(), length))
    }
}

/// The end of a file.
pub(super) struct Tail {
    /// Length up to and with the last line feed.
    pub sound: u64,
    /// Bytes after it: a line that was never finished.
    pub torn: u64,
    /// The last finished line; `None` if there is none, `Err` if it does not match its hash.
    pub line: Option<Result<Line, line::NotALine>>,
}

/// Reads the end of a file.
pub(super) fn tail(file: &mut File) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(2 * MAX_LINE as u64 + 2);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Some(end) = memchr::memrchr(b'\n', &bytes) else {
        let line = (from > 0).then_some(Err(line::NotALine));
        return Ok(Tail { sound: from, torn: bytes.len() as u64, line });
    };
    let (finished, torn) = bytes.split_at(end + 1);
    let finished = finished.strip_suffix(b"\n").unwrap_or(finished);
    let start = memchr::memrchr(b'\n', finished).map_or(0, |at| at + 1);
    let line = line::read(finished.get(start..).unwrap_or_default());
    Ok(Tail { sound: from + end as u64 + 1, torn: torn.len() as u64, line: Some(line) })
}
