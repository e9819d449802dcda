//! Canaries: texts that occur nowhere else, planted in every protected value and then searched for
//! in every place that must not know them, in every spelling in which they could get there.

use std::{collections::BTreeMap, path::Path};

use base64::Engine as _;

use super::{postgres::read_tree, random};

/// Names with the canary that stands for each.
#[derive(Clone, Debug, Default)]
pub struct Canaries {
    by_name: BTreeMap<String, String>,
}

/// A canary that was found where it must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which canary, by its name.
    pub name: String,
    /// In what spelling.
    pub spelling: &'static str,
    /// Where.
    pub place: String,
}

impl Canaries {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The canary of that name: twelve letters and digits that no other text has.
    pub fn plant(&mut self, name: &str) -> String {
        let text = || {
            let letters = b"bcdfghjkmnpqrstvwxz";
            random::<11>().iter().fold("Q".to_owned(), |mut text, byte| {
                text.push(char::from(letters[usize::from(*byte) % letters.len()]));
                text
            })
        };
        self.by_name.entry(name.to_owned()).or_insert_with(text).clone()
    }

    /// A canary of digits alone, for numbers: does not start with zero.
    pub fn plant_number(&mut self, name: &str) -> String {
        let text = || {
            random::<11>().iter().fold("7".to_owned(), |mut text, byte| {
                text.push(char::from(b'0' + byte % 10));
                text
            })
        };
        self.by_name.entry(name.to_owned()).or_insert_with(text).clone()
    }

    /// Watches for a text that somebody else made, such as a caller's key.
    pub fn adopt(&mut self, name: &str, text: &str) {
        self.by_name.insert(name.to_owned(), text.to_owned());
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.by_name.keys().map(|name| &**name).collect()
    }

    /// Everything found in some bytes.
    pub fn search(&self, place: &str, bytes: &[u8]) -> Vec<Finding> {
        let folded = bytes.to_ascii_lowercase();
        let mut found = Vec::new();
        for (name, canary) in &self.by_name {
            for (spelling, text, fold) in spellings(canary) {
                let here = match fold {
                    Case::Folded => {
                        memchr::memmem::find(&folded, &text.to_ascii_lowercase()).is_some()
                    }
                    Case::Exact => memchr::memmem::find(bytes, &text).is_some(),
                };
                if here {
                    let (name, place) = (name.clone(), place.to_owned());
                    found.push(Finding { name, spelling, place });
                }
            }
        }
        found
    }

    /// Everything found in the files of a folder; fails unless there are at least `files`.
    pub fn search_folder(&self, folder: &Path, files: usize) -> Vec<Finding> {
        let tree = read_tree(folder);
        assert!(tree.len() >= files, "only {} files in {}", tree.len(), folder.display());
        let each = tree.iter();
        each.flat_map(|(path, bytes)| self.search(&path.display().to_string(), bytes)).collect()
    }

    /// Fails, naming canaries and place, if any is in some bytes.
    pub fn assert_none(&self, place: &str, bytes: &[u8]) {
        assert!(self.count() > 0, "no canary was planted");
        let found = self.search(place, bytes);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[derive(Clone, Copy)]
enum Case {
    Exact,
    Folded,
}

/// The spellings in which a text can turn up: in clear and folded, escaped in every way that JSON
/// and URLs allow, in base64 at each of its three offsets, in hexadecimal, as the numbers that
/// `Debug` makes of bytes, in UTF-16.
fn spellings(canary: &str) -> Vec<(&'static str, Vec<u8>, Case)> {
    let bytes = canary.as_bytes();
    let each = |f: &dyn Fn(&u8) -> String| bytes.iter().map(f).collect::<Vec<_>>();
    let mut all = vec![
        ("clear", bytes.to_vec(), Case::Folded),
        ("percent", each(&|b| format!("%{b:02x}")).concat().into_bytes(), Case::Folded),
        ("json", each(&|b| format!("\\u{b:04x}")).concat().into_bytes(), Case::Folded),
        ("hex", each(&|b| format!("{b:02x}")).concat().into_bytes(), Case::Folded),
        ("numbers", each(&u8::to_string).join(", ").into_bytes(), Case::Exact),
        ("hex numbers", each(&|b| format!("0x{b:02x}")).join(", ").into_bytes(), Case::Folded),
        ("utf-16", bytes.iter().flat_map(|b| [*b, 0]).collect(), Case::Exact),
    ];
    for skip in 0..3 {
        // Of an encoding, only the part that does not depend on the neighbours.
        let whole = &bytes[skip..skip + (bytes.len() - skip) / 3 * 3];
        let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(whole);
        all.push(("base64", encoded.into_bytes(), Case::Exact));
    }
    all
}
