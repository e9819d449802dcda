//! The sections `limits:` and `timeouts:`, with defaults that are safe to leave alone.
//!
//! What decides whether a value can be found and sealed (window, nesting, value) is fixed and not
//! configured here.

use std::time::Duration;

use crate::policy::{
    diagnostic::Problems,
    document::{Fields, Node, reader::number, text},
};

/// Sizes and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body, which is held until all of it is sealed.
    pub body_bytes: usize,
    /// Client connections at a time, on all listeners together.
    pub connections: usize,
    /// Bytes of a request or answer head.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 4 << 30, connections: 4096, head_bytes: 64 << 10 }
    }
}

/// Times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Without a byte of a body, in either direction.
    pub body_idle: Duration,
    /// For a connection to the upstream, TLS included.
    pub connect: Duration,
    /// For exchanges under way when labseal is told to stop.
    pub drain: Duration,
    /// For a whole request head, for TLS with a client, and without a request on a connection.
    pub head: Duration,
    /// For the head of the upstream's answer.
    pub upstream: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            body_idle: Duration::from_secs(300),
            connect: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            head: Duration::from_secs(30),
            upstream: Duration::from_secs(300),
        }
    }
}

impl Limits {
    /// Reads the section; what it does not say is the default.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Self {
        let mut limits = Self::default();
        let Some(mut fields) = Fields::of(node, "limits", problems) else { return limits };
        let mut set =
            |key: &'static str, range: std::ops::RangeInclusive<usize>, limit: &mut usize| {
                let Some(node) = fields.optional(key) else { return };
                let Some(found) = number(node, key, problems) else { return };
                match usize::try_from(found) {
                    Ok(found) if range.contains(&found) => *limit = found,
                    _ => {
                        let remedy =
                            format!("write a number from {} to {}", range.start(), range.end());
                        problems.error(node.at, format!("{key} cannot be {found}"), remedy);
                    }
                }
            };
        set("body_bytes", 1 << 20..=1 << 40, &mut limits.body_bytes);
        set("connections", 1..=1_000_000, &mut limits.connections);
        set("head_bytes", 8 << 10..=1 << 20, &mut limits.head_bytes);
        fields.finish(problems);
        limits
    }
}

impl Timeouts {
    /// Reads the section; what it does not say is the default.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Self {
        let mut times = Self::default();
        let Some(mut fields) = Fields::of(node, "timeouts", problems) else { return times };
        let mut set = |key: &'static str, time: &mut Duration| {
            let Some(node) = fields.optional(key) else { return };
            let Some(found) = text(node, key, problems) else { return };
            match duration(found) {
                Some(found) => *time = found,
                None => {
                    let remedy = "write a whole number and ms, s, m or h, up to 24h";
                    problems.error(node.at, format!("{key} cannot be `{found}`"), remedy);
                }
            }
        };
        set("body_idle", &mut times.body_idle);
        set("connect", &mut times.connect);
        set("drain", &mut times.drain);
        set("head", &mut times.head);
        set("upstream", &mut times.upstream);
        fields.finish(problems);
        times
    }
}

/// `250ms`, `30s`, `5m`, `1h`; never nothing, and at most a day.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let time = Duration::from_millis(number.checked_mul(millis)?);
    (!time.is_zero() && time <= Duration::from_secs(86_400)).then_some(time)
}
