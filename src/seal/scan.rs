//! The scanner: one pass over a JSON body that finds the places of interest and says what to do
//! with each.
//!
//! It is strict (RFC 8259), resumable at any byte, and keeps nothing of what it has read but a
//! stack of open objects and arrays. What stands at a place is decided by a [`Visit`]; what becomes
//! of the bytes is written down as edits in a [`Splice`]. It must never build a tree of the body,
//! and never allocate for what is not protected. Here is the grammar; what a token means where it
//! stands is in `places`.
//!
//! # Why
//! A token that is cut by the end of the input is looked at again from where its scan stopped, not
//! from its start; otherwise a body sent byte by byte would cost the square of its length
//! (2026-11).

mod ahead;
mod places;

use super::{
    frame::{Frame, State, Whole},
    json::{self, Reach, Traits},
    scan::ahead::Ahead,
    splice::Splice,
    tree::Tree,
    visit::{Lexeme, Stop, Visit},
};

/// Deepest nesting of objects and arrays.
pub(super) const MAX_DEPTH: usize = 128;

/// Scans one whole JSON text, which begins at position `start` of the body.
pub(super) fn text<R: Clone, V: Visit>(
    text: &[u8],
    start: usize,
    root: u32,
    tree: &Tree<R>,
    visit: &mut V,
    splice: &mut Splice,
) -> Result<(), Stop> {
    let mut scanner = Scanner::starting(root, start);
    scanner.run(text, start, true, tree, visit, splice)?;
    if scanner.is_done() { Ok(()) } else { Err(Stop::Malformed) }
}

/// The state of a scan between two pieces of input.
pub(super) struct Scanner {
    stack: Vec<Frame>,
    /// Declared members met so far, for each open object that has any.
    seen: Vec<u64>,
    state: State,
    /// Node of the value to come.
    next: u32,
    at: usize,
    /// How far the token at `at` was read.
    partial: Option<(usize, Traits)>,
    /// How many open frames must be held whole.
    held: usize,
    whole: Option<Whole>,
    /// How far a record was read in search of its key, before it is scanned.
    ahead: Option<Ahead>,
    safe: usize,
    /// Whether every value on the way to a declared one must be of the declared form, though the
    /// direction is not strict.
    is_exact: bool,
}

impl Scanner {
    /// A scanner before the first byte of a body.
    pub fn new(root: u32) -> Self {
        Self::starting(root, 0)
    }

    /// A scanner of a JSON text that begins at position `at` of the body.
    pub fn starting(root: u32, at: usize) -> Self {
        Self {
            stack: Vec::new(),
            seen: Vec::new(),
            state: State::Value,
            next: root,
            at,
            partial: None,
            held: 0,
            whole: None,
            ahead: None,
            safe: at,
            is_exact: false,
        }
    }

    /// Takes no other value on the way to a declared one than the declared objects and arrays, so
    /// that none escapes what is done with records.
    pub fn be_exact(&mut self) {
        self.is_exact = true;
    }

    /// Where a window may end: everything before is decided.
    pub fn safe(&self) -> usize {
        self.safe
    }

    /// Passes over bytes that are no JSON (a byte order mark). Before the first value only.
    pub fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// Whether one whole value was read.
    pub fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// Reads on. `input` begins at position `base` of the body and holds all that was not yet
    /// passed as safe; `is_last` says that no more will come.
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
        let mut state = self.state;
        loop {
            let byte = loop {
                match input.get(at) {
                    Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
                    Some(byte) => break *byte,
                    None => return self.pause(state, base + at),
                }
            };
            match state {
                State::AfterValue => {
                    at += 1;
                    // Invariant: this state is only entered with an open frame.
                    let Some(top) = self.stack.last() else { return Err(Stop::Malformed) };
                    state = match byte {
                        b',' if top.is_array => {
                            self.next = top.elements;
                            State::Value
                        }
                        b',' => State::Key,
                        b']' if top.is_array => self.close(input, base, at, tree, visit, splice)?,
                        b'}' if !top.is_array => {
                            self.close(input, base, at, tree, visit, splice)?
                        }
                        _ => return Err(Stop::Malformed),
                    };
                }
                State::Colon => {
                    if byte != b':' {
                        return Err(Stop::Malformed);
                    }
                    at += 1;
                    state = State::Value;
                }
                State::End => return Err(Stop::Malformed),
                State::Key | State::KeyOrEnd => {
                    if byte == b'}' && state == State::KeyOrEnd {
                        at += 1;
                        state = self.close(input, base, at, tree, visit, splice)?;
                        continue;
                    }
                    if byte != b'"' {
                        return Err(Stop::Malformed);
                    }
                    let (from, mut traits) = self.resume(base, at + 1);
                    let end = match json::string_end(input, from, &mut traits) {
                        Reach::Quote(end) => end,
                        Reach::Bad => return Err(Stop::Malformed),
                        Reach::Short(reached) => {
                            self.partial = Some((base + reached, traits));
                            return self.pause(state, base + at);
                        }
                    };
                    // Invariant: a quote was found at or after at + 1.
                    let inside = &input[at + 1..end];
                    self.key(inside, traits, base + at, tree, visit, splice)?;
                    at = end + 1;
                    if input.get(at) == Some(&b':') {
                        at += 1;
                        state = State::Value;
                    } else {
                        state = State::Colon;
                    }
                }
                State::ElementOrEnd if byte == b']' => {
                    at += 1;
                    state = self.close(input, base, at, tree, visit, splice)?;
                }
                State::Value | State::ElementOrEnd => {
                    let (lexeme, end) = match byte {
                        b'"' => {
                            let (from, mut traits) = self.resume(base, at + 1);
                            match json::string_end(input, from, &mut traits) {
                                Reach::Quote(end) => {
                                    // Invariant: a quote was found at or after at + 1.
                                    let inside = &input[at + 1..end];
                                    if traits != Traits::default()
                                        && !json::is_valid_inside(inside, traits)
                                    {
                                        return Err(Stop::Malformed);
                                    }
                                    (Lexeme::String(inside, traits), end + 1)
                                }
                                Reach::Bad => return Err(Stop::Malformed),
                                Reach::Short(reached) => {
                                    self.partial = Some((base + reached, traits));
                                    return self.pause(state, base + at);
                                }
                            }
                        }
                        b'{' | b'[' => {
                            if byte == b'{'
                                && let Some(bound) = tree.node(self.next).bound
                                && !self.enter(
                                    input,
                                    base,
                                    at,
                                    is_last,
                                    tree.bound(bound),
                                    visit,
                                )?
                            {
                                return self.pause(state, base + at);
                            }
                            state = self.open::<R, V>(byte == b'[', base + at, tree, splice)?;
                            at += 1;
                            continue;
                        }
                        b'-' | b'0'..=b'9' => match self.number(input, base, at, is_last)? {
                            // Invariant: a number ends after it begins, within the input.
                            Some(end) => (Lexeme::Number(&input[at..end]), end),
                            None => return self.pause(state, base + at),
                        },
                        b'f' | b'n' | b't' => {
                            // Invariant: at is within the input.
                            match json::literal(&input[at..]) {
                                json::Literal::False => (Lexeme::False, at + 5),
                                json::Literal::Null => (Lexeme::Null, at + 4),
                                json::Literal::True => (Lexeme::True, at + 4),
                                json::Literal::Short if !is_last => {
                                    return self.pause(state, base + at);
                                }
                                json::Literal::Bad | json::Literal::Short => {
                                    return Err(Stop::Malformed);
                                }
                            }
                        }
                        _ => return Err(Stop::Malformed),
                    };
                    let act = self.scalar(lexeme, tree, visit, splice)?;
                    state = self.decided(act, base + at, base + end, splice);
                    at = end;
                    // The comma that mostly follows at once, without another turn of the loop.
                    if state == State::AfterValue
                        && input.get(at) == Some(&b',')
                        && let Some(top) = self.stack.last()
                    {
                        at += 1;
                        self.next = top.elements;
                        state = if top.is_array { State::Value } else { State::Key };
                    }
                }
            }
        }
    }

    #[inline]
    fn resume(&mut self, base: usize, fresh: usize) -> (usize, Traits) {
        match self.partial.take() {
            None => (fresh, Traits::default()),
            Some((at, traits)) => (at - base, traits),
        }
    }

    /// The end of the number at `at`; `None` if more of it may come.
    #[inline]
    fn number(
        &mut self,
        input: &[u8],
        base: usize,
        at: usize,
        is_last: bool,
    ) -> Result<Option<usize>, Stop> {
        let rest = input.get(at..).unwrap_or_default();
        if self.partial.is_none()
            && let Some(length) = json::number_len(rest)
            && length < rest.len()
        {
            return Ok(Some(at + length));
        }
        let (mut end, traits) = self.resume(base, at + 1);
        while input.get(end).is_some_and(|byte| json::NUMBER[usize::from(*byte)]) {
            end += 1;
        }
        if end >= input.len() && !is_last {
            self.partial = Some((base + end, traits));
            return Ok(None);
        }
        match json::number_len(rest) {
            Some(length) if at + length == end => Ok(Some(end)),
            _ => Err(Stop::Malformed),
        }
    }

    fn pause(&mut self, state: State, at: usize) -> Result<(), Stop> {
        self.state = state;
        self.at = at;
        if state == State::End {
            self.safe = at;
        }
        Ok(())
    }
}
