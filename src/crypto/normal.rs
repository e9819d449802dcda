//! Normal forms: what of a value a rung of the token ladder compares.
//!
//! Each rung is computed from the normal form of the next finer one, so that a finer match implies
//! the coarser. A form has a name with a version; it is part of the token and of the register of
//! classes, and never changes its meaning.
//!
//! | name | form |
//! |---|---|
//! | `eq.1` | the value as it is; `true` and `false` spelled out |
//! | `eq.ci.1` | `eq.1` in lower case |
//! | `eq.ci_ai.1` | `eq.ci.1`, decomposed (NFD), without characters of a combining class other than 0 |
//! | `eq.pad_space.1` | `eq.1` without the spaces (U+0020) at its end |
//! | `ieq.1` | the finer form in lower case |
//! | `prefix(n).1` | the first n characters of the finer form, or all of it if it has fewer |
//! | `month.1` | the first seven characters of the finer form, `2026-11` |
//! | `year.1` | the first four characters of the finer form, `2026` |
//!
//! A character is a Unicode scalar value. Lower case is the full `Lowercase_Mapping` (Unicode 16 or
//! later, UnicodeData and SpecialCasing without conditions) of each character, in no language and
//! no context.
//!
//! # Why
//! 2026-11-24: lower-casing rather than case folding, because that is what `ILIKE` and `lower()` of
//! the database would have compared; without context, so that σ and ς at the end of a word stay what
//! they are. Unicode never changes the lower case of a character once assigned (Case Pair
//! Stability), so another Unicode version can only differ for texts with characters that were
//! unassigned when they were sealed.
//!
//! Marks are known by their combining class and not by their category: the class never changes
//! once assigned, and vowel signs of Indic scripts, whose class is 0, tell words apart where an
//! accent does not.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, char::canonical_combining_class};
use zeroize::Zeroizing;

use crate::base::{
    class::{Equality, Rung},
    secret::Plaintext,
};

use super::{Kind, Typed};

/// The versioned name of a rung's normal form.
pub fn name(rung: Rung, equality: Equality) -> Cow<'static, str> {
    match (rung, equality) {
        (Rung::Eq, Equality::Ci) => "eq.ci.1".into(),
        (Rung::Eq, Equality::CiAi) => "eq.ci_ai.1".into(),
        (Rung::Eq, Equality::Exact) => "eq.1".into(),
        (Rung::Eq, Equality::PadSpace) => "eq.pad_space.1".into(),
        (Rung::Ieq, _) => "ieq.1".into(),
        (Rung::Month, _) => "month.1".into(),
        (Rung::Prefix(count), _) => format!("prefix({count}).1").into(),
        (Rung::Year, _) => "year.1".into(),
    }
}

/// The normal forms of a value on the rungs of a ladder, coarse to fine, as the rungs are.
pub fn forms(rungs: &[Rung], equality: Equality, value: &Typed) -> Vec<Plaintext> {
    let mut forms: Vec<Plaintext> = Vec::with_capacity(rungs.len());
    for rung in rungs.iter().rev() {
        let finer = forms.last();
        let next = match (rung, finer) {
            (Rung::Eq, _) => folded(equality, value),
            (Rung::Ieq, Some(finer)) => lower(finer),
            (Rung::Ieq, None) => lower(&exact(value)),
            (Rung::Month, finer) => first(7, finer.unwrap_or(&exact(value))),
            (Rung::Prefix(count), finer) => first((*count).into(), finer.unwrap_or(&exact(value))),
            (Rung::Year, finer) => first(4, finer.unwrap_or(&exact(value))),
        };
        forms.push(next);
    }
    forms.reverse();
    forms
}

fn folded(equality: Equality, value: &Typed) -> Plaintext {
    let text = exact(value);
    match equality {
        Equality::Ci => lower(&text),
        Equality::CiAi => without_marks(&lower(&text)),
        Equality::Exact => text,
        Equality::PadSpace => {
            let bytes = text.expose();
            let length = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
            Plaintext::new(bytes.get(..length).unwrap_or_default().to_vec())
        }
    }
}

fn exact(value: &Typed) -> Plaintext {
    match value.kind {
        Kind::False => Plaintext::from("false"),
        Kind::True => Plaintext::from("true"),
        Kind::Bytes | Kind::Json | Kind::Number | Kind::String => value.value.clone(),
    }
}

fn lower(text: &Plaintext) -> Plaintext {
    let bytes = text.expose();
    if bytes.is_ascii() {
        return Plaintext::new(bytes.to_ascii_lowercase());
    }
    // Room for the worst case (İ, two bytes to three), so that no copy is left behind by growing.
    let mut folded = Zeroizing::new(Vec::with_capacity(bytes.len() * 2));
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars().flat_map(char::to_lowercase) {
            folded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        folded.extend_from_slice(chunk.invalid());
    }
    Plaintext::new(std::mem::take(&mut *folded))
}

fn without_marks(text: &Plaintext) -> Plaintext {
    let bytes = text.expose();
    if bytes.is_ascii() {
        return text.clone();
    }
    // No character decomposes to more than four times its bytes (tested), so nothing grows.
    let mut bare = Zeroizing::new(Vec::with_capacity(bytes.len() * 4));
    for chunk in bytes.utf8_chunks() {
        let is_base = |character: &char| canonical_combining_class(*character) == 0;
        for character in chunk.valid().nfd().filter(is_base) {
            bare.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        bare.extend_from_slice(chunk.invalid());
    }
    Plaintext::new(std::mem::take(&mut *bare))
}

/// The first so many characters; a byte that is not UTF-8 counts as one.
fn first(count: usize, text: &Plaintext) -> Plaintext {
    let bytes = text.expose();
    let mut left = count;
    let mut end = 0;
    for chunk in bytes.utf8_chunks() {
        for length in chunk
            .valid()
            .chars()
            .map(char::len_utf8)
            .chain(std::iter::repeat_n(1, chunk.invalid().len()))
        {
            if left == 0 {
                return Plaintext::new(bytes.get(..end).unwrap_or_default().to_vec());
            }
            left -= 1;
            end += length;
        }
    }
    text.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(form: &Plaintext) -> String {
        String::from_utf8(form.expose().to_vec()).unwrap()
    }

    fn ladder(rungs: &[Rung], equality: Equality, text: &str) -> Vec<String> {
        forms(rungs, equality, &Typed::from_text(text)).iter().map(shown).collect()
    }

    fn ieq(text: &str) -> String {
        ladder(&[Rung::Ieq, Rung::Eq], Equality::Exact, text).remove(0)
    }

    #[test]
    fn case_is_folded_without_context_or_language() {
        assert_eq!(ieq("SVENSSON"), "svensson");
        assert_eq!(ieq("Åström"), "åström");
        assert_eq!(ieq("ΟΔΟΣ"), "οδοσ");
        assert_eq!(ieq("İstanbul"), "i\u{307}stanbul");
        assert_eq!(ieq("山田"), "山田");
        assert_eq!(ieq("Straße"), "straße");
    }

    #[test]
    fn the_exact_form_is_the_value_and_spells_booleans_out() {
        let all = [Rung::Ieq, Rung::Eq];
        assert_eq!(ladder(&all, Equality::Exact, "A b"), ["a b", "A b"]);
        let forms = forms(&all, Equality::Exact, &Typed::from_bool(false));
        assert_eq!(forms.iter().map(shown).collect::<Vec<_>>(), ["false", "false"]);
    }

    #[test]
    fn each_rung_is_made_of_the_next_finer_one() {
        let all = [Rung::Prefix(1), Rung::Prefix(3), Rung::Ieq, Rung::Eq];
        assert_eq!(ladder(&all, Equality::Exact, "Åström"), ["å", "åst", "åström", "Åström"]);
        assert_eq!(ladder(&all, Equality::Exact, "İz"), ["i", "i\u{307}z", "i\u{307}z", "İz"]);
        assert_eq!(ladder(&all, Equality::Exact, ""), ["", "", "", ""]);
        let exact = [Rung::Prefix(3), Rung::Eq];
        assert_eq!(ladder(&exact, Equality::Exact, "Åström"), ["Åst", "Åström"]);
        assert_eq!(ladder(&exact, Equality::CiAi, "Åström"), ["ast", "astrom"]);
        let dates = [Rung::Year, Rung::Month, Rung::Eq];
        assert_eq!(
            ladder(&dates, Equality::Exact, "2026-11-24"),
            ["2026", "2026-11", "2026-11-24"]
        );
    }

    #[test]
    fn what_is_equal_is_what_the_equality_says() {
        let eq = |equality, text: &str| ladder(&[Rung::Eq], equality, text).remove(0);
        assert_eq!(eq(Equality::Ci, "ÅSTRÖM "), "åström ");
        assert_eq!(eq(Equality::CiAi, "Åström"), eq(Equality::CiAi, "A\u{30a}STRO\u{308}M"));
        assert_eq!(eq(Equality::CiAi, "İ"), "i");
        assert_eq!(eq(Equality::CiAi, "की"), "की", "a vowel sign is no accent");
        assert_eq!(eq(Equality::PadSpace, " A \u{a0}  "), " A \u{a0}");
        assert_eq!(eq(Equality::PadSpace, "   "), "");
    }

    #[test]
    fn no_decomposition_takes_more_than_four_times_the_bytes() {
        for character in '\0'..=char::MAX {
            let length: usize = character.to_string().nfd().map(char::len_utf8).sum();
            assert!(length <= 4 * character.len_utf8(), "{character:?}");
        }
    }

    #[test]
    fn no_lower_case_takes_more_than_twice_the_bytes() {
        for character in '\0'..=char::MAX {
            let length: usize = character.to_lowercase().map(char::len_utf8).sum();
            assert!(length <= 2 * character.len_utf8(), "{character:?}");
        }
    }
}
