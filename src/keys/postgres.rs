//! The key log in a PostgreSQL database: the store that several replicas share.
//!
//! Appending takes a lock on the table, compares the last epoch and commits with
//! `synchronous_commit` on, so of two writers one gets a conflict, and what was appended survives a
//! crash of the server. A commit whose answer was lost is looked up under the same lock, not guessed.
//!
//! # Why
//! The trait is synchronous, because whoever uses a store is on a thread that may wait. So a store
//! has a small runtime of its own, which runs while it is waited for. (2026-11)

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, NoTls, Row, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    entry::Record,
    store::{Appended, Store, StoreError},
};

/// How long a server may take to accept a connection, or to answer one statement.
const PATIENCE: Duration = Duration::from_secs(5);

/// `octet_length` rather than a fixed type: PostgreSQL has no arrays of bytes of one length.
const SCHEMA: &str = "
CREATE TABLE labseal_key_log (
    epoch bigint PRIMARY KEY CHECK (epoch >= 0),
    body  bytea NOT NULL,
    mac   bytea NOT NULL CHECK (octet_length(mac) = 32)
)";

/// Which database, how to reach it, and what this replica has seen of it.
#[derive(Clone)]
pub struct PostgresAddress {
    /// Host, database, user and password.
    pub config: Config,
    /// TLS; `None` for a server on this machine.
    pub tls: Option<Arc<ClientConfig>>,
    /// Where this replica keeps its high-water mark.
    pub seen: PathBuf,
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use tokio_postgres::config::Host;
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => "(no host)".to_owned(),
        };
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("(default)");
        write!(f, "postgres://{host}/{database}")
    }
}

/// A key log in a database.
pub struct PostgresStore {
    address: PostgresAddress,
    /// Taken out when the store is dropped.
    runtime: Option<Runtime>,
    /// Made anew after it broke.
    client: Option<Client>,
}

impl PostgresStore {
    /// Makes the table. Refuses one that exists.
    pub fn create(address: &PostgresAddress) -> Result<Self, StoreError> {
        let mut store = Self::new(address)?;
        store.ask(async |client| client.batch_execute(SCHEMA).await).map_err(
            |error| match error.code() {
                Some(code) if *code == SqlState::DUPLICATE_TABLE => {
                    StoreError::ExistsIn { place: address.to_string() }
                }
                _ => store.failed(error),
            },
        )?;
        Ok(store)
    }

    /// Opens a table that `create` made.
    pub fn open(address: &PostgresAddress) -> Result<Self, StoreError> {
        let mut store = Self::new(address)?;
        let found = store.ask(async |client| {
            client.query_one("SELECT to_regclass('labseal_key_log') IS NOT NULL", &[]).await
        });
        let found = found.and_then(|row| row.try_get::<_, bool>(0));
        match found.map_err(|error| store.failed(error))? {
            true => Ok(store),
            false => Err(StoreError::MissingIn { place: address.to_string() }),
        }
    }

    /// Drops the table, if nothing was written to it.
    pub(super) fn discard(address: &PostgresAddress) {
        const UNLESS_USED: &str = "DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM labseal_key_log) THEN DROP TABLE labseal_key_log; END IF;
        END $$";
        // What cannot be removed is an empty table, and `init` will say that it is there.
        if let Ok(mut store) = Self::new(address) {
            let _ = store.ask(async |client| client.batch_execute(UNLESS_USED).await);
        }
    }

    fn new(address: &PostgresAddress) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|source| StoreError::Runtime { place: address.to_string(), source })?;
        Ok(Self { address: address.clone(), runtime: Some(runtime), client: None })
    }

    fn failed(&self, source: tokio_postgres::Error) -> StoreError {
        StoreError::Server { place: self.address.to_string(), source }
    }

    /// Carries out `work` on a connection, which is made if there is none that works.
    fn ask<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, tokio_postgres::Error> {
        let Self { address, runtime, client } = self;
        // Invariant: it is there until the store is dropped.
        let Some(runtime) = runtime else { unreachable!("asked after it was dropped") };
        runtime.block_on(async {
            let open = match client.take() {
                Some(client) if !client.is_closed() => client,
                Some(_) | None => connect(address).await?,
            };
            let connected = client.insert(open);
            let done = work(connected).await;
            if done.as_ref().is_err_and(|error| error.as_db_error().is_none()) {
                // The connection broke, so the next caller makes another.
                *client = None;
            }
            done
        })
    }
}

impl Drop for PostgresStore {
    /// Whoever drops the last handle may be a task, which must not wait for a runtime to end.
    fn drop(&mut self) {
        self.client = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn connect(address: &PostgresAddress) -> Result<Client, tokio_postgres::Error> {
    let mut config = address.config.clone();
    config.connect_timeout(PATIENCE).tcp_user_timeout(PATIENCE).application_name("labseal keys");
    let client = match &address.tls {
        Some(tls) => {
            let (client, connection) =
                config.connect(MakeRustlsConnect::new(ClientConfig::clone(tls))).await?;
            tokio::spawn(connection);
            client
        }
        None => {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            client
        }
    };
    // A database may have been told that losing the last commits is acceptable. Not these.
    let settings = format!(
        "SET synchronous_commit = on; SET statement_timeout = {0}; SET lock_timeout = {0}",
        PATIENCE.as_millis()
    );
    client.batch_execute(&settings).await?;
    Ok(client)
}

/// Adds records behind the last one, or finds that they are not the next.
async fn insert(
    client: &mut Client,
    records: &[Record],
) -> Result<Appended, tokio_postgres::Error> {
    let Some(first) = records.first() else { return Ok(Appended::Done) };
    let transaction = client.transaction().await?;
    transaction.batch_execute("LOCK TABLE labseal_key_log IN EXCLUSIVE MODE").await?;
    let last = transaction.query_one("SELECT max(epoch) FROM labseal_key_log", &[]).await?;
    let last: Option<i64> = last.try_get(0)?;
    if last.map_or(0, |last| last + 1) != first.epoch as i64 {
        return Ok(Appended::Conflict);
    }
    for record in records {
        transaction
            .execute(
                "INSERT INTO labseal_key_log (epoch, body, mac) VALUES ($1, $2, $3)",
                &[&(record.epoch as i64), &record.body, &&record.mac[..]],
            )
            .await?;
    }
    transaction.commit().await?;
    Ok(Appended::Done)
}

/// After a commit that was not answered: whether it happened. Waits for whoever still holds the lock.
async fn happened(client: &mut Client, record: &Record) -> Result<bool, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("LOCK TABLE labseal_key_log IN EXCLUSIVE MODE").await?;
    let found = transaction
        .query_opt(
            "SELECT FROM labseal_key_log WHERE epoch = $1 AND body = $2 AND mac = $3",
            &[&(record.epoch as i64), &record.body, &&record.mac[..]],
        )
        .await?;
    Ok(found.is_some())
}

fn record(row: &Row) -> Result<Record, tokio_postgres::Error> {
    let mac: Vec<u8> = row.try_get(2)?;
    // Invariant: the table holds authenticators of 32 bytes. Another one fits no body.
    let mac = mac.try_into().unwrap_or([0; 32]);
    Ok(Record { epoch: row.try_get::<_, i64>(0)? as u64, body: row.try_get(1)?, mac })
}

impl Store for PostgresStore {
    fn load(&mut self, epoch: u64) -> Result<Vec<Record>, StoreError> {
        let loaded = self.ask(async |client| {
            let rows = client
                .query(
                    "SELECT epoch, body, mac FROM labseal_key_log WHERE epoch >= $1 ORDER BY epoch",
                    &[&(epoch as i64)],
                )
                .await?;
            rows.iter().map(record).collect()
        });
        loaded.map_err(|error| self.failed(error))
    }

    fn append(&mut self, records: &[Record]) -> Result<Appended, StoreError> {
        match self.ask(async |client| insert(client, records).await) {
            Err(lost) if lost.as_db_error().is_none() => {
                let Some(last) = records.last() else { return Err(self.failed(lost)) };
                match self.ask(async |client| happened(client, last).await) {
                    Ok(true) => Ok(Appended::Done),
                    Ok(false) | Err(_) => Err(self.failed(lost)),
                }
            }
            appended => appended.map_err(|error| self.failed(error)),
        }
    }
}
