//! The key log in a PostgreSQL database: the store that several replicas share.
//!
//! Appending takes a lock on the table, compares the last epoch and commits with
//! `synchronous_commit` on, so of two writers one gets a conflict, and what was appended survives a
//! crash of the server. A commit whose answer was lost is looked up under the same lock, not guessed.
//!
//! # Why
//! The trait is synchronous, because whoever uses a store is on a thread that may wait. So a store
//! has a small runtime of its own, which runs while it is waited for. (2026-11)

mod tables;

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, NoTls, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    entry::Record,
    ring::Ring,
    store::{Appended, Change, Row, Seen, Store, StoreError},
};

/// How long a server may take to accept a connection, or to answer one statement.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// Makes the tables. Refuses those that exist.
    pub fn create(address: &PostgresAddress) -> Result<Self, StoreError> {
        let mut store = Self::new(address)?;
        store.ask(async |client| tables::create(client).await).map_err(|error| {
            match error.code() {
                Some(code) if *code == SqlState::DUPLICATE_TABLE => {
                    StoreError::ExistsIn { place: address.to_string() }
                }
                _ => store.failed(error),
            }
        })?;
        Ok(store)
    }

    /// Opens the tables that `create` made.
    pub fn open(address: &PostgresAddress) -> Result<Self, StoreError> {
        let mut store = Self::new(address)?;
        let found = store.ask(async |client| tables::missing(client).await);
        let missing = found.map_err(|error| store.failed(error))?;
        if missing.contains(&tables::LOG) {
            return Err(StoreError::MissingIn { place: address.to_string() });
        }
        if let Some(table) = missing.first() {
            let made = store.ask(async |client| tables::complete(client).await);
            made.map_err(|source| StoreError::Tables {
                place: address.to_string(),
                table,
                source,
            })?;
        }
        Ok(store)
    }

    /// Drops the tables, if nothing was written to it.
    pub(super) fn discard(address: &PostgresAddress) {
        const UNLESS_USED: &str = "DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM labseal_key_log) THEN
                DROP TABLE labseal_key_log, labseal_key_material, labseal_replicas, labseal_key_usage;
            END IF;
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

impl Store for PostgresStore {
    fn load(&mut self, epoch: u64) -> Result<Vec<Record>, StoreError> {
        let loaded = self.ask(async |client| tables::load(client, epoch).await);
        loaded.map_err(|error| self.failed(error))
    }

    fn append(&mut self, records: &[Record], change: &Change) -> Result<Appended, StoreError> {
        match self.ask(async |client| tables::insert(client, records, change).await) {
            Err(lost) if lost.as_db_error().is_none() => {
                let Some(last) = records.last() else { return Err(self.failed(lost)) };
                match self.ask(async |client| tables::happened(client, last).await) {
                    Ok(true) => Ok(Appended::Done),
                    Ok(false) | Err(_) => Err(self.failed(lost)),
                }
            }
            appended => appended.map_err(|error| self.failed(error)),
        }
    }

    fn material(&mut self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let material = self.ask(async |client| tables::material(client).await);
        material.map_err(|error| self.failed(error))
    }

    fn beat(&mut self, row: &Row) -> Result<(), StoreError> {
        self.ask(async |client| tables::beat(client, row).await).map_err(|error| self.failed(error))
    }

    fn replicas(&mut self) -> Result<Vec<Seen>, StoreError> {
        self.ask(async |client| tables::replicas(client).await).map_err(|error| self.failed(error))
    }

    fn forget(&mut self, id: &str) -> Result<(), StoreError> {
        self.ask(async |client| tables::forget(client, id).await)
            .map_err(|error| self.failed(error))
    }

    fn lease(&mut self, ring: Ring, version: u32, n: u64) -> Result<u64, StoreError> {
        let sum = self.ask(async |client| tables::lease(client, ring, version, n).await);
        sum.map_err(|error| self.failed(error))
    }

    fn leased(&mut self) -> Result<BTreeMap<(Ring, u32), u64>, StoreError> {
        self.ask(async |client| tables::leased(client).await).map_err(|error| self.failed(error))
    }
}
