//! What a class is to the cipher: its mode, its type and its token ladder.
//!
//! These are the parameters that the key log registers before a class is first used; they decide
//! what stored envelopes mean, so they never change for an id.

use std::fmt;

use super::ident::ClassId;

/// How a class is stored. `plain` is not a mode here: a plain field has no class key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// The same value gives the same envelope: equality, uniqueness, foreign keys, joins.
    Deterministic,
    /// Nothing but storage.
    Random,
    /// A random envelope behind a ladder of equality tokens.
    Searchable,
}

impl Mode {
    /// The word of the policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deterministic => "deterministic",
            Self::Random => "random",
            Self::Searchable => "searchable",
        }
    }
}

/// One rung of the token ladder: a grain of equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rung {
    /// The exact text.
    Eq,
    /// The case-folded text.
    Ieq,
}

impl Rung {
    /// The word of the policy file. Inside a token a rung has a versioned name: `crypto::normal`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ieq => "ieq",
        }
    }
}

/// The logical type of a class: what the column would be if it were not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// `true` or `false`.
    Boolean,
    /// A calendar date, `YYYY-MM-DD`.
    Date,
    /// A 64-bit integer.
    Integer,
    /// Any JSON value, verbatim, for document stores.
    Json,
    /// A decimal of `precision` digits, `scale` of them after the point.
    Numeric {
        /// All digits.
        precision: u16,
        /// Digits after the point.
        scale: u16,
    },
    /// Text; answers strings whatever was written.
    Text,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Date => f.write_str("date"),
            Self::Integer => f.write_str("integer"),
            Self::Json => f.write_str("json"),
            Self::Numeric { precision, scale } => write!(f, "numeric({precision},{scale})"),
            Self::Text => f.write_str("text"),
        }
    }
}

/// The parameters of a class that stored envelopes depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassParams {
    /// Immutable id; part of the key.
    pub id: ClassId,
    /// How it is stored.
    pub mode: Mode,
    /// Its logical type.
    pub ty: ValueType,
    /// The token ladder, coarse to fine. Empty unless `mode` is [`Mode::Searchable`].
    pub rungs: Vec<Rung>,
}
