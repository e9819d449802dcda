//! base64url without padding (RFC 4648 §5), strict: every byte string has one spelling.
//!
//! # Why
//! 2026-11-24: not the crate `base64`, which cost sealing a kilobyte about as much as the cipher did. Two
//! characters per look-up and no early exit cost less (`benches/envelope.rs`). The tests compare both.
//! Nothing secret is spelled here, so tables are fine.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Two characters for each twelve bits.
static PAIRS: [[u8; 2]; 4_096] = {
    let mut pairs = [[0; 2]; 4_096];
    let mut i = 0;
    while i < pairs.len() {
        pairs[i] = [ALPHABET[i >> 6], ALPHABET[i & 63]];
        i += 1;
    }
    pairs
};

/// The upper bits of this are set in the look-up of a byte that is no character.
const WRONG: u8 = 0x80;

/// Six bits for each character.
static SIXES: [u8; 256] = {
    let mut sixes = [WRONG; 256];
    let mut i = 0;
    while i < ALPHABET.len() {
        sixes[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    sixes
};

/// The number of characters that `bytes` bytes take.
pub(in crate::crypto) fn text_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The number of bytes in `characters` characters; `None` if no bytes take that many.
pub(super) fn bytes_len(characters: usize) -> Option<usize> {
    if characters % 4 == 1 { None } else { Some(characters * 3 / 4) }
}

/// Spells `bytes` into `text`, which has [`text_len`] room.
pub(in crate::crypto) fn encode(bytes: &[u8], text: &mut [u8]) {
    debug_assert_eq!(text.len(), text_len(bytes.len()));
    // Six bytes at a time, as one number; what is left over goes three at a time.
    let (sixes, bytes) = bytes.as_chunks::<6>();
    let (eights, text) = text.split_at_mut(sixes.len() * 8);
    // Invariant: indices of PAIRS are twelve bits; ALPHABET is indexed with six.
    for ([a, b, c, d, e, f], eight) in sixes.iter().zip(eights.as_chunks_mut::<8>().0) {
        let bits = u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]);
        let [[p, q], [r, s], [t, u], [v, w]] =
            [36, 24, 12, 0].map(|shift| PAIRS[(bits >> shift & 0xfff) as usize]);
        *eight = [p, q, r, s, t, u, v, w];
    }
    let (threes, rest) = bytes.as_chunks::<3>();
    let (fours, tail) = text.as_chunks_mut::<4>();
    for ([a, b, c], four) in threes.iter().zip(fours) {
        let [p, q] = PAIRS[usize::from(*a) << 4 | usize::from(*b) >> 4];
        let [r, s] = PAIRS[usize::from(b & 15) << 8 | usize::from(*c)];
        *four = [p, q, r, s];
    }
    match (rest, tail) {
        ([a], [p, q]) => [*p, *q] = PAIRS[usize::from(*a) << 4],
        ([a, b], [p, q, r]) => {
            [*p, *q] = PAIRS[usize::from(*a) << 4 | usize::from(*b) >> 4];
            *r = ALPHABET[usize::from(b & 15) << 2];
        }
        _ => {}
    }
}

/// Reads `text` into `bytes`, which has [`bytes_len`] room. `None` unless it is their one spelling.
#[must_use]
pub(super) fn decode(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    if bytes_len(text.len()) != Some(bytes.len()) {
        return None;
    }
    let (fours, rest) = text.as_chunks::<4>();
    let (threes, tail) = bytes.as_chunks_mut::<3>();
    let mut wrong = 0;
    for (four, three) in fours.iter().zip(threes) {
        let [p, q, r, s] = four.map(six);
        *three = [p << 2 | q >> 4, q << 4 | r >> 2, r << 6 | s];
        wrong |= p | q | r | s;
    }
    match (rest, tail) {
        ([p, q], [a]) => {
            let (p, q) = (six(*p), six(*q));
            *a = p << 2 | q >> 4;
            wrong |= p | q | spare(q & 15);
        }
        ([p, q, r], [a, b]) => {
            let (p, q, r) = (six(*p), six(*q), six(*r));
            *a = p << 2 | q >> 4;
            *b = q << 4 | r >> 2;
            wrong |= p | q | r | spare(r & 3);
        }
        _ => {}
    }
    (wrong & WRONG == 0).then_some(())
}

/// Whether [`decode`] would read `text`.
pub(super) fn is_spelled_well(text: &[u8]) -> bool {
    if !text.iter().fold(true, |well, byte| well & is_character(*byte)) {
        return false;
    }
    // Invariant: SIXES has a place for every byte.
    match (text.len() % 4, text.last().map(|byte| six(*byte))) {
        (0, _) => true,
        (2, Some(last)) => last & 15 == 0,
        (3, Some(last)) => last & 3 == 0,
        _ => false,
    }
}

/// Whether the byte is of the alphabet. Without branches, so that a loop over it is vectorised.
pub(super) fn is_character(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let is_digit = byte.wrapping_sub(b'0') < 10;
    is_letter | is_digit | (byte == b'-') | (byte == b'_')
}

fn six(byte: u8) -> u8 {
    // Invariant: SIXES has a place for every byte.
    SIXES[usize::from(byte)]
}

/// Unused bits must be zero.
fn spare(bits: u8) -> u8 {
    if bits == 0 { 0 } else { WRONG }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = vec![0; bytes_len(text.len())?];
        decode(text, &mut bytes)?;
        Some(bytes)
    }

    proptest! {
        #[test]
        fn bytes_are_spelled_as_the_usual_crate_does(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut text = vec![0; text_len(bytes.len())];
            encode(&bytes, &mut text);
            prop_assert_eq!(&text, &URL_SAFE_NO_PAD.encode(&bytes).into_bytes());
            prop_assert_eq!(read(&text), Some(bytes));
        }

        #[test]
        fn text_is_read_and_refused_as_the_usual_crate_does(
            text in "[A-Za-z0-9_-]{0,12}[ -~é]?",
        ) {
            let theirs = URL_SAFE_NO_PAD.decode(&text).ok();
            prop_assert_eq!(is_spelled_well(text.as_bytes()), theirs.is_some());
            prop_assert_eq!(read(text.as_bytes()), theirs);
        }
    }

    #[test]
    fn the_two_ways_to_ask_for_a_character_agree() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_character(byte), six(byte) != WRONG, "{byte}");
        }
    }
}
