//! How a body spells its records: the formats that a dialect may take, and how its API writes CSV.

/// A format in which declared values can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Rows under a header (RFC 4180).
    Csv,
    /// JSON (RFC 8259).
    Json,
    /// A list of changes to a document (RFC 6902).
    JsonPatch,
    /// JSON texts, each behind a record separator (RFC 7464).
    JsonSequence,
    /// Part of a document; null removes (RFC 7396).
    MergePatch,
    /// The fields of a form, each as a part (RFC 7578).
    Multipart,
    /// One JSON text on each line.
    Ndjson,
    /// The fields of a form as `name=value`, percent-encoded.
    Urlencoded,
}

/// How the cells of CSV are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells {
    /// As RFC 4180 and `COPY … CSV` have it: a bare empty cell is null, `""` is the empty text.
    Plain,
    /// As PostgREST has it. In requests the text `NULL` is null, quoted or not, and an empty cell is
    /// the empty text. Answers are PostgreSQL's text of a row: a bare empty cell is null, and a quoted
    /// one doubles backslashes too.
    Record,
}

/// What a request may be written in, and how its API writes CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// What the request body may be, if it holds records.
    pub request: &'static [Format],
    /// The cells of CSV, both ways.
    pub cells: Cells,
}

impl Formats {
    /// JSON and nothing else.
    pub const JSON: Self = Self { request: &[Format::Json], cells: Cells::Plain };
}
