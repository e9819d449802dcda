//! From a provider to keys, at start: the provider proves itself, gives the root key, and is not asked
//! again. While it is out of reach it is waited for.
//!
//! # Why
//! After a power cut the token or the network comes back when it comes back, and nobody is there to
//! start labseal again. So waiting has no limit unless one is asked for. Only an outage is waited out:
//! a wrong PIN that is tried again locks the token. (2026-11)

use std::{error::Error, sync::Arc, time::Duration};

use anyhow::bail;
use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use crate::{
    base::clock::Clock,
    config::Config,
    keys::{Keys, KeysError, conformance, provider::Provider},
};

use super::custody;

/// The first pause between two tries; each is twice the one before, up to the last.
const FIRST: Duration = Duration::from_millis(500);
const LAST: Duration = Duration::from_secs(15);

/// How long one question may take until it is said that it takes long.
const LONG: Duration = Duration::from_secs(5);

/// Waits until the provider gives the root key, and opens the keys. What is waited for stands in
/// `state`, for people.
pub(super) async fn open_keys(
    config: &Arc<Config>,
    provider: Arc<dyn Provider>,
    clock: Arc<dyn Clock>,
    limit: Option<Duration>,
    state: &watch::Sender<String>,
) -> anyhow::Result<Keys> {
    let kind = provider.kind();
    let begun = clock.instant();
    let is_over = || limit.is_some_and(|limit| clock.instant() - begun >= limit);
    let mut pause = FIRST;
    loop {
        let (config, provider, clock) = (config.clone(), provider.clone(), clock.clone());
        let mut asked = spawn_blocking(move || open(&config, &*provider, clock));
        let answer = loop {
            match timeout(LONG, &mut asked).await {
                Ok(answer) => break answer?,
                Err(_) if is_over() => bail!("the {kind} provider does not answer"),
                Err(_) => {
                    tracing::warn!(provider = kind, "the provider of the root key does not answer");
                    state.send_replace(format!("waiting for an answer of the {kind} provider"));
                }
            }
        };
        match answer {
            Ok(keys) => return Ok(keys),
            Err(Unopened::Keys(error)) if !is_over() && error.outage().is_some() => {
                let cause = spelled(&error);
                tracing::warn!(
                    provider = kind,
                    cause,
                    again_in_ms = pause.as_millis(),
                    "waiting for the provider of the root key"
                );
                state.send_replace(format!("waiting for the {kind} provider: {cause}"));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(pause).await;
        pause = LAST.min(pause * 2);
    }
}

/// No keys.
enum Unopened {
    /// Something that is not theirs.
    Else(anyhow::Error),
    /// They said why.
    Keys(KeysError),
}

impl From<Unopened> for anyhow::Error {
    fn from(error: Unopened) -> Self {
        match error {
            Unopened::Else(error) => error,
            Unopened::Keys(error) => error.into(),
        }
    }
}

fn open(config: &Config, provider: &dyn Provider, clock: Arc<dyn Clock>) -> Result<Keys, Unopened> {
    conformance::prove(provider).map_err(|error| Unopened::Keys(error.into()))?;
    let address = custody::store_address(config).map_err(Unopened::Else)?;
    Keys::open(&address, provider, &config.tenant, clock).map_err(Unopened::Keys)
}

/// An error with its causes, in one line.
fn spelled(error: &KeysError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        line.push_str(": ");
        line.push_str(&found.to_string());
        cause = found.source();
    }
    line
}
