//! Wrapped keys: a key sealed under another, with a commitment to that other key.
//!
//! ```text
//! wrapped = alg[1] nonce[12] ct[32] tag[16] commitment[32]      alg = 01
//! ```
//!
//! AES-256-GCM-SIV does not commit to its key: one ciphertext can be made that opens under two
//! (Len, Grubbs, Ristenpart, USENIX Security 2021). So HMAC-SHA256, under a key derived from the same
//! secret, over everything before the commitment and the additional data is checked first, in full.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

use crate::base::secret::SecretKey;

use super::{
    NoRandomness, NonceSource, Nonces,
    aead::{Cipher, NONCE, TAG},
    mac::HmacKey,
    residue::wiped,
};

const ALG: u8 = 1;
const COMMITMENT: usize = 32;
/// Everything around the ciphertext.
const AROUND: usize = 1 + NONCE + TAG + COMMITMENT;
/// A wrapped key of 32 bytes.
const WRAPPED: usize = AROUND + 32;

/// Why a key was not wrapped or not unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// Another key wrapped this, or it was altered, or it stands in another place. Fatal.
    #[error("the commitment of a wrapped key does not match: wrong key, wrong place, or altered")]
    Commitment,
    /// Not of the form of a wrapped key.
    #[error("not a wrapped key")]
    Malformed,
    /// No nonce.
    #[error("no nonce")]
    NoRandomness(#[from] NoRandomness),
    /// The commitment matches and the tag does not: made by nothing that follows the format. Fatal.
    #[error("the tag of a wrapped key does not match")]
    Tag,
}

/// A key sealed under another. Not secret; its form is in the documentation of this module.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey(Vec<u8>);

impl WrappedKey {
    /// Takes stored bytes of the right length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WrapError> {
        let is_ours = bytes.len() == WRAPPED && bytes.first() == Some(&ALG);
        if is_ours { Ok(Self(bytes.to_vec())) } else { Err(WrapError::Malformed) }
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads base64url without padding.
    pub fn parse(text: &str) -> Result<Self, WrapError> {
        Self::from_bytes(&BASE64.decode(text).map_err(|_| WrapError::Malformed)?)
    }
}

impl fmt::Display for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappedKey(…)")
    }
}

impl Serialize for WrappedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WrappedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// A cipher key and a commitment key from one secret.
pub(super) struct Wrapper {
    cipher: Cipher,
    commitment: HmacKey,
}

impl Wrapper {
    pub(super) fn new(cipher: &[u8; 32], commitment: &[u8; 32]) -> Self {
        Self { cipher: Cipher::new(cipher), commitment: HmacKey::new(commitment) }
    }

    pub(super) fn wrap(&self, key: &SecretKey, aad: &[u8]) -> Result<WrappedKey, WrapError> {
        wiped(|| self.seal(key, aad))
    }

    pub(super) fn unwrap(&self, wrapped: &WrappedKey, aad: &[u8]) -> Result<SecretKey, WrapError> {
        wiped(|| {
            let text = self.open(&wrapped.0, aad)?;
            let key = text.as_array::<32>().ok_or(WrapError::Malformed)?;
            Ok(SecretKey::filled(|room| room.copy_from_slice(key)))
        })
    }

    fn seal(&self, key: &SecretKey, aad: &[u8]) -> Result<WrappedKey, WrapError> {
        let nonce = Nonces::with_thread(|nonces| nonces.nonce())?;
        let mut ct = Zeroizing::new(key.expose().to_vec());
        let tag = self.cipher.seal(&nonce, aad, &mut ct).map_err(|_| WrapError::Malformed)?;
        let mut bytes = [&[ALG], &nonce[..], &ct[..], &tag].concat();
        bytes.extend(self.commitment.tag(&[&bytes, aad]));
        Ok(WrappedKey(bytes))
    }

    /// Opens a committed ciphertext of any length.
    fn open(&self, bytes: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        let (body, commitment) =
            bytes.split_last_chunk::<COMMITMENT>().ok_or(WrapError::Malformed)?;
        self.commitment.verify(&[body, aad], commitment).map_err(|_| WrapError::Commitment)?;
        let (sealed, tag) = body.split_last_chunk::<TAG>().ok_or(WrapError::Malformed)?;
        let (alg, sealed) = sealed.split_first().ok_or(WrapError::Malformed)?;
        let (nonce, ct) = sealed.split_first_chunk::<NONCE>().ok_or(WrapError::Malformed)?;
        if *alg != ALG {
            return Err(WrapError::Malformed);
        }
        let mut text = Zeroizing::new(ct.to_vec());
        self.cipher.open(nonce, aad, &mut text, tag).map_err(|_| WrapError::Tag)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ident::{ClassId, Tenant};
    use crate::crypto::{Kek, RingKey, RootKey};

    /// One ciphertext that opens under two keys and two contexts: "HIV: NEGATIVE" stands in the
    /// first block under the one, "HIV: POSITIVE" in the second under the other.
    const SALAMANDER: [u8; 64] = *b"\
        \x05\x20\xc0\x76\x96\xdd\xfd\x92\x4b\x3f\xa8\xf5\x4b\xa0\x86\xc1\
        \xfe\x53\xdf\xc8\xc9\xa1\xe7\xcc\xcd\x22\xac\x40\x1a\xcd\x1a\x4b\
        \xc0\x7f\xbf\x80\xf7\x8d\xed\x75\x41\xe8\xef\x06\xe6\x6a\x6c\x01\
        \xd0\x1b\x94\xf5\xb4\xb9\x3c\xe7\x82\x1c\xcf\x0b\x39\x9a\x93\x56";
    const NONCE_OF_IT: [u8; NONCE] = [0x5a; NONCE];
    const TAG_OF_IT: [u8; TAG] = [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const ONE: ([u8; 32], &[u8]) = ([0x11; 32], b"kid=1|tenant=a|field=hiv_status|rec=4711");
    const OTHER: ([u8; 32], &[u8]) = ([0x22; 32], b"kid=2|tenant=b|field=hiv_status|rec=9999");

    #[test]
    fn a_ciphertext_for_two_keys_opens_under_the_committed_one_alone() {
        for ((key, aad), text) in [(ONE, "HIV: NEGATIVE"), (OTHER, "HIV: POSITIVE")] {
            let mut bytes = SALAMANDER;
            // The bare cipher is fooled: this is what the commitment is for.
            Cipher::new(&key).open(&NONCE_OF_IT, aad, &mut bytes, &TAG_OF_IT).unwrap();
            assert!(bytes.windows(13).any(|window| window == text.as_bytes()));
        }
        let [one, other] = [ONE, OTHER].map(|(key, _)| Wrapper::new(&key, &key));
        let body = [&[ALG][..], &NONCE_OF_IT, &SALAMANDER, &TAG_OF_IT].concat();
        let committed = [&body[..], &one.commitment.tag(&[&body, ONE.1])].concat();
        assert!(one.open(&committed, ONE.1).is_ok());
        for aad in [ONE.1, OTHER.1] {
            assert!(matches!(other.open(&committed, aad), Err(WrapError::Commitment)));
        }
    }

    #[test]
    fn a_ring_key_comes_back_from_its_place_under_its_root_alone() {
        let (root, ring) = (RootKey::generate().unwrap(), RingKey::generate().unwrap());
        let wrapped = root.wrap(&ring, b"data/1").unwrap();
        assert_eq!(wrapped.as_bytes().len(), WRAPPED);
        let wrapped = WrappedKey::parse(&wrapped.to_string()).unwrap();
        let kid = |key: &RingKey| key.kid(&Tenant::new("t"), &ClassId::new("c"));
        assert_eq!(kid(&root.unwrap(&wrapped, b"data/1").unwrap()), kid(&ring));
        assert!(matches!(root.unwrap(&wrapped, b"data/2"), Err(WrapError::Commitment)));
        let stranger = RootKey::generate().unwrap();
        assert!(matches!(stranger.unwrap(&wrapped, b"data/1"), Err(WrapError::Commitment)));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_of_a_wrapped_key_is_refused() {
        let (root, ring) = (RootKey::generate().unwrap(), RingKey::generate().unwrap());
        let wrapped = root.wrap(&ring, b"").unwrap();
        for bit in 0..WRAPPED * 8 {
            let mut bytes = wrapped.0.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let refused = WrappedKey::from_bytes(&bytes).and_then(|key| root.unwrap(&key, b""));
            assert!(refused.is_err(), "bit {bit}");
        }
        for end in 0..WRAPPED {
            assert!(WrappedKey::from_bytes(&wrapped.0[..end]).is_err());
        }
    }

    #[test]
    fn a_root_key_comes_back_from_a_key_above_it_and_authenticates_the_same() {
        let (kek, root) = (Kek::generate().unwrap(), RootKey::generate().unwrap());
        let wrapped = kek.wrap(&root, b"main").unwrap();
        let again = kek.unwrap(&wrapped, b"main").unwrap();
        let mac = root.mac(b"entry");
        assert_eq!(again.verify_mac(b"entry", &mac), Ok(()));
        assert!(again.verify_mac(b"entry.", &mac).is_err());
        assert!(again.verify_mac(b"entry", &mac[..31]).is_err());
        assert!(RootKey::generate().unwrap().verify_mac(b"entry", &mac).is_err());
    }
}
