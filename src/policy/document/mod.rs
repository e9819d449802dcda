//! The YAML of both files: text to nodes with places ([`yaml`]), nodes to checked parts ([`reader`]).
//!
//! # Why
//! The files are walked by hand instead of derived: every problem is reported at once, each with
//! its line and column and a remedy, and what a later version will build is told apart from what is
//! misspelled. (2026-11)

pub mod reader;
pub mod yaml;

pub use reader::{Fields, list, text, truth, word};
pub use yaml::{Node, Value, parse};
