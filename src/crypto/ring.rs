//! Root keys and ring keys: handles that derive, wrap and authenticate, and give nothing away.
//!
//! A root key (one per tenant) wraps ring keys and authenticates the key log. A ring key is the
//! secret of one key version; class keys are derived from it.

use crate::base::{
    ident::{ClassId, Kid, Tenant},
    secret::SecretKey,
};

use super::{
    NoRandomness, WrapError, WrappedKey,
    derive::{DeriveError, Label, derive},
    mac::HmacKey,
    nonce::random_key,
    residue::wiped,
    wrap::Wrapper,
};

/// The secret of one key version of a ring.
pub struct RingKey(SecretKey);

impl RingKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        random_key().map(Self)
    }

    /// Takes over key bytes.
    pub fn from_secret(secret: SecretKey) -> Self {
        Self(secret)
    }

    /// The kid of a class under this key version: KDF(ring key, "kid", tenant, class)[..5].
    pub fn kid(&self, tenant: &Tenant, class: &ClassId) -> Result<Kid, DeriveError> {
        let [k0, k1, k2, k3, k4, ..] = *self.derive(Label::Kid, tenant, class)?.expose();
        Ok(Kid([k0, k1, k2, k3, k4]))
    }

    pub(super) fn derive(
        &self,
        label: Label,
        tenant: &Tenant,
        class: &ClassId,
    ) -> Result<SecretKey, DeriveError> {
        derive(&self.0, label, &[tenant.as_str().as_bytes(), class.as_str().as_bytes()])
    }
}

/// The MAC does not match: the text was altered, or belongs to another root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the authentication code does not match")]
pub struct WrongMac;

/// The root key of a tenant. As with every key here, there is one of it, and nothing shows it:
///
/// ```
/// fn is_sent<T: Send>() {}
/// is_sent::<labseal::crypto::RootKey>();
/// ```
///
/// ```compile_fail
/// fn is_copied<T: Clone>() {}
/// is_copied::<labseal::crypto::RootKey>();
/// ```
///
/// ```compile_fail
/// fn is_shown<T: std::fmt::Debug>() {}
/// is_shown::<labseal::crypto::RootKey>();
/// ```
///
/// ```compile_fail
/// fn is_written<T: serde::Serialize>() {}
/// is_written::<labseal::crypto::RootKey>();
/// ```
pub struct RootKey {
    secret: SecretKey,
    wrapper: Wrapper,
    log: HmacKey,
    replicas: HmacKey,
    commitment: HmacKey,
}

impl RootKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        random_key().map(Self::from_secret)
    }

    /// Takes over key bytes.
    pub fn from_secret(secret: SecretKey) -> Self {
        let wrapper = wrapper(&secret);
        let log = HmacKey::new(from_root(&secret, Label::LogMac).expose());
        let replicas = HmacKey::new(from_root(&secret, Label::ReplicaMac).expose());
        let commitment = HmacKey::new(from_root(&secret, Label::RootCommit).expose());
        Self { secret, wrapper, log, replicas, commitment }
    }

    /// Wraps a ring key. `aad` is its place in the key log.
    pub fn wrap(&self, key: &RingKey, aad: &[u8]) -> Result<WrappedKey, WrapError> {
        self.wrapper.wrap(&key.0, aad)
    }

    /// Unwraps a ring key that was wrapped for this place.
    pub fn unwrap(&self, wrapped: &WrappedKey, aad: &[u8]) -> Result<RingKey, WrapError> {
        self.wrapper.unwrap(wrapped, aad).map(RingKey)
    }

    /// Authenticates an entry of the key log: HMAC-SHA256 under KDF(root, "log-mac").
    pub fn mac(&self, entry: &[u8]) -> [u8; 32] {
        wiped(|| self.log.tag(&[entry]))
    }

    /// Checks what [`Self::mac`] made, in constant time.
    pub fn verify_mac(&self, entry: &[u8], mac: &[u8]) -> Result<(), WrongMac> {
        wiped(|| self.log.verify(&[entry], mac)).map_err(|_| WrongMac)
    }

    /// Authenticates what a replica says of itself: HMAC-SHA256 under KDF(root, "replica-mac").
    pub fn replica_mac(&self, row: &[u8]) -> [u8; 32] {
        wiped(|| self.replicas.tag(&[row]))
    }

    /// Checks what [`Self::replica_mac`] made, in constant time.
    pub fn verify_replica_mac(&self, row: &[u8], mac: &[u8]) -> Result<(), WrongMac> {
        wiped(|| self.replicas.verify(&[row], mac)).map_err(|_| WrongMac)
    }

    /// Ties this key to a text that only its holder can have made: HMAC-SHA256 under
    /// KDF(root, "root-commit").
    pub fn commitment(&self, text: &[u8]) -> [u8; 32] {
        wiped(|| self.commitment.tag(&[text]))
    }

    /// Checks what [`Self::commitment`] made, in constant time.
    pub fn verify_commitment(&self, text: &[u8], commitment: &[u8]) -> Result<(), WrongMac> {
        wiped(|| self.commitment.verify(&[text], commitment)).map_err(|_| WrongMac)
    }

    /// Wraps the root key that comes after this one. `aad` is its place.
    pub fn wrap_next(&self, next: &Self, aad: &[u8]) -> Result<WrappedKey, WrapError> {
        self.wrapper.wrap(&next.secret, aad)
    }

    /// Unwraps the root key that comes after this one.
    pub fn unwrap_next(&self, wrapped: &WrappedKey, aad: &[u8]) -> Result<Self, WrapError> {
        self.wrapper.unwrap(wrapped, aad).map(Self::from_secret)
    }

    /// Sixteen hexadecimal digits that name the key in public and tell nothing of it:
    /// KDF(root, "root-name")[..8].
    pub fn name(&self) -> String {
        first_digits(&from_root(&self.secret, Label::RootName))
    }

    /// Lends the key bytes to a key service that wraps bytes and not handles.
    pub fn lend<T>(&self, to: impl FnOnce(&[u8; 32]) -> T) -> T {
        to(self.secret.expose())
    }
}

/// A key that wraps root keys, for providers that hold one in memory.
pub struct Kek {
    wrapper: Wrapper,
    fingerprint: String,
}

impl Kek {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        random_key().map(|secret| Self::from_secret(&secret))
    }

    /// Takes key bytes.
    pub fn from_secret(secret: &SecretKey) -> Self {
        let wrapper = wrapper(secret);
        let fingerprint = first_digits(&from_root(secret, Label::Fingerprint));
        Self { wrapper, fingerprint }
    }

    /// Wraps a root key. `aad` says for whom.
    pub fn wrap(&self, root: &RootKey, aad: &[u8]) -> Result<WrappedKey, WrapError> {
        self.wrapper.wrap(&root.secret, aad)
    }

    /// Unwraps a root key.
    pub fn unwrap(&self, wrapped: &WrappedKey, aad: &[u8]) -> Result<RootKey, WrapError> {
        self.wrapper.unwrap(wrapped, aad).map(RootKey::from_secret)
    }

    /// Sixteen hexadecimal digits that name the key in public and tell nothing of it:
    /// KDF(secret, "fingerprint")[..8].
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

fn first_digits(derived: &SecretKey) -> String {
    derived.expose().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn wrapper(secret: &SecretKey) -> Wrapper {
    let [cipher, commitment] =
        [Label::Wrap, Label::WrapCommit].map(|label| from_root(secret, label));
    Wrapper::new(cipher.expose(), commitment.expose())
}

/// KDF without a context, which therefore always fits a tuple.
fn from_root(secret: &SecretKey, label: Label) -> SecretKey {
    // Invariant: the only failure of `derive` is a part that is too long, and there is none.
    #[allow(clippy::unwrap_used)]
    derive(secret, label, &[]).unwrap()
}
