//! What no description of an API says, asked of the database: indexes and collations.
//!
//! There is one query, in `catalogue.sql`, which judges and writes the statements that mend. It is
//! what `--sql` prints, so an administrator who runs it sees what `--database` would have found.
//!
//! # Why
//! A test of a searchable column is a range of text, which is right in every collation that sorts the
//! characters of tokens one by one, digits before letters. Which collations do is not in a list here:
//! the query sorts all pairs of characters, behind every beginning of a token, by the very collation
//! of the column. Numeric collations (`kn`) and those with letters of two characters (`ch`) fail it.
//! `query_to_xml` is PostgreSQL's one way to run a statement that names something found in another
//! without a function. (2026-11)

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::{
    base::{class::Mode, ident::ApiName},
    config::keys::is_near,
    keys::named::Named,
    policy::{Column, Policy},
};

use super::{
    DESCRIBED,
    finding::{Finding, Kind},
};

const QUERY: &str = include_str!("catalogue.sql");

/// How long, and over what.
pub struct Limits {
    pub connect: Duration,
    pub answer: Duration,
    /// Whether a network may be crossed without TLS.
    pub plaintext: bool,
}

/// The query for the columns of a policy.
pub fn query(policy: &Policy) -> String {
    let rows: Vec<_> = columns(policy).iter().map(|(_, column)| row(column)).collect();
    match rows.is_empty() {
        true => "-- The policy protects no column of a PostgREST API.\n".to_owned(),
        false => QUERY.replace("{VALUES}", &rows.join(",\n        ")),
    }
}

fn columns(policy: &Policy) -> Vec<(&ApiName, Column<'_>)> {
    let described = policy.apis().iter().filter(|api| api.dialect() == DESCRIBED);
    described.flat_map(|api| api.columns().into_iter().map(|one| (api.name(), one))).collect()
}

fn row(column: &Column<'_>) -> String {
    let (schema, table) = split(column);
    let name = column.name.as_str();
    let (tested, ranged) = match column.class.params.mode {
        Mode::Deterministic => (column.is_tested, false),
        Mode::Random => (false, false),
        // Ranges that nobody may ask for today are stored for those who may tomorrow.
        Mode::Searchable => (column.is_tested, true),
    };
    let [schema, table, name] = [schema, table, name].map(literal);
    format!("({schema}, {table}, {name}, {}, {tested}, {ranged})", column.is_unique)
}

fn split<'a>(column: &Column<'a>) -> (&'a str, &'a str) {
    column.entity.as_str().split_once('.').unwrap_or(("public", column.entity.as_str()))
}

/// A text as SQL writes it, whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    match doubled.contains('\\') {
        true => format!("E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    }
}

/// Asks the database.
pub async fn ask(place: &Named, limits: &Limits, policy: &Policy) -> anyhow::Result<Vec<Finding>> {
    let columns = columns(policy);
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    // The cause is left out: it may repeat a part of the URL.
    let parsed = place.lend(|url| url.parse::<tokio_postgres::Config>().ok())?;
    let mut config = parsed.context("--database does not name a postgres:// URL")?;
    if !limits.plaintext && !is_near(&config) {
        bail!(
            "the database is asked without TLS, and it is not on this machine; use a Unix socket, \
             a tunnel that ends on 127.0.0.1, or --sql and an administrator; or add \
             --danger-plaintext-database"
        );
    }
    config.connect_timeout(limits.connect).application_name("labseal check");
    let connecting = tokio::time::timeout(limits.connect, config.connect(NoTls)).await;
    let connected = connecting.context("the database did not answer in time")?;
    let (client, connection) = connected.context("the database cannot be reached")?;
    let driven = tokio::spawn(connection);
    let rows = tokio::time::timeout(limits.answer, run(&client, &query(policy))).await;
    driven.abort();
    let rows = rows.context("the database did not answer in time")??;
    rows.iter().map(|row| finding(row, &columns)).collect()
}

async fn run(client: &Client, query: &str) -> anyhow::Result<Vec<SimpleQueryRow>> {
    client.batch_execute("begin transaction read only").await?;
    let messages = client.simple_query(query).await.context("the catalogue cannot be read")?;
    client.batch_execute("commit").await?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

fn finding(row: &SimpleQueryRow, columns: &[(&ApiName, Column<'_>)]) -> anyhow::Result<Finding> {
    let cell = |at| row.try_get(at).ok().flatten().unwrap_or_default();
    let (word, schema, table, name, ddl) = (cell(0), cell(1), cell(2), cell(3), cell(4));
    let is_it =
        |column: &Column<'_>| split(column) == (schema, table) && column.name.as_str() == name;
    let (api, column) = columns
        .iter()
        .find(|(_, column)| is_it(column))
        .context("the database answered about a column that was not asked for")?;
    let (kind, message, hint) = said(word)?;
    let finding = Finding::of_column(api, column, kind, message.to_owned()).hint(hint);
    Ok(match ddl.is_empty() {
        true => finding,
        false => finding.mended_by(ddl.to_owned()),
    })
}

fn said(word: &str) -> anyhow::Result<(Kind, &'static str, &'static str)> {
    Ok(match word {
        "absent" => (
            Kind::Absent,
            "the database has no such column",
            "check that --database is the database of this API",
        ),
        "collation" => (
            Kind::Collation,
            "its collation does not sort tokens as labseal does, so tests would find too few rows",
            "indexes of the column are rebuilt; the table is locked meanwhile. Of a view, change \
             the table behind it",
        ),
        "inexact_collation" => (
            Kind::Inexact,
            "its collation takes different texts for equal, which sealed values must not be",
            "indexes of the column are rebuilt; the table is locked meanwhile. Of a view, change \
             the table behind it",
        ),
        "no_index" => (
            Kind::NoIndex,
            "no index serves its tests, so each reads the whole table",
            "not inside a transaction",
        ),
        "no_unique_index" => (
            Kind::NoUniqueIndex,
            "the policy says that it is unique, and the database does not see to it",
            "not inside a transaction; it fails if values are there twice. on_conflict needs it",
        ),
        "view" => (
            Kind::View,
            "it is a column of a view or foreign table, whose indexes cannot be told",
            "see that the table behind it has the index and the collation",
        ),
        _ => bail!("the database answered in a word that was not asked for"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_spelled_for_sql() {
        assert_eq!(literal("a"), "'a'");
        assert_eq!(literal("o'b"), "'o''b'");
        assert_eq!(literal("a\\'"), "E'a\\\\'''");
    }
}
