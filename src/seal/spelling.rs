//! How an opened value, a mask or null is spelled where it is put, so that it reads as what the API
//! itself would have written there.

use zeroize::Zeroizing;

use super::{
    json,
    value::{self, WrongType},
};
use crate::{
    base::class::ValueType,
    crypto::{Kind, Typed},
    model::format::Cells,
};

/// A way to spell values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// A cell of CSV.
    Cell(Cells),
    /// A JSON value.
    Json,
    /// Text of its own, without quotes and escapes.
    Text,
}

impl Spelling {
    /// Appends an opened value.
    pub fn value(self, ty: ValueType, typed: &Typed, out: &mut Vec<u8>) -> Result<(), WrongType> {
        match (self, typed.kind) {
            (Self::Json, _) => return value::to_json(typed, out),
            // No class type makes them.
            (_, Kind::Bytes) => return Err(WrongType),
            // PostgreSQL's text of a boolean.
            (Self::Cell(Cells::Record), Kind::False) => out.push(b'f'),
            (Self::Cell(Cells::Record), Kind::True) => out.push(b't'),
            (Self::Cell(Cells::Record), _) if ty.is_timed() => {
                self.text(&record_time(value::to_text(typed).expose()), out);
            }
            (Self::Cell(_) | Self::Text, _) => {
                self.text(value::to_text(typed).expose(), out);
            }
        }
        Ok(())
    }

    /// Appends the text that PostgreSQL casts an opened value to.
    pub fn cast(self, ty: ValueType, typed: &Typed, out: &mut Vec<u8>) {
        let text = value::to_text(typed);
        match ty.is_timed() {
            true => self.text(&record_time(text.expose()), out),
            false => self.text(text.expose(), out),
        }
    }

    /// Appends text.
    pub fn text(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Cell(cells) => cell(cells, text, out),
            Self::Json => json::escape(text, out),
            Self::Text => out.extend_from_slice(text),
        }
    }

    /// Appends null.
    pub fn null(self, out: &mut Vec<u8>) {
        match self {
            Self::Json => out.extend_from_slice(b"null"),
            Self::Cell(_) | Self::Text => {}
        }
    }

    /// What stands on both sides of an envelope, whose characters need no escapes anywhere.
    pub fn around_envelope(self) -> &'static [u8] {
        match self {
            Self::Json => b"\"",
            Self::Cell(_) | Self::Text => b"",
        }
    }
}

/// PostgreSQL's text of a point in time that JSON spells `2026-11-24T12:00:00+00:00`.
fn record_time(json: &[u8]) -> Zeroizing<Vec<u8>> {
    let local = json.strip_suffix(b":00").filter(|text| text.ends_with(b"+00")).unwrap_or(json);
    Zeroizing::new(local.iter().map(|byte| if *byte == b'T' { b' ' } else { *byte }).collect())
}

/// Appends a cell. PostgreSQL's `record_out` and RFC 4180 quote different cells.
fn cell(cells: Cells, text: &[u8], out: &mut Vec<u8>) {
    let is_quoted = text.is_empty()
        || match cells {
            Cells::Plain => {
                let edge = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
                let special = |byte: &u8| matches!(byte, b'"' | b',' | b'\r' | b'\n');
                text.iter().any(special) || edge(text.first()) || edge(text.last())
            }
            Cells::Record => text
                .iter()
                .any(|byte| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | 0x09..=0x0d)),
        };
    if !is_quoted {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' || (*byte == b'\\' && cells == Cells::Record) {
            out.push(*byte);
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Appends the text of a cell, given what stands between its quotes.
pub(super) fn unquote(cells: Cells, is_answer: bool, mut inside: &[u8], out: &mut Vec<u8>) {
    let doubles_slashes = is_answer && cells == Cells::Record;
    let special = |byte: &u8| *byte == b'"' || (*byte == b'\\' && doubles_slashes);
    while let Some(at) = inside.iter().position(special) {
        out.extend_from_slice(inside.get(..=at).unwrap_or_default());
        let is_double = inside.get(at) == inside.get(at + 1);
        inside = inside.get(at + 1 + usize::from(is_double)..).unwrap_or_default();
    }
    out.extend_from_slice(inside);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(cells: Cells, text: &str) -> String {
        let mut out = Vec::new();
        cell(cells, text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_quoted_as_record_out_and_rfc_4180_quote_them() {
        for (text, record, plain) in [
            ("", r#""""#, r#""""#),
            ("A,b", r#""A,b""#, r#""A,b""#),
            ("q\"x", r#""q""x""#, r#""q""x""#),
            ("back\\slash", r#""back\\slash""#, "back\\slash"),
            ("a(b)", r#""a(b)""#, "a(b)"),
            ("a b", r#""a b""#, "a b"),
            (" a", r#"" a""#, r#"" a""#),
            ("a\u{b}", "\"a\u{b}\"", "a\u{b}"),
            ("a\nb", "\"a\nb\"", "\"a\nb\""),
            ("nb\u{a0}x'{};é", "nb\u{a0}x'{};é", "nb\u{a0}x'{};é"),
            ("NULL", "NULL", "NULL"),
        ] {
            assert_eq!(spelled(Cells::Record, text), record);
            assert_eq!(spelled(Cells::Plain, text), plain);
            for (cells, cell) in [(Cells::Record, record), (Cells::Plain, plain)] {
                let Some(inside) = cell.strip_prefix('"').and_then(|c| c.strip_suffix('"')) else {
                    continue;
                };
                let mut back = Vec::new();
                unquote(cells, true, inside.as_bytes(), &mut back);
                assert_eq!(String::from_utf8(back).unwrap(), text);
            }
        }
        let mut back = Vec::new();
        unquote(Cells::Record, false, br#"a\\""b"#, &mut back);
        assert_eq!(back, br#"a\\"b"#);
    }
}
