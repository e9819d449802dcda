//! Dialects: where one family of APIs keeps records, fields, filters and errors.
//!
//! A dialect reads a request head into a [`model::Operation`](crate::model::Operation), writes
//! replaced literals back into the target as bytes, and words refusals the way its API words errors.
//! It sees no keys, no policy and no cipher. There is no default arm: what a dialect does not know
//! it answers with [`Code::Unclassified`](crate::base::refusal::Code::Unclassified).
//!
//! A new family is one file or folder here and one line in [`DIALECTS`].

mod json;
pub mod postgrest;
mod text;

use http::{HeaderMap, Method, StatusCode};

use crate::{
    base::{ident::RequestId, refusal::Refusal, secret::Plaintext},
    model::{Described, Operation, Replacement, Surface},
};

/// The head of a request, as far as a dialect looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query as they came, from the first slash of the API on.
    pub target: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
}

/// A target whose literals have been replaced.
#[derive(Debug)]
pub struct Readdressed {
    /// Path and query for upstream.
    pub target: String,
    /// What answers may repeat of it, and what stood there before.
    pub echoes: Vec<Echo>,
}

/// A piece of a rewritten target in the spelling in which the API repeats it (`Content-Location`).
#[derive(Debug)]
pub struct Echo {
    /// As the API would spell what was sent upstream.
    pub written: String,
    /// As the API would spell what the caller sent.
    pub original: Plaintext,
}

/// An error answer in the API's own shape.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorBody {
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// The bytes.
    pub body: Vec<u8>,
}

/// How many records an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// As many as the API said.
    AsSaid,
    /// So many.
    Counted(u64),
    /// More are to come.
    Unknown,
}

/// One family of APIs.
pub trait Dialect: Send + Sync {
    /// Says what a request is, with every use of a column in its head.
    fn classify(&self, head: Head<'_>) -> Result<Operation, Refusal>;

    /// Writes replacements into the target: `replacements[i]` belongs to the `i`-th use that
    /// [`Dialect::classify`] found in the same head. All other bytes stay as they are, except that a
    /// dialect may drop what its API ignores and what would carry a protected value up: so this is
    /// called for every request of an API with entities, even where nothing is replaced.
    fn readdress(
        &self,
        head: Head<'_>,
        replacements: &[Option<Replacement>],
    ) -> Result<Readdressed, Refusal>;

    /// An answer in which the API describes itself, with what is true of protected fields: their
    /// columns are of another type than the values. `None` if there is nothing to say in it.
    fn describe(&self, head: Head<'_>, document: &[u8], fields: &[Described]) -> Option<Vec<u8>>;

    /// Makes a request for a whole list one whose answer says whether it is whole.
    fn ask_whole(&self, headers: &mut HeaderMap);

    /// Whether an answer to such a request says that it is.
    fn is_whole(&self, status: StatusCode, headers: &HeaderMap) -> bool;

    /// Lets the headers of an answer say what they would if the API had filtered and ordered it
    /// itself: for the target that the caller asked for instead of the one that was sent, of so many
    /// records.
    fn restate(&self, asked: &str, sent: &str, records: Records, headers: &mut HeaderMap);

    /// Words a refusal as the API words its errors.
    fn refuse(&self, refusal: &Refusal, request: RequestId) -> ErrorBody;
}

/// Why a dialect cannot serve what the policy declares.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct SurfaceError {
    /// The declared name that is wrong.
    pub at: String,
    /// What is wrong, with the remedy.
    pub problem: String,
}

/// Makes a dialect for one API.
pub type Build = fn(&Surface) -> Result<Box<dyn Dialect>, Vec<SurfaceError>>;

/// Every dialect, by the word of the policy file.
pub const DIALECTS: &[(&str, Build)] = &[("json", json::build), ("postgrest", postgrest::build)];
