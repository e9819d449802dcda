//! Windows: the bytes that were read and not yet given out, and the reader that says how far they are
//! decided.
//!
//! What a record is, and where its values are, is for a [`Reader`]; what becomes of the values is for
//! a [`Visit`]. Nothing here knows one format from another.

use zeroize::Zeroizing;

use super::{
    csv::Rows,
    lines::{Lines, Sequence},
    pairs::Pairs,
    parts::Parts,
    scan::Scanner,
    splice::Splice,
    tree::Tree,
    visit::{Stop, Visit},
};
use crate::base::refusal::Refusal;

/// The largest window: a record, or a token outside of records.
pub(super) const MAX_WINDOW: usize = 8 << 20;

/// How much is scanned at a time. Small, so that what is scanned is still in the cache when it is
/// copied, and so that a caller who pushes a large piece needs no large buffer.
const PIECE: usize = 64 << 10;

/// Finds the places of interest in one format. All of them take a body in any pieces.
pub(super) enum Reader {
    /// Rows under a header.
    Csv(Rows),
    /// One JSON value.
    Json(Scanner),
    /// A JSON text on each line.
    Lines(Lines),
    /// `name=value`.
    Pairs(Pairs),
    /// The parts of a form.
    Parts(Parts),
    /// JSON texts behind record separators.
    Sequence(Sequence),
}

impl Reader {
    /// Reads on. `input` begins at position `base` of the body and holds all that was not yet
    /// passed as safe; `is_last` says that no more will come.
    fn run<R: Clone, V: Visit>(
        &mut self,
        input: &[u8],
        base: usize,
        is_last: bool,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        match self {
            Self::Csv(rows) => rows.run(input, base, is_last, tree, visit, splice),
            Self::Json(scanner) => scanner.run(input, base, is_last, tree, visit, splice),
            Self::Lines(lines) => lines.run(input, base, is_last, tree, visit, splice),
            Self::Pairs(pairs) => pairs.run(input, base, is_last, tree, visit, splice),
            Self::Parts(parts) => parts.run(input, base, is_last, tree, visit, splice),
            Self::Sequence(texts) => texts.run(input, base, is_last, tree, visit, splice),
        }
    }

    /// Where a window may end: everything before is decided.
    fn safe(&self) -> usize {
        match self {
            Self::Csv(rows) => rows.safe(),
            Self::Json(scanner) => scanner.safe(),
            Self::Lines(lines) => lines.safe(),
            Self::Pairs(pairs) => pairs.safe(),
            Self::Parts(parts) => parts.safe(),
            Self::Sequence(texts) => texts.safe(),
        }
    }

    /// Passes over a byte order mark at the start.
    fn skip(&mut self, count: usize) {
        match self {
            Self::Csv(rows) => rows.skip(count),
            Self::Json(scanner) => scanner.skip(count),
            Self::Lines(lines) => lines.skip(count),
            Self::Sequence(texts) => texts.skip(count),
            // They are read in requests alone, where nothing is passed over.
            Self::Pairs(_) | Self::Parts(_) => {}
        }
    }

    /// Whether the body may end here.
    fn is_done(&self) -> bool {
        match self {
            Self::Json(scanner) => scanner.is_done(),
            Self::Csv(_) | Self::Lines(_) | Self::Pairs(_) | Self::Sequence(_) => true,
            Self::Parts(parts) => parts.is_done(),
        }
    }
}

/// The bytes that were read and not yet given out, and the scan over them.
pub(super) struct Windows<R, V> {
    pub tree: Tree<R>,
    pub visit: V,
    reader: Reader,
    splice: Splice,
    /// Begins at position `base` of the body. It may hold clear text.
    held: Zeroizing<Vec<u8>>,
    base: usize,
    pub high_water: usize,
    /// Not what it is said to be, and nothing declared: the rest passes as it is.
    is_raw: bool,
    has_begun: bool,
}

/// May stand before an answer; nothing decides on it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl<R: Clone, V: Visit> Windows<R, V> {
    /// A body of which nothing has come.
    pub fn new(reader: Reader, tree: Tree<R>, visit: V) -> Box<Self> {
        Box::new(Self {
            reader,
            tree,
            visit,
            splice: Splice::default(),
            held: Zeroizing::default(),
            base: 0,
            high_water: 0,
            is_raw: false,
            has_begun: false,
        })
    }

    /// Whether the body is one JSON text, whose records can be left out and ordered.
    pub fn is_one_text(&self) -> bool {
        match self.reader {
            Reader::Json(_) => true,
            Reader::Csv(_)
            | Reader::Lines(_)
            | Reader::Pairs(_)
            | Reader::Parts(_)
            | Reader::Sequence(_) => false,
        }
    }

    /// Demands of a JSON text that every value on the way to a declared one is of the declared form.
    pub fn be_exact(&mut self) {
        match &mut self.reader {
            Reader::Json(scanner) => scanner.be_exact(),
            Reader::Csv(_)
            | Reader::Lines(_)
            | Reader::Pairs(_)
            | Reader::Parts(_)
            | Reader::Sequence(_) => {}
        }
    }

    /// Takes the next bytes and appends finished windows to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        for piece in input.chunks(PIECE) {
            self.held.extend_from_slice(piece);
            self.high_water = self.high_water.max(self.held.len());
            self.advance(false, out)?;
        }
        Ok(())
    }

    /// Ends the body and appends the rest to `out`.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        // An answer without a body holds no value; a request without one was promised records.
        if !V::STRICT && self.base == 0 && self.held.is_empty() {
            return Ok(());
        }
        self.advance(true, out)
    }

    fn advance(&mut self, is_last: bool, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self.scan(is_last) {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => return Err(*refusal),
            Err(_) if !V::STRICT && self.tree.is_empty() => self.is_raw = true,
            Err(stop) => return Err(self.visit.explain(stop)),
        }
        if self.is_raw {
            out.append(&mut self.held);
            return Ok(());
        }
        let ready = self.reader.safe() - self.base;
        if ready > 0 {
            let (window, _) = self.held.split_at(ready);
            let visit = &self.visit;
            self.splice.carry_out(window, self.base, out, |bytes| visit.stays(bytes))?;
            self.held.drain(..ready);
            self.base += ready;
        }
        Ok(())
    }

    fn scan(&mut self, is_last: bool) -> Result<(), Stop> {
        if self.is_raw {
            return Ok(());
        }
        if !self.has_begun {
            if !V::STRICT && self.held.starts_with(BYTE_ORDER_MARK) {
                self.reader.skip(BYTE_ORDER_MARK.len());
            } else if !V::STRICT && BYTE_ORDER_MARK.starts_with(&self.held) && !is_last {
                return Ok(());
            }
            self.has_begun = true;
        }
        let Self { tree, visit, reader, splice, held, base, .. } = self;
        reader.run(held, *base, is_last, tree, visit, splice)?;
        if is_last && !reader.is_done() {
            return Err(Stop::Malformed);
        }
        if *base + held.len() - reader.safe() > MAX_WINDOW {
            return Err(Stop::TooLarge);
        }
        Ok(())
    }
}
