//! A wrapping key in a file, under a passphrase: the provider for a lab without a key service.
//!
//! # Grammar
//!
//! JSON, mode 0600, written once and as a whole:
//!
//! ```json
//! {"v": 1, "slots": {"passphrase": {…}, "recovery": {…}}}
//! ```
//!
//! Both slots hold the same secret, each under argon2id of its own passphrase
//! ([`crate::crypto::passphrase::Slot`]). The secret is the wrapping key of root keys, which are in the
//! key store; in stores of format 1 it is the first root key itself. The recovery passphrase is made by us, from 140 random
//! bits, and left in `FILE.recovery` for the custodian to move to a safe. Whichever passphrase is
//! configured, the slots are tried in this order, so recovery is a matter of configuring the other.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    private::{self, PrivateError},
    provider::{Place, Provider, ProviderError},
};

pub use super::named::Passphrase;
use crate::{
    base::secret::{Plaintext, SecretKey},
    crypto::{
        Kek, RootKey, WrappedKey,
        nonce::random_key,
        passphrase::{Slot, SlotError},
    },
};

const VERSION: u8 = 1;
const PASSPHRASE: &[u8] = b"labseal/v1 root key file: passphrase";
const RECOVERY: &[u8] = b"labseal/v1 root key file: recovery";

/// Letters and digits that cannot be taken for each other when read aloud or copied by hand.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Seven groups of four letters of five bits each: 140 bits.
const GROUPS: usize = 7;

/// What a configuration says about the file.
pub struct Settings {
    /// The file of the wrapping key.
    pub path: PathBuf,
    /// What unlocks it.
    pub passphrase: Passphrase,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    v: u8,
    slots: Slots,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slots {
    passphrase: Slot,
    recovery: Slot,
}

/// A root key file.
pub struct FileProvider {
    path: PathBuf,
    passphrase: Passphrase,
    /// What the file holds: a passphrase is stretched once, not at every question.
    secret: OnceLock<SecretKey>,
}

impl FileProvider {
    /// The provider of `settings`. Nothing is read yet.
    pub fn new(settings: Settings) -> Self {
        Self { path: settings.path, passphrase: settings.passphrase, secret: OnceLock::new() }
    }

    /// Where `create` leaves the recovery passphrase of a root key file.
    pub fn recovery_path(root_key: &Path) -> PathBuf {
        let mut name = root_key.as_os_str().to_owned();
        name.push(".recovery");
        PathBuf::from(name)
    }
}

impl Provider for FileProvider {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn key(&self) -> Result<String, ProviderError> {
        Ok(Kek::from_secret(self.secret()?).fingerprint().to_owned())
    }

    fn create(&self) -> Result<(), ProviderError> {
        let recovery_path = Self::recovery_path(&self.path);
        for path in [&self.path, &recovery_path] {
            // A dangling link counts: what it points to may come back.
            if path.symlink_metadata().is_ok() {
                return Err(ProviderError::Exists { path: path.clone() });
            }
        }
        let passphrase = self.passphrase.read()?;
        let recovery = recovery_passphrase()?;
        let secret = random_key()?;
        let slots = Slots {
            passphrase: Slot::wrap(&passphrase, &secret, PASSPHRASE).map_err(|e| self.slot(e))?,
            recovery: Slot::wrap(&recovery, &secret, RECOVERY).map_err(|e| self.slot(e))?,
        };
        // Invariant: slots are made of strings and numbers, which JSON has.
        #[allow(clippy::unwrap_used)]
        let mut text = serde_json::to_vec_pretty(&Text { v: VERSION, slots }).unwrap();
        text.push(b'\n');
        let mut line = Zeroizing::new(Vec::with_capacity(recovery.len() + 1));
        line.extend_from_slice(recovery.expose());
        line.push(b'\n');
        // The recovery passphrase first: without a root key it opens nothing, so a crash in between
        // leaves no root key that cannot be recovered.
        private::create(&recovery_path, &line)?;
        if let Err(error) = private::create(&self.path, &text) {
            let _ = std::fs::remove_file(&recovery_path);
            return Err(error.into());
        }
        let _ = self.secret.set(secret);
        Ok(())
    }

    fn wrap(&self, root: &RootKey, place: &Place) -> Result<Vec<u8>, ProviderError> {
        let wrapped = Kek::from_secret(self.secret()?).wrap(root, &place.aad())?;
        Ok(wrapped.as_bytes().to_vec())
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place) -> Result<RootKey, ProviderError> {
        let wrapped = WrappedKey::from_bytes(wrapped)?;
        Ok(Kek::from_secret(self.secret()?).unwrap(&wrapped, &place.aad())?)
    }

    fn legacy_root(&self) -> Result<Option<RootKey>, ProviderError> {
        let secret = self.secret()?;
        Ok(Some(RootKey::from_secret(SecretKey::filled(|room| {
            room.copy_from_slice(secret.expose())
        }))))
    }
}

impl FileProvider {
    fn secret(&self) -> Result<&SecretKey, ProviderError> {
        match self.secret.get() {
            Some(secret) => Ok(secret),
            None => {
                let unlocked = self.unlock()?;
                Ok(self.secret.get_or_init(|| unlocked))
            }
        }
    }

    fn unlock(&self) -> Result<SecretKey, ProviderError> {
        let text = private::read(&self.path).map_err(|error| match error {
            PrivateError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ProviderError::Missing { path: self.path.clone() }
            }
            other => other.into(),
        })?;
        let malformed = || ProviderError::Malformed { path: self.path.clone() };
        let text: Text = serde_json::from_slice(text.expose()).map_err(|_| malformed())?;
        if text.v != VERSION {
            return Err(malformed());
        }
        let passphrase = self.passphrase.read()?;
        match text.slots.passphrase.unwrap(&passphrase, PASSPHRASE) {
            Err(SlotError::WrongPassphrase) => {
                text.slots.recovery.unwrap(&passphrase, RECOVERY).map_err(|error| self.slot(error))
            }
            other => other.map_err(|error| self.slot(error)),
        }
    }

    fn slot(&self, error: SlotError) -> ProviderError {
        match error {
            SlotError::NoRandomness(error) => error.into(),
            SlotError::WrongPassphrase => {
                ProviderError::PassphraseWrong { path: self.path.clone() }
            }
            SlotError::Costs => ProviderError::Malformed { path: self.path.clone() },
            SlotError::Wrap(error) => error.into(),
        }
    }
}

/// Random groups of letters, for people to copy.
fn recovery_passphrase() -> Result<Plaintext, ProviderError> {
    let mut random = Zeroizing::new([0; 4 * GROUPS]);
    getrandom::fill(random.as_mut_slice()).map_err(ProviderError::NoEntropy)?;
    let mut text = Vec::with_capacity(5 * GROUPS);
    for (at, byte) in random.iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push(b'-');
        }
        // Invariant: five bits index 32 letters; 256 is a multiple of 32, so none is likelier.
        text.push(LETTERS[usize::from(byte & 31)]);
    }
    Ok(Plaintext::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_passphrase_is_seven_groups_of_unmistakable_letters() {
        let text = recovery_passphrase().unwrap();
        let text = std::str::from_utf8(text.expose()).unwrap();
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [4; GROUPS]);
        assert!(text.bytes().all(|byte| byte == b'-' || LETTERS.contains(&byte)));
        assert_ne!(text.as_bytes(), recovery_passphrase().unwrap().expose());
    }
}
