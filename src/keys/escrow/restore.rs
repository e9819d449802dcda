//! From a root key that came back to a provider that keeps it: on a new machine, with the key store from its
//! backup.

use std::sync::Arc;

use super::{EscrowError, Joined};
use crate::{
    base::{clock::Clock, ident::Tenant, secret::SecretKey},
    crypto::RootKey,
    keys::{
        Keys, StoreAddress,
        provider::{Place, Provider, ProviderError},
    },
};

/// Opens a key store with the root key itself, makes a new wrapping key, and has it wrap the root key.
/// Gives the name of its slot. The slots that there were stay.
pub fn restore(
    joined: &Joined,
    address: &StoreAddress,
    provider: &dyn Provider,
    tenant: &Tenant,
    clock: Arc<dyn Clock>,
) -> Result<String, EscrowError> {
    // The store first: a wrapping key that nothing was wrapped by would only be in the way.
    let keys = Keys::open(address, &Brought(joined.root()), tenant, clock)?;
    provider.create().map_err(crate::keys::KeysError::from)?;
    Ok(keys.add_slot(provider)?)
}

/// Stands for a provider that is gone: it has the root key and can wrap none.
struct Brought<'a>(&'a RootKey);

impl Brought<'_> {
    fn copy(&self) -> RootKey {
        let fill = |room: &mut [u8; 32]| self.0.lend(|bytes| room.copy_from_slice(bytes));
        RootKey::from_secret(SecretKey::filled(fill))
    }
}

impl Provider for Brought<'_> {
    fn kind(&self) -> &'static str {
        "escrow"
    }

    fn key(&self) -> Result<String, ProviderError> {
        Ok(self.0.name())
    }

    fn create(&self) -> Result<(), ProviderError> {
        Err(ProviderError::NotKept)
    }

    fn wrap(&self, _: &RootKey, _: &Place) -> Result<Vec<u8>, ProviderError> {
        Err(ProviderError::NotKept)
    }

    fn unwrap(&self, _: &[u8], _: &Place) -> Result<RootKey, ProviderError> {
        Err(ProviderError::NotKept)
    }

    fn legacy_root(&self) -> Result<Option<RootKey>, ProviderError> {
        Ok(Some(self.copy()))
    }

    fn brought(&self) -> Option<RootKey> {
        Some(self.copy())
    }
}
