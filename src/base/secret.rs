//! Types for what must never be seen: wiped on drop, silent in `Debug`, opened only by `expose`.
//!
//! `tests/floors.rs` allows `.expose()` in `crypto`, `keys`, `seal` and `auth` alone. Nothing here
//! implements `Display`, `Serialize`, `Deref` or `PartialEq`: each of them has leaked a secret in
//! some project before.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A value of a protected field (or of a filter on one) in clear, as the bytes of its text.
#[derive(Clone, Default)]
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// Takes over `bytes`; they are wiped when the value is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are the same text. Takes the same time wherever they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is the empty text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Plaintext {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(…)")
    }
}

/// Thirty-two secret bytes: a key, before it has become a handle of `crypto`.
///
/// Not `Clone`: a key has one owner, and moves.
pub struct SecretKey(Box<Zeroizing<[u8; 32]>>);

impl SecretKey {
    /// Wraps key bytes, of which the caller's copies stay behind: for tests, and bytes that are known.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// A key whose bytes are written where they stay.
    pub fn filled(write: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut key = Self::new([0; 32]);
        write(&mut key.0);
        key
    }

    /// The key bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_a_secret_shows_nothing_of_it() {
        let shown = format!("{:?} {:?}", Plaintext::from("Svensson"), SecretKey::new([7; 32]));
        assert_eq!(shown, "Plaintext(…) SecretKey(…)");
    }
}
