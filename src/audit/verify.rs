//! Walks a log from its first line to its last and names the first that is wrong.
//!
//! Needs no key and no lock, and works while the log is written: the checkpoint is read before the
//! files, so the log can only be further than it says; a last line without its line feed is being
//! written, or was left by a crash, and nobody was ever told that it is recorded.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use super::{
    folder, head,
    line::{self, Link},
    log::reaches,
    read,
};

/// What a sound log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many files.
    pub files: u32,
    /// How many entries, which is also the number of the last.
    pub entries: u64,
    /// When the first entry was written.
    pub first: Option<String>,
    /// When the last entry was written.
    pub last: Option<String>,
    /// Where the chain stands: number and hash of the last entry.
    pub head: Link,
    /// The entry that the checkpoint named when the walk began.
    pub checkpoint: u64,
    /// Bytes of a last line that is not finished.
    pub unfinished: u64,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not what its hash was made of.
    Edited,
    /// Its number was there already.
    Inserted,
    /// So many lines before it are gone.
    Missing(u64),
    /// It belongs further down.
    Reordered,
    /// It has the right number and a hash of its own, but the next line continues another one; or
    /// the checkpoint names another one.
    Replaced,
    /// It is not finished, though others come after it.
    Unfinished,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Edited => f.write_str("the line was edited: it does not match its own hash"),
            Self::Inserted => f.write_str("a line was inserted: this number was there already"),
            Self::Missing(1) => f.write_str("a line is missing before this one"),
            Self::Missing(count) => write!(f, "{count} lines are missing before this one"),
            Self::Reordered => {
                f.write_str("the lines were reordered: this one belongs further down")
            }
            Self::Replaced => f.write_str("the line was replaced: the chain continues another one"),
            Self::Unfinished => f.write_str("the line was cut short"),
        }
    }
}

/// Why a log is not sound, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no log.
    #[error("there is no audit log in {}", .0.display())]
    Absent(PathBuf),
    /// A line is wrong.
    #[error("{}:{line}: {fault}", file.display())]
    Broken {
        /// In which file.
        file: PathBuf,
        /// Which line of it, from 1.
        line: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// The log ends before its checkpoint.
    #[error(
        "{}:{line}: the tail was cut off after this line: the log ends at entry {reached}, but had \
         reached {checkpoint}",
        file.display()
    )]
    Cut {
        /// The last file that is there.
        file: PathBuf,
        /// Its last line; 0 if it has none.
        line: u64,
        /// The last entry that is there.
        reached: u64,
        /// The entry that the checkpoint names.
        checkpoint: u64,
    },
    /// A whole file, or the checkpoint, is gone.
    #[error("{} is missing", .0.display())]
    Gone(PathBuf),
    /// Something cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Verifies the log in `folder`.
///
/// What is found wrong is looked at a second time: a writer whose disk is full takes back what it
/// could not finish, and may do so under the eyes of a reader.
pub fn verify(folder: &Path) -> Result<Report, VerifyError> {
    Walk::new(folder)?.run().or_else(|_| Walk::new(folder)?.run())
}

/// A walk, and how far it has come.
struct Walk<'a> {
    folder: &'a Path,
    checkpoint: Link,
    link: Link,
    /// Where the line of `link` stands.
    place: (u32, u64),
    first: Option<String>,
    last: Option<String>,
    unfinished: u64,
}

impl<'a> Walk<'a> {
    fn new(folder: &'a Path) -> Result<Self, VerifyError> {
        let unreadable = |source| VerifyError::Io { path: folder.join(head::NAME), source };
        let checkpoint = match head::read(folder).map_err(unreadable)? {
            Some(checkpoint) => checkpoint,
            None => {
                let any = folder::numbers(folder).is_ok_and(|numbers| !numbers.is_empty());
                return Err(if any {
                    VerifyError::Gone(folder.join(head::NAME))
                } else {
                    VerifyError::Absent(folder.to_owned())
                });
            }
        };
        Ok(Self {
            folder,
            checkpoint,
            link: Link::START,
            place: (1, 0),
            first: None,
            last: None,
            unfinished: 0,
        })
    }

    fn run(mut self) -> Result<Report, VerifyError> {
        let mut files = 0;
        let mut more = self.exists(1)?;
        while more {
            files += 1;
            more = self.file(files)?;
        }
        if !reaches(self.link, self.checkpoint) {
            return Err(self.cut());
        }
        Ok(Report {
            files,
            entries: self.link.seq,
            first: self.first,
            last: self.last,
            head: self.link,
            checkpoint: self.checkpoint.seq,
            unfinished: self.unfinished,
        })
    }

    /// Whether file `number` is there. A gap in the numbers is an error.
    fn exists(&self, number: u32) -> Result<bool, VerifyError> {
        let unreadable = |source| VerifyError::Io { path: self.folder.to_owned(), source };
        let numbers = folder::numbers(self.folder).map_err(unreadable)?;
        match numbers.iter().find(|there| **there >= number) {
            Some(there) if *there == number => Ok(true),
            Some(_) => Err(VerifyError::Gone(self.folder.join(folder::name(number)))),
            None => Ok(false),
        }
    }

    /// Walks one file. True if there is another one behind it.
    fn file(&mut self, number: u32) -> Result<bool, VerifyError> {
        let path = self.folder.join(folder::name(number));
        let unreadable = |source| VerifyError::Io { path: path.clone(), source };
        let mut reader = BufReader::new(File::open(&path).map_err(unreadable)?);
        let mut text = Vec::new();
        let mut at = 0;
        let mut complete = false;
        loop {
            read::line(&mut reader, &mut text).map_err(unreadable)?;
            if let Some(line) = text.strip_suffix(b"\n") {
                at += 1;
                self.line(number, at, line, &mut reader)?;
                text.clear();
            } else if text.len() > line::MAX_LINE {
                return Err(self.broken(number, at + 1, Fault::Edited));
            } else if complete && !text.is_empty() {
                return Err(self.broken(number, at + 1, Fault::Unfinished));
            } else if complete {
                return Ok(true);
            } else if self.exists(number + 1)? {
                // This file no longer grows, but may have grown since its end was seen.
                complete = true;
            } else {
                self.unfinished = text.len() as u64;
                return Ok(false);
            }
        }
    }

    fn line(
        &mut self,
        number: u32,
        at: u64,
        text: &[u8],
        reader: &mut BufReader<File>,
    ) -> Result<(), VerifyError> {
        let Ok(line) = line::read(text) else {
            return Err(self.broken(number, at, Fault::Edited));
        };
        let expected = self.link.seq + 1;
        if line.link.seq < expected {
            return Err(self.broken(number, at, Fault::Inserted));
        }
        if line.link.seq > expected {
            let fault = if self.comes_later(number, expected, reader)? {
                Fault::Reordered
            } else {
                Fault::Missing(line.link.seq - expected)
            };
            return Err(self.broken(number, at, fault));
        }
        if line.prev != self.link.hash {
            // The first line has none before it that could have been replaced.
            let (file, place) = if expected == 1 { (number, at) } else { self.place };
            return Err(self.broken(file, place, Fault::Replaced));
        }
        if line.link.seq == self.checkpoint.seq && line.link != self.checkpoint {
            return Err(self.broken(number, at, Fault::Replaced));
        }
        self.link = line.link;
        self.place = (number, at);
        self.first.get_or_insert_with(|| line.time.clone());
        self.last = Some(line.time);
        Ok(())
    }

    /// Whether the line with this number stands somewhere in the rest.
    fn comes_later(
        &self,
        number: u32,
        seq: u64,
        reader: &mut BufReader<File>,
    ) -> Result<bool, VerifyError> {
        let mut text = Vec::new();
        let mut number = number;
        let mut next_file;
        let mut reader = reader;
        loop {
            let path = self.folder.join(folder::name(number));
            let unreadable = |source| VerifyError::Io { path: path.clone(), source };
            loop {
                text.clear();
                read::line(reader, &mut text).map_err(unreadable)?;
                let Some(line) = text.strip_suffix(b"\n") else { break };
                if line::read(line).is_ok_and(|line| line.link.seq == seq) {
                    return Ok(true);
                }
            }
            number += 1;
            let path = self.folder.join(folder::name(number));
            match File::open(&path) {
                Ok(file) => next_file = BufReader::new(file),
                Err(_) => return Ok(false),
            }
            reader = &mut next_file;
        }
    }

    fn broken(&self, number: u32, line: u64, fault: Fault) -> VerifyError {
        VerifyError::Broken { file: self.folder.join(folder::name(number)), line, fault }
    }

    fn cut(&self) -> VerifyError {
        let (number, line) = self.place;
        VerifyError::Cut {
            file: self.folder.join(folder::name(number)),
            line,
            reached: self.link.seq,
            checkpoint: self.checkpoint.seq,
        }
    }
}
