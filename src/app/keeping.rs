//! What a running sidecar does about its keys: it follows the key log, says that it is there, notes in
//! the audit log what it has followed, and rotates the data ring when its time has come.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{
    audit::{KeyEntry, Milestone, Notice},
    keys::{self, Done, Freshness, KeysError},
    proxy::{Sidecar, ops::Readiness},
};

/// How often the key store is asked for newer entries: a rotation is in use within this.
const POLL: Duration = Duration::from_millis(250);

/// How often it is looked whether the data ring is to be rotated.
const LOOK: Duration = Duration::from_secs(1);

/// How long after a rotation that could not be finished the next one is tried.
const AGAIN: Duration = Duration::from_secs(60);

/// Follows the key log, for ever.
pub(super) async fn follow(sidecar: Arc<Sidecar>, readiness: Arc<Readiness>) {
    let mut was = Freshness::Fresh;
    loop {
        tokio::time::sleep(POLL).await;
        let keys = sidecar.keys.clone();
        let outcome =
            tokio::task::spawn_blocking(move || keys.tick().map(|grown| (grown, keys.done())));
        let outcome = outcome.await;
        let stale = !matches!(outcome, Ok(Ok(_)));
        if stale != readiness.keys_stale.swap(stale, Ordering::AcqRel) {
            match &outcome {
                Ok(Err(error)) => {
                    tracing::error!(cause = %told(error), "the key store cannot be used")
                }
                Err(_) => tracing::error!("the key store cannot be used"),
                Ok(Ok(_)) => tracing::info!("the key store can be used again"),
            }
        }
        let now = sidecar.keys.freshness();
        if now != was {
            match now {
                Freshness::Expired => {
                    tracing::error!("out of touch for too long: nothing is opened")
                }
                Freshness::Fresh => {
                    tracing::info!("in touch with the key store: values are sealed")
                }
                Freshness::Stale => tracing::error!("out of touch: nothing is sealed"),
            }
            was = now;
        }
        if let Ok(Ok((_, done))) = outcome {
            note(&sidecar, &done);
        }
    }
}

/// Rotates the data ring when its time has come, for ever.
pub(super) async fn rotate(sidecar: Arc<Sidecar>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let keys = sidecar.keys.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            // Whoever brought another root key may have been cut short.
            keys.settle(keys::WAIT)?;
            keys.auto_rotate(keys::WAIT)
        });
        let outcome = outcome.await;
        match outcome {
            Ok(Ok(Some(rotated))) => {
                tracing::info!(version = rotated.version, "the data ring was rotated");
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::error!(cause = %told(&error), "the data ring could not be rotated");
                tokio::time::sleep(AGAIN).await;
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

fn note(sidecar: &Sidecar, done: &[Done]) {
    let Some(last) = done.last() else { return };
    sidecar.metrics.key_epoch(last.epoch);
    let policy = sidecar.revision.load().policy.digest();
    for done in done {
        let version = done.version.map(|(ring, version)| (ring.as_str(), version));
        let entry = KeyEntry { epoch: done.epoch, op: done.op, version };
        sidecar.audit.note(Notice { milestone: Milestone::KeyLog(entry), policy });
    }
    tracing::info!(epoch = last.epoch, "newer keys are in use");
}

/// Errors about keys hold names, numbers and what a database says of itself.
fn told(error: &KeysError) -> String {
    error.to_string()
}
