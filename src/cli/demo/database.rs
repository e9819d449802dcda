//! The demo's database: SQLite, and the four things its API does with it.
//!
//! Text is compared byte by byte (SQLite's BINARY collation), as PostgreSQL does under COLLATE "C".

use std::{collections::BTreeMap, path::Path};

use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Transaction, params_from_iter, types::FromSql,
};
use serde_json::value::RawValue;

use super::{
    fault::Fault,
    query::Query,
    schema::{Column, Kind, Rule, TABLES, Table},
    statement::Statement,
    tree::Value,
};

/// A record of a request body: each member as it was spelled.
type Record = BTreeMap<String, Box<RawValue>>;
type Cells = Vec<(&'static Column, Value)>;

/// An open database.
pub struct Database {
    connection: Connection,
}

impl Database {
    /// Creates the tables in a new file.
    pub fn create(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // Nobody needs the demo's data after a power cut.
        connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON;")?;
        for table in TABLES {
            connection.execute_batch(&table.create())?;
        }
        Ok(Self { connection })
    }

    /// Reads rows, each as a JSON object.
    pub fn read(&self, table: &'static Table, query: &Query) -> Result<Vec<String>, Fault> {
        rows(&self.connection, &Statement::read(table, query))
    }

    /// Adds the records of a body, all or none.
    pub fn create_rows(
        &mut self,
        table: &'static Table,
        query: &Query,
        body: &[u8],
    ) -> Result<Vec<String>, Fault> {
        let records = records(body)?;
        self.change(table, query, |transaction| {
            let mut ids = Vec::with_capacity(records.len());
            for record in &records {
                let cells = cells(table, record)?;
                run(transaction, table, &Statement::insert(table, &cells), &cells)?;
                ids.push(transaction.last_insert_rowid());
            }
            Ok(ids)
        })
    }

    /// Changes the rows that the query matches, all or none.
    pub fn update_rows(
        &mut self,
        table: &'static Table,
        query: &Query,
        body: &[u8],
    ) -> Result<Vec<String>, Fault> {
        let mut records = records(body)?;
        let (Some(record), true) = (records.pop(), records.is_empty()) else {
            return Err(Fault::body());
        };
        let cells = cells(table, &record)?;
        self.change(table, query, |transaction| {
            let ids = rows(transaction, &Statement::ids(table, &query.conditions))?;
            for id in ids.iter().filter(|_| !cells.is_empty()) {
                run(transaction, table, &Statement::update(table, &cells, *id), &cells)?;
            }
            Ok(ids)
        })
    }

    /// Removes the rows that the query matches, all or none, and gives what they were.
    pub fn delete_rows(
        &mut self,
        table: &'static Table,
        query: &Query,
    ) -> Result<Vec<String>, Fault> {
        let transaction = self.connection.transaction()?;
        let found = rows(&transaction, &Statement::read(table, query))?;
        for id in rows(&transaction, &Statement::ids(table, &query.conditions))? {
            run(&transaction, table, &Statement::delete(table, id), &[])?;
        }
        transaction.commit()?;
        Ok(found)
    }

    fn change(
        &mut self,
        table: &'static Table,
        query: &Query,
        work: impl FnOnce(&Transaction<'_>) -> Result<Vec<i64>, Fault>,
    ) -> Result<Vec<String>, Fault> {
        let transaction = self.connection.transaction()?;
        let ids = work(&transaction)?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(rows(&transaction, &Statement::row(table, &query.items, id))?);
        }
        transaction.commit()?;
        Ok(found)
    }
}

/// The first column of every row: a record as text, or an id.
fn rows<T: FromSql>(connection: &Connection, statement: &Statement) -> Result<Vec<T>, Fault> {
    let mut prepared = connection.prepare_cached(&statement.text)?;
    let found = prepared.query_map(params_from_iter(&statement.parameters), |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Runs a change, and words what the database has against it as PostgreSQL would.
fn run(
    connection: &Connection,
    table: &'static Table,
    statement: &Statement,
    cells: &[(&'static Column, Value)],
) -> Result<(), Fault> {
    let error = match connection.execute(&statement.text, params_from_iter(&statement.parameters)) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
        return Err(error.into());
    }
    // SQLite says `UNIQUE constraint failed: patients.mrn`, and nothing more about foreign keys.
    let text = error.to_string();
    let Some((constraint, place)) = text.split_once(" constraint failed: ") else {
        return Err(orphan(connection, table, cells)?);
    };
    let name = place.rsplit('.').next().unwrap_or_default();
    let column = table.column(name).ok_or(error)?;
    match constraint {
        "NOT NULL" => Err(Fault::null(table.name, column.name)),
        _ => Err(Fault::unique(table.name, column.name, &shown(cells, column))),
    }
}

/// Which foreign key it was.
fn orphan(
    connection: &Connection,
    table: &'static Table,
    cells: &[(&'static Column, Value)],
) -> Result<Fault, Fault> {
    for (column, value) in cells {
        if let Rule::References(other) = column.rule {
            let text = format!("SELECT 1 FROM {other} WHERE id = ?");
            let found: Option<i64> =
                connection.query_row(&text, [value], |row| row.get(0)).optional()?;
            if found.is_none() {
                return Ok(Fault::missing(table.name, column.name, &shown(cells, column), other));
            }
        }
    }
    Ok(Fault::referenced(table.name))
}

fn shown(cells: &[(&'static Column, Value)], column: &Column) -> String {
    match cells.iter().find(|(cell, _)| *cell == column) {
        Some((_, Value::Integer(number))) => number.to_string(),
        Some((_, Value::Text(text))) => text.clone(),
        Some((_, Value::Null)) | None => "null".to_owned(),
    }
}

fn records(body: &[u8]) -> Result<Vec<Record>, Fault> {
    let parsed = match body.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice(body),
        _ => serde_json::from_slice(body).map(|record| vec![record]),
    };
    parsed.map_err(|_| Fault::body())
}

/// The columns of a record, each value as its column would take it from JSON: into text goes the
/// string, or the spelling of anything else.
fn cells(table: &'static Table, record: &Record) -> Result<Cells, Fault> {
    let mut cells = Vec::with_capacity(record.len());
    for (name, raw) in record {
        let column = table.column(name).ok_or_else(|| Fault::column(table.name, name))?;
        let value = match raw.get() {
            "null" => Value::Null,
            text if text.starts_with('"') => {
                let text: String = serde_json::from_str(text).map_err(|_| Fault::body())?;
                Value::parse(column, &text)?
            }
            text if column.kind == Kind::Text => Value::Text(text.to_owned()),
            text => Value::parse(column, text)?,
        };
        cells.push((column, value));
    }
    Ok(cells)
}
