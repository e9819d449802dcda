//! From replacements back to bytes: what a test becomes on the wire.
//!
//! | replaced by | test | alone | inside a tree |
//! |---|---|---|---|
//! | one text | `eq` `neq` `in` `isdistinct` | the literal alone | the same |
//! | one text | any other | `c=in.(…)`, `c=not.in.(…)` | `c.in.(…)`, `c.not.in.(…)` |
//! | several texts | holds | `c=in.(…)` | `c.in.(…)` |
//! | several texts | negated | `c=not.in.(…)` | `c.not.in.(…)` |
//! | one range | holds | `c=gte.P&c=lt.Q` | `and(c.gte.P,c.lt.Q)` |
//! | one range | negated | `not.and=(c.gte.P,c.lt.Q)` | `not.and(…)` |
//! | several ranges | holds | `or=(and(…),and(…))` | `or(and(…),and(…))` |
//! | several ranges | negated | `not.or=(and(…),and(…))` | `not.or(…)` |
//! | one range or several | holds, in a write | `c=gte.P&c=lt.Q`, `c=like(any).{P*,…}` | as above |
//! | one range or several | negated, in a write | `c=not.like.P*&…` | as above |
//! | more than one text | `isdistinct` | `or=(c.is.null,…)` of the negated test | `or(…)` |
//! | more than one text | `not.isdistinct` | `and=(c.not.is.null,…)` of the test | `and(…)` |
//!
//! All but the last two are null where the column is null, as the tests they stand for, so that a
//! row with a null is found by neither a test nor its negation. The last two never are.
//!
//! # Why
//! In an update and a removal, PostgREST 12 tests the outermost trees once more, on the columns that
//! it answers: a record whose tested column was changed is missing in the answer, and one whose tested
//! column was not selected is an error. Parameters of their own it tests once. So nothing that was
//! one becomes a tree there; a pattern needs no index to be right. (2026-11)

use std::ops::Range;

use super::{
    either,
    filter::{Form, Sense},
    walk::{Site, TestSite},
};
use crate::{
    base::refusal::{Code, Refusal},
    dialect::text::Edit,
    model::Replacement,
};

/// How often the server tests the outermost trees of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trees {
    /// Once.
    Once,
    /// Once more on what it answers.
    Twice,
}

/// The edits for one use, in order.
pub(super) fn edits(
    target: &str,
    site: &Site,
    replacement: &Replacement,
    trees: Trees,
) -> Result<Vec<Edit>, Refusal> {
    let test = match site {
        Site::Fixed | Site::Term { .. } => return Err(Code::Internal.into()),
        Site::Argument { value, .. } => return argument(value, replacement),
        Site::Parameter { test, .. } | Site::Tree { test, .. } => test,
    };
    match replacement {
        Replacement::Either(found) => either::edits(target, site, test, found, trees),
        Replacement::Exact(texts) => exact(target, site, test, texts, trees),
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
            if test.sense == Sense::Distinct {
                let inner = tree(column, &ranges, !test.negated);
                return distinct(target, site, test, &inner, trees);
            }
            Ok(vec![match site {
                Site::Parameter { whole, embed, .. }
                    if trees == Trees::Twice && embed.is_empty() =>
                {
                    (whole.clone(), patterns(column, &ranges, test.is_negative())?)
                }
                Site::Parameter { whole, embed, .. } => {
                    let embed = spelled(target, embed)?;
                    (whole.clone(), parameter(embed, column, &ranges, test.is_negative()))
                }
                Site::Tree { whole, .. } => {
                    (whole.clone(), tree(column, &ranges, test.is_negative()))
                }
                Site::Argument { .. } | Site::Fixed | Site::Term { .. } => {
                    return Err(Code::Internal.into());
                }
            }])
        }
    }
}

/// Takes the term of an order out of the target. `edits` are those before it: of the order, its terms
/// up to this one must be gone already.
pub(super) fn remove_term(
    target: &str,
    (whole, place, from, next): (&Range<usize>, usize, usize, Option<usize>),
    edits: &mut Vec<Edit>,
) -> Result<(), Refusal> {
    let inside = |edit: &Edit| edit.0.start >= whole.start && edit.0.end <= whole.end;
    if edits.iter().filter(|edit| inside(edit)).count() != place {
        return Err(Code::Internal.into());
    }
    if let Some(next) = next {
        edits.push((from..next, String::new()));
        return Ok(());
    }
    // All of them: the parameter goes, and a separator with it.
    edits.retain(|edit| !inside(edit));
    let gone = match target.as_bytes().get(whole.end) {
        Some(b'&') => whole.start..whole.end + 1,
        _ => whole.start.saturating_sub(1)..whole.end,
    };
    edits.push((gone, String::new()));
    Ok(())
}

impl TestSite {
    /// Whether it holds where the literals do not match.
    pub(super) fn is_negative(&self) -> bool {
        self.negated != (self.sense != Sense::Matching)
    }
}

fn exact(
    target: &str,
    site: &Site,
    test: &TestSite,
    texts: &[Vec<String>],
    trees: Trees,
) -> Result<Vec<Edit>, Refusal> {
    fits(test, texts)?;
    let flat: Vec<_> = texts.iter().flatten().map(String::as_str).collect();
    for text in &flat {
        is_safe(text)?;
    }
    match (&test.form, flat.as_slice()) {
        (Form::List(spans), _) => {
            Ok(spans.iter().cloned().zip(texts.iter().map(|texts| texts.join(","))).collect())
        }
        (Form::Single(span), [one]) => Ok(vec![(span.clone(), (*one).to_owned())]),
        (Form::Respelled(_), []) => Ok(Vec::new()),
        (Form::Respelled(_) | Form::Single(_), several) => {
            let not = if test.is_negative() { "not." } else { "" };
            let list = format!("{not}in.({})", several.join(","));
            if test.sense == Sense::Distinct {
                let column = spelled(target, &test.column)?;
                return distinct(target, site, test, &format!("{column}.{list}"), trees);
            }
            Ok(vec![(test.expr.clone(), list)])
        }
    }
}

/// A test that takes null for a value, of `inner`, which does not.
pub(super) fn distinct(
    target: &str,
    site: &Site,
    test: &TestSite,
    inner: &str,
    trees: Trees,
) -> Result<Vec<Edit>, Refusal> {
    let column = spelled(target, &test.column)?;
    let (word, null) = if test.negated { ("and", "not.is.null") } else { ("or", "is.null") };
    let members = format!("({column}.{null},{inner})");
    Ok(vec![match site {
        Site::Parameter { embed, .. } if trees == Trees::Twice && embed.is_empty() => {
            return Err(Refusal::new(Code::UnsupportedOperator).by("isdistinct"));
        }
        Site::Parameter { whole, embed, .. } => {
            (whole.clone(), format!("{}{word}={members}", spelled(target, embed)?))
        }
        Site::Tree { whole, .. } => (whole.clone(), format!("{word}{members}")),
        Site::Argument { .. } | Site::Fixed | Site::Term { .. } => {
            return Err(Code::Internal.into());
        }
    }])
}

/// An argument is one value, so one text must stand for it.
fn argument(value: &Range<usize>, replacement: &Replacement) -> Result<Vec<Edit>, Refusal> {
    match replacement {
        Replacement::Exact(texts) => match texts.as_slice() {
            [texts] => match texts.as_slice() {
                [text] => {
                    is_safe(text)?;
                    Ok(vec![(value.clone(), text.clone())])
                }
                _ => Err(Refusal::new(Code::UnsupportedOperator).by("argument")),
            },
            _ => Err(Code::Internal.into()),
        },
        Replacement::Either(_) | Replacement::Ranges(_) | Replacement::Removed => {
            Err(Code::Internal.into())
        }
    }
}

/// There is one replacement with at least one text for each literal.
fn fits<T>(test: &TestSite, replaced: &[Vec<T>]) -> Result<(), Refusal> {
    let literals = match &test.form {
        Form::List(spans) => spans.len(),
        Form::Respelled(count) => *count,
        Form::Single(_) => 1,
    };
    let whole = replaced.len() == literals && replaced.iter().all(|r| !r.is_empty());
    if whole { Ok(()) } else { Err(Code::Internal.into()) }
}

/// Envelopes need no escaping in any part of a query. Anything else would.
pub(super) fn is_safe(text: &str) -> Result<(), Refusal> {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !text.is_empty() && text.bytes().all(safe) { Ok(()) } else { Err(Code::Internal.into()) }
}

pub(super) fn spelled<'a>(target: &'a str, range: &Range<usize>) -> Result<&'a str, Refusal> {
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

/// Parameters without trees.
fn patterns(column: &str, ranges: &[&(String, String)], negative: bool) -> Result<String, Refusal> {
    if !ranges.iter().all(|(low, high)| is_prefix(low, high)) {
        return Err(Refusal::new(Code::UnsupportedOperator).by("write"));
    }
    let each = |spell: &dyn Fn(&str) -> String, between: &str| {
        let all: Vec<_> = ranges.iter().map(|(low, _)| spell(low)).collect();
        all.join(between)
    };
    Ok(match (ranges, negative) {
        ([_], false) => parameter("", column, ranges, false),
        (_, true) => each(&|low| format!("{column}=not.like.{low}*"), "&"),
        (_, false) => format!("{column}=like(any).{{{}}}", each(&|low| format!("{low}*"), ",")),
    })
}

/// Whether a range holds the texts that begin with `low`, and no others: `high` is the next text
/// in the alphabet of tokens, where `2` to `7` come before the letters.
pub(super) fn is_prefix(low: &str, high: &str) -> bool {
    let next = |byte: u8| if byte == b'7' { b'a' } else { byte.saturating_add(1) };
    let (low, high) = (low.as_bytes(), high.as_bytes());
    let same = low.iter().zip(high).take_while(|(low, high)| low == high).count();
    let (Some((last, carried)), Some((above, wrapped))) = (
        low.get(same..).and_then(<[u8]>::split_first),
        high.get(same..).and_then(<[u8]>::split_first),
    ) else {
        return false;
    };
    next(*last) == *above
        && carried.len() == wrapped.len()
        && carried.iter().all(|byte| *byte == b'z')
        && wrapped.iter().all(|byte| *byte == b'2')
}

pub(super) fn tree(column: &str, ranges: &[&(String, String)], negative: bool) -> String {
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
