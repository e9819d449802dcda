//! Names that some server takes for one another: in another case, or with white space around them.
//!
//! What is declared is compared exactly everywhere. A name that is only near a declared one is
//! refused, since some server would follow it to the protected value.

/// A name without what some servers do not look at: case, white space around it, and everything from
/// a NUL on.
pub fn folded(name: &str) -> String {
    stripped(name).to_lowercase()
}

/// Whether some server may take `found` for `declared`.
pub fn is_near(declared: &str, found: &str) -> bool {
    let (declared, found) = (stripped(declared), stripped(found));
    if declared.is_ascii() && found.is_ascii() {
        return declared.eq_ignore_ascii_case(found);
    }
    declared.to_lowercase() == found.to_lowercase()
}

fn stripped(name: &str) -> &str {
    let unmarked = name.trim_start_matches(['\u{feff}', '\0']);
    let end = unmarked.find('\0').unwrap_or(unmarked.len());
    // Invariant: `find` gives the place of a character.
    unmarked.split_at(end).0.trim().trim_matches('\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_white_space_and_what_follows_a_nul_do_not_tell_names_apart() {
        for found in ["mrn", "MRN", " mrn\t", "\u{feff}Mrn", "mrn\0x", "\0mrn\0"] {
            assert!(is_near("mrn", found), "{found:?}");
            assert_eq!(folded(found), "mrn");
        }
        assert!(is_near("ÅLDER", "ålder"));
        for found in ["mr", "mrns", "m rn", "", "älder"] {
            assert!(!is_near("mrn", found), "{found:?}");
        }
    }
}
