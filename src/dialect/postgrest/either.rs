//! Tests of columns that may hold values in clear beside envelopes: what each of them becomes.
//!
//! | alternatives | test | alone | inside a tree |
//! |---|---|---|---|
//! | texts alone | holds, negated | `c=in.(…)`, `c=not.in.(…)` | `c.in.(…)`, `c.not.in.(…)` |
//! | any | holds, negated | `or=(…)`, `not.or=(…)` | `or(…)`, `not.or(…)` |
//! | any | holds, in a write | `c=match(any).{…}` | as above |
//! | any | negated, in a write | `c=not.match.…&c=not.match.…` | as above |
//!
//! # Why
//! In a write a parameter stays a parameter, see [`rewrite`]. `match` is taken there
//! and not `like`, because PostgREST takes every `*` in the latter for `%`, an escaped one too. A
//! pattern may fit envelopes, which all begin alike: those are excepted. (2026-11)

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    filter::Sense,
    rewrite::{self, Trees, distinct, is_prefix, is_safe, spelled},
    walk::{Site, TestSite},
};
use crate::{
    base::refusal::{Code, Refusal},
    dialect::text::Edit,
    model::{
        Bound, Case,
        replacement::{Alternative, Sameness, Unlike},
    },
};

/// All but the unreserved characters of RFC 3986 §2.3.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The edits for one use.
pub(super) fn edits(
    target: &str,
    site: &Site,
    test: &TestSite,
    found: &[Alternative],
    trees: Trees,
) -> Result<Vec<Edit>, Refusal> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let column = spelled(target, &test.column)?;
    for one in found {
        envelopes(one).try_for_each(is_safe)?;
    }
    let texts: Option<Vec<_>> = found.iter().map(text).collect();
    let is_negative = test.is_negative();
    let not = if is_negative { "not." } else { "" };
    let list = texts.map(|texts| format!("{not}in.({})", texts.join(",")));
    let tree = || {
        let parts: Result<Vec<_>, _> = found.iter().map(|one| alternative(column, one)).collect();
        parts.map(|parts| format!("({})", parts.join(",")))
    };
    if test.sense == Sense::Distinct {
        let inner = match list {
            Some(list) => format!("{column}.{list}"),
            None => format!("{not}or{}", tree()?),
        };
        return distinct(target, site, test, &inner, trees);
    }
    if let Some(list) = list {
        return Ok(vec![(test.expr.clone(), list)]);
    }
    Ok(vec![match site {
        Site::Parameter { whole, embed, .. } if trees == Trees::Twice && embed.is_empty() => {
            (whole.clone(), expressions(column, found, is_negative)?)
        }
        Site::Parameter { whole, embed, .. } => {
            (whole.clone(), format!("{}{not}or={}", spelled(target, embed)?, tree()?))
        }
        Site::Tree { whole, .. } => (whole.clone(), format!("{not}or{}", tree()?)),
        Site::Argument { .. } | Site::Fixed | Site::Term { .. } => {
            return Err(Code::Internal.into());
        }
    }])
}

/// The parts of an alternative that are envelopes, or beginnings of them.
fn envelopes(one: &Alternative) -> impl Iterator<Item = &str> {
    let texts = match one {
        Alternative::Bound { .. } | Alternative::Same { .. } => [None, None],
        Alternative::Envelope(text) => [Some(text), None],
        Alternative::Like { unlike, .. } => [unlike.as_ref().map(|unlike| &unlike.start), None],
        Alternative::Range(low, high) => [Some(low), Some(high)],
    };
    texts.into_iter().flatten().map(String::as_str)
}

/// An alternative that is one text, as the element of a list.
fn text(one: &Alternative) -> Option<String> {
    match one {
        Alternative::Envelope(text) => Some(text.clone()),
        Alternative::Same { literal, equality: Sameness::Exact } => Some(quoted(literal.text())),
        Alternative::Bound { .. }
        | Alternative::Like { .. }
        | Alternative::Range(..)
        | Alternative::Same { equality: Sameness::Folded | Sameness::Padded, .. } => None,
    }
}

/// An alternative as a test inside a tree. It is null where the column is.
fn alternative(column: &str, one: &Alternative) -> Result<String, Refusal> {
    Ok(match one {
        // Every collation puts digits before letters, and a letter is what envelopes begin with.
        Alternative::Bound { bound, literal } => {
            let text = quoted(literal.text());
            match bound {
                Bound::Above => format!("and({column}.gt.{text},{column}.lt.a)"),
                Bound::AtLeast => format!("and({column}.gte.{text},{column}.lt.a)"),
                Bound::AtMost => format!("{column}.lte.{text}"),
                Bound::Below => format!("{column}.lt.{text}"),
            }
        }
        Alternative::Envelope(text) => format!("{column}.eq.{text}"),
        Alternative::Like { pattern, case, unlike } => {
            let word = match case {
                Case::Exact => "like",
                Case::Folded => "ilike",
            };
            let pattern = quoted(pattern.text());
            match unlike {
                None => format!("{column}.{word}.{pattern}"),
                Some(Unlike { start, least }) => {
                    let rest = "_".repeat(*least);
                    format!("and({column}.{word}.{pattern},{column}.not.like.{start}{rest}*)")
                }
            }
        }
        Alternative::Range(low, high) => {
            rewrite::tree(column, &[&(low.clone(), high.clone())], false)
        }
        Alternative::Same { literal, equality: Sameness::Exact } => {
            format!("{column}.eq.{}", quoted(literal.text()))
        }
        Alternative::Same { .. } => format!("{column}.match.{}", quoted(&expression(one)?)),
    })
}

/// Parameters without trees.
fn expressions(column: &str, found: &[Alternative], is_negative: bool) -> Result<String, Refusal> {
    let found = found.iter().map(expression).collect::<Result<Vec<_>, _>>()?;
    Ok(if is_negative {
        let each = found.iter().map(|one| format!("{column}=not.match.{}", encoded(one)));
        each.collect::<Vec<_>>().join("&")
    } else {
        let each = found.iter().map(|one| quoted(one));
        format!("{column}=match(any).{{{}}}", each.collect::<Vec<_>>().join(","))
    })
}

/// An alternative as a regular expression of PostgreSQL.
fn expression(one: &Alternative) -> Result<String, Refusal> {
    Ok(match one {
        Alternative::Bound { .. } => {
            let refusal = Refusal::new(Code::MixedTest).by("write");
            return Err(refusal.reason("a range of values in clear cannot decide a write"));
        }
        Alternative::Envelope(text) => format!("^{text}$"),
        Alternative::Like { pattern, case, unlike } => {
            let fold = if *case == Case::Folded { "(?i)" } else { "" };
            let pattern = of_pattern(pattern.text());
            match unlike {
                None => format!("{fold}^{pattern}$"),
                Some(Unlike { start, least }) => {
                    format!("{fold}^(?!{start}.{{{least}}}){pattern}$")
                }
            }
        }
        Alternative::Range(low, high) if is_prefix(low, high) => format!("^{low}"),
        Alternative::Range(..) => return Err(Refusal::new(Code::UnsupportedOperator).by("write")),
        Alternative::Same { literal, equality } => match equality {
            Sameness::Exact => format!("^{}$", escaped(literal.text())),
            Sameness::Folded => format!("(?i)^{}$", escaped(literal.text())),
            Sameness::Padded => format!("^{} *$", escaped(literal.text())),
        },
    })
}

/// A pattern of `LIKE` as a regular expression, in which `.` is any character.
fn of_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(2 * pattern.len());
    let mut characters = pattern.chars();
    while let Some(next) = characters.next() {
        match next {
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '\\' => characters.next().into_iter().for_each(|next| escape(next, &mut out)),
            other => escape(other, &mut out),
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(2 * text.len());
    text.chars().for_each(|next| escape(next, &mut out));
    out
}

fn escape(character: char, out: &mut String) {
    if character.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(character);
}

/// A text in quotes: an element of a list, of an array, or a value in a tree.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("%22{}%22", encoded(&escaped))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_regular_expressions() {
        for (pattern, expected) in [
            ("", ""),
            ("Smi%", "Smi.*"),
            ("S_i", "S.i"),
            (r"100\%", r"100\%"),
            (r"a\_b\\", r"a\_b\\"),
            ("a*b.c", r"a\*b\.c"),
            ("Å (x)", r"Å \(x\)"),
        ] {
            assert_eq!(of_pattern(pattern), expected);
        }
    }

    #[test]
    fn a_text_in_quotes_ends_where_it_ends() {
        assert_eq!(quoted(r#"a"b\c,)"#), "%22a%5C%22b%5C%5Cc%2C%29%22");
    }
}
