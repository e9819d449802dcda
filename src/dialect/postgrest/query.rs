//! The query as parameters, each parsed as what the server would take it for.
//!
//! # Why
//! The server's own parsers stop where they understand no more and ignore the rest, complete a
//! parameter's name from its value (`or=igin.eq.x`), and split at `;` too in some versions. Each of
//! these could hide a test of a protected column, so a parameter must be understood to its end, and
//! a bare `;` is refused. (2026-11)

use std::ops::Range;

use super::{
    cursor::{Cursor, Field, Name},
    filter::{self, Expr, Group, TreeTest},
    order::{self, Term},
    select::{self, Item},
};
use crate::{
    base::refusal::{Code, Refusal},
    dialect::text::{self, Decoded},
};

/// One parameter.
pub(super) struct Param {
    /// Name, equals sign and value in the target.
    pub(super) span: Range<usize>,
    pub(super) name: Decoded,
    pub(super) value: Option<Decoded>,
}

/// What a parameter is.
pub(super) enum Meaning {
    /// Nothing that names a column's value: `columns`, `limit`, `offset`, a name alone.
    Harmless,
    /// `columns`.
    Columns(Vec<Name>),
    /// `on_conflict`.
    Conflict(Vec<Name>),
    /// `and`, `or` and their negations.
    Logic { embed: Vec<Name>, tests: Vec<TreeTest> },
    /// `order`.
    Order { embed: Vec<Name>, terms: Vec<Term> },
    /// `select`.
    Select(Vec<Item>),
    /// A test of a column.
    Test { embed: Vec<Name>, field: Field, expr: Expr },
    /// A name with a value that is no test: an argument of a function, or nothing known.
    Value(Field),
}

/// Splits the query of a target into parameters.
pub(super) fn params(target: &str) -> Result<Vec<Param>, Refusal> {
    let (_, Some(query)) = text::split(target) else { return Ok(Vec::new()) };
    if target.get(query.clone()).is_none_or(|query| query.contains(';')) {
        return Err(Refusal::new(Code::MalformedTarget).by("semicolon"));
    }
    let mut found = Vec::new();
    for span in text::pieces(target, query, '&') {
        let piece = target.get(span.clone()).unwrap_or_default();
        let (name, value) = match piece.find('=') {
            Some(sign) => (span.start..span.start + sign, Some(span.start + sign + 1..span.end)),
            None => (span.clone(), None),
        };
        let decode = |range| Decoded::of_query(target, range).ok_or(Code::MalformedTarget);
        let (name, value) = (decode(name)?, value.map(decode).transpose()?);
        found.push(Param { span, name, value });
    }
    Ok(found)
}

impl Param {
    /// What the server takes the parameter for.
    pub(super) fn meaning(&self) -> Result<Meaning, Refusal> {
        let malformed = |what| Refusal::new(Code::MalformedTarget).by(what);
        let name = self.name.text();
        let Some(value) = self.value.as_ref().map(Decoded::text) else {
            // Without a value the server ignores it, but a dot may mean that it was to be a test.
            return match name.contains('.') {
                true => Err(malformed("parameter")),
                false if name == "select" => Ok(Meaning::Select(select::everything())),
                false => Ok(Meaning::Harmless),
            };
        };
        match name {
            "select" => {
                return select::parse(value)
                    .map(Meaning::Select)
                    .ok_or_else(|| malformed("select"));
            }
            "columns" => {
                let names = select::names(value).map(Meaning::Columns);
                return names.ok_or_else(|| malformed("columns"));
            }
            "on_conflict" => {
                let names = select::names(value).map(Meaning::Conflict);
                return names.ok_or_else(|| malformed("on_conflict"));
            }
            _ => {}
        }
        match name.rsplit('.').next().unwrap_or_default() {
            "limit" | "offset" => Ok(Meaning::Harmless),
            "order" => {
                let terms = order::parse(value).ok_or_else(|| malformed("order"))?;
                let (embed, _) = path(name).ok_or_else(|| malformed("order"))?;
                Ok(Meaning::Order { embed, terms })
            }
            "and" | "or" => {
                let of = if name == "and" { Group::All } else { Group::Other };
                let tests = filter::members(value, of).ok_or_else(|| malformed("logic tree"))?;
                let (mut embed, _) = path(name).ok_or_else(|| malformed("logic tree"))?;
                embed.retain(|name| name.text != "not");
                Ok(Meaning::Logic { embed, tests })
            }
            _ => self.test(name, value),
        }
    }

    fn test(&self, name: &str, value: &str) -> Result<Meaning, Refusal> {
        let malformed = || Refusal::new(Code::MalformedTarget).by("filter");
        let (embed, field) = path(name).ok_or_else(malformed)?;
        match filter::alone(value) {
            Some(expr) => Ok(Meaning::Test { embed, field, expr }),
            None if embed.is_empty() && !filter::looks_like_test(value) => {
                Ok(Meaning::Value(field))
            }
            None => Err(malformed()),
        }
    }
}

/// `a.b.column->json`: the embeds, and the field.
fn path(name: &str) -> Option<(Vec<Name>, Field)> {
    let mut cursor = Cursor::new(name);
    let mut embed = Vec::new();
    let mut field = cursor.field()?;
    while cursor.eat(".") {
        if field.json.is_some() {
            return None;
        }
        embed.push(field.column);
        field = cursor.field()?;
    }
    cursor.is_done().then_some((embed, field))
}
