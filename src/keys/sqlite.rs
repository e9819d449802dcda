//! The key log in an SQLite file: the embedded store, for one machine.
//!
//! WAL with `synchronous=FULL`: every commit is fsynced before it returns. The epoch is the primary
//! key, and appending happens in an IMMEDIATE transaction, so of two writers one gets a conflict.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

use super::{
    entry::Record,
    private,
    ring::Ring,
    store::{Appended, Change, Row, Seen, Store, StoreError},
};

/// `application_id` of the file, "LSk1": tells a key store from any other database.
const APPLICATION: i32 = 0x4c53_6b31;

/// How long a writer waits for another one. A writer holds the lock for one small commit.
const BUSY: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
CREATE TABLE key_log (
    epoch INTEGER PRIMARY KEY CHECK (epoch >= 0),
    body  BLOB NOT NULL,
    mac   BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT";

/// What stores of the first version did not have.
const BESIDE: &str = "
CREATE TABLE IF NOT EXISTS key_material (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS replicas (
    id   TEXT PRIMARY KEY,
    body BLOB NOT NULL,
    mac  BLOB NOT NULL CHECK (length(mac) = 32),
    seen REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS key_usage (
    ring    TEXT NOT NULL,
    version INTEGER NOT NULL,
    leased  INTEGER NOT NULL,
    PRIMARY KEY (ring, version)
) STRICT";

/// Seconds since 1970 by the machine's clock, which is the clock of a file.
const NOW: &str = "unixepoch('subsec')";

/// A key log in a file.
pub struct SqliteStore {
    path: PathBuf,
    connection: Connection,
}

impl SqliteStore {
    /// Makes the file, mode 0600, with an empty log.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        // SQLite would create it with the umask; its -wal and -shm files take after it.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = made.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Exists { path: path.to_owned() },
            _ => StoreError::File { path: path.to_owned(), source },
        })?;
        drop(file);
        let mut store = Self::connect(path)?;
        store.prepare().map_err(|source| store.failed(source))?;
        private::sync_folder(path)
            .map_err(|source| StoreError::File { path: path.to_owned(), source })?;
        Ok(store)
    }

    /// Opens a file that `create` made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { path: path.to_owned() },
            _ => StoreError::File { path: path.to_owned(), source },
        })?;
        private::judge(path, &file)?;
        drop(file);
        let store = Self::connect(path)?;
        let application: i32 = store
            .connection
            .query_row("PRAGMA application_id", [], |row| row.get(0))
            .map_err(|source| store.failed(source))?;
        if application != APPLICATION {
            return Err(StoreError::Foreign { path: path.to_owned() });
        }
        store.complete().map_err(|source| store.failed(source))?;
        Ok(store)
    }

    fn connect(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| failed(path, source);
        // No CREATE: a store that has gone must be missed, not made anew.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        connection.pragma_update(None, "secure_delete", "ON").map_err(failed)?;
        connection.pragma_update(None, "trusted_schema", "OFF").map_err(failed)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    fn prepare(&mut self) -> rusqlite::Result<()> {
        // The journal mode is a property of the file; it cannot be set inside a transaction.
        self.connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))
            .map(drop)?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.execute_batch(BESIDE)?;
        transaction.commit()
    }

    /// Adds the tables that the store of an earlier version lacks.
    fn complete(&self) -> rusqlite::Result<()> {
        let found: i64 = self.connection.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('key_material', 'replicas', 'key_usage')",
            [],
            |row| row.get(0),
        )?;
        if found == 3 { Ok(()) } else { self.connection.execute_batch(BESIDE) }
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        failed(&self.path, source)
    }

    fn insert(&mut self, records: &[Record], change: &Change) -> rusqlite::Result<Appended> {
        let Some(first) = records.first() else { return Ok(Appended::Conflict) };
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last: Option<i64> = transaction
            .query_row("SELECT max(epoch) FROM key_log", [], |row| row.get(0))
            .optional()?
            .flatten();
        if last.map_or(0, |last| last + 1) != first.epoch as i64 {
            return Ok(Appended::Conflict);
        }
        for record in records {
            transaction.execute(
                "INSERT INTO key_log (epoch, body, mac) VALUES (?1, ?2, ?3)",
                params![record.epoch as i64, record.body, record.mac],
            )?;
        }
        for name in &change.deletes {
            transaction.execute("DELETE FROM key_material WHERE name = ?1", [name])?;
        }
        for (name, bytes) in &change.puts {
            transaction.execute(
                "INSERT INTO key_material (name, bytes) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes",
                params![name, bytes],
            )?;
        }
        transaction.commit()?;
        if !change.deletes.is_empty() || !change.puts.is_empty() {
            // What was overwritten is still in the write-ahead log. Where a reader keeps it from being
            // emptied now, SQLite does it later.
            let emptied = "PRAGMA wal_checkpoint(TRUNCATE)";
            let _ = self.connection.query_row(emptied, [], |row| row.get::<_, i64>(0));
        }
        Ok(Appended::Done)
    }

    fn rows<K: Ord, V>(
        &self,
        sql: &str,
        read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<(K, V)>,
    ) -> Result<BTreeMap<K, V>, StoreError> {
        let rows = self.connection.prepare_cached(sql).and_then(|mut statement| {
            let rows = statement.query_map([], |row| read(row))?;
            rows.collect()
        });
        rows.map_err(|source| self.failed(source))
    }

    fn select(&self, epoch: u64) -> rusqlite::Result<Vec<Record>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT epoch, body, mac FROM key_log WHERE epoch >= ?1 ORDER BY epoch",
        )?;
        let rows = statement.query_map([epoch as i64], |row| {
            Ok(Record { epoch: row.get::<_, i64>(0)? as u64, body: row.get(1)?, mac: row.get(2)? })
        })?;
        rows.collect()
    }
}

fn failed(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::Foreign { path },
        _ => StoreError::Database { path, source },
    }
}

/// Removes the file and its companions.
pub(super) fn discard(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        // What cannot be removed is an empty store, and `init` will say that it is there.
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
}

impl Store for SqliteStore {
    fn load(&mut self, epoch: u64) -> Result<Vec<Record>, StoreError> {
        self.select(epoch).map_err(|source| self.failed(source))
    }

    fn append(&mut self, records: &[Record], change: &Change) -> Result<Appended, StoreError> {
        self.insert(records, change).map_err(|source| self.failed(source))
    }

    fn material(&mut self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        self.rows("SELECT name, bytes FROM key_material", |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn beat(&mut self, row: &Row) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO replicas (id, body, mac, seen) VALUES (?1, ?2, ?3, {NOW})
             ON CONFLICT (id) DO UPDATE SET body = excluded.body, mac = excluded.mac, seen = {NOW}"
        );
        let done = self.connection.execute(&sql, params![row.id, row.body, row.mac]);
        done.map(drop).map_err(|source| self.failed(source))
    }

    fn replicas(&mut self) -> Result<Vec<Seen>, StoreError> {
        let rows =
            self.rows(&format!("SELECT id, body, mac, {NOW} - seen FROM replicas"), |row| {
                let id: String = row.get(0)?;
                let age = Duration::from_secs_f64(row.get::<_, f64>(3)?.clamp(0.0, 1e9));
                let row = Row { id: id.clone(), body: row.get(1)?, mac: row.get(2)? };
                Ok((id, Seen { row, age }))
            })?;
        Ok(rows.into_values().collect())
    }

    fn forget(&mut self, id: &str) -> Result<(), StoreError> {
        let done = self.connection.execute("DELETE FROM replicas WHERE id = ?1", [id]);
        done.map(drop).map_err(|source| self.failed(source))
    }

    fn lease(&mut self, ring: Ring, version: u32, n: u64) -> Result<u64, StoreError> {
        let sum = self.connection.query_row(
            "INSERT INTO key_usage (ring, version, leased) VALUES (?1, ?2, ?3)
             ON CONFLICT (ring, version) DO UPDATE SET leased = leased + excluded.leased
             RETURNING leased",
            params![ring.as_str(), version, n as i64],
            |row| row.get::<_, i64>(0),
        );
        sum.map(|sum| sum as u64).map_err(|source| self.failed(source))
    }

    fn leased(&mut self) -> Result<BTreeMap<(Ring, u32), u64>, StoreError> {
        let rows = self.rows("SELECT ring, version, leased FROM key_usage", |row| {
            let (ring, version): (String, u32) = (row.get(0)?, row.get(1)?);
            Ok(((ring, version), row.get::<_, i64>(2)? as u64))
        })?;
        let known = rows.into_iter();
        Ok(known.filter_map(|((ring, v), sum)| Some(((Ring::parse(&ring)?, v), sum))).collect())
    }
}
