//! Normal forms: what of a value a rung of the token ladder compares.
//!
//! Each rung is computed from the normal form of the next finer one, so that a finer match implies
//! the coarser. A form has a name with a version; it is part of the token and of the register of
//! classes, and never changes its meaning.
//!
//! | name | form |
//! |---|---|
//! | `eq.1` | the value as it is; `true` and `false` spelled out |
//! | `ieq.1` | `eq.1`, each character replaced by its full lower-case mapping (Unicode 16 or later, `Lowercase_Mapping` of UnicodeData and SpecialCasing without conditions, no language, no context) |
//!
//! # Why
//! 2026-11-24: lower-casing rather than case folding, because that is what `ILIKE` and `lower()` of
//! the database would have compared; without context, so that σ and ς at the end of a word stay what
//! they are. Unicode never changes the lower case of a character once assigned (Case Pair
//! Stability), so another Unicode version can only differ for texts with characters that were
//! unassigned when they were sealed.

use zeroize::Zeroizing;

use crate::base::{class::Rung, secret::Plaintext};

use super::{Kind, Typed};

/// The versioned name of a rung's normal form.
pub fn name(rung: Rung) -> &'static str {
    match rung {
        Rung::Eq => "eq.1",
        Rung::Ieq => "ieq.1",
    }
}

/// The normal form of a value on a rung.
pub fn form(rung: Rung, value: &Typed) -> Plaintext {
    match rung {
        Rung::Eq => exact(value),
        Rung::Ieq => lower(&exact(value)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ieq(text: &str) -> String {
        let form = form(Rung::Ieq, &Typed::from_text(text));
        String::from_utf8(form.expose().to_vec()).unwrap()
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
        assert_eq!(form(Rung::Eq, &Typed::from_text("A b")).expose(), b"A b");
        assert_eq!(form(Rung::Eq, &Typed::from_bool(true)).expose(), b"true");
        assert_eq!(form(Rung::Ieq, &Typed::from_bool(false)).expose(), b"false");
    }

    #[test]
    fn no_lower_case_takes_more_than_twice_the_bytes() {
        for character in '\0'..=char::MAX {
            let length: usize = character.to_lowercase().map(char::len_utf8).sum();
            assert!(length <= 2 * character.len_utf8(), "{character:?}");
        }
    }
}
