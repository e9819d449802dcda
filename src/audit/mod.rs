//! The audit log: who did what to which classes, durable before anything is released.
//!
//! [`Audit::record`] gives a [`Receipt`] once the entry is on the disk, and the proxy cannot release
//! a protected answer without one. Entries form a hash chain over numbered files; [`verify()`] walks
//! it, also while it is being written. Nothing here can hold a value: the fields of an [`Event`] are
//! names from the policy, words from closed lists, numbers and digests.
//!
//! Read [`event`] for what is said, [`mod@line`] for how it is spelled, [`log`] and `writer` for how it
//! becomes durable, and [`mod@verify`] for how it is proven.
//!
//! # Why
//!
//! 2026-11: a plain hash chain with a checkpoint beside it, not a Merkle tree. It needs a full walk
//! to verify, which takes seconds per gigabyte, and it is checked with `sha256sum` by a stranger.

pub mod event;
mod folder;
pub mod head;
pub mod line;
pub mod log;
pub mod read;
pub mod verify;
mod writer;

pub use event::{
    Action, ClassCounts, Counts, Entry, Event, Fate, KeyEntry, Milestone, Notice, Outcome, Phase,
    Subject, Who,
};
pub use log::{Audit, AuditError, Receipt, Standing};
pub use verify::{Report, VerifyError, verify};
