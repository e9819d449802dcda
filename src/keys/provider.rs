//! What wraps the root key: the trait, and the table of kinds.
//!
//! A provider has one wrapping key and does one thing with it: wrap and unwrap root keys. The
//! wrapped root key is kept in the key store ([`super::slot`]), and every other key is wrapped by the
//! root key, so a provider is asked once, at start. A kind is one file and one line in
//! [`PROVIDERS`]; each proves at every start what [`super::conformance`] asks of it, and all pass
//! one contract test (`tests/keys/provider.rs`).

use std::path::PathBuf;

use super::{
    aws_kms::{self, KmsError, KmsProvider},
    file::{self, FileProvider},
    named::NamedError,
    pkcs11::{self, Pkcs11Error, Pkcs11Provider},
    private::PrivateError,
};
use crate::{
    base::ident::Tenant,
    crypto::{NoRandomness, RootKey, WrapError},
};

/// Where a wrapped root key stands; the additional data of its wrapping (AAD, encryption context).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The tenant whose keys it wraps.
    pub tenant: Tenant,
    /// The name of the key log that it authenticates.
    pub instance: String,
    /// Counts from 1; each root key has one of its own.
    pub generation: u32,
}

impl Place {
    /// The place as bytes, for providers that take bytes. The parts are each preceded by their
    /// length, so that no two places give the same.
    pub fn aad(&self) -> Vec<u8> {
        let generation = self.generation.to_string();
        joined(&["labseal/v1 root key", &self.instance, self.tenant.as_str(), &generation])
    }

    /// The additional data of the way to this root key from the one before.
    pub(super) fn handover(&self) -> Vec<u8> {
        let generation = self.generation.to_string();
        joined(&["labseal/v1 root handover", &self.instance, self.tenant.as_str(), &generation])
    }
}

/// The parts, each preceded by its length.
pub(super) fn joined(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// Wraps root keys.
pub trait Provider: Send + Sync {
    /// The word under `kind:`.
    fn kind(&self) -> &'static str;

    /// The name of the wrapping key: public, and the same for as long as the key is.
    fn key(&self) -> Result<String, ProviderError>;

    /// For `init`: makes the wrapping key, or finds it where it is made by others. Durable before
    /// this returns.
    fn create(&self) -> Result<(), ProviderError>;

    /// Wraps a root key for one place.
    fn wrap(&self, root: &RootKey, place: &Place) -> Result<Vec<u8>, ProviderError>;

    /// Unwraps what was wrapped for this place. Anything else is an error, never another key.
    fn unwrap(&self, wrapped: &[u8], place: &Place) -> Result<RootKey, ProviderError>;

    /// The root key itself, where it comes from elsewhere than out of a slot.
    fn brought(&self) -> Option<RootKey> {
        None
    }

    /// The root key of a store of format 1, whose provider kept the root key itself.
    fn legacy_root(&self) -> Result<Option<RootKey>, ProviderError> {
        Ok(None)
    }
}

/// The kinds of providers that a configuration can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A key of the AWS Key Management Service.
    AwsKms,
    /// A file under a passphrase.
    File,
    /// A key in a hardware security module, by PKCS#11.
    Pkcs11,
}

/// All kinds, with the word under `kind:`.
pub const PROVIDERS: &[(&str, Kind)] =
    &[("aws-kms", Kind::AwsKms), ("file", Kind::File), ("pkcs11", Kind::Pkcs11)];

/// What a configuration says about a provider.
pub enum Settings {
    /// Of a key of AWS KMS.
    AwsKms(aws_kms::Settings),
    /// Of a file.
    File(file::Settings),
    /// Of a key in a token.
    Pkcs11(pkcs11::Settings),
}

impl Settings {
    /// The provider. Nothing is asked of it yet.
    pub fn open(self) -> Result<Box<dyn Provider>, ProviderError> {
        Ok(match self {
            Self::AwsKms(settings) => Box::new(KmsProvider::new(settings)?),
            Self::File(settings) => Box::new(FileProvider::new(settings)),
            Self::Pkcs11(settings) => Box::new(Pkcs11Provider::new(settings)),
        })
    }
}

/// The root key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// AWS KMS refuses, or cannot be reached.
    #[error(transparent)]
    AwsKms(Box<KmsError>),
    /// `init` would overwrite it.
    #[error("{path} exists already and is not overwritten")]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A file is missing, or is not as private as it must be.
    #[error(transparent)]
    File(#[from] PrivateError),
    /// The root key file is damaged.
    #[error(
        "{path} is not a root key file of this version of labseal, or is damaged; restore it from its backup"
    )]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// There is none.
    #[error(
        "there is no root key at {path}; create it with `labseal init`, or restore it from its backup"
    )]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A root key was to be wrapped by what only brings one.
    #[error("the root key in escrow wraps nothing and is wrapped by nothing")]
    NotKept,
    /// The operating system gives no random bytes.
    #[error("no random bytes from the operating system")]
    NoEntropy(#[source] getrandom::Error),
    /// It breaks a promise that root keys depend on.
    #[error("{kind} provider: {promise}; do not keep root keys with it")]
    NotConforming {
        /// Which kind.
        kind: &'static str,
        /// What it does.
        promise: &'static str,
    },
    /// It opens no slot.
    #[error("the passphrase opens no slot of {path}; the recovery passphrase would do as well")]
    PassphraseWrong {
        /// Which.
        path: PathBuf,
    },
    /// A token refuses, or cannot be reached.
    #[error(transparent)]
    Pkcs11(Box<Pkcs11Error>),
    /// The operating system gives none.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// What unlocks the provider cannot be read.
    #[error("what unlocks the root key cannot be read; see keys.provider")]
    Secret(#[from] NamedError),
    /// The key derivation or the cipher failed, or what was to be unwrapped is not of this key and
    /// place.
    #[error("the root key cannot be wrapped or unwrapped")]
    Wrap(#[from] WrapError),
}

impl ProviderError {
    /// Whether the provider may answer the same question later, without anybody changing anything here.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::AwsKms(error) => error.is_outage(),
            Self::Pkcs11(error) => error.is_outage(),
            Self::Exists { .. }
            | Self::File(_)
            | Self::Malformed { .. }
            | Self::Missing { .. }
            | Self::NoEntropy(_)
            | Self::NotConforming { .. }
            | Self::NotKept
            | Self::PassphraseWrong { .. }
            | Self::Randomness(_)
            | Self::Secret(_)
            | Self::Wrap(_) => false,
        }
    }
}

impl From<KmsError> for ProviderError {
    fn from(error: KmsError) -> Self {
        Self::AwsKms(Box::new(error))
    }
}

impl From<Pkcs11Error> for ProviderError {
    fn from(error: Pkcs11Error) -> Self {
        Self::Pkcs11(Box::new(error))
    }
}
