//! What the scanner asks of a direction: what becomes of each place that it finds.

use super::{json::Traits, spelling::Spelling, strays::Stream, tree::Closed};
use crate::{base::refusal::Refusal, model::BoundRecord};

/// One JSON value, as its bytes.
#[derive(Clone, Copy)]
pub(super) enum Lexeme<'a> {
    /// An object or array, from its first bracket to its last.
    Container(&'a [u8]),
    /// `false`.
    False,
    /// `null`.
    Null,
    /// A number.
    Number(&'a [u8]),
    /// What stands between the quotes.
    String(&'a [u8], Traits),
    /// Text of another format, without its escapes.
    Text(&'a [u8]),
    /// `true`.
    True,
}

/// What was found where the key of a record should be.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    /// Nothing.
    Nothing,
    /// One value.
    One(Lexeme<'a>),
    /// More than one, of which a reader takes this one and another that.
    Several,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Its member is removed; where it is no member, it becomes null.
    Drop,
    /// It stays.
    Keep,
    /// It stays, and is not searched for strays.
    PutBack,
    /// The bytes that were appended to the buffer take its place.
    Replace,
}

/// What is done at the places that the scanner finds.
pub(super) trait Visit {
    /// Whether a value of another form than declared, or a second value of a declared key, ends
    /// the scan.
    const STRICT: bool;

    /// What a scan that ended early means in this direction.
    fn explain(&self, stop: Stop) -> Refusal;

    /// Bytes that stay because nothing is declared of them, strings without escapes whole.
    fn stays(&self, bytes: &[u8]) -> Result<(), Refusal>;

    /// A record begins to which values are bound, until [`Self::leave`].
    fn enter(&mut self, bound: &BoundRecord, key: Found<'_>) -> Result<(), Stop>;

    /// The record that was entered last ends.
    fn leave(&mut self);

    /// A member that the policy does not list, where it says something of these.
    fn unlisted(&mut self, closed: &Closed) -> Result<(), Stop>;

    /// A key of which nothing is declared and that has escapes.
    fn key(&mut self, inside: &[u8]) -> Result<(), Stop>;

    /// A string of which nothing is declared.
    fn text(
        &mut self,
        inside: &[u8],
        traits: Traits,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Result<Act, Stop>;

    /// The end of a record: whether it stays. Only a record of an array can be dropped.
    fn record(&mut self) -> Result<Act, Stop> {
        Ok(Act::Keep)
    }

    /// A value at a declared place.
    fn leaf(
        &mut self,
        rule: u32,
        value: Lexeme<'_>,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Result<Act, Stop>;

    /// A name or a pair that stays, in whatever escapes.
    fn spelled(&self, text: &[u8]) -> Result<(), Refusal>;

    /// A piece of something of which nothing is declared, and which is too long to be held.
    fn passes(&self, stream: &mut Stream, piece: &[u8]) -> Result<(), Refusal>;
}

/// Why a scan ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// A declared key occurs twice in an object. The rule of its value, where it is a leaf.
    #[error("a declared key occurs twice in an object")]
    Duplicate(Option<u32>),
    /// Not of the format it is said to be.
    #[error("not valid in its format")]
    Malformed,
    /// A member with this rule may not be missing, and is.
    #[error("a required member is missing")]
    Missing(u32),
    /// A row has another number of cells than the header.
    #[error("a row has not as many cells as the header")]
    Ragged,
    /// Decided at a place.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// A key is not declared, but some server may take it for one that is.
    #[error("a key could be taken for a declared one")]
    Near,
    /// A value is not the object or array that its declared members need.
    #[error("a value on the way to a declared field is not of the declared form")]
    Shape,
    /// More than [`MAX_DEPTH`](super::scan::MAX_DEPTH) open objects and arrays.
    #[error("nested too deep")]
    TooDeep,
    /// More than a window holds.
    #[error("a record is too large")]
    TooLarge,
}

impl From<Refusal> for Stop {
    /// Boxed, since every value that is looked at returns room for one.
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
