//! JSON tokens as bytes (RFC 8259): where they end, whether they are valid, and strings in and out
//! of their escapes.
//!
//! Nothing here knows of fields, and nothing allocates unless it is given a buffer. The structure of
//! objects and arrays is in [`scan`](super::scan).

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// What was met between the quotes of a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// A backslash.
    pub escaped: bool,
    /// A byte above 0x7f.
    pub non_ascii: bool,
}

/// How far a string token could be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// A byte that may not stand in a string.
    Bad,
    /// The position of the closing quote.
    Quote(usize),
    /// The input ended; go on at this position.
    Short(usize),
}

/// Finds the quote that closes the string whose inside is read at `at`.
///
/// Eight bytes at a time, because most strings of a record are shorter than what pays for a call
/// into a vectorised search.
#[inline]
pub(super) fn string_end(input: &[u8], mut at: usize, traits: &mut Traits) -> Reach {
    loop {
        let Some(rest) = input.get(at..) else { return Reach::Short(at) };
        let stop = match rest.first_chunk::<8>() {
            Some(eight) => {
                let word = u64::from_le_bytes(*eight);
                let quote = word ^ (ONES * b'"' as u64);
                let slash = word ^ (ONES * b'\\' as u64);
                // A byte is zero, or below 0x20: the lowest mark is exact, higher ones may be
                // borrows.
                let marks = (quote.wrapping_sub(ONES) & !quote
                    | slash.wrapping_sub(ONES) & !slash
                    | word.wrapping_sub(ONES * 0x20) & !word)
                    & HIGH;
                traits.non_ascii |= word & HIGH != 0;
                if marks == 0 {
                    at += 8;
                    continue;
                }
                marks.trailing_zeros() as usize / 8
            }
            None => {
                let plain = |byte: &u8| *byte != b'"' && *byte != b'\\' && *byte >= 0x20;
                let stop = rest.iter().take_while(|byte| plain(byte)).count();
                traits.non_ascii |= rest.iter().take(stop).any(|byte| *byte >= 0x80);
                stop
            }
        };
        match rest.get(stop) {
            None => return Reach::Short(at + stop),
            Some(b'"') => return Reach::Quote(at + stop),
            Some(b'\\') => {
                traits.escaped = true;
                if stop + 1 >= rest.len() {
                    return Reach::Short(at + stop);
                }
                at += stop + 2;
            }
            Some(_) => return Reach::Bad,
        }
    }
}

/// Whether the inside of a string, of which `traits` are known, is valid: UTF-8, and escapes that
/// RFC 8259 has. Lone surrogates are valid JSON.
#[inline]
pub(super) fn is_valid_inside(inside: &[u8], traits: Traits) -> bool {
    if traits.non_ascii && std::str::from_utf8(inside).is_err() {
        return false;
    }
    !traits.escaped || escapes_are_valid(inside)
}

fn escapes_are_valid(mut rest: &[u8]) -> bool {
    while let Some(slash) = memchr::memchr(b'\\', rest) {
        rest = match rest.get(slash + 1..) {
            Some([b'u', a, b, c, d, after @ ..])
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                after
            }
            Some([b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..]) => after,
            _ => return false,
        };
    }
    true
}

/// A string that no UTF-8 text can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lone surrogate")]
pub(super) struct LoneSurrogate;

/// Appends the text of a valid string's inside, without its escapes.
pub(super) fn unescape(mut inside: &[u8], out: &mut Vec<u8>) -> Result<(), LoneSurrogate> {
    while let Some(slash) = memchr::memchr(b'\\', inside) {
        let (plain, rest) = inside.split_at(slash);
        out.extend_from_slice(plain);
        inside = match rest {
            [_, b'u', after @ ..] => {
                let (unit, mut after) = unit(after).ok_or(LoneSurrogate)?;
                let point = match unit {
                    0xd800..0xdc00 => {
                        let low = after.strip_prefix(b"\\u").and_then(self::unit);
                        let Some((low @ 0xdc00..0xe000, rest)) = low else {
                            return Err(LoneSurrogate);
                        };
                        after = rest;
                        0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => unit,
                };
                let point = char::from_u32(point).ok_or(LoneSurrogate)?;
                out.extend_from_slice(point.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            [_, letter, after @ ..] => {
                out.push(match letter {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                after
            }
            _ => return Err(LoneSurrogate),
        };
    }
    out.extend_from_slice(inside);
    Ok(())
}

/// As [`unescape`], but a lone surrogate becomes U+FFFD: for searching, not for keeping.
pub(super) fn unescape_lossy(inside: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(slash) = memchr::memchr(b'\\', rest) {
        let escape = rest.get(slash..).unwrap_or_default();
        text.extend_from_slice(rest.get(..slash).unwrap_or_default());
        let long = if escape.get(1) == Some(&b'u') { 6 } else { 2 };
        // A pair of surrogates first, else one escape alone.
        let taken = [12, long].into_iter().find(|taken| {
            let before = text.len();
            let whole = escape.get(..*taken).filter(|escapes| is_one_or_pair(escapes));
            let read = whole.is_some_and(|escapes| unescape(escapes, &mut text).is_ok());
            if !read {
                text.truncate(before);
            }
            read
        });
        if taken.is_none() {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
        rest = escape.get(taken.unwrap_or(long.min(escape.len()))..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    text
}

fn is_one_or_pair(escape: &[u8]) -> bool {
    match escape {
        [b'\\', b'u', _, _, _, _, b'\\', b'u', _, _, _, _] | [b'\\', b'u', _, _, _, _] => true,
        [b'\\', letter] => *letter != b'u',
        _ => false,
    }
}

fn unit(digits: &[u8]) -> Option<(u32, &[u8])> {
    let (four, rest) = digits.split_first_chunk::<4>()?;
    let mut unit = 0;
    for digit in four {
        unit = unit << 4 | char::from(*digit).to_digit(16)?;
    }
    Some((unit, rest))
}

/// Appends `text` as a JSON string with the fewest escapes, spelled as PostgreSQL spells them.
pub(super) fn escape(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape_inside(text, out);
    out.push(b'"');
}

/// As [`escape`], without the quotes.
pub(super) fn escape_inside(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut plain_from = 0;
    for (at, byte) in text.iter().enumerate() {
        let letter = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(text.get(plain_from..at).unwrap_or_default());
        out.extend_from_slice(&[b'\\', letter]);
        if letter == b'u' {
            // Invariant: a nibble is below 16.
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(&[b'0', b'0', digits[0], digits[1]]);
        }
        plain_from = at + 1;
    }
    out.extend_from_slice(text.get(plain_from..).unwrap_or_default());
}

/// What a token that starts with a letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    /// None of them.
    Bad,
    False,
    Null,
    /// The input ended before it could be told.
    Short,
    True,
}

/// Reads the literal at the start of `rest`. Whatever follows it is looked at next.
#[inline]
pub(super) fn literal(rest: &[u8]) -> Literal {
    match rest {
        [b't', b'r', b'u', b'e', ..] => Literal::True,
        [b'n', b'u', b'l', b'l', ..] => Literal::Null,
        [b'f', b'a', b'l', b's', b'e', ..] => Literal::False,
        _ if ["false", "null", "true"].iter().any(|word| word.as_bytes().starts_with(rest)) => {
            Literal::Short
        }
        _ => Literal::Bad,
    }
}

/// Whether a byte can stand in a number.
pub(super) const NUMBER: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < b"0123456789+-.eE".len() {
        table[b"0123456789+-.eE"[i] as usize] = true;
        i += 1;
    }
    table
};

/// The length of the number of RFC 8259 at the start of `token`, if there is one. Whatever follows
/// it is looked at next.
#[inline]
pub(super) fn number_len(token: &[u8]) -> Option<usize> {
    let rest = token.strip_prefix(b"-").unwrap_or(token);
    let mut rest = match rest {
        [b'0', rest @ ..] => rest,
        [b'1'..=b'9', rest @ ..] => skip_digits(rest),
        _ => return None,
    };
    if let [b'.', fraction @ ..] = rest {
        rest = skip_digits(fraction);
        if rest.len() == fraction.len() {
            return None;
        }
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let digits = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        rest = skip_digits(digits);
        if rest.len() == digits.len() {
            return None;
        }
    }
    Some(token.len() - rest.len())
}

fn skip_digits(mut rest: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', after @ ..] = rest {
        rest = after;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> (Reach, Traits) {
        let mut traits = Traits::default();
        (string_end(text.as_bytes(), 0, &mut traits), traits)
    }

    #[test]
    fn a_string_ends_at_its_first_quote_that_no_backslash_precedes() {
        assert_eq!(end("\"x").0, Reach::Quote(0));
        assert_eq!(end("0123456789\",\"").0, Reach::Quote(10));
        let (reach, traits) = end("01234\\\"7é9\\\\\"rest");
        assert_eq!(reach, Reach::Quote(13));
        assert!(traits.escaped && traits.non_ascii);
        assert_eq!(end("0123456\\").0, Reach::Short(7));
        assert_eq!(end("01234567\u{1f}\"").0, Reach::Bad);
    }

    #[test]
    fn escapes_are_those_of_the_rfc() {
        let valid = |text: &str| escapes_are_valid(text.as_bytes());
        assert!(valid(r#"a\"\\\/\b\f\n\r\t\u00e9\ud800"#));
        assert!(!valid(r"\x41") && !valid(r"\u12g4") && !valid(r"\u123") && !valid("\\"));
    }

    #[test]
    fn unescaping_knows_surrogates() {
        let text = |inside: &str| {
            let mut out = Vec::new();
            unescape(inside.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(text(r"m\u0072n\/\ud83d\ude00\n").unwrap(), "mrn/😀\n");
        assert_eq!(text(r"\ud83d").unwrap_err(), LoneSurrogate);
        assert_eq!(text(r"\ud83dx\ude00").unwrap_err(), LoneSurrogate);
        assert_eq!(text(r"\ude00").unwrap_err(), LoneSurrogate);
        let lossy = unescape_lossy(r"\ud83d\ude00\ud800ls\u0031\\".as_bytes());
        assert_eq!(String::from_utf8(lossy).unwrap(), "😀\u{fffd}ls1\\");
    }

    #[test]
    fn escaping_spells_as_postgresql_does() {
        let mut out = Vec::new();
        escape("a\"\\/\u{8}\u{1f}\u{7f}é".as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"\\\\/\\b\\u001f\u{7f}é\"");
    }

    #[test]
    fn numbers_are_those_of_the_rfc() {
        let is_number = |text: &[u8]| number_len(text) == Some(text.len());
        for good in ["0", "-0", "1.10", "1e400", "1E+2", "12345678901234567890", "0.0e-0"] {
            assert!(is_number(good.as_bytes()), "{good}");
        }
        for bad in ["", "-", "01", "+1", ".5", "5.", "1e", "1e+", "0x1", "1.2.3", "--1", "1-1"] {
            assert!(!is_number(bad.as_bytes()), "{bad}");
        }
    }
}
