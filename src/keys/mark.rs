//! The high-water mark: the newest entry of the key log that this replica has acted on.
//!
//! A key store can be put back to an older copy whose every entry is genuine: only somebody who
//! remembers can tell. The mark is a small file next to the store, on the replica's own disk, and a
//! store that does not reach it, or reaches it on another path, is refused.
//!
//! # Why
//!
//! 2026-11: the mark needs no authenticator. Whoever can change it next to the store could as well
//! delete it; what it must survive is a restored or replaced *store*.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::private::{self, PrivateError};
use crate::base::digest::Digest;

/// The store is not the one that was used here, or the mark cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The mark's file cannot be read or written.
    #[error(transparent)]
    File(#[from] PrivateError),
    /// The store has the epoch, with another entry.
    #[error("the key store was forked: entry {epoch} is not the one that was used here before")]
    Forked {
        /// Where.
        epoch: u64,
    },
    /// The store ends before the mark.
    #[error(
        "the key store was rolled back: entry {seen} was used here before, but the store ends before \
         it. Values may have been sealed since with keys that it lacks: restore a newer copy. If \
         there is none, and you accept that, remove the file STORE.seen next to it"
    )]
    RolledBack {
        /// What was used.
        seen: u64,
    },
    /// The file is not a mark.
    #[error(
        "{path} cannot be read as a high-water mark; remove it only if you are sure that the key store is the newest"
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    epoch: u64,
    hash: String,
}

/// A mark, and where it is kept. Without a place it lasts as long as the process.
pub struct Mark {
    path: Option<PathBuf>,
    seen: Option<(u64, Digest)>,
}

impl Mark {
    /// The mark kept in `path`.
    pub fn open(path: Option<PathBuf>) -> Result<Self, MarkError> {
        let seen = match &path {
            Some(path) => load(path)?,
            None => None,
        };
        Ok(Self { path, seen })
    }

    /// The path of the mark next to a store's file.
    pub fn beside(store: &Path) -> PathBuf {
        let mut name = store.as_os_str().to_owned();
        name.push(".seen");
        PathBuf::from(name)
    }

    /// Checks one record of a store against the mark.
    pub fn agrees(&self, epoch: u64, hash: Digest) -> Result<(), MarkError> {
        match self.seen {
            Some((seen, expected)) if seen == epoch && expected != hash => {
                Err(MarkError::Forked { epoch })
            }
            _ => Ok(()),
        }
    }

    /// Checks that a store with `entries` entries reaches the mark.
    pub fn reached(&self, entries: u64) -> Result<(), MarkError> {
        match self.seen {
            Some((seen, _)) if seen >= entries => Err(MarkError::RolledBack { seen }),
            _ => Ok(()),
        }
    }

    /// Moves the mark up, durably.
    pub fn raise(&mut self, epoch: u64, hash: Digest) -> Result<(), MarkError> {
        if self.seen.is_some_and(|(seen, _)| seen >= epoch) {
            return Ok(());
        }
        if let Some(path) = &self.path {
            // Another process may have moved it further; a mark never moves down.
            if load(path)?.is_none_or(|(seen, _)| seen < epoch) {
                let text = format!("{{\"epoch\": {epoch}, \"hash\": \"{hash}\"}}\n");
                private::replace(path, text.as_bytes())?;
            }
        }
        self.seen = Some((epoch, hash));
        Ok(())
    }
}

fn load(path: &Path) -> Result<Option<(u64, Digest)>, MarkError> {
    let bytes = match private::read(path) {
        Ok(bytes) => bytes,
        Err(PrivateError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let unreadable = || MarkError::Unreadable { path: path.to_owned() };
    let text: Text = serde_json::from_slice(bytes.expose()).map_err(|_| unreadable())?;
    Ok(Some((text.epoch, Digest::parse(&text.hash).ok_or_else(unreadable)?)))
}
