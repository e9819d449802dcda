//! Where the key log is kept: the trait, the table of kinds, and addresses.
//!
//! A store keeps records in order and knows nothing of what they mean. All kinds pass one contract
//! test (`tests/keys_store.rs`). A kind is one file and one line in [`SCHEMES`].

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::ClientConfig;

use super::{
    entry::Record,
    file::Passphrase,
    mark::Mark,
    memory::MemoryStore,
    postgres::{PostgresAddress, PostgresStore},
    provider::ProviderError,
    sqlite::{self, SqliteStore},
};

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
    /// The address is not one of ours. It is not repeated: there may be a password in it.
    #[error(
        "keys.store is not the address of a key store; write sqlite:FILE or \
         postgres://USER@HOST/DATABASE, with the password in keys.store_password"
    )]
    Address,
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
    /// `init` would overwrite it.
    #[error("{place} has a table labseal_key_log already, which is not overwritten")]
    ExistsIn {
        /// Which.
        place: String,
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
    /// There is none.
    #[error("there is no table labseal_key_log in {place}; create it with `labseal init`")]
    MissingIn {
        /// Which.
        place: String,
    },
    /// The password of the store cannot be had.
    #[error("keys.store_password cannot be read")]
    Password(#[source] Box<ProviderError>),
    /// The operating system gives no event queue.
    #[error("the key store {place} cannot be waited for")]
    Runtime {
        /// Which.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server is away, or refuses.
    #[error(
        "the key store {place} cannot be used; check the server, its address and the user's rights"
    )]
    Server {
        /// Which.
        place: String,
        /// What the server says.
        #[source]
        source: tokio_postgres::Error,
    },
}

/// What a configuration says about a store.
pub struct Settings {
    /// `sqlite:FILE` or `postgres://USER@HOST/DATABASE`.
    pub address: String,
    /// What a relative file is relative to.
    pub folder: PathBuf,
    /// The password of a database.
    pub password: Option<Passphrase>,
    /// How a database is reached; `None` on this machine.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Where a store is.
#[derive(Clone)]
pub enum StoreAddress {
    /// In memory, shared by all clones. For tests and the demonstration.
    Memory(MemoryStore),
    /// In a PostgreSQL database.
    Postgres(Box<PostgresAddress>),
    /// An SQLite file.
    Sqlite(PathBuf),
}

/// A kind of store that a configuration can name.
pub struct Scheme {
    /// What stands before the colon.
    pub name: &'static str,
    /// Makes the address.
    pub address: fn(&Settings) -> Result<StoreAddress, StoreError>,
}

/// All kinds.
pub const SCHEMES: &[Scheme] = &[
    Scheme { name: "postgres", address: in_database },
    Scheme { name: "sqlite", address: in_file },
];

/// The file in which a replica keeps the high-water mark of a store on another machine.
const SEEN: &str = "labseal.seen";

fn in_database(settings: &Settings) -> Result<StoreAddress, StoreError> {
    let mut config: tokio_postgres::Config =
        settings.address.parse().map_err(|_| StoreError::Address)?;
    if config.get_password().is_some() {
        return Err(StoreError::Address);
    }
    if let Some(password) = &settings.password {
        let password = password.read().map_err(|error| StoreError::Password(Box::new(error)))?;
        config.password(password.expose());
    }
    let (tls, seen) = (settings.tls.clone(), settings.folder.join(SEEN));
    Ok(StoreAddress::Postgres(Box::new(PostgresAddress { config, tls, seen })))
}

fn in_file(settings: &Settings) -> Result<StoreAddress, StoreError> {
    match settings.address.strip_prefix("sqlite:") {
        None | Some("") => Err(StoreError::Address),
        Some(file) => Ok(StoreAddress::Sqlite(settings.folder.join(file))),
    }
}

impl StoreAddress {
    /// Reads the address of a configuration.
    pub fn parse(settings: &Settings) -> Result<Self, StoreError> {
        let scheme = settings.address.split(':').next().unwrap_or_default();
        let kind = SCHEMES.iter().find(|kind| kind.name == scheme).ok_or(StoreError::Address)?;
        (kind.address)(settings)
    }

    /// Makes an empty store. Refuses one that exists.
    pub fn create(&self) -> Result<Box<dyn Store>, StoreError> {
        match self {
            Self::Memory(store) => Ok(Box::new(store.clone())),
            Self::Postgres(address) => Ok(Box::new(PostgresStore::create(address)?)),
            Self::Sqlite(path) => Ok(Box::new(SqliteStore::create(path)?)),
        }
    }

    /// Opens one that exists.
    pub fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        match self {
            Self::Memory(store) => Ok(Box::new(store.clone())),
            Self::Postgres(address) => Ok(Box::new(PostgresStore::open(address)?)),
            Self::Sqlite(path) => Ok(Box::new(SqliteStore::open(path)?)),
        }
    }

    /// Removes a store that `create` has just made and nothing was written to.
    pub(super) fn discard(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Postgres(address) => PostgresStore::discard(address),
            Self::Sqlite(path) => sqlite::discard(path),
        }
    }

    /// The file that holds it, if it is a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) | Self::Postgres(_) => None,
            Self::Sqlite(path) => Some(path),
        }
    }

    /// Where this replica keeps its high-water mark. Without a place the mark lasts as long as the
    /// process.
    pub fn seen(&self) -> Option<PathBuf> {
        match self {
            Self::Memory(_) => None,
            Self::Postgres(address) => Some(address.seen.clone()),
            Self::Sqlite(path) => Some(Mark::beside(path)),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("memory"),
            Self::Postgres(address) => address.fmt(f),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
