//! The additional data (AAD) of an envelope: everything in it that is neither nonce nor ciphertext.
//!
//! `"LS1" mode [rungs tokens] flags kid TUP(record binding, subject leaf)`; the last two are empty
//! while the flags R and S are reserved. Tokens are in it, so moving the tokens of one value in
//! front of the body of another makes the body unreadable.

use crate::base::ident::Kid;

use super::envelope::Flags;

/// TUP("", "").
const UNBOUND: [u8; 5] = [2, 0, 0, 0, 0];
/// "LS1", mode, rungs, four tokens, flags, kid, tuple.
const MAX: usize = 3 + 1 + 1 + 48 + 1 + 5 + UNBOUND.len();

/// The additional data, on the stack.
pub(super) struct Binding {
    bytes: [u8; MAX],
    length: usize,
}

impl Binding {
    /// `head` is the text up to the body: `ls1`, mode, rungs, tokens. At most 53 bytes.
    pub(super) fn new(head: &[u8], flags: Flags, kid: Kid) -> Self {
        debug_assert!(head.len() <= 53 && head.starts_with(b"ls1"));
        let mut binding = Self { bytes: [0; MAX], length: 0 };
        binding.push(b"LS1");
        binding.push(&head[3.min(head.len())..]);
        binding.push(&[flags.byte()]);
        binding.push(&kid.0);
        binding.push(&UNBOUND);
        binding
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        // Invariant: only `push` moves `length`, and never past the end.
        &self.bytes[..self.length]
    }

    fn push(&mut self, part: &[u8]) {
        // Invariant: heads come from the parser or a ladder, both of which stop at four tokens.
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binding_spells_mode_flags_and_kid() {
        let binding = Binding::new(b"ls1r", Flags::padded(), Kid(*b"abcde"));
        assert_eq!(binding.as_bytes(), b"LS1r\x04abcde\x02\0\0\0\0");
    }

    #[test]
    fn the_longest_ladder_fits() {
        let head = format!("ls1s4{}", "a".repeat(48));
        let binding = Binding::new(head.as_bytes(), Flags::padded(), Kid([9; 5]));
        assert_eq!(binding.as_bytes().len(), MAX);
    }
}
