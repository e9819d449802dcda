//! Filters of the demo's API: single tests, and trees of them.

use super::{
    fault::Fault,
    schema::{Column, Kind, Table},
};

/// What must hold of a row.
#[derive(Debug, PartialEq, Eq)]
pub enum Condition {
    /// All of these.
    All(Vec<Condition>),
    /// Any of these.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// A comparison of a column with a value.
    Compare(&'static Column, &'static str, Value),
    /// A column has one of these values.
    In(&'static Column, Vec<Value>),
    /// A column is null.
    Null(&'static Column),
}

/// A value, of its column's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// For an integer column.
    Integer(i64),
    /// Null.
    Null,
    /// For a text column.
    Text(String),
}

impl Value {
    /// Reads the text of a value as the column would.
    pub fn parse(column: &Column, text: &str) -> Result<Self, Fault> {
        match column.kind {
            Kind::Integer => text.parse().map(Self::Integer).map_err(|_| Fault::integer(text)),
            Kind::Text => Ok(Self::Text(text.to_owned())),
        }
    }
}

/// The column of that name, or the error that PostgreSQL would give.
pub fn column(table: &'static Table, name: &str) -> Result<&'static Column, Fault> {
    table.column(name).ok_or_else(|| Fault::column(table.name, name))
}

/// Parses one test: `name` on the left, `not.op.value` on the right.
pub fn test(name: &str, text: &str, table: &'static Table) -> Result<Condition, Fault> {
    let column = column(table, name)?;
    if let Some(rest) = text.strip_prefix("not.") {
        return Ok(Condition::Not(Box::new(test(name, rest, table)?)));
    }
    let (operator, value) = text.split_once('.').ok_or_else(|| Fault::grammar(text))?;
    let compare = |sql| Ok(Condition::Compare(column, sql, Value::parse(column, value)?));
    match operator {
        "eq" => compare("="),
        "neq" => compare("<>"),
        "gt" => compare(">"),
        "gte" => compare(">="),
        "lt" => compare("<"),
        "lte" => compare("<="),
        "in" => {
            let inner = value.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let parts = inner.and_then(split).ok_or_else(|| Fault::grammar(text))?;
            let values = parts.into_iter().map(|part| Value::parse(column, &unquote(part)));
            Ok(Condition::In(column, values.collect::<Result<_, _>>()?))
        }
        "is" if value == "null" => Ok(Condition::Null(column)),
        "is" if value == "not_null" => Ok(Condition::Not(Box::new(Condition::Null(column)))),
        _ => Err(Fault::grammar(text)),
    }
}

/// Parses `key=(…)`, where `key` is `and`, `or`, `not.and` or `not.or`.
pub fn parse(key: &str, text: &str, table: &'static Table) -> Result<Condition, Fault> {
    if let Some(rest) = key.strip_prefix("not.") {
        return Ok(Condition::Not(Box::new(parse(rest, text, table)?)));
    }
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let parts = inner.and_then(split).ok_or_else(|| Fault::grammar(text))?;
    let conditions = parts.into_iter().map(|part| leaf(part, table)).collect::<Result<_, _>>()?;
    match key {
        "and" => Ok(Condition::All(conditions)),
        "or" => Ok(Condition::Any(conditions)),
        _ => Err(Fault::grammar(key)),
    }
}

/// A member of a tree: another tree, or `column.op.value` with the value perhaps in quotes.
fn leaf(text: &str, table: &'static Table) -> Result<Condition, Fault> {
    for key in ["and", "or", "not.and", "not.or"] {
        if let Some(rest) = text.strip_prefix(key).filter(|rest| rest.starts_with('(')) {
            return parse(key, rest, table);
        }
    }
    let (name, rest) = text.split_once('.').ok_or_else(|| Fault::grammar(text))?;
    match rest.find('"') {
        // A quoted value follows the last dot of the operator; a list unquotes its own members.
        Some(at) if !rest[..at].contains('(') => {
            test(name, &format!("{}{}", &rest[..at], unquote(&rest[at..])), table)
        }
        _ => test(name, rest, table),
    }
}

/// Splits at the commas that are in neither quotes nor parentheses. `None`: they do not match up.
pub fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth, mut quoted, mut escaped) =
        (vec![], 0, 0u32, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (depth == 0 && !quoted).then_some(parts)
}

/// The text without its quotes and escapes, if it has any.
fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        out.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    out
}
