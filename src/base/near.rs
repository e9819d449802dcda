//! Names that some server takes for one another: one judgement for every format and for the head.
//!
//! What is declared is compared exactly everywhere. A name that is only near a declared one is
//! refused, since some server would follow it to the protected value: in another case, with blanks,
//! quotes or invisible characters, as a path to it (`people.mrn`), with a cast (`mrn::text`), or
//! among other names behind a separator (`ward;mrn`).

/// A name without what some servers do not look at: case, invisible characters, blanks and quotes
/// around it, and everything from a NUL on.
pub fn folded(name: &str) -> String {
    let seen = |c: &char| !is_invisible(*c);
    let text: String = name.chars().filter(seen).collect();
    let text = text.trim_start_matches('\0');
    let end = text.find('\0').unwrap_or(text.len());
    let is_edge = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    // Invariant: `find` gives the place of a character.
    text.split_at(end).0.trim_matches(is_edge).to_lowercase()
}

/// Whether some server may take `found` for `declared`.
pub fn is_near(declared: &str, found: &str) -> bool {
    let is_simple = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    // Nearly every name: nothing in it separates or hides.
    if is_simple(declared) && is_simple(found) {
        return declared.eq_ignore_ascii_case(found);
    }
    let declared = folded(declared);
    folded(found) == declared || hides(found, |word| *word == *declared)
}

/// Whether a name consists of several words, and `is_declared` says so of one of them.
pub fn hides(name: &str, is_declared: impl Fn(&str) -> bool) -> bool {
    // Also what is no name at all, but a body of another format under a wrong content type.
    let separates =
        |c: char| !(c.is_alphanumeric() || is_invisible(c) || matches!(c, '_' | '-' | ' ' | '\0'));
    name.contains(separates)
        && name.split(separates).map(folded).any(|word| !word.is_empty() && is_declared(&word))
}

/// Whether a name has nothing in it that a server would look at.
pub fn is_blank(name: &str) -> bool {
    folded(name).is_empty()
}

/// Characters that show nothing, and that some servers take out (most of what Unicode calls
/// default-ignorable).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_blanks_quotes_and_what_does_not_show_do_not_tell_names_apart() {
        for found in [
            "mrn",
            "MRN",
            " mrn\t",
            "\u{feff}Mrn",
            "mrn\0x",
            "\0mrn\0",
            "'mrn'",
            "\" mrn\"",
            "`mrn`",
            "m\u{200b}rn",
            "mrn\u{200d}",
            "\u{2060}\u{ad}mrn",
        ] {
            assert!(is_near("mrn", found), "{found:?}");
            assert_eq!(folded(found), "mrn");
        }
        assert!(is_near("ÅLDER", "ålder"));
        for found in ["mr", "mrns", "m rn", "", "älder", "mrn_source", "last mrn"] {
            assert!(!is_near("mrn", found), "{found:?}");
        }
    }

    #[test]
    fn paths_casts_and_lists_hide_a_name() {
        for found in ["people.mrn", "mrn::text", "ward;MRN", "p[mrn]", "mrn[]", "a\tm\u{200b}rn"] {
            assert!(is_near("mrn", found), "{found:?}");
        }
        for found in ["people.mrns", "a-mrn", ";;", "people"] {
            assert!(!is_near("mrn", found), "{found:?}");
        }
        assert!(is_near("a.b", "A.B") && !is_near("a.b", "b"));
    }

    #[test]
    fn a_name_of_blanks_and_marks_is_blank() {
        assert!(["", " \t", "\u{feff}", "\u{feff} \u{200b}", "\"\""].into_iter().all(is_blank));
        assert!(!is_blank("\u{feff}x"));
    }
}
