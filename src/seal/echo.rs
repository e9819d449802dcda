//! Echoes: what an API repeats of a request in its errors and headers.
//!
//! Only text that this exchange itself wrote is turned back into what the caller sent, and only if
//! the caller may test the class for equality: the text of a conflict answers such a test. Every
//! other envelope becomes `[sealed]`, so that nobody can have one opened by having it echoed.

use std::{ops::Range, str};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use super::{
    json::{self, Reach, Traits},
    proof::SEALED,
    written::{Entry, Written},
};
use crate::{base::secret::Plaintext, crypto::envelope, keys::Snapshot, policy::plan::Rights};

/// PostgreSQL shows so many bytes of each value of a failing row, and then three dots.
const CUT: usize = 64;
const DOTS: &[u8] = b"...";

/// All but the unreserved characters of RFC 3986 §2.3.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The body of an error.
pub fn body(
    input: &[u8],
    json: bool,
    written: &Written,
    rights: &Rights,
    keys: &Snapshot,
) -> Vec<u8> {
    let echo = Echo { written, rights, keys, spelling: Spelling::Text };
    let mut out = Vec::with_capacity(input.len());
    let mut rest = input;
    // Strings are searched without their escapes; what is between them is searched too, since an
    // error that says it is JSON may not be.
    while json && let Some(quote) = memchr::memchr(b'"', rest) {
        let mut traits = Traits::default();
        let Reach::Quote(end) = json::string_end(rest, quote + 1, &mut traits) else { break };
        echo.replace(rest.get(..quote).unwrap_or_default(), &mut out);
        echo.string(rest.get(quote + 1..end).unwrap_or_default(), traits, &mut out);
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    echo.replace(rest, &mut out);
    out
}

/// The body of an error that may repeat what the caller may not see: of its texts and numbers the
/// codes stay alone.
pub fn blotted(input: &[u8], json: bool) -> Vec<u8> {
    let parsed = serde_json::from_slice(input).ok().filter(|_| json);
    match parsed {
        _ if input.trim_ascii().is_empty() => input.to_vec(),
        Some(parsed) => blot("", parsed).to_string().into_bytes(),
        None => SEALED.as_bytes().to_vec(),
    }
}

fn blot(key: &str, value: Value) -> Value {
    let is_code = |text: &str| {
        let is_word = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        text.len() <= 32 && text.bytes().all(is_word)
    };
    match value {
        Value::String(text) if key == "code" && is_code(&text) => Value::String(text),
        Value::String(_) => Value::String(SEALED.to_owned()),
        Value::Number(number) if matches!(key, "code" | "status") => Value::Number(number),
        Value::Number(_) => Value::Null,
        Value::Array(items) => items.into_iter().map(|item| blot("", item)).collect(),
        Value::Object(members) => {
            let blotted = members.into_iter().map(|(key, value)| {
                let value = blot(&key, value);
                (key, value)
            });
            Value::Object(blotted.collect())
        }
        other @ (Value::Bool(_) | Value::Null) => other,
    }
}

/// The value of a header. `echoes` are pieces of the rewritten target, as the API may spell them,
/// with what stood there before.
pub fn header(
    value: &[u8],
    written: &Written,
    echoes: &[(String, Plaintext)],
    rights: &Rights,
    keys: &Snapshot,
) -> Vec<u8> {
    let is_url = matches!(value.first(), Some(b'/' | b'<'))
        || memchr::memmem::find(value, b"://").is_some()
        || memchr::memchr(b'?', value).is_some();
    let spelling = if is_url { Spelling::Url } else { Spelling::Header };
    let echo = Echo { written, rights, keys, spelling };
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((at, piece)) = next_piece(rest, echoes) {
        echo.replace(rest.get(..at.start).unwrap_or_default(), &mut out);
        // The dialect spelled it for this place; what no header can hold is encoded all the same.
        out.extend(percent_encode(piece.expose(), CONTROLS).flat_map(str::bytes));
        rest = rest.get(at.end..).unwrap_or_default();
    }
    echo.replace(rest, &mut out);
    out
}

/// The first place where one of the pieces stands whole, and the longest piece there.
fn next_piece<'a>(
    text: &[u8],
    echoes: &'a [(String, Plaintext)],
) -> Option<(Range<usize>, &'a Plaintext)> {
    let places =
        echoes.iter().filter(|(piece, _)| !piece.is_empty()).filter_map(|(piece, original)| {
            let at = memchr::memmem::find_iter(text, piece).find(|at| {
                let after = text.get(at + piece.len());
                after.is_none_or(|byte| !is_run_byte(*byte))
            })?;
            Some((at..at + piece.len(), original))
        });
    places.min_by_key(|(at, _)| (at.start, std::cmp::Reverse(at.end)))
}

/// How plaintext is spelled where it is put back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Percent-encoded, since a header holds no control characters and little beyond ASCII.
    Header,
    /// As it is.
    Text,
    /// Percent-encoded, and so is what stands for an envelope.
    Url,
}

struct Echo<'a> {
    written: &'a Written,
    rights: &'a Rights,
    keys: &'a Snapshot,
    spelling: Spelling,
}

impl Echo<'_> {
    /// A JSON string: it keeps its spelling unless something in it is replaced.
    fn string(&self, inside: &[u8], traits: Traits, out: &mut Vec<u8>) {
        let unescaped;
        let text = if traits.escaped {
            unescaped = json::unescape_lossy(inside);
            &unescaped
        } else {
            inside
        };
        out.push(b'"');
        if self.next_run(text, 0).is_some() {
            let mut replaced = Vec::with_capacity(text.len());
            self.replace(text, &mut replaced);
            json::escape_inside(&replaced, out);
        } else {
            out.extend_from_slice(inside);
        }
        out.push(b'"');
    }

    /// Appends `text` with every envelope in it replaced.
    fn replace(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut copied = 0;
        while let Some(run) = self.next_run(text, copied) {
            out.extend_from_slice(text.get(copied..run.start).unwrap_or_default());
            let rest = text.get(run.end..).unwrap_or_default();
            let stored = text.get(run.clone()).and_then(|run| str::from_utf8(run).ok());
            copied = run.end + self.put_back(stored.unwrap_or_default(), rest, out);
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
    }

    /// Appends what stands for `stored`, and says how much of what follows it went with it.
    fn put_back(&self, stored: &str, rest: &[u8], out: &mut Vec<u8>) -> usize {
        if let Some(entry) = self.written.exact(stored).filter(|entry| self.may_see(entry)) {
            self.spell(entry.text.expose(), out);
            return 0;
        }
        if stored.len() == CUT && rest.starts_with(DOTS) {
            let entry = self.written.only_with_prefix(stored);
            if let Some(entry) = entry.filter(|entry| self.may_see(entry)) {
                return self.spell_cut(entry.text.expose(), out);
            }
        }
        out.extend_from_slice(match self.spelling {
            Spelling::Header | Spelling::Text => SEALED.as_bytes(),
            Spelling::Url => b"%5Bsealed%5D",
        });
        0
    }

    /// Cuts plaintext as PostgreSQL would have cut it; a short one loses the dots.
    fn spell_cut(&self, text: &[u8], out: &mut Vec<u8>) -> usize {
        if text.len() <= CUT {
            self.spell(text, out);
            return DOTS.len();
        }
        let is_boundary = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
        let cut = (0..=CUT).rev().find(is_boundary).unwrap_or(0);
        self.spell(text.get(..cut).unwrap_or_default(), out);
        0
    }

    fn spell(&self, text: &[u8], out: &mut Vec<u8>) {
        match self.spelling {
            Spelling::Header | Spelling::Url => {
                out.extend(percent_encode(text, COMPONENT).flat_map(str::bytes));
            }
            Spelling::Text => out.extend_from_slice(text),
        }
    }

    fn may_see(&self, entry: &Entry) -> bool {
        self.rights.by_class.get(&entry.class).is_some_and(|rights| rights.may_filter)
    }

    /// The next run that looks like an envelope, whole or cut, or that names one of our kids.
    fn next_run(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        let shaped = envelope::find(text, from);
        let before = shaped.as_ref().map_or(text.len(), |run| run.start);
        // A kid needs characters beyond the start of the next run only if it belongs to that run.
        let ours = envelope::kids(text.get(from..before)?)
            .find(|(_, kid)| self.keys.knows(*kid))
            .map(|(at, _)| from + at);
        match ours {
            Some(start) => {
                let run = text.get(start..)?;
                let length = run.iter().position(|byte| !is_run_byte(*byte));
                Some(start..start + length.unwrap_or(run.len()))
            }
            None => shaped,
        }
    }
}

fn is_run_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}
