//! What computing with keys leaves on the stack, and writing over it.
//!
//! A move in Rust copies bytes and leaves the old ones where they were, and so do the frames of functions
//! that have returned; wiping on drop reaches neither. So every key here is kept behind a box, whatever
//! makes one runs in [`wiped`], and so does whatever uses one: a call that is rare on its own, the cipher
//! and the MAC of values by the window.
//!
//! # Why
//! 2026-11: the stack is written over by an ordinary function with a large frame, since the crate has no
//! unsafe code. `tests/memory` looks for what is left in the memory of a process: it found round keys, which
//! the wide AES backend spreads over the stack each time, states of HMAC, and the last blocks of
//! plaintext. Not for each value, because that costs a fifth of the cipher.

use std::hint::black_box;

/// More stack than is used in making a key, or in a window of values.
const FRAME: usize = 32 << 10;

/// Runs `job`, then writes over the stack that it used. What it gives back must hold keys behind a
/// box, or they are left where they were returned.
#[inline(never)]
pub fn wiped<T>(job: impl FnOnce() -> T) -> T {
    let made = called(job);
    write_over();
    made
}

#[inline(never)]
fn called<T>(job: impl FnOnce() -> T) -> T {
    job()
}

#[inline(never)]
fn write_over() {
    // Whoever holds the reference may read the frame, so it has to be written.
    black_box(&mut [0_u8; FRAME]);
}
