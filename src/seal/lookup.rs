//! Which rung of a class's ladder answers a test, and with which values.
//!
//! A test is answered by a rung if it holds for just those values that agree with one of a few given
//! ones on that rung. What holds for some of them alone lies between rungs ([`Lookup::Between`]):
//! a coarser rung finds all of them and more, and what it finds must be tested again after opening.
//!
//! # Why
//! Patterns of a class whose equality ignores case ignore it too, as those of `citext` do; and where
//! marks are ignored, patterns ignore them, as under a nondeterministic collation of PostgreSQL 18.
//! (2026-11)

use std::str;

use super::value::{self, Day, Moment, WrongType};
use crate::{
    base::class::{ClassParams, Equality, Rung, ValueType, Years},
    crypto::{Typed, normal},
    model::{Bound, Case},
    policy::plan::Class,
};

/// What answers a test.
#[derive(Debug)]
pub(super) enum Lookup {
    /// All values that are not null.
    All,
    /// Those that agree with one of these on its rung. None of them: no value.
    Any(Vec<(Rung, Typed)>),
    /// No rung alone.
    Between(Between),
}

/// A test that lies between rungs.
#[derive(Debug)]
pub(super) struct Between {
    /// Values that agree with one of these are all that can pass; `None`: any value can.
    pub coarser: Option<Vec<(Rung, Typed)>>,
    /// Why, for the refusal.
    pub reason: &'static str,
}

fn between(coarser: Option<(Rung, Typed)>, reason: &'static str) -> Lookup {
    Lookup::Between(Between { coarser: coarser.map(|one| vec![one]), reason })
}

/// What answers a pattern.
pub(super) fn pattern(class: &Class, text: &[u8], case: Case) -> Result<Lookup, WrongType> {
    let text = str::from_utf8(text).map_err(|_| WrongType)?;
    let (start, rest) = split(text)?;
    let start = Typed::from_text(&start);
    let params = &class.params;
    // Rungs that ignore what the pattern does not are too coarse for it, and the other way round.
    let folds = params.rungs.contains(&Rung::Ieq)
        || matches!(params.equality, Equality::Ci | Equality::CiAi);
    let is_folded = match params.equality {
        Equality::Ci | Equality::CiAi => true,
        Equality::Exact => case == Case::Folded,
        Equality::PadSpace => return Ok(between(None, "spaces at the end count in patterns")),
    };
    let whole = length_of_start(params, &start);
    let mut coarser = None;
    for rung in &params.rungs {
        let answers = match rung {
            Rung::Eq => rest == Rest::Nothing && (params.equality != Equality::Exact || !is_folded),
            Rung::Ieq => rest == Rest::Nothing && is_folded,
            Rung::Month | Rung::Year => false,
            // A shorter text has all of itself for a prefix, and so does not agree.
            Rung::Prefix(count) => {
                let answers =
                    whole == usize::from(*count) && rest == Rest::Anything && folds == is_folded;
                // What ignores case finds what does not, and not the other way round.
                if !answers && whole >= usize::from(*count) && (folds || !is_folded) {
                    coarser = Some((*rung, start.clone()));
                }
                answers
            }
        };
        if answers {
            return Ok(Lookup::Any(vec![(*rung, start)]));
        }
    }
    if rest == Rest::Anything && start.value.is_empty() {
        return Ok(Lookup::All);
    }
    Ok(between(coarser, "no rung of match: has the grain of this pattern"))
}

/// How many characters the beginning of a pattern has on the rung that prefixes are made of.
fn length_of_start(params: &ClassParams, start: &Typed) -> usize {
    let forms = normal::forms(&params.rungs, params.equality, start);
    let finer = params.rungs.iter().zip(&forms).find(|(rung, _)| !matches!(rung, Rung::Prefix(_)));
    let form = finer.map(|(_, form)| form.expose()).unwrap_or_default();
    str::from_utf8(form).map_or(form.len(), |text| text.chars().count())
}

/// What follows the beginning of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// `%`: any text.
    Anything,
    /// Nothing: the text ends there.
    Nothing,
    /// Anything else.
    Pattern,
}

/// The literal text that a pattern begins with, and what follows it.
fn split(pattern: &str) -> Result<(zeroize::Zeroizing<String>, Rest), WrongType> {
    let mut start = zeroize::Zeroizing::new(String::with_capacity(pattern.len()));
    let mut characters = pattern.chars();
    while let Some(next) = characters.next() {
        match next {
            '%' if characters.as_str().chars().all(|next| next == '%') => {
                return Ok((start, Rest::Anything));
            }
            '%' | '_' => return Ok((start, Rest::Pattern)),
            // The database refuses a pattern that ends in an escape.
            '\\' => start.push(characters.next().ok_or(WrongType)?),
            other => start.push(other),
        }
    }
    Ok((start, Rest::Nothing))
}

/// The values on one side of a bound, as a span of moments: from, and up to but without.
pub(super) fn side(
    class: &Class,
    bound: Bound,
    text: &[u8],
) -> Result<(Moment, Moment), WrongType> {
    let ty = class.params.ty;
    let text = str::from_utf8(text).map_err(|_| WrongType)?;
    let at = Moment::parse(ty, value::trim(text)).ok_or(WrongType)?;
    let (first, last) = (Moment::of_year(1), Moment::end());
    Ok(match bound {
        Bound::Above => (at.next(ty), last),
        Bound::AtLeast => (at, last),
        Bound::AtMost => (first, at.next(ty)),
        Bound::Below => (first, at),
    })
}

/// What answers a span of moments: years where they are whole, then months, then days. A span that
/// takes parts of months, or too many texts, is found within whole months, or whole years. `years` are
/// all that stored values may be in, whatever the policy says now.
pub(super) fn span(class: &Class, years: Years, (from, to): (Moment, Moment)) -> Lookup {
    let first = Moment::of_year(years.first());
    let end = Moment::of_year(years.last() + 1);
    if from <= first && to >= end {
        return Lookup::All;
    }
    let (from, to) = (from.max(first), to.min(end));
    let reason = match spell(class, from, to) {
        Ok(values) => return Lookup::Any(values),
        Err(reason) => reason,
    };
    let coarser = [Rung::Month, Rung::Year]
        .into_iter()
        .filter(|rung| class.params.rungs.contains(rung))
        .find_map(|rung| spell(class, begin(from, rung), end_of(to, rung)).ok());
    Lookup::Between(Between { coarser, reason })
}

/// Years, months and days that together are a span. Why not, if they cannot be.
fn spell(class: &Class, from: Moment, to: Moment) -> Result<Vec<(Rung, Typed)>, &'static str> {
    let params = &class.params;
    let has = |rung| params.rungs.contains(&rung);
    let mut at = from;
    let mut found = Vec::new();
    while at < to {
        let (Day { year, month, day }, begins_day) = at.day();
        let next_year = Moment::of_year(year + 1);
        let next_month = Moment::of(year, month + 1, 1).unwrap_or(next_year);
        let (rung, next) =
            if begins_day && day == 1 && month == 1 && next_year <= to && has(Rung::Year) {
                (Rung::Year, next_year)
            } else if begins_day && day == 1 && next_month <= to && has(Rung::Month) {
                (Rung::Month, next_month)
            } else if params.ty == ValueType::Date && has(Rung::Eq) {
                (Rung::Eq, at.next(params.ty))
            } else {
                return Err(
                    "the range does not begin and end where a rung of match: does (in UTC)",
                );
            };
        if found.len() == class.at_most {
            return Err("the range takes more years, months and days than range: at_most allows");
        }
        found.push((rung, at.typed(params.ty)));
        at = next;
    }
    Ok(found)
}

/// The beginning of the month or year that a moment is in.
fn begin(at: Moment, rung: Rung) -> Moment {
    let (Day { year, month, .. }, _) = at.day();
    let month = if rung == Rung::Month { month } else { 1 };
    Moment::of(year, month, 1).unwrap_or(at)
}

/// The end of the month or year that what is before a moment is in.
fn end_of(at: Moment, rung: Rung) -> Moment {
    let begin = begin(at, rung);
    if begin == at {
        return at;
    }
    let (Day { year, month, .. }, _) = begin.day();
    let next_month = Moment::of(year, month + 1, 1).filter(|_| rung == Rung::Month);
    next_month.unwrap_or_else(|| Moment::of_year(year + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_at(pattern: &str) -> Option<(String, Rest)> {
        split(pattern).ok().map(|(start, rest)| (start.to_string(), rest))
    }

    #[test]
    fn a_pattern_is_a_beginning_and_what_follows_it() {
        for (pattern, start, rest) in [
            ("", "", Rest::Nothing),
            ("smi", "smi", Rest::Nothing),
            ("smi%", "smi", Rest::Anything),
            ("smi%%", "smi", Rest::Anything),
            ("%", "", Rest::Anything),
            ("smi%_", "smi", Rest::Pattern),
            ("s_i%", "s", Rest::Pattern),
            (r"100\%", "100%", Rest::Nothing),
            (r"100\%%", "100%", Rest::Anything),
            (r"a\_\b\\", r"a_b\", Rest::Nothing),
        ] {
            assert_eq!(split_at(pattern), Some((start.to_owned(), rest)), "{pattern}");
        }
        assert_eq!(split_at(r"a\"), None);
    }
}
