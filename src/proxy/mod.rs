//! The wire: accepts connections, carries each exchange through its steps, and answers.
//!
//! This floor names no cipher and holds no key. Read [`exchange`] first, then [`sealing`] and
//! [`opening`] for the two directions of a body, [`head`] for header fields, [`accept`] for
//! connections, and [`answers`] for the one way a refusal leaves.

pub mod accept;
mod addressing;
pub mod answers;
pub mod body;
pub mod codec;
pub mod coding;
pub mod digests;
pub mod events;
pub mod exchange;
pub mod head;
pub mod heads;
pub mod media;
mod members;
pub mod metrics;
pub mod opening;
pub mod ops;
pub mod own;
pub mod pace;
pub mod pin;
pub mod record;
mod refining;
pub mod revision;
pub mod sealing;
pub mod stream;
pub mod strict;
pub mod tls;
pub mod tunnel;
pub mod upstream;
pub mod view;
pub mod watch;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{audit::Audit, base::clock::Clock, keys::Keys};

use metrics::Metrics;
use revision::Revision;

/// What every exchange shares.
pub struct Sidecar {
    /// The policy in force, with a dialect for each of its APIs. Replaced whole on reload.
    pub revision: ArcSwap<Revision>,
    /// The key rings.
    pub keys: Keys,
    /// The audit log.
    pub audit: Audit,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Limits toward callers.
    pub limits: Limits,
}

/// Limits toward callers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a TLS handshake, and for a request head to arrive.
    pub head: Duration,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// For the next piece of a body, either way.
    pub body_idle: Duration,
    /// For exchanges in flight when the sidecar stops.
    pub drain: Duration,
    /// Bytes of a request body that is read before it is forwarded.
    pub body_bytes: u64,
}
