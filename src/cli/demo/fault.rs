//! What the demo's API answers when it cannot do what was asked: PostgREST's words and statuses.

use http::StatusCode;
use serde_json::json;

/// An error answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The status.
    pub status: StatusCode,
    /// A SQLSTATE or a `PGRST` code.
    pub code: &'static str,
    /// One line.
    pub message: String,
    /// The values it is about, as PostgreSQL shows them.
    pub details: Option<String>,
}

impl Fault {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None }
    }

    /// The query string is not of the grammar. Like PostgREST's, the message repeats it.
    pub fn grammar(text: &str) -> Self {
        let message = format!("failed to parse filter ({text})");
        Self::new(StatusCode::BAD_REQUEST, "PGRST100", message)
    }

    /// The body is not JSON of the right form.
    pub fn body() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PGRST102", "Empty or invalid json")
    }

    /// There is no such table.
    pub fn table(name: &str) -> Self {
        let message = format!("Could not find the table 'public.{name}' in the schema cache");
        Self::new(StatusCode::NOT_FOUND, "PGRST205", message)
    }

    /// There is no such column.
    pub fn column(table: &str, name: &str) -> Self {
        let message = format!("column {table}.{name} does not exist");
        Self::new(StatusCode::BAD_REQUEST, "42703", message)
    }

    /// No foreign key joins the two tables.
    pub fn relation(table: &str, other: &str) -> Self {
        let message = format!(
            "Could not find a relationship between '{table}' and '{other}' in the schema cache"
        );
        Self::new(StatusCode::BAD_REQUEST, "PGRST200", message)
    }

    /// The method does nothing here.
    pub fn method(name: &str) -> Self {
        let message = format!("Unsupported HTTP method: {name}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "PGRST117", message)
    }

    /// One row was asked for, and there are none or several.
    pub fn singular(rows: usize) -> Self {
        let message = "Cannot coerce the result to a single JSON object";
        let mut fault = Self::new(StatusCode::NOT_ACCEPTABLE, "PGRST116", message);
        fault.details = Some(format!("The result contains {rows} rows"));
        fault
    }

    /// The text is not an integer.
    pub fn integer(text: &str) -> Self {
        let message = format!("invalid input syntax for type integer: \"{text}\"");
        Self::new(StatusCode::BAD_REQUEST, "22P02", message)
    }

    /// The value occurs already.
    pub fn unique(table: &str, column: &str, value: &str) -> Self {
        let message =
            format!("duplicate key value violates unique constraint \"{table}_{column}_key\"");
        let mut fault = Self::new(StatusCode::CONFLICT, "23505", message);
        fault.details = Some(format!("Key ({column})=({value}) already exists."));
        fault
    }

    /// The row that is referred to does not exist.
    pub fn missing(table: &str, column: &str, value: &str, other: &str) -> Self {
        let message = format!(
            "insert or update on table \"{table}\" violates foreign key constraint \
             \"{table}_{column}_fkey\""
        );
        let mut fault = Self::new(StatusCode::CONFLICT, "23503", message);
        fault.details =
            Some(format!("Key ({column})=({value}) is not present in table \"{other}\"."));
        fault
    }

    /// Other rows refer to it.
    pub fn referenced(table: &str) -> Self {
        let message = format!(
            "update or delete on table \"{table}\" violates a foreign key constraint of another table"
        );
        Self::new(StatusCode::CONFLICT, "23503", message)
    }

    /// A column that must have a value has none.
    pub fn null(table: &str, column: &str) -> Self {
        let message = format!(
            "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
        );
        Self::new(StatusCode::BAD_REQUEST, "23502", message)
    }

    /// The database broke.
    pub fn database(error: &rusqlite::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "XX000", error.to_string())
    }

    /// The body of the answer.
    pub fn to_json(&self) -> String {
        json!({
            "code": self.code,
            "details": self.details,
            "hint": null,
            "message": self.message,
        })
        .to_string()
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::database(&error)
    }
}
