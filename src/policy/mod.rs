//! Policy: from YAML to a decision about one operation.
//!
//! `policy.yaml` is read into raw types with a place for every node, compiled once into types that
//! cannot express an illegal rule, and then asked for a [`Plan`] per request. The policy sees no
//! wire, no keys and no cipher.

pub mod mask;
pub mod plan;

pub use plan::Plan;
