//! A dump or an export, line by line: its envelopes are opened and written with the quoting that the
//! place needs. Everything else passes as it is.

use super::{json, value};
use crate::{
    crypto::{Bond, Typed, envelope},
    keys::{self, Snapshot},
};

/// How a dump quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Cells, in double quotes where they need it.
    Csv,
    /// JSON, in one text or a text in each line.
    Json,
    /// What pg_dump writes.
    Sql,
    /// Anything.
    Text,
}

/// How many envelopes there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// They opened.
    pub opened: u64,
    /// They are bound to a record.
    pub bound: u64,
    /// They name a key of ours and do not open.
    pub failed: u64,
    /// They name no key of ours.
    pub unknown: u64,
}

/// A dump that is gone through.
pub struct Dump<'a> {
    format: Format,
    keys: &'a Snapshot,
    counts: Opened,
    /// Between COPY and its end.
    copies: bool,
    /// Within the double quotes of a cell.
    quoted: bool,
}

impl<'a> Dump<'a> {
    /// Before the first line.
    pub fn new(format: Format, keys: &'a Snapshot) -> Self {
        Self { format, keys, counts: Opened::default(), copies: false, quoted: false }
    }

    /// How many envelopes there were so far.
    pub fn opened(&self) -> Opened {
        self.counts
    }

    /// Appends a line, with its envelopes opened.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let bare = line.trim_ascii_end();
        let is_copy = !self.copies && bare.starts_with(b"COPY ") && bare.ends_with(b"FROM stdin;");
        if self.format == Format::Sql && is_copy {
            self.copies = true;
            return out.extend_from_slice(line);
        }
        if self.copies && bare == b"\\." {
            self.copies = false;
        }
        let mut done = 0;
        let mut from = 0;
        while let Some(run) = envelope::find(line, from) {
            from = run.end;
            // Invariant: runs are within the line, one behind the other.
            let (before, text) = (&line[done..run.start], &line[run.clone()]);
            self.pass(before);
            let Some(typed) = self.open(text) else {
                out.extend_from_slice(&line[done..run.end]);
                done = run.end;
                continue;
            };
            out.extend_from_slice(before);
            done = run.end + self.write(&typed, &line[..run.start], &line[run.end..], out);
        }
        self.pass(&line[done..]);
        out.extend_from_slice(&line[done..]);
    }

    fn open(&mut self, text: &[u8]) -> Option<Typed> {
        let Ok(parsed) = envelope::parse(text) else {
            let is_ours = envelope::kid_at(text).is_some_and(|kid| self.keys.knows(kid));
            self.counts.failed += u64::from(is_ours);
            return None;
        };
        match self.keys.open(text) {
            keys::Opened::Value { typed, .. } => {
                self.counts.opened += 1;
                return Some(typed);
            }
            keys::Opened::Fails { .. } if parsed.flags().bond() == Bond::Record => {
                self.counts.bound += 1;
            }
            keys::Opened::Fails { .. } | keys::Opened::Unavailable(_) => self.counts.failed += 1,
            keys::Opened::NotOurs => self.counts.unknown += 1,
        }
        None
    }

    /// Follows the quotes of what passes. A doubled quote turns them over twice.
    fn pass(&mut self, bytes: &[u8]) {
        if self.format == Format::Csv {
            self.quoted ^= bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
        }
    }

    /// Writes a value in the place of its envelope. Gives how many bytes after it are taken, too.
    fn write(&self, typed: &Typed, before: &[u8], after: &[u8], out: &mut Vec<u8>) -> usize {
        let text = value::to_text(typed);
        let text = text.expose();
        match self.format {
            Format::Text => out.extend_from_slice(text),
            Format::Json if before.ends_with(b"\"") && after.starts_with(b"\"") => {
                return whole(typed, 1, out, |json, out| out.extend_from_slice(json));
            }
            Format::Json => json::escape_inside(text, out),
            Format::Csv if self.quoted => {
                let in_json = before.ends_with(b"\"\"") && after.starts_with(b"\"\"");
                // The quote of the cell itself and a doubled one look alike but for what follows.
                if in_json && after.get(2).is_some_and(|byte| b"]}, :".contains(byte)) {
                    return whole(typed, 2, out, |json, out| doubled(json, b'"', out));
                }
                doubled(text, b'"', out);
            }
            Format::Csv => {
                let special = |byte: &u8| b"\",;\t\r\n|".contains(byte);
                let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
                let needs = text.is_empty()
                    || text.iter().any(special)
                    || edge(text.first())
                    || edge(text.last());
                if needs {
                    out.push(b'"');
                    doubled(text, b'"', out);
                    out.push(b'"');
                } else {
                    out.extend_from_slice(text);
                }
            }
            Format::Sql => {
                let is_escaped = !self.copies && is_escape_literal(before);
                let copies = self.copies;
                let quote = move |bytes: &[u8], out: &mut Vec<u8>| match copies {
                    true => copied(bytes, out),
                    false if is_escaped => {
                        for byte in bytes {
                            out.extend_from_slice(match byte {
                                b'\\' => b"\\\\",
                                b'\'' => b"''",
                                byte => std::slice::from_ref(byte),
                            });
                        }
                    }
                    false => doubled(bytes, b'\'', out),
                };
                if before.ends_with(b"\"") && after.starts_with(b"\"") {
                    return whole(typed, 1, out, quote);
                }
                quote(text, out);
            }
        }
        0
    }
}

/// Writes a value as JSON in the place of a whole string, whose quotes are `width` bytes wide.
fn whole(
    typed: &Typed,
    width: usize,
    out: &mut Vec<u8>,
    quote: impl Fn(&[u8], &mut Vec<u8>),
) -> usize {
    out.truncate(out.len() - width);
    let mut made = Vec::new();
    if value::to_json(typed, &mut made).is_err() {
        made.clear();
        json::escape(value::to_text(typed).expose(), &mut made);
    }
    quote(&made, out);
    width
}

fn doubled(bytes: &[u8], quote: u8, out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == quote {
            out.push(*byte);
        }
    }
}

/// Text in a block of COPY.
fn copied(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        let letter = match byte {
            b'\\' => b'\\',
            0x08 => b'b',
            0x0b => b'v',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            byte => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

/// Whether the literal that is open at the end of `before` begins with `E'`.
fn is_escape_literal(before: &[u8]) -> bool {
    let opened = before.iter().rposition(|byte| *byte == b'\'');
    let letter = opened.and_then(|at| at.checked_sub(1)).and_then(|at| before.get(at));
    matches!(letter, Some(b'E' | b'e'))
}
