//! The additional data (AAD) of an envelope: everything in it that is neither nonce nor ciphertext,
//! and the record that the value belongs to.
//!
//! `"LS1" mode [rungs tokens] flags kid TUP(record, subject leaf)`. Tokens are in it, so moving the
//! tokens of one value in front of the body of another makes the body unreadable. `record` is
//! TUP(collection, key) with the flag R and empty without it; the last part is empty while the flag
//! S is reserved.
//!
//! # Why
//! The key of the record is not hashed first: AES-GCM-SIV takes additional data of any length, and
//! one thing less can differ between two implementations. The name of the field is not in it: an API
//! answers the same value in places of different names. (2026-11)

use zeroize::Zeroizing;

use crate::base::ident::Kid;

use super::{
    derive::length,
    envelope::{Bond, Flags},
};

/// The longest key of a record, in bytes: what fits a B-tree row of PostgreSQL.
pub const MAX_KEY: usize = 1_800;

/// TUP("", "").
const UNBOUND: [u8; 5] = [2, 0, 0, 0, 0];
/// "LS1", mode, rungs, four tokens, flags, kid, tuple.
const MAX: usize = 3 + 1 + 1 + 48 + 1 + 5 + UNBOUND.len();

/// The record that a value belongs to: TUP(collection, key). The key may be a protected value.
pub struct Record(Zeroizing<Vec<u8>>);

/// The key of a record is longer than [`MAX_KEY`], or the name of its collection than a tuple takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key of the record is too long")]
pub struct KeyTooLong;

impl Record {
    /// The record with this key in this collection.
    pub fn new(collection: &str, key: &[u8]) -> Result<Self, KeyTooLong> {
        if key.len() > MAX_KEY || collection.len() > MAX_KEY {
            return Err(KeyTooLong);
        }
        let mut tuple = Zeroizing::new(Vec::with_capacity(5 + collection.len() + key.len()));
        tuple.push(2);
        for part in [collection.as_bytes(), key] {
            tuple.extend_from_slice(&length(part).ok_or(KeyTooLong)?);
            tuple.extend_from_slice(part);
        }
        Ok(Self(tuple))
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record(…)")
    }
}

/// The additional data: on the stack, unless a record is in it.
pub(super) struct Binding {
    bytes: [u8; MAX],
    length: usize,
    bound: Zeroizing<Vec<u8>>,
}

impl Binding {
    /// `head` is the text up to the body: `ls1`, mode, rungs, tokens. At most 53 bytes. `None` where
    /// the flag R says one thing about the record, and the caller another.
    pub(super) fn new(
        head: &[u8],
        flags: Flags,
        kid: Kid,
        record: Option<&Record>,
    ) -> Option<Self> {
        debug_assert!(head.len() <= 53 && head.starts_with(b"ls1"));
        let mut binding = Self { bytes: [0; MAX], length: 0, bound: Zeroizing::default() };
        binding.push(b"LS1");
        binding.push(&head[3.min(head.len())..]);
        binding.push(&[flags.byte()]);
        binding.push(&kid.0);
        match (flags.bond(), record) {
            (Bond::Free, None) => binding.push(&UNBOUND),
            (Bond::Record, Some(Record(tuple))) => {
                let parts = [&[2][..], &length(tuple)?, tuple, &[0, 0]];
                let size = binding.length + parts.iter().map(|part| part.len()).sum::<usize>();
                // Reserved at once: a vector that grows leaves copies behind.
                binding.bound.reserve_exact(size);
                binding.bound.extend_from_slice(&binding.bytes[..binding.length]);
                parts.iter().for_each(|part| binding.bound.extend_from_slice(part));
            }
            (Bond::Free, Some(_)) | (Bond::Record, None) => return None,
        }
        Some(binding)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self.bound.is_empty() {
            // Invariant: only `push` moves `length`, and never past the end.
            true => &self.bytes[..self.length],
            false => &self.bound,
        }
    }

    fn push(&mut self, part: &[u8]) {
        // Invariant: heads come from the parser or a ladder, both of which stop at four tokens.
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binding_spells_mode_flags_and_kid() {
        let binding = Binding::new(b"ls1r", Flags::padded(), Kid(*b"abcde"), None).unwrap();
        assert_eq!(binding.as_bytes(), b"LS1r\x04abcde\x02\0\0\0\0");
    }

    #[test]
    fn the_longest_ladder_fits() {
        let head = format!("ls1s4{}", "a".repeat(48));
        let binding = Binding::new(head.as_bytes(), Flags::padded(), Kid([9; 5]), None).unwrap();
        assert_eq!(binding.as_bytes().len(), MAX);
    }

    #[test]
    fn a_record_is_a_tuple_of_its_own_within_the_tuple() {
        let record = Record::new("t", b"A1").unwrap();
        let flags = Flags::padded().bound(Some(&record));
        let binding = Binding::new(b"ls1r", flags, Kid(*b"abcde"), Some(&record)).unwrap();
        assert_eq!(binding.as_bytes(), b"LS1r\x05abcde\x02\0\x08\x02\0\x01t\0\x02A1\0\0");
    }

    #[test]
    fn flag_and_record_must_agree() {
        let record = Record::new("t", b"A1").unwrap();
        let (free, bound) = (Flags::padded(), Flags::padded().bound(Some(&record)));
        assert!(Binding::new(b"ls1r", free, Kid([1; 5]), Some(&record)).is_none());
        assert!(Binding::new(b"ls1r", bound, Kid([1; 5]), None).is_none());
    }

    #[test]
    fn a_key_of_any_length_moves_nothing_into_the_name_of_the_collection() {
        let tuple = |collection, key: &str| Record::new(collection, key.as_bytes()).unwrap().0;
        assert_ne!(tuple("ab", "c"), tuple("a", "bc"));
        assert_ne!(tuple("a", ""), tuple("", "a"));
        assert!(Record::new("a", &[b'x'; MAX_KEY]).is_ok());
        assert!(Record::new("a", &[b'x'; MAX_KEY + 1]).is_err());
    }
}
