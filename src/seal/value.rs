//! Values between JSON and what is sealed: converted as a column of the class's type would, so that
//! what comes back is what the column would have answered.
//!
//! Filters convert their literals with the same functions, or equality would not find what was
//! written.
//!
//! # Why
//! `numeric` takes no `NaN` and no infinity, and `date` no time of day, unlike PostgreSQL: neither has
//! a JSON form that reads back as the same type. Dates are read in the order year, month, day alone,
//! since what `DateStyle` says of other orders is not known here. (2026-11)

use std::str;

use super::{json, visit::Lexeme};
use crate::{
    base::{class::ValueType, secret::Plaintext},
    crypto::{Kind, Typed},
};

/// The value is not of the class's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a value of this type")]
pub(super) struct WrongType;

/// Converts a value of a body; the caller has dealt with null.
pub(super) fn from_json(ty: ValueType, lexeme: Lexeme<'_>) -> Result<Typed, WrongType> {
    let verbatim = |bytes: &[u8]| Ok(Typed::new(Kind::Json, Plaintext::new(bytes.to_vec())));
    match (ty, lexeme) {
        (ValueType::Json, Lexeme::Container(bytes) | Lexeme::Number(bytes)) => verbatim(bytes),
        (ValueType::Json, Lexeme::String(inside, _)) => verbatim(&[b"\"", inside, b"\""].concat()),
        (ValueType::Json, Lexeme::False) => verbatim(b"false"),
        (ValueType::Json, Lexeme::Null) => verbatim(b"null"),
        (ValueType::Json, Lexeme::True) => verbatim(b"true"),
        (_, Lexeme::Container(_) | Lexeme::Null) => Err(WrongType),
        (_, Lexeme::False) => from_text(ty, b"false"),
        (_, Lexeme::Number(token)) => from_text(ty, token),
        (_, Lexeme::String(inside, traits)) if traits.escaped => {
            from_text(ty, text_of(inside)?.expose())
        }
        (_, Lexeme::String(inside, _)) => from_text(ty, inside),
        (_, Lexeme::Text(text)) => from_text(ty, text),
        (_, Lexeme::True) => from_text(ty, b"true"),
    }
}

/// The unescaped text of a string.
pub(super) fn text_of(inside: &[u8]) -> Result<Plaintext, WrongType> {
    let mut text = Vec::with_capacity(inside.len());
    let read = json::unescape(inside, &mut text);
    let text = Plaintext::new(text);
    read.map(|()| text).map_err(|_| WrongType)
}

/// Converts text, as the input function of a column would. For `json`, the text is a JSON string.
pub(super) fn from_text(ty: ValueType, text: &[u8]) -> Result<Typed, WrongType> {
    let text = str::from_utf8(text).map_err(|_| WrongType)?;
    match ty {
        ValueType::Boolean => boolean(trim(text)).map(Typed::from_bool).ok_or(WrongType),
        ValueType::Date => Ok(Typed::from_text(&date(trim(text)).ok_or(WrongType)?)),
        ValueType::Integer => {
            let number: i64 = trim(text).parse().map_err(|_| WrongType)?;
            Ok(number_typed(number.to_string()))
        }
        ValueType::Json => {
            let mut json = Vec::with_capacity(text.len() + 2);
            json::escape(text.as_bytes(), &mut json);
            Ok(Typed::new(Kind::Json, Plaintext::new(json)))
        }
        ValueType::Numeric { precision, scale } => {
            let number = numeric(trim(text), precision.into(), scale.into()).ok_or(WrongType)?;
            Ok(number_typed(number))
        }
        ValueType::Text if text.contains('\0') => Err(WrongType),
        ValueType::Text => Ok(Typed::from_text(text)),
    }
}

fn number_typed(text: String) -> Typed {
    Typed::new(Kind::Number, Plaintext::new(text.into_bytes()))
}

/// What PostgreSQL's input functions take for white space.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}'])
}

/// PostgreSQL's `boolin`: any beginning of the words, in any case, that is clear.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least| text.len() >= least && word.starts_with(&text);
    if begins("true", 1) || begins("yes", 1) || text == "on" || text == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

fn date(text: &str) -> Option<String> {
    let digits = |part: &str, lengths: std::ops::RangeInclusive<usize>| -> Option<u32> {
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        (is_number && lengths.contains(&part.len())).then(|| part.parse().ok()).flatten()
    };
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4..=4)?;
    let month = digits(parts.next()?, 1..=2)?;
    let day = digits(parts.next()?, 1..=2)?;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let exists = year > 0 && (1..=days).contains(&day) && parts.next().is_none();
    exists.then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// PostgreSQL's `numeric(precision, scale)`: rounded half away from zero, with all digits of the
/// scale; `None` if it is no number or does not fit.
fn numeric(text: &str, precision: usize, scale: usize) -> Option<String> {
    let (is_negative, rest) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => {
            let exponent = str::from_utf8(rest.get(at + 1..)?).ok()?;
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
    let mut digits: Vec<u8> = [whole, fraction].concat();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // The value is 0.digits × 10^point.
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..leading);
    let point = whole.len() as i64 - leading as i64 + exponent;
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

/// Appends the JSON form of an opened value.
pub(super) fn to_json(typed: &Typed, out: &mut Vec<u8>) -> Result<(), WrongType> {
    match typed.kind {
        // No class type makes them.
        Kind::Bytes => return Err(WrongType),
        Kind::False => out.extend_from_slice(b"false"),
        Kind::Json | Kind::Number => out.extend_from_slice(typed.value.expose()),
        Kind::String => json::escape(typed.value.expose(), out),
        Kind::True => out.extend_from_slice(b"true"),
    }
    Ok(())
}

/// The text of an opened value, for masks and echoes.
pub(super) fn to_text(typed: &Typed) -> Plaintext {
    match typed.kind {
        Kind::False => Plaintext::from("false"),
        Kind::True => Plaintext::from("true"),
        Kind::Bytes | Kind::Json | Kind::Number | Kind::String => typed.value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMERIC: ValueType = ValueType::Numeric { precision: 12, scale: 4 };

    fn converted(ty: ValueType, text: &str) -> Option<String> {
        let typed = from_text(ty, text.as_bytes()).ok()?;
        Some(String::from_utf8(to_text(&typed).expose().to_vec()).unwrap())
    }

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
            assert_eq!(converted(NUMERIC, given).as_deref(), Some(stored), "{given}");
        }
        for bad in ["", ".", "-", "1e", "1e400", "99999999.99995", "100000000", "NaN", "1 2", "0x1"]
        {
            assert_eq!(converted(NUMERIC, bad), None, "{bad}");
        }
        let whole = ValueType::Numeric { precision: 3, scale: 0 };
        assert_eq!(converted(whole, "99.5").as_deref(), Some("100"));
        assert_eq!(converted(whole, "999.5"), None);
        assert_eq!(converted(whole, "0.5").as_deref(), Some("1"));
        let all_fraction = ValueType::Numeric { precision: 2, scale: 2 };
        assert_eq!(converted(all_fraction, "0.994").as_deref(), Some("0.99"));
        assert_eq!(converted(all_fraction, "0.995"), None);
    }

    #[test]
    fn integers_and_booleans_and_dates_are_those_of_their_columns() {
        assert_eq!(converted(ValueType::Integer, " +42 ").as_deref(), Some("42"));
        assert_eq!(converted(ValueType::Integer, "-0").as_deref(), Some("0"));
        assert_eq!(converted(ValueType::Integer, "1.0"), None);
        assert_eq!(converted(ValueType::Integer, "9223372036854775808"), None);
        for (given, stored) in [("T", "true"), ("yes", "true"), ("of", "false"), ("0", "false")] {
            assert_eq!(converted(ValueType::Boolean, given).as_deref(), Some(stored), "{given}");
        }
        for bad in ["", "o", "2", "truer"] {
            assert_eq!(converted(ValueType::Boolean, bad), None, "{bad}");
        }
        assert_eq!(converted(ValueType::Date, "2024-2-29").as_deref(), Some("2024-02-29"));
        for bad in ["2023-02-29", "0000-01-01", "24-01-01", "2024-13-01", "2024-01", "2024-1-1-1"] {
            assert_eq!(converted(ValueType::Date, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_text_column_keeps_the_lexeme_of_what_is_no_string() {
        let text = |lexeme| from_json(ValueType::Text, lexeme).map(|typed| to_text(&typed));
        assert_eq!(text(Lexeme::Number(b"1.10")).unwrap().expose(), b"1.10");
        assert_eq!(text(Lexeme::True).unwrap().expose(), b"true");
        assert!(text(Lexeme::Container(b"[]")).is_err());
        let escaped = json::Traits { escaped: true, non_ascii: false };
        assert!(text(Lexeme::String(br"\ud800", escaped)).is_err());
        assert!(text(Lexeme::String(br"a\u0000", escaped)).is_err());
        assert_eq!(text(Lexeme::String(br"\u00e9", escaped)).unwrap().expose(), "é".as_bytes());
    }
}
