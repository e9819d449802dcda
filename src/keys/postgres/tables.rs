//! The tables of a key store in a database, and every statement on them.

use std::{collections::BTreeMap, time::Duration};

use tokio_postgres::{Client, Error, Row as Found};

use crate::keys::{
    entry::Record,
    ring::Ring,
    store::{Appended, Change, Row, Seen},
};

/// The table without which there is no store.
pub(super) const LOG: &str = "labseal_key_log";

/// The others, which stores of the first version did not have.
const BESIDE: [&str; 3] = ["labseal_key_material", "labseal_key_usage", "labseal_replicas"];

/// `octet_length` rather than a fixed type: PostgreSQL has no arrays of bytes of one length.
const SCHEMA: &str = "
CREATE TABLE labseal_key_log (
    epoch bigint PRIMARY KEY CHECK (epoch >= 0),
    body  bytea NOT NULL,
    mac   bytea NOT NULL CHECK (octet_length(mac) = 32)
)";

const SCHEMA_BESIDE: &str = "
CREATE TABLE IF NOT EXISTS labseal_key_material (name text PRIMARY KEY, bytes bytea NOT NULL);
CREATE TABLE IF NOT EXISTS labseal_replicas (
    id   text PRIMARY KEY,
    body bytea NOT NULL,
    mac  bytea NOT NULL CHECK (octet_length(mac) = 32),
    seen timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS labseal_key_usage (
    ring    text NOT NULL,
    version bigint NOT NULL,
    leased  bigint NOT NULL,
    PRIMARY KEY (ring, version)
)";

/// Makes all tables, or none.
pub(super) async fn create(client: &mut Client) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(SCHEMA).await?;
    transaction.batch_execute(SCHEMA_BESIDE).await?;
    transaction.commit().await
}

/// Makes what is missing beside the log. Two at once wait for each other.
pub(super) async fn complete(client: &mut Client) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("LOCK TABLE labseal_key_log IN EXCLUSIVE MODE").await?;
    transaction.batch_execute(SCHEMA_BESIDE).await?;
    transaction.commit().await
}

/// The tables that are not there.
pub(super) async fn missing(client: &mut Client) -> Result<Vec<&'static str>, Error> {
    let mut missing = Vec::new();
    for table in [LOG].into_iter().chain(BESIDE) {
        let found = client.query_one("SELECT to_regclass($1) IS NULL", &[&table]).await?;
        if found.try_get(0)? {
            missing.push(table);
        }
    }
    Ok(missing)
}

pub(super) async fn load(client: &mut Client, epoch: u64) -> Result<Vec<Record>, Error> {
    let rows = client
        .query(
            "SELECT epoch, body, mac FROM labseal_key_log WHERE epoch >= $1 ORDER BY epoch",
            &[&(epoch as i64)],
        )
        .await?;
    let record = |row: &Found| {
        let (epoch, body) = (row.try_get::<_, i64>(0)? as u64, row.try_get(1)?);
        Ok(Record { epoch, body, mac: mac(row.try_get(2)?) })
    };
    rows.iter().map(record).collect()
}

/// Adds records behind the last one and changes the material, or finds that they are not the next.
pub(super) async fn insert(
    client: &mut Client,
    records: &[Record],
    change: &Change,
) -> Result<Appended, Error> {
    let Some(first) = records.first() else { return Ok(Appended::Conflict) };
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
    for name in &change.deletes {
        let sql = "DELETE FROM labseal_key_material WHERE name = $1";
        transaction.execute(sql, &[name]).await?;
    }
    for (name, bytes) in &change.puts {
        let sql = "INSERT INTO labseal_key_material (name, bytes) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes";
        transaction.execute(sql, &[name, bytes]).await?;
    }
    transaction.commit().await?;
    Ok(Appended::Done)
}

/// After a commit that was not answered: whether it happened. Waits for whoever still holds the lock.
pub(super) async fn happened(client: &mut Client, record: &Record) -> Result<bool, Error> {
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

pub(super) async fn material(client: &mut Client) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let rows = client.query("SELECT name, bytes FROM labseal_key_material", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

pub(super) async fn beat(client: &mut Client, row: &Row) -> Result<(), Error> {
    let sql = "INSERT INTO labseal_replicas (id, body, mac, seen)
               VALUES ($1, $2, $3, clock_timestamp())
               ON CONFLICT (id) DO UPDATE
               SET body = excluded.body, mac = excluded.mac, seen = clock_timestamp()";
    client.execute(sql, &[&row.id, &row.body, &&row.mac[..]]).await.map(drop)
}

pub(super) async fn replicas(client: &mut Client) -> Result<Vec<Seen>, Error> {
    let sql = "SELECT id, body, mac,
                      extract(epoch FROM clock_timestamp() - seen)::double precision
               FROM labseal_replicas ORDER BY id";
    let rows = client.query(sql, &[]).await?;
    let seen = |row: &Found| {
        let age = Duration::from_secs_f64(row.try_get::<_, f64>(3)?.clamp(0.0, 1e9));
        let (id, body) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Seen { row: Row { id, body, mac: mac(row.try_get(2)?) }, age })
    };
    rows.iter().map(seen).collect()
}

pub(super) async fn forget(client: &mut Client, id: &str) -> Result<(), Error> {
    client.execute("DELETE FROM labseal_replicas WHERE id = $1", &[&id]).await.map(drop)
}

pub(super) async fn lease(
    client: &mut Client,
    ring: Ring,
    version: u32,
    n: u64,
) -> Result<u64, Error> {
    let sql = "INSERT INTO labseal_key_usage AS usage (ring, version, leased) VALUES ($1, $2, $3)
               ON CONFLICT (ring, version) DO UPDATE SET leased = usage.leased + excluded.leased
               RETURNING leased";
    let row = client.query_one(sql, &[&ring.as_str(), &i64::from(version), &(n as i64)]).await?;
    Ok(row.try_get::<_, i64>(0)? as u64)
}

pub(super) async fn leased(client: &mut Client) -> Result<BTreeMap<(Ring, u32), u64>, Error> {
    let rows = client.query("SELECT ring, version, leased FROM labseal_key_usage", &[]).await?;
    let mut sums = BTreeMap::new();
    for row in &rows {
        let (ring, version): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        if let (Some(ring), Ok(version)) = (Ring::parse(&ring), u32::try_from(version)) {
            sums.insert((ring, version), row.try_get::<_, i64>(2)? as u64);
        }
    }
    Ok(sums)
}

/// Invariant: the tables hold authenticators of 32 bytes. Another one fits no body.
fn mac(bytes: Vec<u8>) -> [u8; 32] {
    bytes.try_into().unwrap_or([0; 32])
}
