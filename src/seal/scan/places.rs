//! What a token means where it stands: which declared place it is at, what becomes of it, and what
//! must not be missing or come twice there.

use super::{MAX_DEPTH, Scanner, ahead::Ahead};
use crate::{
    model::BoundRecord,
    seal::{
        frame::{Frame, NONE, State, Whole},
        json::{self, Traits},
        spelling::Spelling,
        splice::Splice,
        tree::{ELSEWHERE, Named, Tree},
        visit::{Act, Found, Lexeme, Stop, Visit},
    },
};

impl Scanner {
    /// A scalar was read: asks what becomes of it.
    #[inline]
    pub(super) fn scalar<R: Clone, V: Visit>(
        &mut self,
        lexeme: Lexeme<'_>,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<Act, Stop> {
        if self.next != ELSEWHERE {
            let node = tree.node(self.next);
            if node.is_added {
                return Ok(Act::Drop);
            }
            if let Some(rule) = node.rule {
                return splice.make(|made| visit.leaf(rule, lexeme, Spelling::Json, made));
            }
            if self.is_exact && node.record {
                return Err(Stop::Shape);
            }
            if matches!(lexeme, Lexeme::Null) {
                // Whatever should be in the object or array is missing with it.
                return match node.lost {
                    Some(rule) => Err(Stop::Missing(rule)),
                    None => Ok(Act::Keep),
                };
            }
            if V::STRICT && node.is_container() {
                return Err(Stop::Shape);
            }
        }
        match lexeme {
            Lexeme::String(inside, traits) if self.whole.is_none() => {
                splice.make(|made| visit.text(inside, traits, Spelling::Json, made))
            }
            _ => Ok(Act::Keep),
        }
    }

    /// A key was read, whose token starts at `start`.
    #[inline]
    pub(super) fn key<R: Clone, V: Visit>(
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
            let mut unescaped = Vec::new();
            // A key with a lone surrogate is no text, and so the name of nothing.
            let text = match traits.escaped {
                true => json::unescape(inside, &mut unescaped).ok().map(|()| &*unescaped),
                false => Some(inside),
            };
            let named = match text {
                Some(text) if V::STRICT => tree.named(node, text),
                Some(text) => node.member(text).map_or(Named::Otherwise, Named::from),
                None => Named::Otherwise,
            };
            match named {
                Named::Member { .. } => {}
                Named::Near => return Err(Stop::Near),
                // A key that is no text is on no list.
                Named::Otherwise if V::STRICT => {
                    if let Some(closed) = tree.unlisted(node, text.unwrap_or_default()) {
                        visit.unlisted(closed)?;
                    }
                }
                Named::Otherwise => {}
            }
            if let Named::Member { place, child } = named {
                let seen = self.seen.get_mut(top.seen_from..).unwrap_or_default();
                let is_seen = |place: u32| is_set(seen, place);
                if V::STRICT && is_seen(place) {
                    return Err(Stop::Duplicate(tree.node(child).rule));
                }
                let (place, child) = node.next_of((place, child), is_seen);
                if let Some(word) = seen.get_mut(place as usize / 64) {
                    *word |= 1 << (place % 64);
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

    /// Looks for the key of the record that begins at `at`, and tells `visit`. `false` if the record
    /// does not end within `input`, and more may come.
    pub(super) fn enter<V: Visit>(
        &mut self,
        input: &[u8],
        base: usize,
        at: usize,
        is_last: bool,
        bound: Option<&BoundRecord>,
        visit: &mut V,
    ) -> Result<bool, Stop> {
        let Some(bound) = bound else { return Err(Stop::Malformed) };
        let Some(name) = bound.member() else {
            visit.enter(bound, Found::Nothing)?;
            return Ok(true);
        };
        let ahead = self.ahead.get_or_insert_with(|| Ahead::new(base + at));
        if !ahead.run(input, base, name)? {
            return if is_last { Err(Stop::Malformed) } else { Ok(false) };
        }
        let found = ahead.found(input, base)?;
        self.ahead = None;
        visit.enter(bound, found)?;
        Ok(true)
    }

    pub(super) fn open<R, V: Visit>(
        &mut self,
        is_array: bool,
        start: usize,
        tree: &Tree<R>,
        splice: &mut Splice,
    ) -> Result<State, Stop> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        if let Some(top) = self.stack.last_mut().filter(|top| top.is_array && top.drop_from != NONE)
        {
            splice.remove(top.drop_from, start);
            top.drop_from = NONE;
        }
        let mut frame = Frame::new(is_array, start, self.seen.len());
        if self.next != ELSEWHERE {
            let node = tree.node(self.next);
            if node.is_added {
                // A key is no object and no array, and nothing of it may reach the caller.
                return Err(Stop::Shape);
            }
            if let Some(rule) = node.rule {
                self.whole = Some(Whole { rule, depth: self.stack.len() });
                frame.is_whole = true;
            } else if V::STRICT && !node.admits(is_array)
                || self.is_exact && node.is_container() && !node.admits(is_array)
            {
                return Err(Stop::Shape);
            } else if let (true, Some(rule)) = (is_array, node.lost_in_list) {
                return Err(Stop::Missing(rule));
            } else if is_array {
                frame.elements = node.elements.unwrap_or(ELSEWHERE);
            } else {
                frame.node = self.next;
                frame.is_whole = node.record;
                frame.is_bound = node.bound.is_some();
                let words = node.places.div_ceil(64);
                self.seen.resize(self.seen.len() + words, 0);
            }
        }
        self.held += usize::from(frame.is_whole);
        self.next = frame.elements;
        self.stack.push(frame);
        Ok(if is_array { State::ElementOrEnd } else { State::KeyOrEnd })
    }

    /// The innermost object or array ends before `end`.
    pub(super) fn close<R: Clone, V: Visit>(
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
            let seen = self.seen.get(frame.seen_from..).unwrap_or_default();
            tree.node(frame.node).demand(|place| is_set(seen, place))?;
            self.seen.truncate(frame.seen_from);
        }
        self.held -= usize::from(frame.is_whole);
        if frame.is_bound {
            visit.leave();
        }
        let mut act = Act::Keep;
        if frame.is_whole && frame.node != ELSEWHERE {
            act = visit.record()?;
            if act == Act::Drop {
                // Nothing within it is replaced any more.
                splice.forget(frame.start);
                return self.drop_record(frame.start, base + end, splice);
            }
        }
        if let Some(whole) = self.whole.take_if(|whole| whole.depth == self.stack.len()) {
            let value = input.get(frame.start - base..end).ok_or(Stop::Malformed)?;
            let value = Lexeme::Container(value);
            act = splice.make(|made| visit.leaf(whole.rule, value, Spelling::Json, made))?;
        }
        Ok(self.decided(act, frame.start, base + end, splice))
    }

    /// A record of an array is left out, with the separator before it; or with the one after it, if it
    /// is the first that would stay.
    fn drop_record(
        &mut self,
        start: usize,
        end: usize,
        splice: &mut Splice,
    ) -> Result<State, Stop> {
        let is_safe = self.held == 0;
        // Without the record there would be no answer at all.
        let Some(top) = self.stack.last_mut().filter(|top| top.is_array) else {
            return Err(Stop::Shape);
        };
        let from = if top.kept_to == NONE { start } else { top.kept_to };
        splice.remove(from, end);
        if top.kept_to == NONE {
            (top.drop_from, top.drop_to) = (end, end);
        } else {
            top.kept_to = end;
        }
        if is_safe {
            self.safe = end;
        }
        Ok(State::AfterValue)
    }

    /// A value is decided: writes the edit down and says what comes next.
    #[inline]
    pub(super) fn decided(
        &mut self,
        act: Act,
        start: usize,
        end: usize,
        splice: &mut Splice,
    ) -> State {
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

/// Whether the bit of a place is set.
fn is_set(seen: &[u64], place: u32) -> bool {
    seen.get(place as usize / 64).is_some_and(|word| word & 1 << (place % 64) != 0)
}
