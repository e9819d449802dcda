//! From the section `keys:` of the configuration to keys: the store's address, the provider, and
//! where its passphrase comes from.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};

use crate::{
    base::{clock::Clock, secret::Plaintext},
    config::{Config, ProviderSection, SecretRef, keys::StoreSection},
    keys::{
        AutoRotate, Keys, Membership, StoreAddress,
        file::{FileProvider, Passphrase},
        provider::{Provider, Settings},
        store,
    },
};

use super::client_tls;

/// How often a passphrase that is not configured is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Once: a wrong one is noticed.
    Once,
    /// Twice: a new one that was mistyped would be noticed too late.
    Twice,
}

/// Opens the keys of a configuration. May ask for the passphrase, if none is configured.
pub fn open_keys(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Keys> {
    open_keys_by(config, provider(config, Asking::Once)?.as_ref(), clock)
}

/// The same, by a provider that is at hand.
pub fn open_keys_by(
    config: &Config,
    provider: &dyn Provider,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Keys> {
    Ok(Keys::open(&store_address(config)?, provider, &config.tenant, clock)?)
}

/// What makes this process a replica of the configuration.
pub fn membership(config: &Config) -> Membership {
    const DAY: Duration = Duration::from_secs(86_400);
    let section = &config.keys.replica;
    let rotates = |(days, values): (u64, u64)| AutoRotate { age: DAY * days as u32, values };
    Membership {
        lease: section.lease,
        grace: section.grace,
        auto_rotate: section.auto_rotate.map(rotates),
        // What is counted ahead by one that dies is to bring no rotation forward by much.
        block: section
            .auto_rotate
            .map_or(1 << 22, |(_, values)| (values / 64).clamp(1 << 10, 1 << 22)),
        ..Membership::new(host())
    }
}

/// The name of this machine, or of its container.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(64).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// Where the key log is.
pub fn store_address(config: &Config) -> anyhow::Result<StoreAddress> {
    let settings = match &config.keys.store {
        StoreSection::Sqlite(path) => return Ok(StoreAddress::Sqlite(path.clone())),
        StoreSection::Postgres { url, password, tls, folder } => store::Settings {
            address: url.clone(),
            folder: folder.clone(),
            password: password.as_ref().map(secret),
            tls: tls.as_ref().map(|tls| client_tls(Some(tls))).transpose()?.map(Arc::new),
        },
    };
    Ok(StoreAddress::parse(&settings)?)
}

/// What keeps the root key.
pub fn provider(config: &Config, asking: Asking) -> anyhow::Result<Box<dyn Provider>> {
    match &config.keys.provider {
        ProviderSection::File { path, passphrase } => {
            let path = path.path().to_owned();
            let passphrase = match passphrase {
                Some(reference) => secret(reference),
                None => Passphrase::Given(ask(&path, asking)?),
            };
            Ok(Box::new(FileProvider::new(Settings { path, passphrase })))
        }
    }
}

fn secret(reference: &SecretRef) -> Passphrase {
    match reference {
        SecretRef::Env(name) => Passphrase::Env(name.clone()),
        SecretRef::File(file) => Passphrase::File(file.path().to_owned()),
    }
}

fn ask(path: &Path, asking: Asking) -> anyhow::Result<Plaintext> {
    let prompt = |words: &str| {
        let typed = rpassword::prompt_password(format!("{words} {}: ", path.display()));
        let typed = typed.context(
            "no passphrase is configured and there is no terminal to ask on; set \
             keys.provider.passphrase to \"file:PATH\" or \"env:NAME\"",
        )?;
        anyhow::Ok(Plaintext::new(typed.into_bytes()))
    };
    let first = prompt("Passphrase for")?;
    if asking == Asking::Twice && !first.is(&prompt("Again, passphrase for")?) {
        bail!("the two passphrases differ; nothing was created");
    }
    Ok(first)
}
