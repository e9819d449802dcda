//! What keeps the root key: the trait, and the table of kinds.
//!
//! A provider is asked once, at start, for one thing: the root key. Every other key is wrapped by
//! that one. A kind is one file and one line in [`PROVIDERS`]; all pass one contract test
//! (`tests/keys_provider.rs`).

use std::path::PathBuf;

use super::{
    file::{FileProvider, Passphrase},
    private::PrivateError,
};
use crate::crypto::{NoRandomness, RootKey, WrapError};

/// Keeps a root key.
pub trait Provider: Send + Sync {
    /// The word under `kind:`.
    fn kind(&self) -> &'static str;

    /// Makes a root key, durable before this returns. Refuses where there is one.
    fn create(&self) -> Result<RootKey, ProviderError>;

    /// The root key.
    fn root(&self) -> Result<RootKey, ProviderError>;
}

/// What a configuration says about a provider.
pub struct Settings {
    /// Where the wrapped root key is kept.
    pub path: PathBuf,
    /// What unlocks it.
    pub passphrase: Passphrase,
}

/// A kind of provider that a configuration can name.
pub struct Plug {
    /// The word under `kind:`.
    pub kind: &'static str,
    /// Makes one.
    pub open: fn(Settings) -> Box<dyn Provider>,
}

/// All kinds.
pub const PROVIDERS: &[Plug] =
    &[Plug { kind: "file", open: |settings| Box::new(FileProvider::new(settings)) }];

/// The root key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
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
    /// The operating system gives no random bytes.
    #[error("no random bytes from the operating system")]
    NoEntropy(#[source] getrandom::Error),
    /// The environment variable is not there.
    #[error("the passphrase is to be in the environment variable {name}, which is not set")]
    NoVariable {
        /// Which.
        name: String,
    },
    /// Nothing was given.
    #[error("the passphrase is empty")]
    PassphraseEmpty,
    /// It opens no slot.
    #[error("the passphrase opens no slot of {path}; the recovery passphrase would do as well")]
    PassphraseWrong {
        /// Which.
        path: PathBuf,
    },
    /// The operating system gives none.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The key derivation or the cipher failed.
    #[error("the root key cannot be wrapped")]
    Wrap(#[from] WrapError),
}
