//! The token ladder of mode `s`: keyed tokens in front of the body, coarse to fine.
//!
//! A token is the first 60 bits of an HMAC-SHA256 under an index-ring key, over the rung's name and
//! the rung's normal form, in lower-case base32 (RFC 4648 §6). Two values that agree on a rung agree
//! on all text up to it, so a test of a rung is a range of text: from the prefix up to its
//! [`successor`].
//!
//! 60 bits: among 15 million distinct values of a class some pair collides with probability 1e-4.

use std::fmt;

use crate::base::class::{Equality, Rung};

use super::{IndexClassKey, Typed, normal};

/// Characters of one token.
pub(super) const TOKEN: usize = 12;
/// The most rungs a ladder has.
pub(super) const MAX_RUNGS: usize = 4;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// One token: 60 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; TOKEN]);

impl Token {
    /// The first 60 bits of a tag.
    pub(super) fn from_tag(tag: &[u8; 32]) -> Self {
        let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = *tag;
        let bits = u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
        let mut text = [0; TOKEN];
        for (i, character) in text.iter_mut().enumerate() {
            // Invariant: five bits index an alphabet of 32.
            *character = ALPHABET[(bits >> (59 - 5 * i) & 31) as usize];
        }
        Self(text)
    }

    /// The twelve characters.
    pub fn as_str(&self) -> &str {
        // Invariant: every byte is of ALPHABET, which is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A ladder has one to four rungs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a ladder has one to four rungs")]
pub struct LadderError;

/// What stands in front of the body in mode `s`: `ls1s`, the number of rungs, the tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Ladder(String);

impl Ladder {
    /// The ladder of a value. `rungs` go from coarse to fine, as the class declares them.
    pub fn new(
        key: &IndexClassKey,
        rungs: &[Rung],
        equality: Equality,
        value: &Typed,
    ) -> Result<Self, LadderError> {
        if rungs.is_empty() || rungs.len() > MAX_RUNGS {
            return Err(LadderError);
        }
        let mut text = String::with_capacity(5 + rungs.len() * TOKEN);
        text.push_str("ls1s");
        // Invariant: at most four.
        text.push(char::from(b'0' + rungs.len() as u8));
        for (rung, form) in rungs.iter().zip(normal::forms(rungs, equality, value)) {
            text.push_str(key.token(&normal::name(*rung, equality), &form).as_str());
        }
        Ok(Self(text))
    }

    /// How many rungs it has.
    pub fn rungs(&self) -> usize {
        self.tokens().len() / TOKEN
    }

    /// The tokens, one after the other.
    pub fn tokens(&self) -> &str {
        self.0.get(5..).unwrap_or_default()
    }

    /// The text up to the `count`-th rung, which everything that agrees on it starts with.
    pub fn prefix(&self, count: usize) -> Option<&str> {
        if count == 0 { None } else { self.0.get(..5 + count * TOKEN) }
    }

    /// The half-open range of text that agrees up to the `count`-th rung.
    pub fn range(&self, count: usize) -> Option<(String, String)> {
        self.prefix(count).map(|prefix| (prefix.to_owned(), successor(prefix)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a token can have this byte.
pub(super) fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'2'..=b'7')
}

/// The least text above everything that starts with `prefix` (`ls1s`, rungs, whole tokens).
///
/// Stays in the alphabet of tokens, as `2`–`7` before `a`–`z` is the order of every collation that
/// was tried, and carries to the left; past the last token, into the number of rungs.
pub fn successor(prefix: &str) -> String {
    let mut text = prefix.as_bytes().to_vec();
    for (place, byte) in text.iter_mut().enumerate().rev() {
        let (next, carries) = match *byte {
            digit if place == 4 => (digit.saturating_add(1), false),
            b'7' => (b'a', false),
            b'z' => (b'2', true),
            other => (other.saturating_add(1), false),
        };
        *byte = next;
        if !carries {
            break;
        }
    }
    // Invariant: ASCII in, ASCII out; `prefix` is of the alphabet of envelopes.
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_base32_of_the_first_sixty_bits() {
        let mut tag = [0; 32];
        tag[..8].copy_from_slice(b"foobar\xff\xff");
        // "foobar" is "mzxw6ytboi" in RFC 4648 §10, whose last character has two bits of zero.
        assert_eq!(Token::from_tag(&tag).as_str(), "mzxw6ytbol77");
        assert_eq!(Token::from_tag(&[0; 32]).as_str(), "aaaaaaaaaaaa");
    }

    #[test]
    fn successors_stay_in_the_alphabet_and_carry_to_the_left() {
        let cases = [
            ("ls1s1aaaaaaaaaaaa", "ls1s1aaaaaaaaaaab"),
            ("ls1s1aaaaaaaaaaa7", "ls1s1aaaaaaaaaaaa"),
            ("ls1s1aaaaaaaaa7zz", "ls1s1aaaaaaaaaa22"),
            ("ls1s1zzzzzzzzzzzz", "ls1s2222222222222"),
            ("ls1s4zzzzzzzzzzzz", "ls1s5222222222222"),
        ];
        for (prefix, expected) in cases {
            assert_eq!(successor(prefix), expected);
            assert!(successor(prefix).as_str() > prefix);
        }
    }
}
