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
    tally: Tally,
}

impl Events {
    /// Events that are opened as the plan says of a body.
    pub fn new(plan: Arc<Plan>, keys: Arc<Snapshot>) -> Self {
        Self { plan, keys, held: Vec::new(), line: 0, tally: Tally::default() }
    }

    /// Opens the event that is held, whole with its empty line.
    fn event(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let held = std::mem::take(&mut self.held);
        self.line = 0;
        let data: Vec<_> = held.split_inclusive(|&b| b == b'\n').filter_map(data).collect();
        let joined = data.join(&b'\n');
        if !matches!(joined.trim_ascii_start().first(), Some(b'{' | b'[' | b'"')) {
            out.extend_from_slice(&held);
            return Ok(());
        }
        let mut opened = Vec::new();
        let mut transform = Transform::opening(&self.plan, self.keys.clone(), Form::Json);
        transform.push(&joined, &mut opened)?;
        let Finished { tally, .. } = transform.finish(&mut opened)?;
        self.tally.add(&tally);
        let mut is_due = true;
        for line in held.split_inclusive(|&b| b == b'\n') {
            if data_of(line).is_none() {
                out.extend_from_slice(line);
            } else if std::mem::take(&mut is_due) {
                let prefix: &[u8] = if line.starts_with(b"data: ") { b"data: " } else { b"data:" };
                let end: &[u8] = if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
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
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            self.held.extend_from_slice(line);
            if self.held.len() > MOST {
                return Err(Code::UpstreamUnreadable.into());
            }
            if !line.ends_with(b"\n") {
                continue;
            }
            let whole = self.held.get(self.line..).unwrap_or_default();
            let is_empty = matches!(whole, b"\n" | b"\r\n");
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

/// The value of a `data` line.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let value = if line == b"data" { b"" } else { line.strip_prefix(b"data:")? };
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
