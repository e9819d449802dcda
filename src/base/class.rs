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

/// What a searchable class takes for equal. The stored value keeps its spelling in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Equality {
    /// Texts that differ in case alone are equal.
    Ci,
    /// Texts that differ in case and marks (accents) alone are equal.
    CiAi,
    /// Equal is what is the same.
    #[default]
    Exact,
    /// Spaces at the end do not count.
    PadSpace,
}

impl Equality {
    /// All of them, by the words of the policy file.
    pub const WORDS: &[(&str, Self)] = &[
        ("exact", Self::Exact),
        ("ci", Self::Ci),
        ("ci_ai", Self::CiAi),
        ("pad_space", Self::PadSpace),
    ];

    /// The word of the policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::CiAi => "ci_ai",
            Self::Exact => "exact",
            Self::PadSpace => "pad_space",
        }
    }
}

/// One rung of the token ladder: a grain of equality. Inside a token a rung has a versioned name:
/// `crypto::normal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rung {
    /// The whole value, as far as the class's [`Equality`] tells values apart.
    Eq,
    /// The case-folded text.
    Ieq,
    /// Year and month of a date or a point in time.
    Month,
    /// The first so many characters of the next finer rung's text.
    Prefix(u8),
    /// The year of a date or a point in time.
    Year,
}

impl Rung {
    /// Reads the word of the policy file and the register.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "eq" => Some(Self::Eq),
            "ieq" => Some(Self::Ieq),
            "month" => Some(Self::Month),
            "year" => Some(Self::Year),
            _ => {
                let digits = word.strip_prefix("prefix(")?.strip_suffix(')')?;
                let count = digits.parse().ok().filter(|count| *count > 0)?;
                Some(Self::Prefix(count)).filter(|rung| rung.to_string() == word)
            }
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eq => f.write_str("eq"),
            Self::Ieq => f.write_str("ieq"),
            Self::Month => f.write_str("month"),
            Self::Prefix(count) => write!(f, "prefix({count})"),
            Self::Year => f.write_str("year"),
        }
    }
}

/// The logical type of a class: what the column would be if it were not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A 64-bit integer.
    BigInt,
    /// `true` or `false`.
    Boolean,
    /// A calendar date, `YYYY-MM-DD`.
    Date,
    /// A decimal of any size, with the digits it is given. Two spellings may be one number.
    Decimal,
    /// A 32-bit integer.
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
    /// A 16-bit integer.
    SmallInt,
    /// Text; answers strings whatever was written.
    Text,
    /// A date and a time of day, `YYYY-MM-DDTHH:MM:SS`, in microseconds.
    Timestamp,
    /// A point in time, spelled in UTC.
    TimestampTz,
    /// A UUID.
    Uuid,
    /// Text of at most so many characters.
    VarChar(u32),
}

impl ValueType {
    /// The type as the key log registers it. A limit on what may be written is no part of what
    /// stored values mean, and so may change for a class that is in use.
    pub fn registered(self) -> Self {
        match self {
            Self::BigInt | Self::SmallInt => Self::Integer,
            Self::VarChar(_) => Self::Text,
            Self::Boolean
            | Self::Date
            | Self::Decimal
            | Self::Integer
            | Self::Json
            | Self::Numeric { .. }
            | Self::Text
            | Self::Timestamp
            | Self::TimestampTz
            | Self::Uuid => self,
        }
    }

    /// Whether it is text, of whatever length.
    pub fn is_text(self) -> bool {
        self.registered() == Self::Text
    }

    /// Whether a cast to text gives the very string that is answered without one.
    pub fn casts_to_itself(self) -> bool {
        self.is_text() || matches!(self, Self::Date | Self::Uuid)
    }

    /// Whether it is a date with a time of day.
    pub fn is_timed(self) -> bool {
        matches!(self, Self::Timestamp | Self::TimestampTz)
    }

    /// Whether it has a year and a month.
    pub fn is_calendar(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp | Self::TimestampTz)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BigInt => f.write_str("bigint"),
            Self::Boolean => f.write_str("boolean"),
            Self::Date => f.write_str("date"),
            Self::Decimal => f.write_str("numeric"),
            Self::Integer => f.write_str("integer"),
            Self::Json => f.write_str("json"),
            Self::Numeric { precision, scale } => write!(f, "numeric({precision},{scale})"),
            Self::SmallInt => f.write_str("smallint"),
            Self::Text => f.write_str("text"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampTz => f.write_str("timestamptz"),
            Self::Uuid => f.write_str("uuid"),
            Self::VarChar(limit) => write!(f, "varchar({limit})"),
        }
    }
}

/// A span of years, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Years {
    first: i64,
    last: i64,
}

impl Years {
    /// Every year that a value can be in.
    pub const ALL: Self = Self { first: 1, last: 9999 };

    /// `None` if a year is outside [`Years::ALL`], or they are the wrong way round.
    pub fn new(first: i64, last: i64) -> Option<Self> {
        let years = Self { first, last };
        (first <= last && Self::ALL.covers(years)).then_some(years)
    }

    /// The first.
    pub fn first(self) -> i64 {
        self.first
    }

    /// The last.
    pub fn last(self) -> i64 {
        self.last
    }

    /// Whether a year is one of them.
    pub fn contains(self, year: i64) -> bool {
        (self.first..=self.last).contains(&year)
    }

    /// Whether every one of the other years is one of these.
    pub fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The span of both.
    pub fn with(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
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
    /// What the rungs take for equal. [`Equality::Exact`] unless `mode` is [`Mode::Searchable`].
    pub equality: Equality,
    /// The years that its dates may be in. The register's only grow, so that it never says less than
    /// what may be stored.
    pub years: Years,
}
