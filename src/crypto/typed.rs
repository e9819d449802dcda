//! A value in clear with its kind: what is inside an envelope.

use crate::base::secret::Plaintext;

/// The type byte inside an envelope. The byte `05` is reserved for null, which is never sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Bytes without a JSON form.
    Bytes = 7,
    /// `false`; the value is empty.
    False = 3,
    /// A JSON value, verbatim.
    Json = 6,
    /// A number, as it was spelled.
    Number = 2,
    /// The characters of a string, unescaped, in UTF-8.
    String = 1,
    /// `true`; the value is empty.
    True = 4,
}

impl Kind {
    /// The byte.
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// The kind that has this byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::String),
            2 => Some(Self::Number),
            3 => Some(Self::False),
            4 => Some(Self::True),
            6 => Some(Self::Json),
            7 => Some(Self::Bytes),
            _ => None,
        }
    }

    /// Whether the kind says everything, so that the value must be empty.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::False | Self::True)
    }
}

/// A value in clear and what it is.
#[derive(Clone, Debug)]
pub struct Typed {
    /// What it is.
    pub kind: Kind,
    /// Its bytes; empty for [`Kind::False`] and [`Kind::True`].
    pub value: Plaintext,
}

impl Typed {
    /// A value of this kind.
    pub fn new(kind: Kind, value: Plaintext) -> Self {
        Self { kind, value }
    }

    /// `true` or `false`.
    pub fn from_bool(truth: bool) -> Self {
        Self::new(if truth { Kind::True } else { Kind::False }, Plaintext::default())
    }

    /// A string.
    pub fn from_text(text: &str) -> Self {
        Self::new(Kind::String, Plaintext::from(text))
    }
}
