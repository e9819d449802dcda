//! `labseal demo`: a made-up lab, and the real sidecar in front of it.

mod api;
mod client;
mod database;
mod fault;
mod query;
mod schema;
mod statement;
#[cfg(test)]
mod tests;
mod tree;
