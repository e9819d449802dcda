//! The look ahead: finds the key of a record before any value in it is decided, since a value may
//! stand before the key that it is bound to.
//!
//! It only counts brackets and steps over strings. What it takes for JSON and is none ends the scan
//! that follows, so nothing is decided here but where the key stands. Like the scan, it goes on where
//! the input ended.

use std::ops::Range;

use crate::seal::{
    json::{self, Reach, Traits},
    visit::{Found, Lexeme, Stop},
};

/// How far a record was read. Positions count from the start of the body.
pub(super) struct Ahead {
    at: usize,
    depth: usize,
    /// A string that the input cut: how far it was read.
    partial: Option<(usize, Traits)>,
    /// Whether the next string of the record itself is a key.
    expects_key: bool,
    /// Whether the key was read and its value comes next.
    expects_value: bool,
    /// Where a number or a word began that is the value.
    scalar: Option<usize>,
    found: Vec<Range<usize>>,
}

impl Ahead {
    /// Before the record whose bracket is at this position.
    pub fn new(at: usize) -> Self {
        Self {
            at,
            depth: 0,
            partial: None,
            expects_key: false,
            expects_value: false,
            scalar: None,
            found: Vec::new(),
        }
    }

    /// Reads on; `true` once the record ended.
    pub fn run(&mut self, input: &[u8], base: usize, name: &str) -> Result<bool, Stop> {
        let mut at = self.at - base;
        while let Some(byte) = input.get(at) {
            match byte {
                b'"' => {
                    let (from, mut traits) = match self.partial.take() {
                        Some((reached, traits)) => (reached - base, traits),
                        None => (at + 1, Traits::default()),
                    };
                    let end = match json::string_end(input, from, &mut traits) {
                        Reach::Quote(end) => end,
                        Reach::Bad => return Err(Stop::Malformed),
                        Reach::Short(reached) => {
                            self.partial = Some((base + reached, traits));
                            break;
                        }
                    };
                    let inside = input.get(at + 1..end).ok_or(Stop::Malformed)?;
                    if self.depth == 1 && self.expects_key {
                        self.expects_key = false;
                        self.expects_value = is_name(inside, traits, name)?;
                    } else if self.depth == 1 && self.expects_value {
                        self.keep(base + at..base + end + 1);
                    }
                    at = end;
                }
                b'{' | b'[' => {
                    if self.depth == 1 && self.expects_value {
                        // No key is an object: an empty range says that one was found.
                        self.keep(base + at..base + at);
                    }
                    self.depth += 1;
                    self.expects_key |= self.depth == 1;
                }
                b'}' | b']' => {
                    self.end_scalar(base + at);
                    self.depth = self.depth.checked_sub(1).ok_or(Stop::Malformed)?;
                    if self.depth == 0 {
                        self.at = base + at + 1;
                        return Ok(true);
                    }
                }
                b',' => {
                    self.end_scalar(base + at);
                    self.expects_key |= self.depth == 1;
                }
                b' ' | b'\n' | b'\r' | b'\t' => self.end_scalar(base + at),
                b':' => {}
                _ if self.depth == 1 && self.expects_value => {
                    self.scalar = self.scalar.or(Some(base + at));
                }
                _ => {}
            }
            at += 1;
        }
        self.at = base + at;
        Ok(false)
    }

    /// What stands where the key should be, once the record ended.
    pub fn found<'a>(&self, input: &'a [u8], base: usize) -> Result<Found<'a>, Stop> {
        let range = match self.found.as_slice() {
            [] => return Ok(Found::Nothing),
            [range] => range,
            _ => return Ok(Found::Several),
        };
        let token = input.get(range.start - base..range.end - base).ok_or(Stop::Malformed)?;
        Ok(Found::One(match token {
            b"null" => Lexeme::Null,
            b"true" => Lexeme::True,
            b"false" => Lexeme::False,
            [b'"', inside @ .., b'"'] => {
                let mut traits = Traits::default();
                json::string_end(token, 1, &mut traits);
                if !json::is_valid_inside(inside, traits) {
                    return Err(Stop::Malformed);
                }
                Lexeme::String(inside, traits)
            }
            number if json::number_len(number) == Some(number.len()) => Lexeme::Number(number),
            [] => Lexeme::Container(b"{}"),
            _ => return Err(Stop::Malformed),
        }))
    }

    fn end_scalar(&mut self, end: usize) {
        if let Some(start) = self.scalar.take() {
            self.keep(start..end);
        }
    }

    fn keep(&mut self, range: Range<usize>) {
        self.expects_value = false;
        self.found.push(range);
    }
}

/// Whether a key is this name, escapes resolved.
fn is_name(inside: &[u8], traits: Traits, name: &str) -> Result<bool, Stop> {
    if !traits.escaped {
        return Ok(inside == name.as_bytes());
    }
    if !json::is_valid_inside(inside, traits) {
        return Err(Stop::Malformed);
    }
    let mut text = Vec::with_capacity(inside.len());
    Ok(json::unescape(inside, &mut text).is_ok() && text == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of a record, read in pieces of this many bytes.
    fn key(record: &str, piece: usize) -> String {
        let mut ahead = Ahead::new(0);
        let input = record.as_bytes();
        for end in (1..=input.len()).filter(|end| end % piece == 0 || *end == input.len()) {
            match ahead.run(&input[..end], 0, "id") {
                Ok(true) => break,
                Ok(false) => {}
                Err(_) => return "malformed".into(),
            }
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match ahead.found(input, 0) {
            Ok(Found::Nothing) => "nothing".into(),
            Ok(Found::Several) => "several".into(),
            Ok(Found::One(Lexeme::String(inside, _))) => format!("\"{}\"", text(inside)),
            Ok(Found::One(Lexeme::Number(token) | Lexeme::Text(token))) => text(token),
            Ok(Found::One(Lexeme::Null)) => "null".into(),
            Ok(Found::One(Lexeme::True | Lexeme::False)) => "truth".into(),
            Ok(Found::One(Lexeme::Container(_))) => "container".into(),
            Err(_) => "malformed".into(),
        }
    }

    #[test]
    fn the_key_is_found_wherever_it_stands_and_nowhere_else() {
        for (record, expected) in [
            (r#"{"id":"a"}"#, "\"a\""),
            (r#"{ "x" : {"id":1} , "id" : "b\"}" }"#, "\"b\\\"}\""),
            (r#"{"x":["id",{"id":2}],"id":17}"#, "17"),
            (r#"{"id": -1.5e3 ,"x":1}"#, "-1.5e3"),
            (r#"{"i\u0064":null}"#, "null"),
            (r#"{"x":"id","y":"z"}"#, "nothing"),
            (r#"{"id":1,"id":1}"#, "several"),
            (r#"{"id":1,"i\u0064":2}"#, "several"),
            (r#"{"id":{"id":1}}"#, "container"),
            (r#"{"id":[]}"#, "container"),
            (r#"{"id":true}"#, "truth"),
            (r#"{"id":}"#, "nothing"),
            (r#"{"id":1 2}"#, "1"),
            (r#"{"id":1x}"#, "malformed"),
            ("{}", "nothing"),
        ] {
            for piece in [1, 2, 3, 1_000] {
                assert_eq!(key(record, piece), expected, "{record} by {piece}");
            }
        }
    }
}
