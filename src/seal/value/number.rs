//! Decimals, spelled as PostgreSQL 15 spells them.
//!
//! # Why
//! No `NaN` and no infinity, unlike PostgreSQL: neither has a JSON form that reads back as a number.
//! No hexadecimal and no underscores, which PostgreSQL takes from version 16 on. (2026-11)

use std::cmp::Ordering;

/// What the format of `numeric` can hold before and after the point.
const MAX_WHOLE: i64 = 131_072;
const MAX_SCALE: i64 = 16_383;

/// The parts of a decimal as it was written.
struct Decimal {
    is_negative: bool,
    /// How many of the digits stand before the point.
    whole: usize,
    digits: Vec<u8>,
    exponent: i64,
}

fn parse(text: &str) -> Option<Decimal> {
    let (is_negative, rest) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => {
            let exponent = std::str::from_utf8(rest.get(at + 1..)?).ok()?;
            // More than the format of numeric can hold overflows there too.
            let exponent = exponent.parse::<i64>().ok().filter(|e| e.abs() <= 1 << 20)?;
            (rest.get(..at)?, exponent)
        }
        None => (rest, 0),
    };
    let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
        Some(at) => (mantissa.get(..at)?, mantissa.get(at + 1..)?),
        None => (mantissa, &[][..]),
    };
    let digits: Vec<u8> = [whole, fraction].concat();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(Decimal { is_negative, whole: whole.len(), digits, exponent })
}

/// PostgreSQL's `numeric` without limits: the digits it was given, and none for the exponent.
pub(super) fn decimal(text: &str) -> Option<String> {
    let Decimal { is_negative, whole, mut digits, exponent } = parse(text)?;
    let scale = (digits.len() - whole) as i64 - exponent;
    if scale < 0 {
        // A zero has no digits to move.
        let zeros = if digits.iter().all(|digit| *digit == b'0') { 0 } else { -scale };
        digits.resize(digits.len() + usize::try_from(zeros.min(MAX_WHOLE + 1)).ok()?, b'0');
    }
    let scale = scale.max(0);
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..leading);
    let fits = scale <= MAX_SCALE && digits.len() as i64 - scale <= MAX_WHOLE;
    fits.then(|| spell(is_negative, &digits, usize::try_from(scale).unwrap_or_default()))
}

/// The literal of a test of a `numeric(precision, scale)`: compared as it is and never rounded, so
/// that one with more digits than the column has is the spelling of none of its values.
pub(super) fn sought(text: &str, precision: usize, scale: usize) -> Option<String> {
    let exact = decimal(text)?;
    let rounded = numeric(text, precision, scale).filter(|found| is_same(found, &exact));
    Some(rounded.unwrap_or(exact))
}

fn is_same(one: &str, other: &str) -> bool {
    let bare = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    bare(one) == bare(other)
}

/// PostgreSQL's `numeric(precision, scale)`: rounded half away from zero, with all digits of the
/// scale; `None` if it is no number or does not fit.
pub(super) fn numeric(text: &str, precision: usize, scale: usize) -> Option<String> {
    let Decimal { is_negative, whole, mut digits, exponent } = parse(text)?;
    // The value is 0.digits × 10^point.
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..leading);
    let point = whole as i64 - leading as i64 + exponent;
    if digits.is_empty() {
        return Some(spell(false, &[], scale));
    }
    if point > (precision.saturating_sub(scale)) as i64 {
        return None;
    }
    // How many digits stay; one more decides the rounding.
    let kept = point + scale as i64;
    let rounds_up = match usize::try_from(kept) {
        Err(_) => false,
        Ok(kept) => digits.get(kept).is_some_and(|digit| *digit >= b'5'),
    };
    digits.resize(usize::try_from(kept).unwrap_or(0), b'0');
    if rounds_up {
        carry(&mut digits);
    }
    // Digits are now the number times 10^scale.
    (digits.len() <= precision).then(|| spell(is_negative, &digits, scale))
}

/// How two numbers, spelled as this module spells them, compare.
pub(in crate::seal) fn compare(one: &[u8], other: &[u8]) -> Option<Ordering> {
    let (one, other) = (Magnitude::of(one)?, Magnitude::of(other)?);
    Some(match (one.is_negative, other.is_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => one.cmp(&other),
        (true, true) => other.cmp(&one),
    })
}

/// A number without its sign, and without digits that say nothing.
struct Magnitude<'a> {
    is_negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Magnitude<'a> {
    fn of(text: &'a [u8]) -> Option<Self> {
        let (is_negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let (whole, fraction) = match memchr::memchr(b'.', digits) {
            Some(at) => (digits.get(..at)?, digits.get(at + 1..)?),
            None => (digits, &[][..]),
        };
        let is_number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        let leading = whole.iter().take_while(|digit| **digit == b'0').count();
        let end = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        let number =
            Self { is_negative, whole: whole.get(leading..)?, fraction: fraction.get(..end)? };
        let is_sound = !digits.is_empty() && is_number(whole) && is_number(fraction);
        is_sound.then_some(number)
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let lengths = self.whole.len().cmp(&other.whole.len());
        lengths.then(self.whole.cmp(other.whole)).then(self.fraction.cmp(other.fraction))
    }
}

fn carry(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit != b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

fn spell(is_negative: bool, digits: &[u8], scale: usize) -> String {
    let zeros = (scale + 1).saturating_sub(digits.len());
    let mut text: String = "0".repeat(zeros);
    text.extend(digits.iter().map(|digit| char::from(*digit)));
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    if is_negative && digits.iter().any(|digit| *digit != b'0') {
        text.insert(0, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_as_a_numeric_column_spells_them() {
        for (given, stored) in [
            ("5.5", "5.5000"),
            ("-5.5", "-5.5000"),
            ("0.00005", "0.0001"),
            ("-0.00005", "-0.0001"),
            ("0.00004999", "0.0000"),
            ("-0", "0.0000"),
            (" +.5e1 ", "5.0000"),
            ("5.", "5.0000"),
            ("0007", "7.0000"),
            ("99999999.99994", "99999999.9999"),
            ("1e-20000", "0.0000"),
            ("0e999", "0.0000"),
            ("1.99995", "2.0000"),
            ("9.99995", "10.0000"),
            ("1E+2", "100.0000"),
        ] {
            assert_eq!(numeric(given.trim(), 12, 4).as_deref(), Some(stored), "{given}");
        }
        for bad in ["", ".", "-", "1e", "1e400", "99999999.99995", "100000000", "NaN", "1 2", "0x1"]
        {
            assert_eq!(numeric(bad, 12, 4), None, "{bad}");
        }
        assert_eq!(numeric("99.5", 3, 0).as_deref(), Some("100"));
        assert_eq!(numeric("999.5", 3, 0), None);
        assert_eq!(numeric("0.5", 3, 0).as_deref(), Some("1"));
        assert_eq!(numeric("0.994", 2, 2).as_deref(), Some("0.99"));
        assert_eq!(numeric("0.995", 2, 2), None);
    }

    #[test]
    fn a_literal_that_a_column_cannot_hold_is_the_spelling_of_no_value() {
        for (given, sought_for) in [
            ("1.5", "1.500"),
            ("-01.50000e0", "-1.500"),
            ("0", "0.000"),
            ("-0.000000", "0.000"),
            ("100", "100.000"),
            ("1.5004", "1.5004"),
            ("0.0001", "0.0001"),
            ("123456", "123456"),
        ] {
            assert_eq!(sought(given, 8, 3).as_deref(), Some(sought_for), "{given}");
        }
        assert_eq!(sought("x", 8, 3), None);
    }

    #[test]
    fn numbers_without_limits_keep_the_digits_they_were_given() {
        for (given, stored) in [
            ("1.10", "1.10"),
            ("-0.00", "0.00"),
            ("+5.", "5"),
            (".5", "0.5"),
            ("007.50", "7.50"),
            ("1e3", "1000"),
            ("1.5e-3", "0.0015"),
            ("1.50e1", "15.0"),
            ("15e-1", "1.5"),
            ("0e5", "0"),
            ("0.0e-2", "0.000"),
        ] {
            assert_eq!(decimal(given).as_deref(), Some(stored), "{given}");
        }
        for bad in ["", ".", "1e", "1e131072", "1e-16384", "0x1", "1_0"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }
}
