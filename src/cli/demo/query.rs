//! The query string of the demo's API: a small, strict part of PostgREST's grammar.
//!
//! `select` (columns, aliases, `*`, embeds over foreign keys), filters `eq neq gt gte lt lte in is`
//! with `not.`, trees of `and`/`or`, `order`, `limit`, `offset`. Every name that comes out of here is
//! a constant of the schema; every value is data. Anything else is an error, never a guess.

use percent_encoding::percent_decode_str;

use super::{
    fault::Fault,
    schema::{self, Column, Table},
    tree::{self, Condition},
};

/// One thing that is selected.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A column under its name or an alias.
    Column {
        /// The column.
        column: &'static Column,
        /// The key in the answer.
        key: String,
    },
    /// Rows of another table.
    Embed {
        /// The key in the answer.
        key: String,
        /// The other table.
        table: &'static Table,
        /// How it is joined.
        link: Link,
        /// What is selected of it.
        items: Vec<Item>,
    },
}

/// A foreign key, from one of its ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Link {
    /// The other table refers to this one with this column: an array of rows.
    Many(&'static Column),
    /// This table refers to the other one with this column: one row, as an object.
    One(&'static Column),
}

/// A column to order by.
#[derive(Debug, PartialEq, Eq)]
pub struct Order {
    /// The column.
    pub column: &'static Column,
    /// The words that follow it in SQL.
    pub direction: &'static str,
}

/// A query, parsed against its table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What is selected.
    pub items: Vec<Item>,
    /// What must hold, all of it.
    pub conditions: Vec<Condition>,
    /// What is ordered by, first things first.
    pub order: Vec<Order>,
    /// At most so many rows.
    pub limit: Option<u32>,
    /// After so many rows.
    pub offset: u32,
}

impl Query {
    /// Parses what stands after the question mark.
    pub fn parse(text: &str, table: &'static Table) -> Result<Self, Fault> {
        let mut query = Self { items: whole(table), ..Self::default() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| Fault::grammar(pair))?;
            let (key, value) = (decode(key)?, decode(value)?);
            match key.as_str() {
                "select" => query.items = select(&value, table)?,
                "order" => query.order = order(&value, table)?,
                "limit" => query.limit = Some(number(&value)?),
                "offset" => query.offset = number(&value)?,
                "columns" => {}
                "and" | "or" | "not.and" | "not.or" => {
                    query.conditions.push(tree::parse(&key, &value, table)?);
                }
                name => query.conditions.push(tree::test(name, &value, table)?),
            }
        }
        Ok(query)
    }
}

/// Every column of a table under its own name.
pub fn whole(table: &'static Table) -> Vec<Item> {
    let item = |column: &'static Column| Item::Column { column, key: column.name.to_owned() };
    table.columns.iter().map(item).collect()
}

fn decode(text: &str) -> Result<String, Fault> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| Fault::grammar(text))?;
    Ok(decoded.into_owned())
}

fn number(text: &str) -> Result<u32, Fault> {
    text.parse().map_err(|_| Fault::integer(text))
}

fn select(text: &str, table: &'static Table) -> Result<Vec<Item>, Fault> {
    let mut items = Vec::new();
    for part in tree::split(text).ok_or_else(|| Fault::grammar(text))? {
        let (alias, rest) = match part.split_once(':') {
            Some((alias, rest)) if !alias.contains('(') => (Some(alias), rest),
            _ => (None, part),
        };
        if rest == "*" {
            items.extend(whole(table));
        } else if let Some((name, inner)) = rest.split_once('(') {
            let inner = inner.strip_suffix(')').ok_or_else(|| Fault::grammar(text))?;
            let name = name.split('!').next().unwrap_or(name);
            let (other, link) = join(table, name)?;
            let key = alias.unwrap_or(name).to_owned();
            items.push(Item::Embed { key, table: other, link, items: select(inner, other)? });
        } else {
            let column = tree::column(table, rest)?;
            items.push(Item::Column { column, key: alias.unwrap_or(rest).to_owned() });
        }
    }
    Ok(items)
}

fn join(table: &'static Table, name: &str) -> Result<(&'static Table, Link), Fault> {
    let other = schema::table(name).ok_or_else(|| Fault::relation(table.name, name))?;
    if let Some(column) = table.reference_to(other.name) {
        return Ok((other, Link::One(column)));
    }
    match other.reference_to(table.name) {
        Some(column) => Ok((other, Link::Many(column))),
        None => Err(Fault::relation(table.name, name)),
    }
}

fn order(text: &str, table: &'static Table) -> Result<Vec<Order>, Fault> {
    let one = |part: &str| {
        let (name, rest) = part.split_once('.').unwrap_or((part, "asc"));
        // PostgreSQL sorts nulls last when ascending and first when descending; SQLite does not.
        let direction = match rest {
            "asc" | "asc.nullslast" | "nullslast" => "ASC NULLS LAST",
            "asc.nullsfirst" | "nullsfirst" => "ASC NULLS FIRST",
            "desc" | "desc.nullsfirst" => "DESC NULLS FIRST",
            "desc.nullslast" => "DESC NULLS LAST",
            _ => return Err(Fault::grammar(text)),
        };
        Ok(Order { column: tree::column(table, name)?, direction })
    };
    text.split(',').map(one).collect()
}
