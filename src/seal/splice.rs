//! The edits of a window, and the one place where a body is put together again: what no edit names
//! is copied byte for byte.

use zeroize::Zeroizing;

use super::visit::{Act, Stop};
use crate::base::refusal::Refusal;

/// What takes the place of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Made bytes, up to this position among them.
    Made(usize),
    /// Nothing.
    Nothing,
    /// `null`.
    Null,
    /// Themselves; but they are not inspected.
    Themselves,
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    from: usize,
    to: usize,
    change: Change,
}

/// Edits in the order of the body, not yet carried out. Positions count from the start of the body.
#[derive(Default)]
pub(super) struct Splice {
    edits: Vec<Edit>,
    /// New bytes, one edit's after the other's. They may be clear text.
    made: Zeroizing<Vec<u8>>,
}

impl Splice {
    /// Lets `visit` append new bytes; unless it says that they replace something, they are dropped.
    #[inline]
    pub fn make(
        &mut self,
        visit: impl FnOnce(&mut Vec<u8>) -> Result<Act, Stop>,
    ) -> Result<Act, Stop> {
        let before = self.made.len();
        let act = visit(&mut self.made)?;
        if act != Act::Replace {
            self.made.truncate(before);
        }
        Ok(act)
    }

    /// The bytes made last stand in place of `from..to`.
    pub fn replace(&mut self, from: usize, to: usize) {
        self.edits.push(Edit { from, to, change: Change::Made(self.made.len()) });
    }

    /// Does with `from..to` what was decided of it.
    pub fn carry(&mut self, act: Act, from: usize, to: usize) {
        match act {
            Act::Drop => self.remove(from, to),
            Act::Keep => {}
            Act::PutBack => self.put_back(from, to),
            Act::Replace => self.replace(from, to),
        }
    }

    /// `null` stands in place of `from..to`.
    pub fn replace_with_null(&mut self, from: usize, to: usize) {
        self.edits.push(Edit { from, to, change: Change::Null });
    }

    /// `from..to` is removed.
    pub fn remove(&mut self, from: usize, to: usize) {
        self.edits.push(Edit { from, to, change: Change::Nothing });
    }

    /// What was written down from `start` on is forgotten.
    pub fn forget(&mut self, start: usize) {
        let kept = self.edits.partition_point(|edit| edit.from < start);
        self.edits.truncate(kept);
        let made = self.edits.iter().rev().find_map(|edit| match edit.change {
            Change::Made(end) => Some(end),
            Change::Nothing | Change::Null | Change::Themselves => None,
        });
        self.made.truncate(made.unwrap_or(0));
    }

    /// `from..to` stays and is not inspected.
    pub fn put_back(&mut self, from: usize, to: usize) {
        self.edits.push(Edit { from, to, change: Change::Themselves });
    }

    /// Appends `input`, which begins at position `base` of the body, with the edits before
    /// `base + input.len()` carried out; those are then forgotten. `inspect` sees every run of bytes
    /// that stays because no edit names it.
    pub fn carry_out(
        &mut self,
        input: &[u8],
        base: usize,
        out: &mut Vec<u8>,
        mut inspect: impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let done = self.edits.partition_point(|edit| edit.to <= base + input.len());
        let mut copied = 0;
        let mut used = 0;
        for edit in self.edits.drain(..done) {
            let from = edit.from.saturating_sub(base).max(copied);
            let to = edit.to.saturating_sub(base).max(from);
            let gap = input.get(copied..from).unwrap_or_default();
            inspect(gap)?;
            out.extend_from_slice(gap);
            match edit.change {
                Change::Made(end) => {
                    out.extend_from_slice(self.made.get(used..end).unwrap_or_default());
                    used = end;
                }
                Change::Nothing => {}
                Change::Null => out.extend_from_slice(b"null"),
                Change::Themselves => {
                    out.extend_from_slice(input.get(from..to).unwrap_or_default());
                }
            }
            copied = to;
        }
        let rest = input.get(copied..).unwrap_or_default();
        inspect(rest)?;
        out.extend_from_slice(rest);
        self.made.drain(..used);
        for edit in &mut self.edits {
            if let Change::Made(end) = &mut edit.change {
                *end -= used;
            }
        }
        Ok(())
    }
}
