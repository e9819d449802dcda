//! Seal and open: pure, synchronous passes over bodies, literals and echoes.
//!
//! A [`Transform`] takes a body in pieces and gives it back window by window. Both directions are
//! the same scan and the same splice: `scan` finds the places, `sealing` or `opening` decides what
//! becomes of each, `splice` replaces just those bytes. [`readdress()`] does for the literals of a
//! filter what sealing does for a body; [`echo`] cleans what an API repeats in errors and headers;
//! [`stored`] is for work on what an API has stored: it judges and seals anew a page of records.
//! [`reject_strays`] keeps envelopes out of places where they would be opened for a stranger.
//!
//! Each format of a body has a reader, which finds records and the places in them: `scan` for JSON,
//! `csv`, `lines`, `pairs`, `parts`; `patch` for lists of changes. What becomes of a value is the
//! same in all of them, and so is how it is spliced in; `spelling` knows how it is written there.
//!
//! Nothing here waits, reads a clock or knows HTTP. Bytes that are not protected are never written
//! anew: number spelling, key order, white space and escapes pass as they came.
//!
//! # Why
//! - A request of which nothing is declared is searched as bytes, whatever its content type: it must
//!   pass even if it is not valid JSON, and it must not carry an envelope in either case.
//! - An answer of which nothing is declared passes as it is from the first byte that is not JSON.
//!   One of which something is declared fails, since its fields cannot be found.
//! - Text inside a protected value may name one of our kids, if it does not begin with it: it is
//!   sealed with the rest, and opened text is never scanned again. (2026-11)

mod compare;
mod csv;
pub mod documents;
pub mod dump;
pub mod echo;
mod form;
mod frame;
mod json;
mod lines;
mod lookup;
mod mixed;
mod opening;
mod pairs;
mod parts;
mod patch;
mod proof;
mod readdress;
mod record;
mod refine;
mod reorder;
mod scan;
mod sealing;
mod spelling;
mod splice;
pub mod stored;
mod strays;
mod tally;
mod transform;
mod tree;
mod value;
mod visit;
mod watch;
mod windows;
mod written;

pub use form::{Boundary, Form};
pub use proof::{Direction, MARKER, Sealed, Unsealed};
pub use readdress::{Rewritten, readdress};
pub use refine::Refine;
pub use strays::reject_strays;
pub use tally::Tally;
pub use transform::{Finished, Transform};
pub use watch::Refined;
pub use written::Written;
