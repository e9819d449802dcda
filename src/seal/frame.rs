//! What the scanner remembers of the objects and arrays that are open.

use super::tree::ELSEWHERE;

/// No position.
pub(super) const NONE: usize = usize::MAX;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    AfterValue,
    Colon,
    ElementOrEnd,
    End,
    Key,
    KeyOrEnd,
    Value,
}

/// An open object or array. Positions count from the start of the body.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub is_array: bool,
    /// Whether the window may not end before this does.
    pub is_whole: bool,
    /// Whether values in it are bound to it.
    pub is_bound: bool,
    pub node: u32,
    /// Node of the elements.
    pub elements: u32,
    /// Where its bits in `Scanner::seen` begin.
    pub seen_from: usize,
    pub start: usize,
    /// Start of the current member's key.
    pub key_from: usize,
    /// End of the last value, once a member was kept.
    pub kept_to: usize,
    /// Start of dropped members at the front, and the end of the last of them.
    pub drop_from: usize,
    pub drop_to: usize,
}

/// A value that is a field as a whole and has members or elements.
pub(super) struct Whole {
    pub rule: u32,
    pub depth: usize,
}

impl Frame {
    /// An object or array of which nothing is declared.
    pub fn new(is_array: bool, start: usize, seen_from: usize) -> Self {
        Self {
            is_array,
            is_whole: false,
            is_bound: false,
            node: ELSEWHERE,
            elements: ELSEWHERE,
            seen_from,
            start,
            key_from: start,
            kept_to: NONE,
            drop_from: NONE,
            drop_to: NONE,
        }
    }
}
