//! The kit of the end-to-end tests: real servers, recorders and oracles.
//!
//! Everything here is a process or a socket: the tests know labseal by its command line, its files
//! and its bytes alone. A part stops what it started when it is dropped, by process id.
//!
//! `stand` puts the parts together; `postgres`, `postgrest`, `labseal` and `plain` start servers;
//! `softhsm` and `kms` are what root keys are wrapped by; `tee` and `fake` record what an upstream sees;
//! `cut` is a wire that can be cut; `client` speaks bytes; `canary` searches;
//! `script` is what an unmodified client of the lab does.

// Each test crate uses its own part of the kit.
#![allow(dead_code, unused_imports)]

pub mod canary;
pub mod client;
pub mod cut;
pub mod fake;
pub mod front;
pub mod http;
pub mod kinto;
pub mod kms;
pub mod labseal;
pub mod long;
pub mod numbers;
pub mod pair;
pub mod policy;
pub mod postgres;
pub mod postgrest;
pub mod process;
pub mod script;
pub mod softhsm;
pub mod stand;
pub mod store;
pub mod tee;

pub use canary::{Canaries, Finding};
pub use client::{Answer, Request};
pub use fake::{Act, Fake};
pub use front::{Front, assert_refused};
pub use labseal::Labseal;
pub use numbers::Numbers;
pub use pair::Pair;
pub use postgres::{Database, Postgres};
pub use postgrest::PostgRest;
pub use stand::Stand;

use std::time::{Duration, Instant};

use ::labseal::base::clock::{Clock as _, SystemClock};

/// Now, for intervals.
pub fn now() -> Instant {
    SystemClock.instant()
}

/// Asks `done` until it says yes; fails the test after `limit`.
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let end = now() + limit;
    while !done() {
        assert!(now() < end, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `count` random bytes of the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}
