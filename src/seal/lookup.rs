//! Which rung of a class's ladder answers a test, and with which values.
//!
//! A test is answered by a rung if it holds for just those values that agree with one of a few given
//! ones on that rung. What holds for some of them alone lies between rungs ([`Lookup::Nearly`]):
//! a coarser rung finds all of them and more, and what it finds must be tested again after opening.
//! `spans` does the same for dates.
//!
//! # Why
//! Patterns of a class whose equality ignores case ignore it too, as those of `citext` do; and where
//! marks are ignored, patterns ignore them, as under a nondeterministic collation of PostgreSQL 18.
//! (2026-11)

pub(super) mod spans;

use std::str;

use super::value::WrongType;
use crate::{
    base::class::{ClassParams, Equality, Rung},
    crypto::{Typed, normal},
    model::Case,
    policy::plan::Class,
};

/// What answers a test.
#[derive(Debug)]
pub(super) enum Lookup {
    /// All values that are not null.
    All,
    /// Those that agree with one of these on its rung. None of them: no value.
    Any(Vec<(Rung, Typed)>),
    /// Some of those that agree with one of these on its rung, and no other.
    Nearly(Vec<(Rung, Typed)>),
    /// Nothing, for this reason.
    Nothing(&'static str),
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
        Equality::PadSpace => return Ok(Lookup::Nothing("spaces at the end count in patterns")),
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
    Ok(match coarser {
        Some(coarser) => Lookup::Nearly(vec![coarser]),
        None => Lookup::Nothing("no rung of match: is as coarse as this pattern"),
    })
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
