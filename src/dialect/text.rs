//! Percent-decoded text that remembers where its bytes came from, and the splicing of targets.
//!
//! Dialects parse what a server would see after decoding, and edit what the caller spelled. The
//! decoded text may hold protected values, so it is wiped when dropped and never shown.

use std::ops::Range;

use zeroize::Zeroizing;

/// Decoded text with the way back to the raw bytes.
pub(super) struct Decoded {
    text: Zeroizing<String>,
    /// Raw offset of each decoded byte, and of the end.
    at: Vec<usize>,
}

/// How a `%` that no two hexadecimal digits follow is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LonePercent {
    /// As itself, as the form decoders of most servers do.
    Kept,
    /// Not at all.
    Refused,
}

impl Decoded {
    /// Decodes part of a query: `+` is a space, a lone `%` is itself. `None` if it is not UTF-8.
    pub(super) fn of_query(target: &str, raw: Range<usize>) -> Option<Self> {
        Self::decode(target, raw, Some(b' '), LonePercent::Kept)
    }

    /// Decodes a path segment. `None` if it is not UTF-8, or if a `%` stands alone.
    pub(super) fn of_segment(target: &str, raw: Range<usize>) -> Option<Self> {
        Self::decode(target, raw, None, LonePercent::Refused)
    }

    fn decode(
        target: &str,
        raw: Range<usize>,
        plus: Option<u8>,
        lone: LonePercent,
    ) -> Option<Self> {
        let bytes = target.as_bytes().get(raw.clone())?;
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = Vec::with_capacity(bytes.len() + 1);
        let mut i = 0;
        while let Some(&byte) = bytes.get(i) {
            at.push(raw.start + i);
            let hex = |offset: usize| {
                let digit = bytes.get(i + offset).map(|b| char::from(*b))?.to_digit(16)?;
                u8::try_from(digit).ok()
            };
            match (byte, plus) {
                (b'+', Some(space)) => out.push(space),
                (b'%', _) => match (hex(1), hex(2)) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        i += 2;
                    }
                    _ if lone == LonePercent::Kept => out.push(b'%'),
                    _ => return None,
                },
                _ => out.push(byte),
            }
            i += 1;
        }
        at.push(raw.end);
        let text = String::from_utf8(out).ok()?;
        Some(Self { text: Zeroizing::new(text), at })
    }

    /// The decoded text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where a range of the decoded text stands in the target.
    pub(super) fn raw(&self, decoded: &Range<usize>) -> Range<usize> {
        let end = self.at.last().copied().unwrap_or_default();
        let place = |offset: usize| self.at.get(offset).copied().unwrap_or(end);
        place(decoded.start)..place(decoded.end)
    }
}

/// A piece of a target and what stands there instead.
pub(super) type Edit = (Range<usize>, String);

/// Applies edits, which are in order and do not overlap. `None` if they are not.
pub(super) fn splice(target: &str, edits: &[Edit]) -> Option<String> {
    let mut out = String::with_capacity(target.len() + 64);
    let mut from = 0;
    for (range, text) in edits {
        out.push_str(target.get(from..range.start)?);
        out.push_str(text);
        from = range.end;
    }
    out.push_str(target.get(from..)?);
    Some(out)
}

/// Splits a target into its path and, behind the question mark, its query.
pub(super) fn split(target: &str) -> (Range<usize>, Option<Range<usize>>) {
    match target.find('?') {
        Some(mark) => (0..mark, Some(mark + 1..target.len())),
        None => (0..target.len(), None),
    }
}

/// The pieces of `range` between separators, as ranges of the target.
pub(super) fn pieces(target: &str, range: Range<usize>, separator: char) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = range.start;
    let text = target.get(range).unwrap_or_default();
    for piece in text.split(separator) {
        found.push(start..start + piece.len());
        start += piece.len() + separator.len_utf8();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_ranges_lead_back_to_the_raw_bytes() {
        let decoded = Decoded::of_query("xx%41+%c3%a9b", 2..13).unwrap();
        assert_eq!(decoded.text(), "A éb");
        assert_eq!(decoded.raw(&(0..1)), 2..5);
        assert_eq!(decoded.raw(&(2..4)), 6..12);
        assert_eq!(decoded.raw(&(4..5)), 12..13);
    }

    #[test]
    fn a_lone_percent_is_itself_in_a_query_and_refused_in_a_path() {
        assert_eq!(Decoded::of_query("%zz%4", 0..5).unwrap().text(), "%zz%4");
        assert!(Decoded::of_segment("%zz", 0..3).is_none());
        assert!(Decoded::of_query("%ff", 0..3).is_none());
    }
}
