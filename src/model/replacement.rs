//! What the literals of a filter become on the wire. Produced by `seal`, spelled out by the dialect.

use std::fmt;

use zeroize::Zeroizing;

use super::operation::{Bound, Case, Filter, Test};

/// What a filter's literals become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// The test holds where one of these does: the column may hold values in clear beside envelopes.
    Either(Vec<Alternative>),
    /// Each literal, in order, becomes any of these texts, by exact comparison.
    Exact(Vec<Vec<String>>),
    /// Each literal, in order, becomes any of these half-open ranges of text: low, high.
    Ranges(Vec<Vec<(String, String)>>),
    /// The use falls away: it is carried out on the answer. A term of an order.
    Removed,
}

/// One of the things that a column may hold where a test holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alternative {
    /// A value in clear on one side of another, in the order of text. No envelope is meant.
    Bound {
        /// On which side.
        bound: Bound,
        /// Of what.
        literal: Literal,
    },
    /// This envelope.
    Envelope(String),
    /// A value in clear that is like a pattern of `LIKE`.
    Like {
        /// The pattern.
        pattern: Literal,
        /// Whether case counts.
        case: Case,
        /// What envelopes of the class are, if the pattern may fit them too.
        unlike: Option<Unlike>,
    },
    /// A text in this half-open range: an envelope.
    Range(String, String),
    /// A value in clear that is equal to this one.
    Same {
        /// To what.
        literal: Literal,
        /// In which sense.
        equality: Sameness,
    },
}

/// Texts that a pattern is not meant to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    /// What they begin with.
    pub start: String,
    /// How many characters follow at least.
    pub least: usize,
}

/// When two values in clear are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// If they are the same, character by character.
    Exact,
    /// If they differ in case at most.
    Folded,
    /// If they differ in spaces at the end at most.
    Padded,
}

/// A literal that goes up in clear, because what it is compared with stands there in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct Literal(Zeroizing<String>);

impl Literal {
    /// Takes over the text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the target alone.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Literal(…)")
    }
}

impl Replacement {
    /// Stands in for the literals of `filter` where they are of no interest, with a text that is
    /// neither a value nor an envelope.
    pub fn blank(filter: &Filter) -> Option<Self> {
        let blanks = |count| Some(Self::Exact(vec![vec!["x".to_owned()]; count]));
        match &filter.test {
            Test::Bound { .. } | Test::Equal(_) | Test::Pattern { .. } => blanks(1),
            Test::In(literals) => blanks(literals.len()),
            Test::IsNull | Test::Other => None,
        }
    }
}
