//! The root key in escrow: what is dealt comes back from enough shares and from nothing else.

// Tests may.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod drill;
mod files;
mod lab;
mod restore;
