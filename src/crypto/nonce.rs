//! Nonces: twelve random bytes for each value that is sealed in mode `r` or `s`, or wrapped.
//!
//! # Why
//! 2026-11-24: a system call per nonce costs more than the cipher, so each thread draws 4 KiB at a
//! time. The buffer is not discarded on fork: the process starts others only by exec, and a nonce
//! that did repeat would show no more than the equality of two equal values (RFC 8452 §9).

use std::cell::RefCell;

use zeroize::Zeroize as _;

use crate::base::secret::SecretKey;

use super::aead::NONCE;

/// The operating system gives no randomness. Nothing may be sealed.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no randomness")]
pub struct NoRandomness(#[source] getrandom::Error);

/// Where nonces come from. In this crate only [`Nonces`]; tests of the frozen format bring theirs.
pub trait NonceSource {
    /// Twelve bytes that were never given before.
    fn nonce(&mut self) -> Result<[u8; NONCE], NoRandomness>;
}

const BUFFER: usize = 4_096 / NONCE * NONCE;

/// A buffer of randomness of the operating system.
pub struct Nonces {
    bytes: Box<[u8; BUFFER]>,
    used: usize,
}

impl Nonces {
    /// An empty buffer, filled at first use.
    pub fn new() -> Self {
        Self { bytes: Box::new([0; BUFFER]), used: BUFFER }
    }

    /// Lends the buffer of this thread.
    pub fn with_thread<R>(job: impl FnOnce(&mut Self) -> R) -> R {
        thread_local! {
            static OF_THREAD: RefCell<Nonces> = RefCell::new(Nonces::new());
        }
        OF_THREAD.with(|nonces| match nonces.try_borrow_mut() {
            Ok(mut nonces) => job(&mut nonces),
            // A job within a job: the buffer is lent already.
            Err(_) => job(&mut Self::new()),
        })
    }
}

impl Default for Nonces {
    fn default() -> Self {
        Self::new()
    }
}

impl NonceSource for Nonces {
    #[inline]
    fn nonce(&mut self) -> Result<[u8; NONCE], NoRandomness> {
        if self.used == BUFFER {
            getrandom::fill(&mut self.bytes[..]).map_err(NoRandomness)?;
            self.used = 0;
        }
        let mut nonce = [0; NONCE];
        // Invariant: `used` is a multiple of NONCE below BUFFER, which is one too.
        let fresh = &mut self.bytes[self.used..self.used + NONCE];
        nonce.copy_from_slice(fresh);
        fresh.zeroize();
        self.used += NONCE;
        Ok(nonce)
    }
}

impl Drop for Nonces {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Thirty-two bytes of the operating system, for a new key.
pub fn random_key() -> Result<SecretKey, NoRandomness> {
    let mut filled = Ok(());
    let key = SecretKey::filled(|room| filled = getrandom::fill(room));
    filled.map_err(NoRandomness)?;
    Ok(key)
}

/// Sixteen bytes of the operating system, for a salt.
pub(super) fn random_salt() -> Result<[u8; 16], NoRandomness> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_nonce_comes_twice_across_fills_of_the_buffer() {
        let mut nonces = Nonces::new();
        let seen: BTreeSet<_> = (0..2_000).map(|_| nonces.nonce().unwrap()).collect();
        assert_eq!(seen.len(), 2_000);
    }

    #[test]
    fn a_given_nonce_is_wiped_from_the_buffer() {
        let mut nonces = Nonces::new();
        nonces.nonce().unwrap();
        assert_eq!(nonces.bytes[..NONCE], [0; NONCE]);
    }
}
