//! JSON texts one after the other: a text on each line (NDJSON), or each behind a record separator
//! (RFC 7464). Blank lines and empty texts stay as they are.

use super::{
    scan::{self, Scanner},
    splice::Splice,
    tree::Tree,
    visit::{Stop, Visit},
};

/// One JSON text on each line. Positions count from the start of the body.
#[derive(Default)]
pub(super) struct Lines {
    at: usize,
    /// Where the line that is being read begins.
    line: usize,
}

impl Lines {
    pub fn safe(&self) -> usize {
        self.line
    }

    pub fn skip(&mut self, count: usize) {
        self.at += count;
        self.line += count;
    }

    pub fn run<R: Clone, V: Visit>(
        &mut self,
        input: &[u8],
        base: usize,
        is_last: bool,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        loop {
            let rest = input.get(self.at - base..).unwrap_or_default();
            let end = match memchr::memchr(b'\n', rest) {
                Some(found) => self.at + found + 1,
                None if is_last => base + input.len(),
                None => break,
            };
            let line = input.get(self.line - base..end - base).unwrap_or_default();
            if !is_blank(line) {
                scan::text(line, self.line, tree.root(), tree, visit, splice)?;
            }
            (self.at, self.line) = (end, end);
            if line.is_empty() {
                break;
            }
        }
        self.at = base + input.len();
        Ok(())
    }
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

const SEPARATOR: u8 = 0x1e;

/// JSON texts behind record separators. Positions count from the start of the body.
#[derive(Default)]
pub(super) struct Sequence {
    at: usize,
    safe: usize,
    /// The scan of the text that is being read.
    text: Option<Scanner>,
    /// What has come of it.
    read: Read,
}

/// What has come of a text.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Read {
    /// Something, and a line end behind it.
    Line,
    /// White space at most.
    #[default]
    Nothing,
    /// Something.
    Part,
}

impl Read {
    fn and(self, more: &[u8]) -> Self {
        match (self, more.last()) {
            (_, None) => self,
            (Self::Nothing, _) if is_blank(more) => self,
            (_, Some(b'\n')) => Self::Line,
            (_, Some(_)) => Self::Part,
        }
    }
}

impl Sequence {
    pub fn safe(&self) -> usize {
        self.safe
    }

    pub fn skip(&mut self, count: usize) {
        self.at += count;
        self.safe += count;
    }

    pub fn run<R: Clone, V: Visit>(
        &mut self,
        input: &[u8],
        base: usize,
        is_last: bool,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        loop {
            let rest = input.get(self.at - base..).unwrap_or_default();
            let separator = memchr::memchr(SEPARATOR, rest).map(|found| self.at + found);
            let end = separator.unwrap_or(base + input.len());
            let until = input.get(..end - base).unwrap_or_default();
            let new = until.get(self.at - base..).unwrap_or_default();
            if let Some(scanner) = &mut self.text {
                self.read = self.read.and(new);
                let is_whole = separator.is_some() || is_last;
                scanner.run(until, base, is_whole, tree, visit, splice)?;
                self.safe = scanner.safe();
                if is_whole {
                    let is_whole = match self.read {
                        Read::Line => scanner.is_done(),
                        Read::Nothing => true,
                        // Without its line end, a text may be the beginning of a longer one.
                        Read::Part => scanner.is_done() && !V::STRICT,
                    };
                    if !is_whole {
                        return Err(Stop::Malformed);
                    }
                    self.safe = end;
                    self.text = None;
                }
            } else if is_blank(new) {
                self.safe = end;
            } else {
                return Err(Stop::Malformed);
            }
            self.at = end;
            if separator.is_none() {
                return Ok(());
            }
            self.at += 1;
            self.safe = self.at;
            self.text = Some(Scanner::starting(tree.root(), self.at));
            self.read = Read::Nothing;
        }
    }
}
