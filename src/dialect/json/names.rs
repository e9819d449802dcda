//! Names of parameters, and what a server may take them for.

use crate::base::near;

/// Whether some server may take a parameter of this name for a test of a protected place: by the
/// whole name in any case, or by the words in it, as in `filter[mrn]`, `mrn__eq`, `like_name` and
/// `mrnContains`.
pub(super) fn could_be(name: &str, protected: &str) -> bool {
    let (words, sought) = (words(name), words(protected));
    near::folded(name) == protected.to_lowercase()
        || !sought.is_empty() && words.windows(sought.len()).any(|some| *some == *sought)
}

/// The words of a name in lower case: between characters that are no letters and digits, and from
/// one capital after a small letter to the next.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (was_small && c.is_uppercase()) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
        was_small = c.is_lowercase() || c.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The name at the end of a field: of `form:mrn`, `path:mrn`, `query:mrn` and `$.items[*].mrn`, `mrn`.
pub(super) fn last_name(field: &str) -> &str {
    let places = ["form:", "path:", "query:"];
    match places.iter().find_map(|place| field.strip_prefix(place)) {
        Some(name) => name,
        None => field
            .trim_end_matches("[*]")
            .rsplit(['.', '['])
            .next()
            .unwrap_or_default()
            .trim_matches(['\'', '"', ']']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protected_name_is_found_among_the_words_of_a_parameter() {
        for name in [
            "mrn",
            "MRN",
            " mrn",
            "mrn[]",
            "filter[mrn]",
            "mrn__eq",
            "like_mrn",
            "mrn_gte",
            "mrn-like",
            "mrnLike",
            "likeMrn",
            "data.mrn",
            "contains_any_mrn",
            "min_data.mrn",
        ] {
            assert!(could_be(name, "mrn"), "{name}");
        }
        for name in ["like_last_name", "lastName", "last-name", "last.name", "patientLastName"] {
            assert!(could_be(name, "last_name"), "{name}");
        }
        for name in ["", "m", "mrns", "amrn", "name_last", "lastname", "last", "_sort", "limit"] {
            assert!(!could_be(name, "mrn") && !could_be(name, "last_name"), "{name}");
        }
    }
}
