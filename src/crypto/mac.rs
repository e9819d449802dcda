//! HMAC-SHA256 (RFC 2104) with the keyed state kept, so that a message costs no key schedule.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::residue::wiped;

/// A keyed HMAC-SHA256, wiped on drop (feature `zeroize` of `hmac` and `sha2`), and boxed, so that moving
/// it leaves nothing behind.
pub(super) struct HmacKey(Box<Hmac<Sha256>>);

/// The tag does not match.
#[derive(Debug)]
pub(super) struct WrongTag;

impl HmacKey {
    /// Takes the key.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        // Invariant: a key of 32 bytes is at most one block, which every HMAC accepts.
        #[allow(clippy::unwrap_used)]
        Self(wiped(|| Box::new(Hmac::new_from_slice(key).unwrap())))
    }

    /// The tag of the parts, one after the other. Callers make the joints unambiguous.
    pub(super) fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.feed(parts).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> Result<(), WrongTag> {
        self.feed(parts).verify_slice(tag).map_err(|_| WrongTag)
    }

    fn feed(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = (*self.0).clone();
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

/// SHA-256 of a text that is too long for a tuple.
pub(super) fn sha256(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}
