//! Values between JSON and what is sealed: converted as a column of the class's type would, so that
//! what comes back is what the column would have answered.
//!
//! Filters convert their literals with the same functions, or equality would not find what was
//! written.
//!
//! `number` and `calendar` read what needs more than a line. Nothing is accepted that a column would
//! refuse; what is refused here and not there is said where it is.

mod calendar;
mod number;

use std::str;

pub(super) use calendar::{Day, Moment};
pub(super) use number::compare as compare_decimals;

use super::{json, visit::Lexeme};
use crate::{
    base::{class::ValueType, secret::Plaintext},
    crypto::{Kind, Typed},
    policy::plan::Class,
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
        ValueType::BigInt => integer(text, i64::MIN, i64::MAX),
        ValueType::Date => Moment::date(trim(text)).map(|at| at.typed(ty)).ok_or(WrongType),
        ValueType::Decimal => Ok(number_typed(number::decimal(trim(text)).ok_or(WrongType)?)),
        ValueType::Integer => integer(text, i32::MIN.into(), i32::MAX.into()),
        ValueType::Json => {
            let mut json = Vec::with_capacity(text.len() + 2);
            json::escape(text.as_bytes(), &mut json);
            Ok(Typed::new(Kind::Json, Plaintext::new(json)))
        }
        ValueType::Numeric { precision, scale } => {
            let number =
                number::numeric(trim(text), precision.into(), scale.into()).ok_or(WrongType)?;
            Ok(number_typed(number))
        }
        ValueType::SmallInt => integer(text, i16::MIN.into(), i16::MAX.into()),
        ValueType::Text | ValueType::VarChar(_) if text.contains('\0') => Err(WrongType),
        ValueType::Text | ValueType::VarChar(_) => Ok(Typed::from_text(text)),
        ValueType::Timestamp => {
            Moment::timestamp(trim(text)).map(|at| at.typed(ty)).ok_or(WrongType)
        }
        ValueType::TimestampTz => {
            Moment::timestamptz(trim(text)).map(|at| at.typed(ty)).ok_or(WrongType)
        }
        ValueType::Uuid => uuid(text).map(|uuid| Typed::from_text(&uuid)).ok_or(WrongType),
    }
}

/// Converts the literal of a test, as the database would for a column of the type. Unlike a value it
/// is never rounded.
pub(super) fn sought(ty: ValueType, text: &[u8]) -> Result<Typed, WrongType> {
    let ValueType::Numeric { precision, scale } = ty else { return from_text(ty, text) };
    let text = trim(str::from_utf8(text).map_err(|_| WrongType)?);
    let number = number::sought(text, precision.into(), scale.into());
    number.map(number_typed).ok_or(WrongType)
}

/// The same for a literal in a body.
pub(super) fn sought_in_json(ty: ValueType, lexeme: Lexeme<'_>) -> Result<Typed, WrongType> {
    match (ty, lexeme) {
        (ValueType::Numeric { .. }, Lexeme::Number(token) | Lexeme::Text(token)) => {
            sought(ty, token)
        }
        (ValueType::Numeric { .. }, Lexeme::String(inside, _)) => {
            sought(ty, text_of(inside)?.expose())
        }
        _ => from_json(ty, lexeme),
    }
}

/// What of a value is stored: text that is too long for its column loses spaces at its end, as
/// there, and all else that the column, or the declared range, would not hold is refused. The
/// literal of a filter is compared as it is.
pub(super) fn fitted(class: &Class, typed: Typed) -> Result<Typed, WrongType> {
    let ty = class.params.ty;
    if ty.is_calendar() {
        let text = str::from_utf8(typed.value.expose()).map_err(|_| WrongType)?;
        let (day, _) = Moment::parse(ty, text).ok_or(WrongType)?.day();
        return if class.params.years.contains(day.year) { Ok(typed) } else { Err(WrongType) };
    }
    let ValueType::VarChar(limit) = ty else { return Ok(typed) };
    let text = str::from_utf8(typed.value.expose()).map_err(|_| WrongType)?;
    let Some((end, _)) = text.char_indices().nth(limit as usize) else { return Ok(typed) };
    let (kept, rest) = text.split_at(end);
    let fits = rest.bytes().all(|byte| byte == b' ');
    if fits { Ok(Typed::from_text(kept)) } else { Err(WrongType) }
}

fn integer(text: &str, least: i64, most: i64) -> Result<Typed, WrongType> {
    let number: i64 = trim(text).parse().map_err(|_| WrongType)?;
    let fits = (least..=most).contains(&number);
    if fits { Ok(number_typed(number.to_string())) } else { Err(WrongType) }
}

/// PostgreSQL's `uuid_in`: 32 digits, in braces or not, with a hyphen after any four of them or not.
fn uuid(text: &str) -> Option<String> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut out = String::with_capacity(36);
    let mut digits = 0;
    let mut after_hyphen = true;
    for character in inner.chars() {
        if character == '-' {
            if after_hyphen || digits % 4 != 0 || digits == 32 {
                return None;
            }
            after_hyphen = true;
            continue;
        }
        if !character.is_ascii_hexdigit() || digits == 32 {
            return None;
        }
        if matches!(digits, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(character.to_ascii_lowercase());
        digits += 1;
        after_hyphen = false;
    }
    (digits == 32 && !after_hyphen).then_some(out)
}

fn number_typed(text: String) -> Typed {
    Typed::new(Kind::Number, Plaintext::new(text.into_bytes()))
}

/// What PostgreSQL's input functions take for white space.
pub(super) fn trim(text: &str) -> &str {
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

    fn converted(ty: ValueType, text: &str) -> Option<String> {
        let typed = from_text(ty, text.as_bytes()).ok()?;
        Some(String::from_utf8(to_text(&typed).expose().to_vec()).unwrap())
    }

    #[test]
    fn integers_and_booleans_and_dates_are_those_of_their_columns() {
        assert_eq!(converted(ValueType::Integer, " +42 ").as_deref(), Some("42"));
        assert_eq!(converted(ValueType::Integer, "-0").as_deref(), Some("0"));
        assert_eq!(converted(ValueType::Integer, "1.0"), None);
        assert_eq!(converted(ValueType::Integer, "2147483648"), None);
        assert_eq!(converted(ValueType::SmallInt, "-32768").as_deref(), Some("-32768"));
        assert_eq!(converted(ValueType::SmallInt, "32768"), None);
        assert_eq!(converted(ValueType::BigInt, "2147483648").as_deref(), Some("2147483648"));
        assert_eq!(converted(ValueType::BigInt, "9223372036854775808"), None);
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
