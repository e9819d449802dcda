//! What an exchange itself wrote: the stored text of each sealed value, and what it stands for.
//!
//! An error of the API may repeat what was sent. Text found here was sent by this very caller, so
//! giving the plaintext back tells nothing new; any other envelope stays shut.

use std::{collections::BTreeMap, ops::Bound};

use crate::base::{ident::ClassId, secret::Plaintext};

/// At most so many values are kept, and so many bytes of them: an answer names few of what a bulk
/// write wrote, and what is not kept is shown as sealed.
const MAX_VALUES: usize = 8_192;
const MAX_BYTES: usize = 4 << 20;

/// Stored text to plaintext, bounded.
#[derive(Debug, Default)]
pub struct Written {
    values: BTreeMap<Box<str>, Entry>,
    bytes: usize,
}

/// What a stored text stands for.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub class: ClassId,
    pub text: Plaintext,
}

impl Written {
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many texts are kept.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Adds what another step of the same exchange wrote.
    pub fn add(&mut self, other: Self) {
        for (stored, Entry { class, text }) in other.values {
            self.note(&stored, &class, text);
        }
    }

    /// Keeps one value, while there is room.
    pub(super) fn note(&mut self, stored: &str, class: &ClassId, text: Plaintext) {
        let bytes = stored.len() + text.len();
        if self.values.len() < MAX_VALUES && self.bytes + bytes <= MAX_BYTES {
            self.bytes += bytes;
            self.values.insert(stored.into(), Entry { class: class.clone(), text });
        }
    }

    /// Whether [`Self::note`] would keep a value of this length.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.values.len() < MAX_VALUES && self.bytes + bytes <= MAX_BYTES
    }

    /// What this very text stands for.
    pub(super) fn exact(&self, stored: &str) -> Option<&Entry> {
        self.values.get(stored)
    }

    /// What the only text that begins with `cut` stands for.
    pub(super) fn only_with_prefix(&self, cut: &str) -> Option<&Entry> {
        let mut from = self
            .values
            .range::<str, _>((Bound::Included(cut), Bound::Unbounded))
            .map_while(|(stored, entry)| stored.starts_with(cut).then_some(entry));
        let entry = from.next()?;
        from.next().is_none().then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_two_texts_stands_for_none() {
        let class = ClassId::new("c");
        let mut written = Written::default();
        written.note("ls1rAAAB", &class, Plaintext::from("one"));
        written.note("ls1rAAAC", &class, Plaintext::from("two"));
        assert!(written.only_with_prefix("ls1rAAA").is_none());
        assert_eq!(written.only_with_prefix("ls1rAAAC").unwrap().text.expose(), b"two");
        assert!(written.only_with_prefix("ls1rAAAD").is_none());
        assert_eq!(written.exact("ls1rAAAB").unwrap().text.expose(), b"one");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let class = ClassId::new("c");
        let mut written = Written::default();
        for i in 0..10_000 {
            written.note(&format!("ls1r{i}"), &class, Plaintext::from("x"));
        }
        assert_eq!(written.len(), MAX_VALUES);
        assert!(!written.has_room(1));
    }
}
