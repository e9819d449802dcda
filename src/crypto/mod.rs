//! Floor 1: the only code that names a cipher, a hash for keys, or a key derivation.
//!
//! What others use is re-exported here. Read in this order: [`envelope`] (the text LS1, no key
//! needed), [`class_key`] (seal and open), [`ladder`] (search tokens), [`ring`] (root and ring keys,
//! wrapping), [`passphrase`] (the slot of a root key file), [`escrow`] (a key in several hands), [`size`] (lengths). Underneath: `derive` (every label, once),
//! `binding` (the additional data), `pad`, `normal`, `nonce`, `residue` (the stack after a key was made),
//! and `aead`, which alone names the cipher.
//! The format for strangers is `docs/envelope.md`.
//!
//! Nothing here does I/O, apart from asking the operating system for randomness, and nothing
//! decides who may see a value.

mod aead;
mod binding;
pub mod class_key;
mod derive;
pub mod envelope;
pub mod escrow;
pub mod ladder;
mod mac;
pub mod nonce;
pub mod normal;
mod pad;
pub mod passphrase;
mod residue;
pub mod ring;
pub mod size;
mod typed;
mod wrap;

pub use binding::{KeyTooLong, MAX_KEY, Record};
pub use class_key::{
    DataClassKey, IndexClassKey, OpenFailed, SealError, open_deterministic, open_random,
    open_searchable, seal_deterministic, seal_random, seal_random_in, seal_searchable,
    seal_searchable_in,
};
pub use derive::DeriveError;
pub use envelope::{Bond, Flags, Malformed, Parity, Parsed};
pub use escrow::{EscrowKey, NoQuorum, Quorum, Share};
pub use ladder::{Ladder, LadderError, Token, successor};
pub use nonce::{NoRandomness, NonceSource, Nonces};
pub use pad::Padding;
pub use residue::wiped;
pub use ring::{Kek, RingKey, RootKey, WrongMac};
pub use typed::{Kind, Typed};
pub use wrap::{WrapError, WrappedKey};

/// The longest value that is sealed, in bytes.
pub const MAX_VALUE: usize = 1 << 20;

/// The longest value in mode `d`: a longer envelope would not fit the row of an index.
pub const MAX_DETERMINISTIC: usize = 1_800;
