//! Floor 0: words every other floor may use, and nothing of ours underneath.
//!
//! Names ([`ident`]) and which of them are [`near`], secrets ([`secret`]), what a class is to the cipher ([`class`]), the one early
//! end of a request ([`refusal`]), time ([`clock`], [`day`]), which hosts are this machine
//! ([`mod@host`]) and the one SHA-256 outside `crypto` ([`digest`]). Nothing here does I/O apart from reading the clock.

pub mod class;
pub mod clock;
pub mod day;
pub mod digest;
pub mod host;
pub mod ident;
pub mod near;
pub mod refusal;
pub mod secret;
