//! What frozen envelopes are read and made again with: hexadecimal text, and a nonce that is given.

use labseal::crypto::{NoRandomness, NonceSource};

/// The nonce of a case.
pub struct Fixed(pub [u8; 12]);

impl NonceSource for Fixed {
    fn nonce(&mut self) -> Result<[u8; 12], NoRandomness> {
        Ok(self.0)
    }
}

/// Bytes of a known number.
pub fn unhex<const N: usize>(text: &str) -> [u8; N] {
    bytes(text).try_into().unwrap()
}

/// Bytes.
pub fn bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
