//! Where the key log is kept: the trait, the table of kinds, and addresses.
//!
//! A store keeps records in order and knows nothing of what they mean. All kinds pass one contract
//! test (`tests/keys_store.rs`). A kind is one file and one line in [`SCHEMES`].

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{entry::Record, memory::MemoryStore, sqlite};

/// A place for the records of one key log.
pub trait Store: Send {
    /// All records from `epoch` on, in order.
    fn load(&mut self, epoch: u64) -> Result<Vec<Record>, StoreError>;

    /// Adds all of `records`, whose epochs follow each other, if the first of them is exactly the
    /// next epoch. When this says [`Appended::Done`] they survive a crash of the machine.
    fn append(&mut self, records: &[Record]) -> Result<Appended, StoreError>;
}

/// What became of an [`Store::append`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Somebody else was there first; nothing was added.
    Conflict,
    /// The records are durable.
    Done,
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is not one of ours.
    #[error("keys.store: {address:?} is not a store address; write sqlite:FILE")]
    Address {
        /// As configured.
        address: String,
    },
    /// The database is busy, damaged, or not readable.
    #[error("the key store {path} cannot be used; check its owner, its disk and its backups")]
    Database {
        /// Which.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: rusqlite::Error,
    },
    /// `init` would overwrite it.
    #[error("{path} exists already and is not overwritten")]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A file cannot be made or opened.
    #[error("the key store {path} cannot be opened")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is there, but is something else.
    #[error("{path} is not a key store of labseal")]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// Others may read or change it.
    #[error(transparent)]
    Exposed(#[from] super::private::PrivateError),
    /// There is none.
    #[error("there is no key store at {path}; create it with `labseal init`")]
    Missing {
        /// Which.
        path: PathBuf,
    },
}

/// Where a store is.
#[derive(Clone)]
pub enum StoreAddress {
    /// In memory, shared by all clones. For tests and the demonstration.
    Memory(MemoryStore),
    /// An SQLite file.
    Sqlite(PathBuf),
}

/// A kind of store that a configuration can name.
pub struct Scheme {
    /// What stands before the colon.
    pub name: &'static str,
    /// Makes the address from what stands after it.
    pub address: fn(PathBuf) -> StoreAddress,
}

/// All kinds.
pub const SCHEMES: &[Scheme] = &[Scheme { name: "sqlite", address: StoreAddress::Sqlite }];

impl StoreAddress {
    /// Reads `sqlite:FILE`; a relative file is taken relative to `folder`.
    pub fn parse(address: &str, folder: &Path) -> Result<Self, StoreError> {
        let unknown = || StoreError::Address { address: address.to_owned() };
        let (scheme, rest) = address.split_once(':').ok_or_else(unknown)?;
        let scheme = SCHEMES.iter().find(|kind| kind.name == scheme).ok_or_else(unknown)?;
        if rest.is_empty() {
            return Err(unknown());
        }
        Ok((scheme.address)(folder.join(rest)))
    }

    /// Makes an empty store. Refuses one that exists.
    pub fn create(&self) -> Result<Box<dyn Store>, StoreError> {
        match self {
            Self::Memory(store) => Ok(Box::new(store.clone())),
            Self::Sqlite(path) => Ok(Box::new(sqlite::SqliteStore::create(path)?)),
        }
    }

    /// Opens one that exists.
    pub fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        match self {
            Self::Memory(store) => Ok(Box::new(store.clone())),
            Self::Sqlite(path) => Ok(Box::new(sqlite::SqliteStore::open(path)?)),
        }
    }

    /// Removes a store that `create` has just made and nothing was written to.
    pub(super) fn discard(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Sqlite(path) => sqlite::discard(path),
        }
    }

    /// The file that holds it, if it is a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) => None,
            Self::Sqlite(path) => Some(path),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("memory"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
