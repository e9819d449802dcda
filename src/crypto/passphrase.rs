//! A secret under a passphrase: one slot of a root key file.
//!
//! argon2id (RFC 9106) with 64 MiB, three passes and four lanes gives 64 bytes: the wrap key and
//! the commitment key. A passphrase is guessable, so the full 32-byte commitment is what makes one
//! slot open under one passphrase only.
//!
//! # Why
//! 2026-11-24: the costs stand in the slot, so that they can grow; what is read is bounded on both
//! sides, so that a slot from elsewhere can neither ask for all memory nor pass for a strong one.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base::secret::{Plaintext, SecretKey};

use super::{
    NoRandomness, WrapError, WrappedKey, nonce::random_salt, residue::wiped, wrap::Wrapper,
};

const KDF: &str = "argon2id";
const M_KIB: u32 = 64 * 1_024;
const T: u32 = 3;
const P: u32 = 4;
/// Above 1 GiB a slot is an attack on our memory, below 19 MiB (OWASP's floor) it is not ours.
const M_KIB_ACCEPTED: std::ops::RangeInclusive<u32> = 19 * 1_024..=1_024 * 1_024;
const T_ACCEPTED: std::ops::RangeInclusive<u32> = 2..=16;
const P_ACCEPTED: std::ops::RangeInclusive<u32> = 1..=16;
const SALT_ACCEPTED: std::ops::RangeInclusive<usize> = 16..=64;

/// A secret under a passphrase, as stored: texts and numbers, nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// `argon2id`.
    kdf: String,
    /// Memory in KiB.
    m_kib: u32,
    /// Passes.
    t: u32,
    /// Lanes.
    p: u32,
    /// base64url without padding.
    salt: String,
    /// The wrapped secret.
    wrapped: WrappedKey,
}

/// Why a slot was not made or not opened.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// Costs, salt or function outside what is accepted.
    #[error("the costs of a passphrase slot are outside what is accepted")]
    Costs,
    /// No salt.
    #[error("no salt")]
    NoRandomness(#[from] NoRandomness),
    /// The passphrase is not the one of this slot, or the slot was altered.
    #[error("the passphrase does not open this slot")]
    WrongPassphrase,
    /// Wrapping failed.
    #[error("the secret could not be wrapped")]
    Wrap(#[source] WrapError),
}

impl Slot {
    /// Wraps `secret` under `passphrase`. `aad` says for whom and where.
    pub fn wrap(passphrase: &Plaintext, secret: &SecretKey, aad: &[u8]) -> Result<Self, SlotError> {
        let salt = random_salt()?;
        let wrapper = stretch(passphrase, &salt, M_KIB, T, P)?;
        let wrapped = wrapper.wrap(secret, aad).map_err(SlotError::Wrap)?;
        let salt = BASE64.encode(salt);
        Ok(Self { kdf: KDF.to_owned(), m_kib: M_KIB, t: T, p: P, salt, wrapped })
    }

    /// Opens the slot.
    pub fn unwrap(&self, passphrase: &Plaintext, aad: &[u8]) -> Result<SecretKey, SlotError> {
        let salt = BASE64.decode(&self.salt).map_err(|_| SlotError::Costs)?;
        let is_accepted = self.kdf == KDF
            && M_KIB_ACCEPTED.contains(&self.m_kib)
            && T_ACCEPTED.contains(&self.t)
            && P_ACCEPTED.contains(&self.p)
            && SALT_ACCEPTED.contains(&salt.len());
        if !is_accepted {
            return Err(SlotError::Costs);
        }
        let wrapper = stretch(passphrase, &salt, self.m_kib, self.t, self.p)?;
        wrapper.unwrap(&self.wrapped, aad).map_err(|error| match error {
            WrapError::Commitment => SlotError::WrongPassphrase,
            WrapError::Malformed | WrapError::NoRandomness(_) | WrapError::Tag => {
                SlotError::Wrap(error)
            }
        })
    }
}

/// The wrap key and the commitment key of a passphrase.
fn stretch(
    passphrase: &Plaintext,
    salt: &[u8],
    m_kib: u32,
    t: u32,
    p: u32,
) -> Result<Wrapper, SlotError> {
    let params = Params::new(m_kib, t, p, Some(64)).map_err(|_| SlotError::Costs)?;
    wiped(|| {
        let mut keys = Zeroizing::new([[0; 32]; 2]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose(), salt, keys.as_flattened_mut())
            .map_err(|_| SlotError::Costs)?;
        let [wrap, commitment] = &*keys;
        Ok(Wrapper::new(wrap, commitment))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_opens_under_its_passphrase_and_place_alone() {
        let secret = SecretKey::new([7; 32]);
        let slot = Slot::wrap(&"correct horse".into(), &secret, b"main").unwrap();
        let stored = serde_json::to_string(&slot).unwrap();
        let slot: Slot = serde_json::from_str(&stored).unwrap();
        let again = slot.unwrap(&"correct horse".into(), b"main").unwrap();
        assert_eq!(again.expose(), secret.expose());
        let wrong = slot.unwrap(&"correct horze".into(), b"main");
        assert!(matches!(wrong, Err(SlotError::WrongPassphrase)));
        let elsewhere = slot.unwrap(&"correct horse".into(), b"other");
        assert!(matches!(elsewhere, Err(SlotError::WrongPassphrase)));
    }

    #[test]
    fn costs_that_would_eat_the_machine_or_cost_nothing_are_refused() {
        let good = Slot::wrap(&"p".into(), &SecretKey::new([7; 32]), b"").unwrap();
        let bad = [
            Slot { m_kib: u32::MAX, ..good.clone() },
            Slot { m_kib: 8, ..good.clone() },
            Slot { t: 1_000_000, ..good.clone() },
            Slot { t: 1, ..good.clone() },
            Slot { p: 0, ..good.clone() },
            Slot { p: 1 << 20, ..good.clone() },
            Slot { salt: String::new(), ..good.clone() },
            Slot { kdf: "argon2d".to_owned(), ..good.clone() },
        ];
        for slot in bad {
            assert!(matches!(slot.unwrap(&"p".into(), b""), Err(SlotError::Costs)));
        }
    }
}
