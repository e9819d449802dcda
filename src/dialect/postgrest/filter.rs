//! Tests: `[not.]operator[(modifier)].value`, alone as a parameter or inside a logic tree.

use std::ops::Range;

use super::cursor::{Cursor, Field};
use crate::base::secret::Plaintext;

/// How deep logic trees and embeds may nest.
pub(super) const MAX_DEPTH: usize = 64;

/// A literal in clear, and where it is spelled (with its quotes).
pub(super) struct Literal {
    pub(super) value: Plaintext,
    pub(super) span: Range<usize>,
}

/// What is tested.
pub(super) enum Op {
    /// `eq` or, if `unequal`, `neq`.
    Equal { unequal: bool, literal: Literal },
    /// One of a list.
    In(Vec<Literal>),
    /// Null or not.
    IsNull,
    /// Anything else, as the server spells it.
    Other(&'static str),
}

/// An operator with its value.
pub(super) struct Expr {
    /// Whether `not.` stands before it.
    pub(super) negated: bool,
    pub(super) op: Op,
    /// From `not.` to the end of the value.
    pub(super) span: Range<usize>,
}

/// A test inside a logic tree.
pub(super) struct TreeTest {
    pub(super) field: Field,
    pub(super) expr: Expr,
    /// From the column to the end of the value.
    pub(super) span: Range<usize>,
}

/// Where a value ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the end of the parameter.
    Alone,
    /// At a comma or a closing parenthesis.
    InTree,
}

/// Operators that take `(any)` or `(all)`: plain, any, all.
const QUANTIFIED: &[(&str, &str, &str)] = &[
    ("eq", "eq(any)", "eq(all)"),
    ("gte", "gte(any)", "gte(all)"),
    ("gt", "gt(any)", "gt(all)"),
    ("lte", "lte(any)", "lte(all)"),
    ("lt", "lt(any)", "lt(all)"),
    ("like", "like(any)", "like(all)"),
    ("ilike", "ilike(any)", "ilike(all)"),
    ("match", "match(any)", "match(all)"),
    ("imatch", "imatch(any)", "imatch(all)"),
];

/// Operators without modifiers.
const PLAIN: &[&str] = &["neq", "isdistinct", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj"];

/// Full-text operators, which take a language.
const FULL_TEXT: &[&str] = &["fts", "plfts", "phfts", "wfts"];

/// A whole parameter value as a test. `None` if it is not one.
pub(super) fn alone(text: &str) -> Option<Expr> {
    let mut cursor = Cursor::new(text);
    let expr = expr(&mut cursor, Place::Alone)?;
    cursor.is_done().then_some(expr)
}

/// Whether the server would take a value for a test, though it may not be a valid one.
pub(super) fn looks_like_test(text: &str) -> bool {
    let word = text.split(['.', '(']).next().unwrap_or_default();
    matches!(word, "not" | "is" | "in")
        || QUANTIFIED.iter().any(|(plain, ..)| *plain == word)
        || PLAIN.contains(&word)
        || FULL_TEXT.contains(&word)
}

/// A whole parameter value as the members of a logic tree: `(a.eq.1,not.or(…))`.
///
/// The parenthesis must be there. The server puts the parameter's name before the value and parses
/// the whole, so that it reads `or=igin.eq.x` as a test of the column `origin`.
pub(super) fn members(text: &str) -> Option<Vec<TreeTest>> {
    let mut cursor = Cursor::new(text);
    let mut found = Vec::new();
    group(&mut cursor, MAX_DEPTH, &mut found)?;
    cursor.is_done().then_some(found)
}

fn group(c: &mut Cursor<'_>, depth: usize, found: &mut Vec<TreeTest>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if !c.eat_lexeme("(") {
        return None;
    }
    loop {
        tree(c, depth, found)?;
        if c.eat_lexeme(")") {
            return Some(());
        }
        if !c.eat_lexeme(",") {
            return None;
        }
    }
}

fn tree(c: &mut Cursor<'_>, depth: usize, found: &mut Vec<TreeTest>) -> Option<()> {
    if let Some(test) = c.attempt(tree_test) {
        found.push(test);
        return Some(());
    }
    c.eat("not.");
    if !c.eat("and") && !c.eat("or") {
        return None;
    }
    group(c, depth, found)
}

fn tree_test(c: &mut Cursor<'_>) -> Option<TreeTest> {
    c.skip_blanks();
    let start = c.at();
    let field = c.field()?;
    c.skip_blanks();
    if !c.eat(".") {
        return None;
    }
    let expr = expr(c, Place::InTree)?;
    let span = start..expr.span.end;
    Some(TreeTest { field, expr, span })
}

fn expr(c: &mut Cursor<'_>, place: Place) -> Option<Expr> {
    let start = c.at();
    let negated = c.eat("not.");
    let op = operation(c, place)?;
    Some(Expr { negated, op, span: start..c.at() })
}

fn operation(c: &mut Cursor<'_>, place: Place) -> Option<Op> {
    if c.eat("in.") {
        return list(c).map(Op::In);
    }
    if c.eat("is.") {
        return is(c, place);
    }
    let word = c.take_while(|next| next.is_ascii_lowercase());
    let modifier = if c.eat("(") {
        let modifier = c.identifier()?;
        if !c.eat(")") {
            return None;
        }
        Some(modifier)
    } else {
        None
    };
    if !c.eat(".") {
        return None;
    }
    let literal = literal(c, place)?;
    if let Some((plain, any, all)) = QUANTIFIED.iter().find(|(plain, ..)| *plain == word) {
        return match modifier {
            None if word == "eq" => Some(Op::Equal { unequal: false, literal }),
            None => Some(Op::Other(plain)),
            Some("any") => Some(Op::Other(any)),
            Some("all") => Some(Op::Other(all)),
            Some(_) => None,
        };
    }
    if let Some(plain) = PLAIN.iter().find(|plain| **plain == word && modifier.is_none()) {
        return Some(match *plain {
            "neq" => Op::Equal { unequal: true, literal },
            other => Op::Other(other),
        });
    }
    FULL_TEXT.iter().find(|plain| **plain == word).map(|plain| Op::Other(plain))
}

fn is(c: &mut Cursor<'_>, place: Place) -> Option<Op> {
    let word = c.take_while(|next| next.is_ascii_alphabetic() || next == '_').to_ascii_lowercase();
    let ends = match place {
        Place::Alone => c.is_done(),
        Place::InTree => ends_in_tree(c),
    };
    match word.as_str() {
        "null" | "not_null" if ends => Some(Op::IsNull),
        "true" | "false" | "unknown" if ends => Some(Op::Other("is")),
        _ => None,
    }
}

/// Whether what follows ends a value of a tree.
fn ends_in_tree(c: &Cursor<'_>) -> bool {
    let mut ahead = *c;
    ahead.skip_blanks();
    ahead.is_done() || matches!(ahead.peek(), Some(',' | ')'))
}

fn literal(c: &mut Cursor<'_>, place: Place) -> Option<Literal> {
    let start = c.at();
    let value = match place {
        Place::Alone => Plaintext::from(c.take_rest()),
        Place::InTree => tree_value(c)?,
    };
    Some(Literal { value, span: start..c.at() })
}

/// Quoted; or an array in braces; or everything up to a comma or a closing parenthesis.
fn tree_value(c: &mut Cursor<'_>) -> Option<Plaintext> {
    if let Some(text) = c.attempt(quoted_element) {
        return Some(Plaintext::new(text.into_bytes()));
    }
    let start = c.at();
    let array = c.attempt(|c| {
        let opened = c.eat("{");
        c.take_while(|next| !matches!(next, '{' | '}'));
        (opened && c.eat("}")).then_some(())
    });
    if array.is_some() {
        return ends_in_tree(c).then(|| Plaintext::from(c.since(start)));
    }
    Some(Plaintext::from(bare_element(c)))
}

fn quoted_element(c: &mut Cursor<'_>) -> Option<String> {
    let text = c.quoted()?;
    matches!(c.peek(), None | Some(',' | ')')).then_some(text)
}

fn bare_element<'a>(c: &mut Cursor<'a>) -> &'a str {
    c.take_while(|next| !matches!(next, ',' | ')'))
}

/// `(a,"b,c")`. The server reads a list of one empty element as the empty list.
fn list(c: &mut Cursor<'_>) -> Option<Vec<Literal>> {
    if !c.eat_lexeme("(") {
        return None;
    }
    let mut found = Vec::new();
    loop {
        let start = c.at();
        let value = match c.attempt(quoted_element) {
            Some(text) => Plaintext::new(text.into_bytes()),
            None => Plaintext::from(bare_element(c)),
        };
        found.push(Literal { value, span: start..c.at() });
        if c.eat_lexeme(")") {
            break;
        }
        if !c.eat(",") {
            return None;
        }
    }
    if found.len() == 1 && found.iter().all(|literal| literal.value.is_empty()) {
        found.clear();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(text: &str) -> Option<&'static str> {
        match alone(text)?.op {
            Op::Equal { unequal: false, .. } => Some("eq"),
            Op::Equal { unequal: true, .. } => Some("neq"),
            Op::In(_) => Some("in"),
            Op::IsNull => Some("is.null"),
            Op::Other(other) => Some(other),
        }
    }

    #[test]
    fn operators_are_told_apart() {
        for (text, expected) in [
            ("eq.A1", Some("eq")),
            ("not.neq.", Some("neq")),
            ("eq(any).{A1}", Some("eq(any)")),
            ("in.(a,\"b,c\")", Some("in")),
            ("is.NULL", Some("is.null")),
            ("not.is.null", Some("is.null")),
            ("is.true", Some("is")),
            ("fts(english).x", Some("fts")),
            ("isdistinct.A1", Some("isdistinct")),
            ("neq(any).{A1}", None),
            ("EQ.A1", None),
            ("not.not.eq.A1", None),
            ("is.nullx", None),
            ("in.(a)x", None),
            ("in.(a", None),
            ("A1", None),
        ] {
            assert_eq!(operator(text), expected, "{text}");
        }
    }

    #[test]
    fn a_list_of_one_empty_element_is_empty() {
        for text in ["in.()", "in.(\"\")"] {
            assert!(matches!(alone(text).unwrap().op, Op::In(list) if list.is_empty()));
        }
        assert!(matches!(alone("in.(,)").unwrap().op, Op::In(list) if list.len() == 2));
    }

    #[test]
    fn a_parameter_name_is_never_completed_by_its_value() {
        assert!(members("igin.eq.x").is_none());
        assert!(members(".eq.x").is_none());
        assert!(members("(a.eq.1)junk").is_none());
        assert_eq!(members(" ( a.eq.1 , not.or(b.in.(1,2),c.is.null) ) ").unwrap().len(), 3);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}a.eq.1{}", "(and".repeat(10_000), ")".repeat(10_000));
        assert!(members(&deep).is_none());
    }
}
