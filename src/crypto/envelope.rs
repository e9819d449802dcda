//! The text of an envelope, LS1: parsed strictly, found in other text, without any key.
//!
//! ```text
//! text   = "ls1" mode [rungs tokens] base64url_nopad(body)
//! mode   = "r" random | "d" deterministic | "s" searchable
//! rungs  = "1".."4"; tokens = rungs × 12 characters of lower-case base32     (mode s)
//! body   = flags[1] kid[5] nonce[12] (com[16] if C) ct tag[16]
//! flags  = bit 0 R bound to a record, bit 3 C carries a commitment (both in modes r and s), bit 2 P
//!          padded, bit 4 I parity of the index-key version (mode s); bit 1 S is reserved and
//!          refused, the others must be 0
//! ```
//!
//! Every envelope has one spelling: base64url (RFC 4648 §5) without padding, with unused bits zero.
//! Parsing proves shape, never authenticity; only [`super::class_key`] opens.

mod base64url;
mod search;

pub(super) use base64url::{encode, text_len};
pub use search::{could_be, find, kid_at, kids};

use crate::base::{
    class::{Commitment, Mode},
    ident::Kid,
};

use super::{
    MAX_DETERMINISTIC, MAX_VALUE,
    aead::{NONCE, TAG},
    ladder::{MAX_RUNGS, TOKEN, is_token_byte},
    pad,
};

/// Bytes before the commitment or the ciphertext. A multiple of three, so that what follows starts at
/// a character.
pub(super) const HEADER: usize = 1 + 5 + NONCE;
/// Bytes of a commitment.
pub(super) const COMMITMENT: usize = 16;
/// Characters of the header.
pub(super) const HEADER_TEXT: usize = HEADER / 3 * 4;
/// Characters of flags and kid.
const NAME_TEXT: usize = 8;

/// The text is not an envelope, or not the one spelling of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed LS1 envelope")]
pub struct Malformed;

/// Parity of the version of the index key that made the tokens: which of two live versions it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parity {
    /// Versions 2, 4, 6 …
    Even,
    /// Versions 1, 3, 5 …
    Odd,
}

impl Parity {
    /// The parity of a version.
    pub fn of(version: u32) -> Self {
        if version.is_multiple_of(2) { Self::Even } else { Self::Odd }
    }
}

/// Whether a value opens in one record alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// It opens wherever it stands.
    Free,
    /// It opens with the key of its record.
    Record,
}

/// The flags byte, of which only the bits that are built can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

const BOUND: u8 = 1;
const PADDED: u8 = 1 << 2;
const COMMITTED: u8 = 1 << 3;
const ODD_INDEX: u8 = 1 << 4;

impl Flags {
    pub(super) fn new(padding: pad::Padding, parity: Option<Parity>) -> Self {
        let padded = if padding == pad::Padding::Buckets { PADDED } else { 0 };
        let odd = if parity == Some(Parity::Odd) { ODD_INDEX } else { 0 };
        Self(padded | odd)
    }

    /// The same for a value of this record.
    pub(super) fn bound(self, record: Option<&super::Record>) -> Self {
        Self(self.0 | if record.is_some() { BOUND } else { 0 })
    }

    /// The same for a class whose envelopes commit to their key, or not.
    pub(super) fn committed(self, commitment: Commitment) -> Self {
        match commitment {
            Commitment::Absent => self,
            Commitment::Carried => Self(self.0 | COMMITTED),
        }
    }

    #[cfg(test)]
    pub(super) fn padded() -> Self {
        Self(PADDED)
    }

    /// Reserved bits, I outside mode `s`, and mode `d` without padding or with R or C are refused.
    fn parse(byte: u8, mode: Mode) -> Result<Self, Malformed> {
        let known = match mode {
            Mode::Deterministic => byte == PADDED,
            Mode::Random => byte & !(BOUND | PADDED | COMMITTED) == 0,
            Mode::Searchable => byte & !(BOUND | PADDED | COMMITTED | ODD_INDEX) == 0,
        };
        if known { Ok(Self(byte)) } else { Err(Malformed) }
    }

    /// The byte.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// R: whether the value is bound to its record.
    pub fn bond(self) -> Bond {
        if self.0 & BOUND == 0 { Bond::Free } else { Bond::Record }
    }

    /// P: the length of the value is hidden in a bucket.
    pub fn is_padded(self) -> bool {
        self.0 & PADDED != 0
    }

    /// C: whether a commitment to the key is in it.
    pub fn commitment(self) -> Commitment {
        if self.0 & COMMITTED == 0 { Commitment::Absent } else { Commitment::Carried }
    }

    /// I: which of two live index keys made the tokens. Says nothing outside mode `s`.
    pub fn index_parity(self) -> Parity {
        if self.0 & ODD_INDEX == 0 { Parity::Even } else { Parity::Odd }
    }
}

/// An envelope of the right shape. Nothing in it is authentic before it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Parsed<'a> {
    mode: Mode,
    /// The text up to the body: `ls1`, mode, rungs, tokens.
    head: &'a str,
    flags: Flags,
    kid: Kid,
    nonce: [u8; NONCE],
    /// Flags, kid and nonce, in base64url.
    header: &'a [u8],
    /// Commitment, ciphertext and tag, in base64url.
    sealed: &'a [u8],
    sealed_len: usize,
}

impl<'a> Parsed<'a> {
    /// How the value is stored.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The tokens of all rungs, coarse to fine; empty outside mode `s`.
    pub fn tokens(&self) -> &'a str {
        self.head.get(5..).unwrap_or_default()
    }

    /// How many tokens stand in front; 0 outside mode `s`.
    pub fn rungs(&self) -> u8 {
        // Invariant: at most four tokens.
        (self.tokens().len() / TOKEN) as u8
    }

    /// The flags.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The key version and class that the envelope claims.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// Characters up to the end of the nonce: no two values share them, unless they are the same
    /// value in mode `d`.
    pub fn distinct_len(&self) -> usize {
        self.head.len() + HEADER_TEXT
    }

    /// Bytes of ciphertext: type byte, value and padding.
    pub fn ciphertext_len(&self) -> usize {
        self.sealed_len.saturating_sub(around(self.flags))
    }

    pub(super) fn head(&self) -> &'a str {
        self.head
    }

    pub(super) fn nonce(&self) -> &[u8; NONCE] {
        &self.nonce
    }

    /// The text before commitment and ciphertext: what a commitment is over, with the additional data.
    pub(super) fn so_far(&self) -> [&[u8]; 2] {
        [self.head.as_bytes(), self.header]
    }

    /// Commitment, ciphertext and tag.
    pub(super) fn sealed(&self) -> Result<Sealed, Malformed> {
        let mut ct = vec![0; self.sealed_len];
        base64url::decode(self.sealed, &mut ct).ok_or(Malformed)?;
        let tag = ct.last_chunk::<TAG>().copied().ok_or(Malformed)?;
        ct.truncate(ct.len() - TAG);
        let commitment = match self.flags.commitment() {
            Commitment::Absent => None,
            Commitment::Carried => {
                let commitment = ct.first_chunk::<COMMITMENT>().copied().ok_or(Malformed)?;
                ct.drain(..COMMITMENT);
                Some(commitment)
            }
        };
        Ok(Sealed { commitment, ct, tag })
    }
}

/// What stands behind the header of an envelope.
pub(super) struct Sealed {
    /// With the flag C.
    pub(super) commitment: Option<[u8; COMMITMENT]>,
    /// The ciphertext.
    pub(super) ct: Vec<u8>,
    /// The tag of the cipher.
    pub(super) tag: [u8; TAG],
}

/// Bytes behind the header that are not ciphertext.
fn around(flags: Flags) -> usize {
    TAG + match flags.commitment() {
        Commitment::Absent => 0,
        Commitment::Carried => COMMITMENT,
    }
}

/// Reads an envelope that is the whole of `text`.
pub fn parse(text: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let (mode, head, body) = split(text).ok_or(Malformed)?;
    let (header, sealed) = body.split_at_checked(HEADER_TEXT).ok_or(Malformed)?;
    let (flags, kid, nonce) = read_header(header, mode)?;
    let sealed_len = base64url::bytes_len(sealed.len()).ok_or(Malformed)?;
    let ct = sealed_len.checked_sub(around(flags)).ok_or(Malformed)?;
    let longest = if mode == Mode::Deterministic { MAX_DETERMINISTIC } else { MAX_VALUE };
    let fits = match flags.is_padded() {
        true => ct <= pad::padded(1 + longest) && pad::is_bucket(ct),
        false => (1..=1 + longest).contains(&ct),
    };
    if fits && base64url::is_spelled_well(sealed) {
        Ok(Parsed { mode, head, flags, kid, nonce, header, sealed, sealed_len })
    } else {
        Err(Malformed)
    }
}

/// Mode, text up to the body, and the rest.
fn split(text: &[u8]) -> Option<(Mode, &str, &[u8])> {
    let mode = mode_of(*text.strip_prefix(b"ls1")?.first()?)?;
    let head = match mode {
        Mode::Deterministic | Mode::Random => 4,
        Mode::Searchable => {
            let rungs = rungs_of(*text.get(4)?)?;
            let end = 5 + rungs * TOKEN;
            if !text.get(5..end)?.iter().all(|byte| is_token_byte(*byte)) {
                return None;
            }
            end
        }
    };
    let (head, body) = text.split_at_checked(head)?;
    // Every byte of the head was compared with an ASCII alphabet above.
    Some((mode, std::str::from_utf8(head).ok()?, body))
}

fn mode_of(letter: u8) -> Option<Mode> {
    match letter {
        b'd' => Some(Mode::Deterministic),
        b'r' => Some(Mode::Random),
        b's' => Some(Mode::Searchable),
        _ => None,
    }
}

fn rungs_of(digit: u8) -> Option<usize> {
    let rungs = usize::from(digit.checked_sub(b'0')?);
    (1..=MAX_RUNGS).contains(&rungs).then_some(rungs)
}

fn read_header(text: &[u8], mode: Mode) -> Result<(Flags, Kid, [u8; NONCE]), Malformed> {
    let mut bytes = [0; HEADER];
    base64url::decode(text, &mut bytes).ok_or(Malformed)?;
    let [flags, k0, k1, k2, k3, k4, nonce @ ..] = bytes;
    Ok((Flags::parse(flags, mode)?, Kid([k0, k1, k2, k3, k4]), nonce))
}
