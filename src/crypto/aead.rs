//! AES-256-GCM-SIV (RFC 8452): the one file that names the cipher.
//!
//! # Why
//! 2026-11-24: GCM-SIV and not GCM, because a nonce that repeats (a restored machine, a cloned
//! snapshot) then shows only whether two values are equal, instead of giving up the key.

use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _, aead::AeadInOut as _};

use super::residue::wiped;

/// Bytes of a nonce.
pub(super) const NONCE: usize = 12;
/// Bytes of a tag.
pub(super) const TAG: usize = 16;

/// The expanded key. Its round keys are wiped on drop (feature `zeroize` of `aes`), and boxed, so that
/// moving it leaves none behind.
pub(super) struct Cipher(Box<Aes256GcmSiv>);

/// The tag does not match.
#[derive(Debug)]
pub(super) struct WrongTag;

/// More than the 64 GiB that RFC 8452 allows.
#[derive(Debug)]
pub(super) struct TooLong;

impl Cipher {
    /// Expands the key.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(wiped(|| Box::new(Aes256GcmSiv::new(key.into()))))
    }

    /// Encrypts `buffer` in place and returns the tag.
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG], TooLong> {
        let tag = self.0.encrypt_inout_detached(nonce.into(), aad, buffer.into());
        tag.map(Into::into).map_err(|_| TooLong)
    }

    /// Decrypts `buffer` in place. On failure nothing of the plaintext stays in it.
    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG],
    ) -> Result<(), WrongTag> {
        self.0
            .decrypt_inout_detached(nonce.into(), aad, buffer.into(), tag.into())
            .map_err(|_| WrongTag)
    }
}
