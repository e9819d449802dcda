//! What `docs/policy.md` says of patterns and bounds on the rungs of a class.

use crate::{
    lab::{Column, Kind, Mode},
    values::Value,
};

/// How a test is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// By the API alone.
    Exact,
    /// By a coarser rung, and then once more on what was opened.
    Refined,
    /// Not at all, with this code.
    Refused(&'static str),
}

const NO: Reply = Reply::Refused("LS104");

/// What a pattern consists of.
struct Shape {
    /// How many characters there are before the first wildcard.
    head: usize,
    /// The wildcards and characters from there on.
    rest: Vec<char>,
}

impl Shape {
    fn of(pattern: &str) -> Self {
        let pattern = pattern.replace('*', "%");
        let mut chars = pattern.chars();
        let mut head = 0;
        while let Some(c) = chars.next() {
            match c {
                '%' | '_' => return Self { head, rest: [c].into_iter().chain(chars).collect() },
                '\\' => _ = chars.next(),
                _ => {}
            }
            head += 1;
        }
        Self { head, rest: Vec::new() }
    }

    fn ends_open(&self) -> bool {
        !self.rest.is_empty() && self.rest.iter().all(|c| *c == '%')
    }
}

/// How `like` and `ilike` are answered.
pub fn pattern(column: &Column, folded: bool, pattern: &str) -> Reply {
    let (ladder, shape) = (column.ladder, Shape::of(pattern));
    if column.kind != Kind::Text || column.mode == Mode::Random {
        return NO;
    }
    if shape.head == 0 && shape.ends_open() {
        // Every text passes, and no token needs to be asked.
        return if column.mode == Mode::Searchable { Reply::Exact } else { NO };
    }
    if folded && !ladder.folds && !ladder.blind {
        return NO;
    }
    if shape.rest.is_empty() {
        return Reply::Exact;
    }
    if ladder.prefix == 0 || shape.head < ladder.prefix {
        return NO;
    }
    let same_case = folded || ladder.blind || !ladder.folds;
    match same_case && shape.head == ladder.prefix && shape.ends_open() {
        true => Reply::Exact,
        false => Reply::Refined,
    }
}

/// How `gt`, `gte`, `lt` and `lte` are answered.
pub fn bound(column: &Column, word: &str, value: &Value) -> Reply {
    if !column.ladder.dated {
        return NO;
    }
    if !value.fits {
        return Reply::Refused("LS420");
    }
    if column.kind == Kind::Date {
        return Reply::Exact;
    }
    // Of times there are no days: an end must be the beginning of a month.
    let (date, time) = value.text.split_once(['T', ' ']).unwrap_or((&value.text, ""));
    let begins = date.ends_with("-01") && time.chars().all(|c| matches!(c, '0' | ':'));
    let beyond = !("7000"..="7051").contains(&date);
    match beyond || begins && matches!(word, "gte" | "lt") {
        true => Reply::Exact,
        false => Reply::Refined,
    }
}
