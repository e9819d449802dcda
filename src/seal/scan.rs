//! The scanner: one pass over a JSON body that finds the places of interest and says what to do
//! with each.
//!
//! It is strict (RFC 8259), resumable at any byte, and keeps nothing of what it has read but a
//! stack of open objects and arrays. What stands at a place is decided by a [`Visit`]; what becomes
//! of the bytes is written down as edits in a [`Splice`]. It must never build a tree of the body,
//! and never allocate for what is not protected.
//!
//! # Why
//! A token that is cut by the end of the input is looked at again from where its scan stopped, not
//! from its start; otherwise a body sent byte by byte would cost the square of its length
//! (2026-11).

use super::{
    frame::{Frame, NONE, State, Whole},
    json::{self, Reach, Traits},
    splice::Splice,
    tree::{ELSEWHERE, Tree},
    visit::{Act, Lexeme, Stop, Visit},
};

/// Deepest nesting of objects and arrays.
pub(super) const MAX_DEPTH: usize = 128;

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
    safe: usize,
}

impl Scanner {
    /// A scanner before the first byte.
    pub fn new(root: u32) -> Self {
        Self {
            stack: Vec::new(),
            seen: Vec::new(),
            state: State::Value,
            next: root,
            at: 0,
            partial: None,
            held: 0,
            whole: None,
            safe: 0,
        }
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
                            state = self.open::<R, V>(byte == b'[', base + at, tree)?;
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

    /// A scalar was read: asks what becomes of it.
    #[inline]
    fn scalar<R: Clone, V: Visit>(
        &mut self,
        lexeme: Lexeme<'_>,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<Act, Stop> {
        if self.next != ELSEWHERE {
            let node = tree.node(self.next);
            if let Some(rule) = node.rule {
                return splice.make(|made| visit.leaf(rule, lexeme, made));
            }
            if matches!(lexeme, Lexeme::Null) {
                // Whatever should be in the object or array is missing with it.
                return match node.required.first() {
                    Some((_, rule)) => Err(Stop::Missing(*rule)),
                    None => Ok(Act::Keep),
                };
            }
            if V::STRICT && node.is_container() {
                return Err(Stop::Shape);
            }
        }
        match lexeme {
            Lexeme::String(inside, traits) if self.whole.is_none() => {
                splice.make(|made| visit.text(inside, traits, made))
            }
            _ => Ok(Act::Keep),
        }
    }

    /// A key was read, whose token starts at `start`.
    #[inline]
    fn key<R: Clone, V: Visit>(
        &mut self,
        inside: &[u8],
        traits: Traits,
        start: usize,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        if traits != Traits::default() && !json::is_valid_inside(inside, traits) {
            return Err(Stop::Malformed);
        }
        // Invariant: keys are only read inside an open object.
        let Some(top) = self.stack.last_mut() else { return Err(Stop::Malformed) };
        if top.drop_from != NONE {
            splice.remove(top.drop_from, start);
            top.drop_from = NONE;
        }
        top.key_from = start;
        self.next = ELSEWHERE;
        if top.node != ELSEWHERE {
            let node = tree.node(top.node);
            let member = if traits.escaped {
                let mut text = Vec::with_capacity(inside.len());
                json::unescape(inside, &mut text).ok().and_then(|()| node.member(&text))
            } else {
                node.member(inside)
            };
            if V::STRICT && member.is_none() {
                let mut text = Vec::new();
                let near = match traits.escaped {
                    true => json::unescape(inside, &mut text).is_ok() && node.is_near(&text),
                    false => node.is_near(inside),
                };
                if near {
                    return Err(Stop::Near);
                }
            }
            if let Some((place, child)) = member {
                let place = place as usize;
                let bit = 1 << (place % 64);
                if let Some(word) = self.seen.get_mut(top.seen_from + place / 64) {
                    if V::STRICT && *word & bit != 0 {
                        return Err(Stop::Duplicate(tree.node(child).rule));
                    }
                    *word |= bit;
                }
                self.next = child;
                return Ok(());
            }
        }
        if traits.escaped && self.whole.is_none() {
            visit.key(inside)?;
        }
        Ok(())
    }

    fn open<R, V: Visit>(
        &mut self,
        is_array: bool,
        start: usize,
        tree: &Tree<R>,
    ) -> Result<State, Stop> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        let mut frame = Frame::new(is_array, start, self.seen.len());
        if self.next != ELSEWHERE {
            let node = tree.node(self.next);
            if let Some(rule) = node.rule {
                self.whole = Some(Whole { rule, depth: self.stack.len() });
                frame.is_whole = true;
            } else if V::STRICT && !node.admits(is_array) {
                return Err(Stop::Shape);
            } else if is_array {
                frame.elements = node.elements.unwrap_or(ELSEWHERE);
            } else {
                frame.node = self.next;
                frame.is_whole = node.record;
                let words = node.member_count().div_ceil(64);
                self.seen.resize(self.seen.len() + words, 0);
            }
        }
        self.held += usize::from(frame.is_whole);
        self.next = frame.elements;
        self.stack.push(frame);
        Ok(if is_array { State::ElementOrEnd } else { State::KeyOrEnd })
    }

    /// The innermost object or array ends before `end`.
    fn close<R: Clone, V: Visit>(
        &mut self,
        input: &[u8],
        base: usize,
        end: usize,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<State, Stop> {
        let Some(frame) = self.stack.pop() else { return Err(Stop::Malformed) };
        if frame.drop_from != NONE {
            splice.remove(frame.drop_from, frame.drop_to);
        }
        if frame.node != ELSEWHERE {
            for (place, rule) in &tree.node(frame.node).required {
                let word = self.seen.get(frame.seen_from + *place as usize / 64);
                if word.is_none_or(|word| word & 1 << (place % 64) == 0) {
                    return Err(Stop::Missing(*rule));
                }
            }
            self.seen.truncate(frame.seen_from);
        }
        self.held -= usize::from(frame.is_whole);
        let mut act = Act::Keep;
        if let Some(whole) = self.whole.take_if(|whole| whole.depth == self.stack.len()) {
            let value = input.get(frame.start - base..end).ok_or(Stop::Malformed)?;
            act = splice.make(|made| visit.leaf(whole.rule, Lexeme::Container(value), made))?;
        }
        Ok(self.decided(act, frame.start, base + end, splice))
    }

    /// A value is decided: writes the edit down and says what comes next.
    #[inline]
    fn decided(&mut self, act: Act, start: usize, end: usize, splice: &mut Splice) -> State {
        let mut is_safe = self.held == 0;
        let state = match self.stack.last_mut() {
            None => {
                self.next = ELSEWHERE;
                State::End
            }
            Some(top) => {
                if act == Act::Drop && !top.is_array {
                    if top.kept_to == NONE {
                        top.drop_from = top.key_from;
                        top.drop_to = end;
                        is_safe = false;
                    } else {
                        splice.remove(top.kept_to, end);
                        top.kept_to = end;
                    }
                } else {
                    top.kept_to = end;
                }
                State::AfterValue
            }
        };
        match act {
            Act::Keep => {}
            Act::PutBack => splice.put_back(start, end),
            Act::Replace => splice.replace(start, end),
            Act::Drop if self.stack.last().is_none_or(|top| top.is_array) => {
                splice.replace_with_null(start, end);
            }
            Act::Drop => {}
        }
        if is_safe {
            self.safe = end;
        }
        state
    }
}
