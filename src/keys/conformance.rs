//! What every provider has to do right before a root key is trusted to it, asked of the real thing.
//!
//! Run at `init`, at every start and before a provider is changed, with a key made for it and in a place
//! that no root key has. Tokens and services differ from what they are documented to do: some ignore
//! the additional data, some choose a nonce of their own, some repeat it.

use super::provider::{Place, Provider, ProviderError};
use crate::{base::ident::Tenant, crypto::RootKey};

/// Asks everything of a provider. Its wrapping key has to be there.
pub fn prove(provider: &dyn Provider) -> Result<(), ProviderError> {
    let root = RootKey::generate()?;
    // Generations count from 1, so nothing that is wrapped here is ever taken for a root key.
    let here =
        Place { tenant: Tenant::new("labseal"), instance: "self-test".to_owned(), generation: 0 };
    let wrapped = provider.wrap(&root, &here)?;
    let broken = |promise| ProviderError::NotConforming { kind: provider.kind(), promise };
    if provider.wrap(&root, &here)? == wrapped {
        return Err(broken("it wraps the same key twice into the same bytes"));
    }
    let again = provider.unwrap(&wrapped, &here)?;
    if again.mac(b"self-test") != root.mac(b"self-test") {
        return Err(broken("what it unwraps is not what it wrapped"));
    }
    let elsewhere = [
        Place { tenant: Tenant::new("other"), ..here.clone() },
        Place { instance: "other".to_owned(), ..here.clone() },
        Place { generation: u32::MAX, ..here.clone() },
    ];
    for place in &elsewhere {
        refuses(provider, &wrapped, place, "it unwraps a key in a place it was not wrapped for")?;
    }
    // The middle, where the key is, and the end, where its authentication is.
    let places = [wrapped.len() / 2, wrapped.len().saturating_sub(1)];
    for at in places {
        let mut altered = wrapped.clone();
        altered.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
        refuses(provider, &altered, &here, "it unwraps what was altered")?;
    }
    Ok(())
}

fn refuses(
    provider: &dyn Provider,
    wrapped: &[u8],
    place: &Place,
    promise: &'static str,
) -> Result<(), ProviderError> {
    match provider.unwrap(wrapped, place) {
        Ok(_) => Err(ProviderError::NotConforming { kind: provider.kind(), promise }),
        // Silence proves nothing.
        Err(error) if error.is_outage() => Err(error),
        Err(_) => Ok(()),
    }
}
