//! CSV (RFC 4180): rows of cells under a header, whose cells name the columns.
//!
//! A cell that is not protected keeps every byte, quotes and line ends included. One that is sealed
//! keeps its quotes; one that is opened is spelled anew, as its API would have spelled the value. A
//! cell of an answer may hold JSON with envelopes in it: what a JSON answer would have held as members.
//!
//! # Why
//! - A row whose cells cannot be told from the header's, by their number, is refused, although
//!   PostgREST takes it: what it leaves out or drops is not for us to guess.
//! - A member that is left out of an answer is an empty cell, which reads as null: a cell has a place
//!   and no name, as an element of an array has. (2026-11)

use zeroize::Zeroizing;

use super::{
    json::Traits,
    scan,
    spelling::{Spelling, unquote},
    splice::Splice,
    tree::{ELSEWHERE, Named, Tree},
    visit::{Act, Lexeme, Stop, Visit},
};
use crate::{base::near, model::format::Cells};

/// The state of a scan between two pieces of input. Positions count from the start of the body.
pub(super) struct Rows {
    cells: Cells,
    /// What the header says; `None` before it.
    columns: Option<Vec<Column>>,
    /// The cells of the row that is being read.
    row: Vec<Cell>,
    state: State,
    /// Where the cell that is being read begins.
    cell: usize,
    at: usize,
    safe: usize,
    /// The text of a cell that has escapes. It may be clear text.
    text: Zeroizing<Vec<u8>>,
}

/// Where a byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a cell without quotes.
    Bare,
    /// Behind a quote that closes the cell, unless another one follows.
    Closing,
    /// Between quotes.
    Quoted,
    /// At the start of a cell.
    Start,
}

/// A cell with its quotes.
#[derive(Clone, Copy)]
struct Cell {
    start: usize,
    end: usize,
    is_quoted: bool,
}

/// What the cells of a column are.
#[derive(Clone, Copy)]
enum Column {
    /// Nothing that is declared.
    Elsewhere,
    /// Values of this rule.
    Field(u32),
    /// JSON, with the form of this node.
    Nested(u32),
}

impl Rows {
    /// A scan before the header.
    pub fn new(cells: Cells) -> Self {
        Self {
            cells,
            columns: None,
            row: Vec::new(),
            state: State::Start,
            cell: 0,
            at: 0,
            safe: 0,
            text: Zeroizing::default(),
        }
    }

    pub fn safe(&self) -> usize {
        self.safe
    }

    pub fn skip(&mut self, count: usize) {
        self.at += count;
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
        let mut at = self.at - base;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            let end = match self.state {
                State::Start => {
                    self.cell = base + at;
                    let is_quoted = rest.first() == Some(&b'"');
                    self.state = if is_quoted { State::Quoted } else { State::Bare };
                    at += usize::from(is_quoted);
                    continue;
                }
                State::Bare => {
                    let end = memchr::memchr3(b',', b'\r', b'\n', rest);
                    let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                    if memchr::memchr(b'"', text).is_some() {
                        return Err(Stop::Malformed);
                    }
                    at += text.len();
                    if end.is_none() { continue } else { at }
                }
                State::Quoted => {
                    match memchr::memchr(b'"', rest) {
                        Some(quote) => {
                            at += quote + 1;
                            self.state = State::Closing;
                        }
                        None => at = input.len(),
                    }
                    continue;
                }
                State::Closing => match rest.first() {
                    Some(b'"') => {
                        at += 1;
                        self.state = State::Quoted;
                        continue;
                    }
                    Some(b',' | b'\r' | b'\n') => at,
                    _ => return Err(Stop::Malformed),
                },
            };
            self.end_cell(base + end);
            if input.get(end) != Some(&b',') {
                self.end_row(input, base, tree, visit, splice)?;
                // The second half of a line end reads as an empty row, which is none.
                self.safe = base + end + 1;
            }
            at = end + 1;
        }
        self.at = base + at;
        if is_last {
            match self.state {
                State::Quoted => return Err(Stop::Malformed),
                State::Start if self.row.is_empty() => {}
                State::Start => {
                    self.cell = base + at;
                    self.end_cell(base + at);
                }
                State::Bare | State::Closing => self.end_cell(base + at),
            }
            self.end_row(input, base, tree, visit, splice)?;
            self.safe = base + at;
            // PostgREST answers an empty line where there are no rows.
            if V::STRICT && self.columns.is_none() {
                return Err(Stop::Malformed);
            }
        }
        Ok(())
    }

    fn end_cell(&mut self, end: usize) {
        let is_quoted = self.state == State::Closing;
        self.row.push(Cell { start: self.cell, end, is_quoted });
        self.state = State::Start;
    }

    fn end_row<R: Clone, V: Visit>(
        &mut self,
        input: &[u8],
        base: usize,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        let mut row = std::mem::take(&mut self.row);
        let is_blank = match row.as_slice() {
            [] => true,
            [one] => one.start == one.end,
            _ => false,
        };
        match self.columns.take() {
            // Whether an empty line is the header is not the same to every server.
            None if is_blank && V::STRICT => return Err(Stop::Malformed),
            None if is_blank => {}
            None => self.columns = Some(self.header(&row, input, base, tree, visit)?),
            Some(columns) => {
                // PostgREST drops a row of one empty cell, with quotes or without.
                let is_dropped = V::STRICT
                    && self.cells == Cells::Record
                    && matches!(row.as_slice(), [one] if one.is_quoted && one.end - one.start == 2);
                if is_dropped {
                    // Nor may it empty what its writer cannot see, should some server take it.
                    if let [Column::Field(rule)] = columns.as_slice() {
                        let spelling = Spelling::Cell(self.cells);
                        splice.make(|made| visit.leaf(*rule, Lexeme::Null, spelling, made))?;
                    }
                } else if !is_blank {
                    self.record(&columns, &row, input, base, tree, visit, splice)?;
                }
                self.columns = Some(columns);
            }
        }
        row.clear();
        self.row = row;
        Ok(())
    }

    /// Says what each column is, and refuses what some server may take for a declared one.
    fn header<R: Clone, V: Visit>(
        &mut self,
        row: &[Cell],
        input: &[u8],
        base: usize,
        tree: &Tree<R>,
        visit: &mut V,
    ) -> Result<Vec<Column>, Stop> {
        let record = tree.node(tree.root());
        let mut seen = Vec::new();
        let mut columns = Vec::with_capacity(row.len());
        let mut is_nameless = true;
        for cell in row {
            let name = text::<V>(self.cells, *cell, input, base, &mut self.text);
            is_nameless &= std::str::from_utf8(name).is_ok_and(near::is_blank);
            let named = match std::str::from_utf8(name) {
                Ok(_) if !V::STRICT => record.member(name).map_or(Named::Otherwise, Named::from),
                Ok(text) => tree.field(text),
                Err(_) if V::STRICT => return Err(Stop::Malformed),
                Err(_) => Named::Otherwise,
            };
            columns.push(match named {
                Named::Member { place, child } => {
                    let is_seen = |place| seen.contains(&place);
                    if V::STRICT && is_seen(place) {
                        return Err(Stop::Duplicate(tree.node(child).rule));
                    }
                    let (place, child) = record.next_of((place, child), is_seen);
                    seen.push(place);
                    match tree.node(child).rule {
                        Some(rule) => Column::Field(rule),
                        None if V::STRICT => return Err(Stop::Shape),
                        None => Column::Nested(child),
                    }
                }
                Named::Near => return Err(Stop::Near),
                Named::Otherwise => {
                    if V::STRICT {
                        visit.spelled(name)?;
                        if let Some(closed) = tree.unlisted(record, name) {
                            visit.unlisted(closed)?;
                        }
                    }
                    Column::Elsewhere
                }
            });
        }
        // Some servers pass over a line without a name, and take the next one for the header.
        if V::STRICT && is_nameless {
            return Err(Stop::Malformed);
        }
        record.demand(|place| seen.contains(&place))?;
        Ok(columns)
    }

    #[expect(clippy::too_many_arguments, reason = "a row, its bytes, and what a scan has")]
    fn record<R: Clone, V: Visit>(
        &mut self,
        columns: &[Column],
        row: &[Cell],
        input: &[u8],
        base: usize,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        if columns.len() != row.len() {
            return Err(Stop::Ragged);
        }
        if V::STRICT {
            let (first, last) = (row.first().map(|c| c.start), row.last().map(|c| c.end));
            let bytes = bytes(input, base, first.unwrap_or_default(), last.unwrap_or_default());
            // Text in another charset could hold a column in clear; so could what stops at a zero.
            if std::str::from_utf8(bytes).is_err() || memchr::memchr(0, bytes).is_some() {
                return Err(Stop::Malformed);
            }
        }
        let spelling = Spelling::Cell(self.cells);
        for (column, cell) in columns.iter().zip(row) {
            let text = text::<V>(self.cells, *cell, input, base, &mut self.text);
            let is_null = match (self.cells, V::STRICT) {
                (Cells::Record, true) => text == b"NULL",
                (Cells::Record, false) | (Cells::Plain, _) => !cell.is_quoted && text.is_empty(),
            };
            let act = match column {
                Column::Field(rule) => {
                    let value = if is_null { Lexeme::Null } else { Lexeme::Text(text) };
                    splice.make(|made| visit.leaf(*rule, value, spelling, made))?
                }
                Column::Nested(_) if is_null => Act::Keep,
                Column::Nested(node) => {
                    splice.make(|made| nested(text, *node, tree, visit, spelling, made))?
                }
                Column::Elsewhere => {
                    let escaped = V::STRICT && memchr::memchr(b'\\', text).is_some();
                    let traits = Traits { escaped, non_ascii: false };
                    let act = splice.make(|made| visit.text(text, traits, spelling, made))?;
                    let holds_json = act == Act::Keep && !V::STRICT && may_hold_envelopes(text);
                    // What does not parse is text like any other, and stays.
                    let inner = |made: &mut Vec<u8>| {
                        let before = made.len();
                        Ok(nested(text, ELSEWHERE, tree, visit, spelling, made).unwrap_or_else(
                            |_| {
                                made.truncate(before);
                                Act::Keep
                            },
                        ))
                    };
                    if holds_json { splice.make(inner)? } else { act }
                }
            };
            // A sealed cell keeps its quotes: an envelope reads the same with and without them.
            let inset = usize::from(V::STRICT && cell.is_quoted);
            splice.carry(act, cell.start + inset, cell.end - inset);
        }
        Ok(())
    }
}

fn bytes(input: &[u8], base: usize, start: usize, end: usize) -> &[u8] {
    input.get(start.saturating_sub(base)..end.saturating_sub(base)).unwrap_or_default()
}

/// The text of a cell, in `buffer` if it has escapes.
fn text<'a, V: Visit>(
    cells: Cells,
    cell: Cell,
    input: &'a [u8],
    base: usize,
    buffer: &'a mut Zeroizing<Vec<u8>>,
) -> &'a [u8] {
    if !cell.is_quoted {
        return bytes(input, base, cell.start, cell.end);
    }
    let inside = bytes(input, base, cell.start + 1, cell.end - 1);
    if memchr::memchr2(b'"', b'\\', inside).is_none() {
        return inside;
    }
    buffer.clear();
    unquote(cells, !V::STRICT, inside, buffer);
    buffer
}

fn may_hold_envelopes(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'{' | b'[' | b'"')) && memchr::memmem::find(text, b"ls1").is_some()
}

/// The JSON text of a cell, as a JSON answer would be opened.
fn nested<R: Clone, V: Visit>(
    text: &[u8],
    node: u32,
    tree: &Tree<R>,
    visit: &mut V,
    spelling: Spelling,
    made: &mut Vec<u8>,
) -> Result<Act, Stop> {
    let mut splice = Splice::default();
    scan::text(text, 0, node, tree, visit, &mut splice)?;
    let mut opened = Zeroizing::new(Vec::with_capacity(text.len()));
    splice.carry_out(text, 0, &mut opened, |_| Ok(()))?;
    if *opened == text {
        return Ok(Act::Keep);
    }
    spelling.text(&opened, made);
    Ok(Act::Replace)
}
