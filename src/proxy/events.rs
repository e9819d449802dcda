//! Server-sent events: each event is opened, and let go, as soon as it is whole.
//!
//! The `data:` of an event is a text of its own. If it is JSON it is opened as a body of the answer
//! would be; other text passes as it is, and so do comments, ids and event names.

use std::sync::Arc;

use super::coding::Pass;
use crate::{
    base::refusal::{Code, Refusal},
    keys::Snapshot,
    policy::Plan,
    seal::{Finished, Form, Tally, Transform},
};

/// What a stream may begin with, and no line does.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// The largest event.
const MOST: usize = 8 << 20;

/// A stream of events on its way.
pub struct Events {
    plan: Arc<Plan>,
    keys: Arc<Snapshot>,
    /// Lines of an event that is not whole yet.
    held: Vec<u8>,
    /// Where the last line of what is held begins.
    line: usize,
    /// Nothing has left yet, so a byte order mark may come.
    is_start: bool,
    /// The last line ended in CR: a LF that follows belongs to it.
    is_after_cr: bool,
    tally: Tally,
}

impl Events {
    /// Events that are opened as the plan says of a body.
    pub fn new(plan: Arc<Plan>, keys: Arc<Snapshot>) -> Self {
        let (held, tally) = Default::default();
        Self { plan, keys, held, line: 0, is_start: true, is_after_cr: false, tally }
    }

    /// Opens the event that is held, whole with its empty line.
    fn event(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let held = std::mem::take(&mut self.held);
        self.line = 0;
        let held = match held.strip_prefix(MARK) {
            Some(rest) if std::mem::take(&mut self.is_start) => {
                out.extend_from_slice(MARK);
                rest
            }
            Some(_) | None => &held[..],
        };
        self.is_start = false;
        let data: Vec<_> = lines(held).filter_map(data).collect();
        let joined = data.join(&b'\n');
        if !matches!(joined.trim_ascii_start().first(), Some(b'{' | b'[' | b'"')) {
            out.extend_from_slice(held);
            return Ok(());
        }
        let mut opened = Vec::new();
        let mut transform = Transform::opening(&self.plan, self.keys.clone(), Form::Json);
        transform.push(&joined, &mut opened)?;
        let Finished { tally, .. } = transform.finish(&mut opened)?;
        self.tally.add(&tally);
        // The last one's, so that a line end that follows is not taken for half of one.
        let end = lines(held).filter(|line| data_of(line).is_some()).last().map(parted);
        let end = end.map_or(&b"\n"[..], |(_, end)| end);
        let mut is_due = true;
        for line in lines(held) {
            if data_of(line).is_none() {
                out.extend_from_slice(line);
            } else if std::mem::take(&mut is_due) {
                let prefix: &[u8] = if line.starts_with(b"data: ") { b"data: " } else { b"data:" };
                for text in opened.split(|&b| b == b'\n') {
                    out.extend_from_slice(prefix);
                    out.extend_from_slice(text);
                    out.extend_from_slice(end);
                }
            }
        }
        Ok(())
    }
}

impl Pass for Events {
    type End = Tally;

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.is_after_cr) && first == b'\n' {
                // The event that the line ended may have left.
                let line = if self.held.is_empty() { &mut *out } else { &mut self.held };
                line.push(first);
                self.line = self.held.len();
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let end = memchr::memchr2(b'\r', b'\n', rest).map(|at| at + 1);
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            self.held.extend_from_slice(piece);
            if self.held.len() > MOST {
                return Err(Code::UpstreamUnreadable.into());
            }
            if end.is_none() {
                continue;
            }
            self.is_after_cr = piece.ends_with(b"\r");
            let is_empty = self.held.len() - self.line == 1;
            self.line = self.held.len();
            if is_empty {
                self.event(out)?;
            }
        }
        Ok(())
    }

    fn finish(self, _: &mut Vec<u8>) -> Result<Tally, Refusal> {
        // An event that its empty line does not end is dropped by every reader.
        Ok(self.tally)
    }
}

fn data(line: &[u8]) -> Option<Vec<u8>> {
    data_of(line).map(<[u8]>::to_vec)
}

/// The lines of an event, each with its end: CR LF, LF, or CR alone.
fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = match memchr::memchr2(b'\r', b'\n', text) {
            Some(at) if text.get(at..at + 2) == Some(b"\r\n") => at + 2,
            Some(at) => at + 1,
            None => text.len(),
        };
        let (line, rest) = text.split_at(end);
        text = rest;
        (!line.is_empty()).then_some(line)
    })
}

/// A line and its end.
fn parted(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |at| at + 1);
    line.split_at(end)
}

/// The value of a `data` line.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let (line, _) = parted(line);
    let value = if line == b"data" { b"" } else { line.strip_prefix(b"data:")? };
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
