//! Where the key log is kept: the trait, the table of kinds, and addresses.
//!
//! A store keeps four things and knows nothing of what they mean: records in order; material, which
//! belongs to the records and changes only with them; rows of replicas, with their age by the store's
//! own clock; and counts. All kinds pass one contract test (`tests/keys/store.rs`). A kind is one file
//! and one line in [`SCHEMES`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;

use super::{
    entry::Record,
    mark::Mark,
    memory::MemoryStore,
    named::{NamedError, Passphrase},
    postgres::{PostgresAddress, PostgresStore},
    ring::Ring,
    sqlite::{self, SqliteStore},
};

/// A place for one key log and what goes with it.
pub trait Store: Send {
    /// All records from `epoch` on, in order.
    fn load(&mut self, epoch: u64) -> Result<Vec<Record>, StoreError>;

    /// Adds all of `records`, of which there is at least one and whose epochs follow each other, if
    /// the first of them is exactly the next epoch, and changes the material in the same stroke. When
    /// this says [`Appended::Done`] all of it survives a crash of the machine; else nothing happened.
    fn append(&mut self, records: &[Record], change: &Change) -> Result<Appended, StoreError>;

    /// All material by name: wrapped keys, of which the log holds the digests.
    ///
    /// ```text
    /// ring/RING/VERSION        a ring key under the root key
    /// root/GENERATION/SLOT     the root key under a provider's key
    /// handover/GENERATION      the root key under the one before, until every replica has it
    /// ```
    fn material(&mut self) -> Result<BTreeMap<String, Vec<u8>>, StoreError>;

    /// Puts a replica's row in the place of the one it had, and notes the time.
    fn beat(&mut self, row: &Row) -> Result<(), StoreError>;

    /// The rows of all replicas, by id.
    fn replicas(&mut self) -> Result<Vec<Seen>, StoreError>;

    /// Removes a replica's row, if there is one.
    fn forget(&mut self, id: &str) -> Result<(), StoreError>;

    /// Adds `n` to the count of a key version; gives the sum. Durable before this returns.
    fn lease(&mut self, ring: Ring, version: u32, n: u64) -> Result<u64, StoreError>;

    /// The counts of all versions that have one.
    fn leased(&mut self) -> Result<BTreeMap<(Ring, u32), u64>, StoreError>;
}

/// How the material changes with an [`Store::append`].
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Put in, or in the place of what has the name.
    pub puts: BTreeMap<String, Vec<u8>>,
    /// Erased. What is not there is no error.
    pub deletes: BTreeSet<String>,
}

impl Change {
    /// The material after the change.
    pub fn apply(&self, material: &mut BTreeMap<String, Vec<u8>>) {
        material.retain(|name, _| !self.deletes.contains(name));
        material.extend(self.puts.clone());
    }
}

/// What a replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which replica; new with each process.
    pub id: String,
    /// The JSON text ([`super::replica`]).
    pub body: Vec<u8>,
    /// The authenticator of the body.
    pub mac: [u8; 32],
}

/// A replica's row, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The row.
    pub row: Row,
    /// How long ago it came, by the store's clock.
    pub age: Duration,
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
    Password(#[source] NamedError),
    /// A table of this version is missing and cannot be made.
    #[error(
        "{place} has no table {table} yet, and this user may not make it; grant CREATE on the schema \
         once, or create the tables of docs/keys.md"
    )]
    Tables {
        /// Which database.
        place: String,
        /// Which table.
        table: &'static str,
        /// What the server says.
        #[source]
        source: tokio_postgres::Error,
    },
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
        let password = password.read().map_err(StoreError::Password)?;
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
