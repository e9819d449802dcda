//! From a parsed query to one statement with parameters.
//!
//! Only constants of the schema and words written here become text of a statement; everything from
//! a request, aliases included, is bound.

use rusqlite::types::{ToSqlOutput, Value as Bound, ValueRef};

use super::{
    query::{Item, Link, Query},
    schema::{Column, Table},
    tree::{Condition, Value},
};

/// A statement and what is bound to its question marks, in order.
#[derive(Debug, Default)]
pub struct Statement {
    /// The SQL.
    pub text: String,
    /// The parameters.
    pub parameters: Vec<Value>,
    depth: usize,
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Integer(number) => ToSqlOutput::Owned(Bound::Integer(*number)),
            Self::Null => ToSqlOutput::Owned(Bound::Null),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

impl Statement {
    /// One JSON object per row that the query asks for.
    pub fn read(table: &Table, query: &Query) -> Self {
        let mut statement = Self::default();
        statement.push("SELECT ");
        statement.object(&query.items, "t0");
        statement.push(&format!(" FROM {} t0", table.name));
        statement.filter(&query.conditions);
        statement.push(" ORDER BY ");
        for order in &query.order {
            statement.push(&format!("t0.{} {}, ", order.column.name, order.direction));
        }
        statement.push("t0.id LIMIT ? OFFSET ?");
        let limit = query.limit.map_or(-1, i64::from);
        statement.parameters.push(Value::Integer(limit));
        statement.parameters.push(Value::Integer(query.offset.into()));
        statement
    }

    /// The ids of the rows that the conditions match.
    pub fn ids(table: &Table, conditions: &[Condition]) -> Self {
        let mut statement = Self::default();
        statement.push(&format!("SELECT t0.id FROM {} t0", table.name));
        statement.filter(conditions);
        statement
    }

    /// One JSON object for the row with this id.
    pub fn row(table: &Table, items: &[Item], id: i64) -> Self {
        let mut statement = Self::default();
        statement.push("SELECT ");
        statement.object(items, "t0");
        statement.push(&format!(" FROM {} t0 WHERE t0.id = ?", table.name));
        statement.parameters.push(Value::Integer(id));
        statement
    }

    /// Adds a row.
    pub fn insert(table: &Table, cells: &[(&'static Column, Value)]) -> Self {
        let mut statement = Self::default();
        if cells.is_empty() {
            statement.push(&format!("INSERT INTO {} DEFAULT VALUES", table.name));
            return statement;
        }
        let names: Vec<&str> = cells.iter().map(|(column, _)| column.name).collect();
        let marks = vec!["?"; cells.len()].join(", ");
        let names = names.join(", ");
        statement.push(&format!("INSERT INTO {} ({names}) VALUES ({marks})", table.name));
        statement.parameters = cells.iter().map(|(_, value)| value.clone()).collect();
        statement
    }

    /// Changes a row. There must be at least one cell.
    pub fn update(table: &Table, cells: &[(&'static Column, Value)], id: i64) -> Self {
        let mut statement = Self::default();
        let sets: Vec<String> =
            cells.iter().map(|(column, _)| format!("{} = ?", column.name)).collect();
        statement.push(&format!("UPDATE {} SET {} WHERE id = ?", table.name, sets.join(", ")));
        statement.parameters = cells.iter().map(|(_, value)| value.clone()).collect();
        statement.parameters.push(Value::Integer(id));
        statement
    }

    /// Removes a row.
    pub fn delete(table: &Table, id: i64) -> Self {
        let text = format!("DELETE FROM {} WHERE id = ?", table.name);
        Self { text, parameters: vec![Value::Integer(id)], depth: 0 }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn bind(&mut self, value: Value) {
        self.push("?");
        self.parameters.push(value);
    }

    fn object(&mut self, items: &[Item], alias: &str) {
        self.push("json_object(");
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.push(", ");
            }
            match item {
                Item::Column { column, key } => {
                    self.bind(Value::Text(key.clone()));
                    self.push(&format!(", {alias}.{}", column.name));
                }
                Item::Embed { key, table, link, items } => {
                    self.bind(Value::Text(key.clone()));
                    self.push(", ");
                    self.embed(table, link, items, alias);
                }
            }
        }
        self.push(")");
    }

    fn embed(&mut self, table: &Table, link: &Link, items: &[Item], outer: &str) {
        self.depth += 1;
        let inner = format!("t{}", self.depth);
        match link {
            Link::Many(column) => {
                self.push("json((SELECT json_group_array(json(j)) FROM (SELECT ");
                self.object(items, &inner);
                let (table, column) = (table.name, column.name);
                self.push(&format!(
                    " AS j FROM {table} {inner} WHERE {inner}.{column} = {outer}.id"
                ));
                self.push(&format!(" ORDER BY {inner}.id)))"));
            }
            Link::One(column) => {
                self.push("json((SELECT ");
                self.object(items, &inner);
                let (table, column) = (table.name, column.name);
                self.push(&format!(" FROM {table} {inner} WHERE {inner}.id = {outer}.{column}))"));
            }
        }
    }

    fn filter(&mut self, conditions: &[Condition]) {
        for (at, condition) in conditions.iter().enumerate() {
            self.push(if at == 0 { " WHERE " } else { " AND " });
            self.condition(condition);
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::All(parts) => self.joined(parts, " AND "),
            Condition::Any(parts) => self.joined(parts, " OR "),
            Condition::Not(part) => {
                self.push("NOT (");
                self.condition(part);
                self.push(")");
            }
            Condition::Compare(column, operator, value) => {
                self.push(&format!("t0.{} {operator} ", column.name));
                self.bind(value.clone());
            }
            Condition::In(column, values) => {
                self.push(&format!("t0.{} IN (", column.name));
                for (at, value) in values.iter().enumerate() {
                    self.push(if at == 0 { "" } else { ", " });
                    self.bind(value.clone());
                }
                self.push(")");
            }
            Condition::Null(column) => self.push(&format!("t0.{} IS NULL", column.name)),
        }
    }

    fn joined(&mut self, parts: &[Condition], word: &str) {
        self.push("(");
        for (at, part) in parts.iter().enumerate() {
            self.push(if at == 0 { "" } else { word });
            self.condition(part);
        }
        self.push(")");
    }
}
