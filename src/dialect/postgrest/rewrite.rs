//! From replacements back to bytes: what a test becomes on the wire.
//!
//! | replaced by | test | alone | inside a tree |
//! |---|---|---|---|
//! | one text | `eq` `neq` `in` | the literal alone | the same |
//! | several texts | `eq`, `neq` | `c=in.(…)`, `c=not.in.(…)` | `c.in.(…)`, `c.not.in.(…)` |
//! | one range | holds | `c=gte.P&c=lt.Q` | `and(c.gte.P,c.lt.Q)` |
//! | one range | negated | `not.and=(c.gte.P,c.lt.Q)` | `not.and(…)` |
//! | several ranges | holds | `or=(and(…),and(…))` | `or(and(…),and(…))` |
//! | several ranges | negated | `not.or=(and(…),and(…))` | `not.or(…)` |
//!
//! All of these are null where the column is null, as the tests they stand for, so that a row with a
//! null is found by neither a test nor its negation.

use std::ops::Range;

use super::classify::{Form, Site, TestSite};
use crate::{
    base::refusal::{Code, Refusal},
    dialect::text::Edit,
    model::Replacement,
};

/// The edits for one use, in order.
pub(super) fn edits(
    target: &str,
    site: &Site,
    replacement: &Replacement,
) -> Result<Vec<Edit>, Refusal> {
    let test = match site {
        Site::Fixed => return Err(Code::Internal.into()),
        Site::Parameter { test, .. } | Site::Tree { test, .. } => test,
    };
    match replacement {
        Replacement::Exact(texts) => exact(test, texts),
        Replacement::Removed => Err(Code::Internal.into()),
        Replacement::Ranges(ranges) => {
            fits(test, ranges)?;
            let ranges: Vec<_> = ranges.iter().flatten().collect();
            if ranges.is_empty() {
                return Ok(Vec::new());
            }
            for (low, high) in &ranges {
                is_safe(low)?;
                is_safe(high)?;
            }
            let column = spelled(target, &test.column)?;
            Ok(vec![match site {
                Site::Parameter { whole, embed, .. } => {
                    let embed = spelled(target, embed)?;
                    (whole.clone(), parameter(embed, column, &ranges, test.negative))
                }
                Site::Tree { whole, .. } => (whole.clone(), tree(column, &ranges, test.negative)),
                Site::Fixed => return Err(Code::Internal.into()),
            }])
        }
    }
}

fn exact(test: &TestSite, texts: &[Vec<String>]) -> Result<Vec<Edit>, Refusal> {
    fits(test, texts)?;
    for text in texts.iter().flatten() {
        is_safe(text)?;
    }
    if let [several] = texts
        && several.len() > 1
        && test.form == Form::Single
    {
        let not = if test.negative { "not." } else { "" };
        return Ok(vec![(test.expr.clone(), format!("{not}in.({})", several.join(",")))]);
    }
    Ok(test.literals.iter().cloned().zip(texts.iter().map(|texts| texts.join(","))).collect())
}

/// There is one replacement with at least one text for each literal.
fn fits<T>(test: &TestSite, replaced: &[Vec<T>]) -> Result<(), Refusal> {
    let whole = replaced.len() == test.literals.len() && replaced.iter().all(|r| !r.is_empty());
    if whole { Ok(()) } else { Err(Code::Internal.into()) }
}

/// Envelopes need no escaping in any part of a query. Anything else would.
fn is_safe(text: &str) -> Result<(), Refusal> {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !text.is_empty() && text.bytes().all(safe) { Ok(()) } else { Err(Code::Internal.into()) }
}

fn spelled<'a>(target: &'a str, range: &Range<usize>) -> Result<&'a str, Refusal> {
    target.get(range.clone()).ok_or_else(|| Code::Internal.into())
}

fn parameter(embed: &str, column: &str, ranges: &[&(String, String)], negative: bool) -> String {
    match (ranges, negative) {
        ([(low, high)], false) => format!("{embed}{column}=gte.{low}&{embed}{column}=lt.{high}"),
        ([range], true) => format!("{embed}not.and={}", between(column, range)),
        (_, false) => format!("{embed}or={}", any(column, ranges)),
        (_, true) => format!("{embed}not.or={}", any(column, ranges)),
    }
}

fn tree(column: &str, ranges: &[&(String, String)], negative: bool) -> String {
    let not = if negative { "not." } else { "" };
    match ranges {
        [range] => format!("{not}and{}", between(column, range)),
        _ => format!("{not}or{}", any(column, ranges)),
    }
}

fn between(column: &str, (low, high): &(String, String)) -> String {
    format!("({column}.gte.{low},{column}.lt.{high})")
}

fn any(column: &str, ranges: &[&(String, String)]) -> String {
    let parts: Vec<_> =
        ranges.iter().map(|range| format!("and{}", between(column, range))).collect();
    format!("({})", parts.join(","))
}
