//! Why keys cannot be had, or not be changed as asked.

use std::time::Duration;

use super::{
    Registered, Ring, life::Refused, log::LogError, mark::MarkError, provider::ProviderError,
    replica::Replica, slot, store::StoreError,
};
use crate::{
    base::ident::ClassId,
    crypto::{DeriveError, NoRandomness, WrapError},
};

/// Keys cannot be had, or not be changed as asked.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A class means something else than when it was registered.
    #[error(
        "class {class} was registered as: {registered}; the policy now says: {policy}. Stored values \
         depend on these, so they never change for an id; declare a class with a new id instead"
    )]
    ClassDiffers {
        /// The class.
        class: ClassId,
        /// The register's side.
        registered: Box<Registered>,
        /// The policy's side.
        policy: Box<Registered>,
    },
    /// Others keep being faster.
    #[error("the key store kept changing while an entry was to be added; try again")]
    Contended,
    /// The name of a tenant or class is of no use.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// The index ring does not rotate on its own.
    #[error(
        "the index ring cannot be rotated on its own: values of deterministic classes and search \
         tokens are found only under the key they were stored with, so its rotation needs every such \
         value to be sealed again"
    )]
    IndexRotation,
    /// The kids in the log are not those of its keys.
    #[error(
        "key log entry {epoch}: the kid of class {class} is not the one that its key gives; keys were \
         swapped"
    )]
    Kid {
        /// Where.
        epoch: u64,
        /// The class.
        class: ClassId,
    },
    /// The log cannot be believed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store is older than what was used here before.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// The root key was replaced, and what led from the old one to the new one is gone.
    #[error(
        "the root key was replaced (generation {generation}) while this process could not follow; \
         start it again"
    )]
    Handover {
        /// The generation that cannot be reached.
        generation: u32,
    },
    /// Material that the log speaks of is not there.
    #[error("{name} is missing from the key store; restore it from its backup")]
    Missing {
        /// Which.
        name: String,
    },
    /// The store has no root key that this provider could unwrap.
    #[error(
        "the key store has no root key wrapped by {kind} key {key}; it has: {}. Configure that \
         provider, or restore store and wrapping key from backups of the same instance",
        found.join(", ")
    )]
    NoSlot {
        /// The configured provider.
        kind: &'static str,
        /// Its wrapping key.
        key: String,
        /// The wrapping keys there are.
        found: Vec<String>,
    },
    /// The provider keeps no root key, and the store holds none.
    #[error("the key store holds no wrapped root key, and {kind} cannot have kept one itself")]
    NoRoot {
        /// The configured provider.
        kind: &'static str,
    },
    /// The only wrapped root key would be removed.
    #[error("{name} is the only wrapped root key, or there is none of this name")]
    LastSlot {
        /// Which.
        name: String,
    },
    /// A wrapped root key does not give one.
    #[error(transparent)]
    Slot(#[from] slot::SlotError),
    /// Material is not what the log speaks of.
    #[error(
        "{name} in the key store is not the one that the key log recorded: it was swapped or altered; \
         restore the key store from its backup"
    )]
    Swapped {
        /// Which.
        name: String,
    },
    /// Live replicas have not learnt what was stored.
    #[error(
        "{} not acknowledged entry {epoch} within {} s; what was stored stays, and the same command \
         goes on from there. Look after the replica, or stop it: it counts as gone {} s after its last \
         sign of life",
        spelled(replicas),
        wait.as_secs(),
        replicas.iter().map(|replica| replica.lease.as_secs()).max().unwrap_or_default()
    )]
    Unacknowledged {
        /// Which entry.
        epoch: u64,
        /// Who.
        replicas: Vec<Replica>,
        /// How long was waited.
        wait: Duration,
    },
    /// No root key.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// No randomness for a new key.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The operating system gives no random bytes.
    #[error("no random bytes from the operating system")]
    NoEntropy(#[source] getrandom::Error),
    /// There is no such version.
    #[error("the {ring} ring has no version {version}; `labseal keys status` lists them")]
    NoVersion {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
    },
    /// A version is not in a state for what was asked.
    #[error(transparent)]
    Turn(#[from] Refused),
    /// No store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A new key cannot be wrapped.
    #[error("a new key cannot be wrapped")]
    Wrap(#[from] WrapError),
    /// A key in the log does not unwrap.
    #[error("version {version} of the {ring} ring cannot be unwrapped")]
    Wrapped {
        /// The ring.
        ring: Ring,
        /// The version.
        version: u32,
        /// Why: the commitment above all.
        #[source]
        source: WrapError,
    },
}

impl KeysError {
    /// Why the provider gives no root key just now, if it may give it later.
    pub fn outage(&self) -> Option<&ProviderError> {
        let provider = match self {
            Self::Provider(error) => error,
            Self::Slot(slot::SlotError::Provider(error)) => error,
            Self::Slot(slot::SlotError::Refused { source, .. }) => source,
            _ => return None,
        };
        provider.is_outage().then_some(provider)
    }
}

fn spelled(replicas: &[Replica]) -> String {
    let names: Vec<_> = replicas.iter().map(Replica::to_string).collect();
    match names.as_slice() {
        [one] => format!("replica {one} has"),
        many => format!("replicas {} have", many.join(", ")),
    }
}
