//! What a token can have against a question, and what its owner does about it.

use std::path::PathBuf;

use cryptoki::error::{Error, RvError};

use super::Settings;
use crate::keys::named::NamedError;

/// A token does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// Two of one name.
    #[error("there are several {what} labelled {label}; give the right one a label of its own")]
    Ambiguous {
        /// Tokens or keys.
        what: &'static str,
        /// The label.
        label: String,
    },
    /// What is wrapped is not of this key and place.
    #[error(
        "{key} did not wrap this, or not for this place, or it was altered; restore key store and \
         token from backups of the same instance"
    )]
    Authentication {
        /// Token and label.
        key: String,
    },
    /// It may come back.
    #[error("token {token} does not answer; check it, its client software and the way to it")]
    Gone {
        /// Which.
        token: String,
        /// What the module says.
        #[source]
        source: Error,
    },
    /// The token has ways of its own that are not safe to follow.
    #[error(
        "token {token} {how}; let it take the IV that it is given, or report it by the IV parameter"
    )]
    Iv {
        /// Which.
        token: String,
        /// What it does.
        how: &'static str,
    },
    /// Anybody who can log in could take the key away, or it is of the wrong kind.
    #[error(
        "{key} {fault}; name another key in keys.provider.key: `labseal init` and `labseal keys \
         migrate-provider` make one that is right"
    )]
    Key {
        /// Token and label.
        key: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// One more wrong PIN and the token locks itself.
    #[error(
        "token {token} has one try left before it locks itself, which is not spent; log in once with \
         the right PIN by the token's own tool"
    )]
    LastTry {
        /// Which.
        token: String,
    },
    /// Too many wrong PINs.
    #[error("token {token} is locked; let its security officer set a new PIN")]
    Locked {
        /// Which.
        token: String,
    },
    /// No such library.
    #[error(
        "the PKCS#11 module {path} cannot be loaded; install the token's client software, or correct \
         keys.provider.module"
    )]
    Module {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Error,
    },
    /// There is none.
    #[error(
        "there is no secret key {key}; make it with `labseal init`, or restore the token from its backup"
    )]
    NoKey {
        /// Token and label.
        key: String,
    },
    /// There is none now.
    #[error(
        "there is no token labelled {token} (there are: {}); check keys.provider.token, and whether the \
         token's client software is configured for this user",
        named(found)
    )]
    NoToken {
        /// Which.
        token: String,
        /// The labels of those that are there.
        found: Vec<String>,
    },
    /// The token cannot do it.
    #[error("token {token} has no AES-GCM (CKM_AES_GCM); keep the wrapping key in another one")]
    NoGcm {
        /// Which.
        token: String,
        /// What it says.
        #[source]
        source: Error,
    },
    /// The PIN cannot be had.
    #[error("the PIN of the token cannot be read; see keys.provider.pin")]
    Pin(#[source] NamedError),
    /// It is wrong. Trying again would lock the token.
    #[error(
        "token {token} does not take the PIN; correct what keys.provider.pin names before you start \
         again: tokens lock themselves after a few wrong PINs"
    )]
    PinWrong {
        /// Which.
        token: String,
    },
    /// Anything else.
    #[error("token {token} refuses to {act}; check the rights of its user and its policy")]
    Refused {
        /// Which.
        token: String,
        /// What was asked.
        act: &'static str,
        /// What it says.
        #[source]
        source: Error,
    },
}

fn named(found: &[String]) -> String {
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

impl Pkcs11Error {
    /// Whether the token may answer later, without anybody changing anything here.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::NoToken { .. })
    }
}

impl Settings {
    /// Sorts what a module says outside encryption and decryption.
    pub(super) fn told(&self, act: &'static str) -> impl Fn(Error) -> Pkcs11Error {
        let token = self.token.clone();
        move |source| {
            let token = token.clone();
            match source {
                Error::Pkcs11(RvError::GeneralError | RvError::FunctionFailed, _) => {
                    Pkcs11Error::Gone { token, source }
                }
                Error::Pkcs11(said, _) if is_gone(said) => Pkcs11Error::Gone { token, source },
                source => Pkcs11Error::Refused { token, act, source },
            }
        }
    }
}

/// Whether a module says that the token, or what we had of it, is not there any more.
fn is_gone(said: RvError) -> bool {
    matches!(
        said,
        RvError::CryptokiNotInitialized
            | RvError::DeviceError
            | RvError::DeviceMemory
            | RvError::DeviceRemoved
            | RvError::SessionClosed
            | RvError::SessionCount
            | RvError::SessionHandleInvalid
            | RvError::SlotIdInvalid
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::UserNotLoggedIn
    )
}
