//! labseal: a transparent encryption sidecar for the HTTP API of a database.
//!
//! Read `proxy/exchange.rs` first: the life of a request, top to bottom.

pub mod app;
pub mod audit;
pub mod auth;
pub mod base;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod dialect;
pub mod keys;
pub mod model;
pub mod policy;
pub mod proxy;
pub mod seal;
