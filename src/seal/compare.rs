//! Opened values against tests and against each other, as the column would compare them.
//!
//! # Why
//! Text is ordered by its bytes alone, which is COLLATE "C": what other collations do depends on the
//! version of a library in the database. A pattern is matched as PostgreSQL does: where it ignores
//! case, on the lower case of pattern and text, so that `_` is one character of that. (2026-11)

use std::{cmp::Ordering, str};

use super::value::{self, Moment};
use crate::{
    base::{
        class::{Equality, Rung, ValueType},
        secret::Plaintext,
    },
    crypto::{Kind, Typed, normal},
    model::Case,
    policy::plan::Class,
};

/// How two values of a type compare. `None` for what has no order.
pub(super) fn compare(ty: ValueType, one: &Typed, other: &Typed) -> Option<Ordering> {
    let texts = || (value::to_text(one), value::to_text(other));
    match ty {
        ValueType::BigInt | ValueType::Integer | ValueType::SmallInt => {
            let number = |typed: &Typed| str::from_utf8(typed.value.expose()).ok()?.parse().ok();
            let (one, other): (i64, i64) = (number(one)?, number(other)?);
            Some(one.cmp(&other))
        }
        ValueType::Boolean => {
            let truth = |typed: &Typed| typed.kind == Kind::True;
            Some(truth(one).cmp(&truth(other)))
        }
        ValueType::Date | ValueType::Timestamp | ValueType::TimestampTz => {
            let moment =
                |typed: &Typed| Moment::parse(ty, str::from_utf8(typed.value.expose()).ok()?);
            Some(moment(one)?.cmp(&moment(other)?))
        }
        ValueType::Decimal | ValueType::Numeric { .. } => {
            let (one, other) = texts();
            value::compare_decimals(one.expose(), other.expose())
        }
        ValueType::Json => None,
        // A UUID is spelled in lower case, in the order of its bytes.
        ValueType::Text | ValueType::Uuid | ValueType::VarChar(_) => {
            let (one, other) = texts();
            Some(one.expose().cmp(other.expose()))
        }
    }
}

/// A pattern of SQL, in the form that it is compared in.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: Plaintext,
    /// The rung on whose normal form it is compared; `None`: on the text as it is.
    fold: Option<Rung>,
    equality: Equality,
}

impl Pattern {
    /// For values of a class. What the class takes for equal, its patterns do not tell apart.
    pub fn new(class: &Class, pattern: &Plaintext, case: Case) -> Option<Self> {
        let equality = class.params.equality;
        let fold = match (equality, case) {
            (Equality::Ci | Equality::CiAi, _) => Some(Rung::Eq),
            (Equality::Exact | Equality::PadSpace, Case::Folded) => Some(Rung::Ieq),
            (Equality::Exact | Equality::PadSpace, Case::Exact) => None,
        };
        let pattern = Typed::from_text(str::from_utf8(pattern.expose()).ok()?);
        Some(Self { text: folded(fold, equality, &pattern), fold, equality })
    }

    /// Whether a value is like it as a whole.
    pub fn fits(&self, value: &Typed) -> bool {
        let value = folded(self.fold, self.equality, value);
        let (Ok(text), Ok(pattern)) =
            (str::from_utf8(value.expose()), str::from_utf8(self.text.expose()))
        else {
            return false;
        };
        like(text, pattern)
    }
}

fn folded(fold: Option<Rung>, equality: Equality, value: &Typed) -> Plaintext {
    let form = fold.and_then(|rung| normal::forms(&[rung], equality, value).pop());
    form.unwrap_or_else(|| value::to_text(value))
}

/// `LIKE`: `%` any text, `_` any character, `\` before what stands for itself. In time of the product
/// of both lengths at most.
fn like(text: &str, pattern: &str) -> bool {
    let (mut text, mut pattern) = (text.chars(), pattern.chars());
    // Where to go on if what follows the last `%` does not fit here.
    let mut retry: Option<(str::Chars<'_>, str::Chars<'_>)> = None;
    loop {
        let mut ahead = pattern.clone();
        let fits = match ahead.next() {
            Some('%') => {
                retry = Some((text.clone(), ahead.clone()));
                pattern = ahead;
                continue;
            }
            None if text.as_str().is_empty() => return true,
            None => false,
            Some('_') => text.next().is_some(),
            Some('\\') => ahead.next().is_some_and(|wanted| text.next() == Some(wanted)),
            Some(wanted) => text.next() == Some(wanted),
        };
        if fits {
            pattern = ahead;
            continue;
        }
        let Some((from, rest)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        (text, pattern) = (from.clone(), rest.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_sql() {
        // What PostgreSQL 15 says of each.
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("Smith", "Sm%th", true),
            ("Smth", "Sm%th", true),
            ("Smithy", "Sm%th", false),
            ("Smith", "Sm_th", true),
            ("Smiith", "Sm_th", false),
            ("Smithth", "Sm%th", true),
            ("aXbXc", "a%b%c", true),
            ("abab", "%ab", true),
            ("aba", "%ab", false),
            ("山田", "_田", true),
            ("100%", "100\\%", true),
            ("100x", "100\\%", false),
            ("a_b", "a\\_b", true),
            ("axb", "a\\_b", false),
            ("a\\b", "a\\\\b", true),
            ("ab", "a\\b", true),
            ("abc", "%%c", true),
            ("mississippi", "m%iss%ip%i", true),
            ("mississippi", "m%iss%ix%i", false),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn a_pattern_of_many_wildcards_ends_in_time() {
        let text = "a".repeat(5_000);
        assert!(!like(&text, &format!("{}b", "%a".repeat(200))));
    }

    #[test]
    fn values_compare_as_their_columns_do() {
        let numeric = ValueType::Numeric { precision: 12, scale: 4 };
        let number = |text: &str| Typed::new(Kind::Number, text.into());
        for (ty, less, more) in [
            (ValueType::Integer, number("-10"), number("9")),
            (ValueType::BigInt, number("9"), number("10")),
            (numeric, number("-10.0000"), number("-9.5000")),
            (numeric, number("-0.5000"), number("0.0000")),
            (numeric, number("9.0000"), number("10.0000")),
            (ValueType::Decimal, number("1.05"), number("1.1")),
            (ValueType::Boolean, Typed::from_bool(false), Typed::from_bool(true)),
            (ValueType::Date, Typed::from_text("0999-12-31"), Typed::from_text("2026-01-01")),
            (
                ValueType::TimestampTz,
                Typed::from_text("2026-01-01T10:00:00+00:00"),
                Typed::from_text("2026-01-01T10:00:00.000001+00:00"),
            ),
            (ValueType::Text, Typed::from_text("Z"), Typed::from_text("a")),
            (ValueType::Text, Typed::from_text("a"), Typed::from_text("ab")),
        ] {
            assert_eq!(compare(ty, &less, &more), Some(Ordering::Less), "{ty}");
            assert_eq!(compare(ty, &more, &less), Some(Ordering::Greater), "{ty}");
            assert_eq!(compare(ty, &less, &less), Some(Ordering::Equal), "{ty}");
        }
        let same = compare(ValueType::Decimal, &number("-1.10"), &number("-1.1"));
        assert_eq!(same, Some(Ordering::Equal));
        assert_eq!(compare(ValueType::Json, &number("1"), &number("2")), None);
    }
}
