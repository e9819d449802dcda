//! The HTTP checklist of `docs/http.md`, row by row, from outside: bytes in, bytes out.

#[path = "../kit/mod.rs"]
mod kit;

mod codings;
mod connections;
mod events;
mod framing;
mod heads;
mod http2;
mod repeats;
mod slow;
