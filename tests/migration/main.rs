//! A table that is already full answers as if nothing had happened while it is being sealed: the same
//! requests on a real PostgREST over columns of the types that the classes stand for, with every value
//! in clear, and through labseal over text in which every other record is sealed. What cannot be
//! answered is refused.

// Tests may.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../kit/mod.rs"]
mod kit;

mod counters;
mod json;
mod lab;
mod reads;
mod rights;
mod schema;
mod writes;
