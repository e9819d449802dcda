//! From the section `keys:` of the configuration to keys: the store's address, the provider, and
//! where its passphrase comes from.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};

use crate::{
    base::{clock::Clock, secret::Plaintext},
    config::{Config, ProviderSection, SecretRef, keys::StoreSection},
    keys::{
        AutoRotate, Keys, Membership, StoreAddress, aws_kms, file,
        named::Passphrase,
        pkcs11,
        provider::{Provider, Settings},
        store,
    },
};

use super::client_tls;

/// How often a passphrase that is not configured is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Not: nobody may be there to answer.
    Never,
    /// Once: a wrong one is noticed.
    Once,
    /// Twice: a new one that was mistyped would be noticed too late.
    Twice,
}

/// Opens the keys of a configuration. May ask for the passphrase, if none is configured.
pub fn open_keys(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Keys> {
    open_keys_by(config, provider(config, Asking::Once)?.as_ref(), clock)
}

/// The same without a question to anybody.
pub fn open_keys_unasked(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Keys> {
    open_keys_by(config, provider(config, Asking::Never)?.as_ref(), clock)
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
            password: password.as_ref().map(|password| Passphrase::Named(password.named())),
            tls: tls.as_ref().map(|tls| client_tls(Some(tls))).transpose()?.map(Arc::new),
        },
    };
    Ok(StoreAddress::parse(&settings)?)
}

/// What wraps the root key.
pub fn provider(config: &Config, asking: Asking) -> anyhow::Result<Box<dyn Provider>> {
    let secret = |reference: &Option<SecretRef>, prompt: Prompt<'_>| match reference {
        Some(reference) => Ok(Passphrase::Named(reference.named())),
        None if asking == Asking::Never => {
            bail!("no {} is configured, and none is asked for here", prompt.key)
        }
        None => ask(&prompt).map(Passphrase::Given),
    };
    let settings = match &config.keys.provider {
        ProviderSection::AwsKms { key, region, endpoint, wire } => {
            let (key, region, endpoint) = (key.clone(), region.clone(), endpoint.clone());
            Settings::AwsKms(aws_kms::Settings { key, region, endpoint, wire: *wire })
        }
        ProviderSection::File { path, passphrase } => {
            let path = path.path();
            let of = path.display().to_string();
            let key = "passphrase";
            let passphrase = secret(passphrase, Prompt { what: "Passphrase", of, key, asking })?;
            Settings::File(file::Settings { path: path.to_owned(), passphrase })
        }
        ProviderSection::Pkcs11 { module, token, key, pin } => {
            // The token knows its PIN, so a mistyped one is noticed.
            let asking = Asking::Once;
            let pin = secret(pin, Prompt { what: "PIN", of: token.clone(), key: "pin", asking })?;
            let (module, token, key) = (module.path().to_owned(), token.clone(), key.clone());
            Settings::Pkcs11(pkcs11::Settings { module, token, key, pin })
        }
    };
    Ok(settings.open()?)
}

/// What is asked for on the terminal.
struct Prompt<'a> {
    what: &'a str,
    of: String,
    /// The key under `keys.provider` that makes the question needless.
    key: &'a str,
    asking: Asking,
}

fn ask(prompt: &Prompt<'_>) -> anyhow::Result<Plaintext> {
    let Prompt { what, of, key, asking } = prompt;
    let typed = |words: String| {
        let typed = rpassword::prompt_password(words);
        let typed = typed.with_context(|| {
            format!(
                "no {key} is configured and there is no terminal to ask on; set keys.provider.{key} to \
                 \"file:PATH\" or \"env:NAME\""
            )
        })?;
        anyhow::Ok(Plaintext::new(typed.into_bytes()))
    };
    let first = typed(format!("{what} for {of}: "))?;
    if *asking == Asking::Twice && !first.is(&typed(format!("Again, for {of}: "))?) {
        bail!("the two differ; nothing was created");
    }
    Ok(first)
}
