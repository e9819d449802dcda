//! Key derivation: HKDF-Expand with SHA-256 (RFC 5869 §2.3), and the injective tuple it is fed.
//!
//! `KDF(prk, label, ctx) = HKDF-Expand(prk, "labseal/v1" 00 label TUP(ctx), 32)`, where shorter
//! outputs are its first bytes. Every label of the format is in [`Label`], once.
//!
//! # Why
//! 2026-11-24: Expand without Extract, because ring keys and root keys are 32 uniformly random
//! bytes already (RFC 5869 §3.3). What is static (tenant, class) goes into the key, what is dynamic
//! into the additional data: a forgotten argument can then never cross tenants or classes.

use crate::base::secret::SecretKey;
use hkdf::Hkdf;
use sha2::Sha256;

use super::residue::wiped;

const DOMAIN: &[u8] = b"labseal/v1\0";

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// HMAC of the commitments in envelopes. Ring key, (tenant, class id).
    Com,
    /// HMAC of what stands around an escrow. Escrow key, ().
    EscrowCheck,
    /// HMAC of the commitment of an escrow. Escrow key, ().
    EscrowCommit,
    /// Names a wrapping key in public. Wrapping key, ().
    Fingerprint,
    /// Cipher of mode `d`. Ring key, (tenant, class id).
    EncD,
    /// Cipher of mode `r`. Ring key, (tenant, class id).
    EncR,
    /// Cipher of mode `s`. Ring key, (tenant, class id).
    EncS,
    /// The five bytes in the envelope. Ring key, (tenant, class id).
    Kid,
    /// MAC of the key log. Root key, ().
    LogMac,
    /// HMAC that makes the nonce of mode `d`. Ring key, (tenant, class id).
    NonceD,
    /// HMAC of what replicas say of themselves. Root key, ().
    ReplicaMac,
    /// HMAC that ties a wrapped root key to its place. Root key, ().
    RootCommit,
    /// Names a root key in public. Root key, ().
    RootName,
    /// HMAC of search tokens. Ring key, (tenant, class id).
    Rung,
    /// Cipher of wrapped keys. Root key, ().
    Wrap,
    /// HMAC of the commitment of wrapped keys. Root key, ().
    WrapCommit,
}

impl Label {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Com => b"com",
            Self::EscrowCheck => b"escrow-check",
            Self::EscrowCommit => b"escrow-commit",
            Self::Fingerprint => b"fingerprint",
            Self::EncD => b"enc-d",
            Self::EncR => b"enc-r",
            Self::EncS => b"enc-s",
            Self::Kid => b"kid",
            Self::LogMac => b"log-mac",
            Self::NonceD => b"nonce-d",
            Self::ReplicaMac => b"replica-mac",
            Self::RootCommit => b"root-commit",
            Self::RootName => b"root-name",
            Self::Rung => b"rung",
            Self::Wrap => b"wrap",
            Self::WrapCommit => b"wrap-commit",
        }
    }
}

/// Why a key could not be derived.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeriveError {
    /// The name does not fit a tuple.
    #[error("a tenant or class id is longer than 65,535 bytes")]
    NameTooLong,
    /// Mode `d` has its keys in the index ring, the others in the data ring.
    #[error("the mode has no keys in this ring")]
    WrongMode,
}

/// KDF(prk, label, ctx).
pub(super) fn derive(
    prk: &SecretKey,
    label: Label,
    ctx: &[&[u8]],
) -> Result<SecretKey, DeriveError> {
    let mut info = [DOMAIN, label.as_bytes()].concat();
    info.extend(tuple(ctx).ok_or(DeriveError::NameTooLong)?);
    // Invariant: the key is as long as the hash and the output no longer than one block.
    #[allow(clippy::unwrap_used)]
    let expand = |key: &mut [u8; 32]| {
        Hkdf::<Sha256>::from_prk(prk.expose()).unwrap().expand(&info, key).unwrap();
    };
    Ok(wiped(|| SecretKey::filled(expand)))
}

/// TUP: count ‖ (u16 big-endian length ‖ bytes)*. Injective, and `None` where it would not be.
pub(super) fn tuple(parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut bytes = vec![u8::try_from(parts.len()).ok()?];
    for part in parts {
        bytes.extend(length(part)?);
        bytes.extend_from_slice(part);
    }
    Some(bytes)
}

/// The length of a part as a tuple writes it.
pub(super) fn length(part: &[u8]) -> Option<[u8; 2]> {
    Some(u16::try_from(part.len()).ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_joint_changes_the_tuple() {
        assert_eq!(tuple(&[]).unwrap(), [0]);
        assert_eq!(tuple(&[b"ab", b"c"]).unwrap(), b"\x02\0\x02ab\0\x01c");
        assert_ne!(tuple(&[b"ab", b"c"]), tuple(&[b"a", b"bc"]));
        assert_ne!(tuple(&[b"a", b""]), tuple(&[b"a"]));
        assert_eq!(tuple(&[&[0; 65_536]]), None);
    }

    #[test]
    fn another_label_or_context_gives_another_key() {
        let prk = SecretKey::new([7; 32]);
        let ctx: [&[u8]; 2] = [b"main", b"c-mrn"];
        let key = derive(&prk, Label::EncR, &ctx).unwrap();
        let other = derive(&prk, Label::EncS, &ctx).unwrap();
        assert_ne!(key.expose(), other.expose());
        let other = derive(&prk, Label::EncR, &[b"mainc", b"-mrn"]).unwrap();
        assert_ne!(key.expose(), other.expose());
    }
}
