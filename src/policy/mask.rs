//! Masks: the partial view of a value.

/// One of the closed list of masks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// The year of a date.
    DateYear,
    /// The domain of an e-mail address.
    EmailDomain,
    /// A fixed text.
    Fixed(String),
    /// The first characters.
    KeepFirst(usize),
    /// The last characters.
    KeepLast(usize),
    /// JSON null.
    Null,
}
