//! Padding: what the length of an envelope shows of the length of a value.
//!
//! `80 00*` (ISO/IEC 7816-4) up to a multiple of 16 while that is at most 256, above to the next
//! PADMÉ length (Nikitin et al., PETS 2019), which shows O(log log n) bits and costs at most 12 %.

/// Whether the length of a value is hidden in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Padding {
    /// In buckets. What every class uses.
    Buckets,
    /// The exact length shows. Never in mode `d`.
    Exact,
}

/// The longest content that is padded to a multiple of 16.
const FINE: usize = 256;

/// The padded length of `content` bytes, the marker byte included.
pub(super) fn padded(content: usize) -> usize {
    bucket(content.saturating_add(1))
}

/// Whether some content has this padded length.
pub(super) fn is_bucket(length: usize) -> bool {
    length > 0 && bucket(length) == length
}

fn bucket(length: usize) -> usize {
    if length <= FINE {
        return length.next_multiple_of(16);
    }
    // PADMÉ: of the exponent's bits, as many low mantissa bits are cleared as leave log2(exponent).
    let exponent = length.ilog2();
    let cleared = exponent - (exponent.ilog2() + 1);
    length.next_multiple_of(1 << cleared)
}

/// The length of the content, if the padding behind it is the one that [`padded`] asks for.
pub(super) fn content(padded_text: &[u8]) -> Option<usize> {
    let end = padded_text.iter().rposition(|byte| *byte != 0)?;
    let is_marked = padded_text.get(end) == Some(&0x80);
    (is_marked && padded(end) == padded_text.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_documentation() {
        let cases =
            [(1, 16), (15, 16), (16, 32), (255, 256), (256, 272), (1_000, 1_024), (1_801, 1_856)];
        for (content, expected) in cases {
            assert_eq!(padded(content), expected, "{content}");
            assert!(is_bucket(expected));
        }
    }

    #[test]
    fn padding_grows_with_the_content_and_costs_at_most_an_eighth() {
        for content in 1..70_000 {
            let length = padded(content);
            assert!(length > content && length >= padded(content - 1) && is_bucket(length));
            assert!(content < FINE || (length - content - 1) * 8 <= content, "{content}");
        }
    }

    #[test]
    fn padding_that_is_not_the_shortest_or_not_clean_is_refused() {
        let mut text = [0; 32];
        text[20] = 0x80;
        assert_eq!(content(&text), Some(20));
        text[31] = 1;
        assert_eq!(content(&text), None);
        text[31] = 0;
        text[20] = 0;
        assert_eq!(content(&text), None);
        text[3] = 0x80;
        assert_eq!(content(&text), None);
    }
}
