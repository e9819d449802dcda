//! What does not fit, and the statement that makes it fit.

use crate::{
    base::ident::{ApiName, EntityName, FieldName},
    policy::Column,
};

/// What kind of thing does not fit. The words are those of `docs/operate.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The database that was asked has no such column.
    Absent,
    /// The collation of a searchable column sorts tokens in another order.
    Collation,
    /// The collation takes different texts for equal.
    Inexact,
    /// The entity has no such column.
    MissingColumn,
    /// The API has no such entity.
    MissingEntity,
    /// An envelope of the class does not fit into the column at all, or not with every value.
    Narrow,
    /// Envelopes of longer values do not fit.
    NarrowForLong,
    /// Tests would read the whole table.
    NoIndex,
    /// What the policy calls unique is not.
    NoUniqueIndex,
    /// The column is not text.
    Typed,
    /// The API did not describe itself.
    Undescribed,
    /// A view: what is behind it decides.
    View,
}

impl Kind {
    /// The word in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Collation => "collation",
            Self::Inexact => "inexact_collation",
            Self::MissingColumn => "missing_column",
            Self::MissingEntity => "missing_entity",
            Self::Narrow => "narrow",
            Self::NarrowForLong => "narrow_for_long_values",
            Self::NoIndex => "no_index",
            Self::NoUniqueIndex => "no_unique_index",
            Self::Typed => "typed",
            Self::Undescribed => "undescribed",
            Self::View => "view",
        }
    }

    /// Whether labseal would fail, or answer wrongly, until it is mended.
    pub fn is_error(self) -> bool {
        match self {
            Self::Absent
            | Self::Collation
            | Self::Inexact
            | Self::MissingColumn
            | Self::MissingEntity
            | Self::Narrow
            | Self::NoUniqueIndex
            | Self::Typed
            | Self::Undescribed => true,
            Self::NarrowForLong | Self::NoIndex | Self::View => false,
        }
    }

    /// Whether it says that something is not there.
    pub(super) fn says_absent(self) -> bool {
        matches!(self, Self::Absent | Self::MissingColumn | Self::MissingEntity)
    }
}

/// One thing that does not fit.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Of which API.
    pub api: ApiName,
    /// Of which entity; `None`: the API as a whole.
    pub entity: Option<EntityName>,
    /// Of which column; `None`: the entity as a whole.
    pub column: Option<FieldName>,
    /// What kind of thing.
    pub kind: Kind,
    /// What is wrong.
    pub message: String,
    /// Statements that mend it.
    pub ddl: Vec<String>,
    /// What to know before running them, or what to do where no statement helps.
    pub hint: String,
    /// The line of the policy that expects something else.
    pub line: usize,
}

impl Finding {
    /// About a column.
    pub fn of_column(api: &ApiName, column: &Column<'_>, kind: Kind, message: String) -> Self {
        let mut finding = Self::of_entity(api, column.entity, column.line, kind, message);
        finding.column = Some(column.name.clone());
        finding
    }

    /// About an entity.
    pub fn of_entity(
        api: &ApiName,
        entity: &EntityName,
        line: usize,
        kind: Kind,
        message: String,
    ) -> Self {
        let mut finding = Self::of_api(api, line, kind, message);
        finding.entity = Some(entity.clone());
        finding
    }

    /// About a whole API.
    pub fn of_api(api: &ApiName, line: usize, kind: Kind, message: String) -> Self {
        Self {
            api: api.clone(),
            entity: None,
            column: None,
            kind,
            message,
            ddl: Vec::new(),
            hint: String::new(),
            line,
        }
    }

    /// With a statement that mends it.
    pub fn mended_by(mut self, ddl: String) -> Self {
        self.ddl.push(ddl);
        self
    }

    /// With what to know or to do.
    pub fn hint(mut self, hint: &str) -> Self {
        self.hint = hint.to_owned();
        self
    }

    /// What it is about: `entity.column`, the entity, or the API.
    pub fn place(&self) -> String {
        match (&self.entity, &self.column) {
            (Some(entity), Some(column)) => format!("{entity}.{column}"),
            (Some(entity), None) => entity.to_string(),
            (None, _) => self.api.to_string(),
        }
    }
}

/// A name as SQL writes it: in quotes unless it is a plain word.
pub fn quoted(name: &str) -> String {
    let is_start = |b: &u8| b.is_ascii_lowercase() || *b == b'_';
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let is_plain = name.as_bytes().first().is_some_and(is_start)
        && name.bytes().all(is_word)
        && !RESERVED.contains(&name);
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// An entity as SQL writes it.
pub fn table(entity: &EntityName) -> String {
    let (schema, table) = entity.as_str().split_once('.').unwrap_or(("public", entity.as_str()));
    format!("{}.{}", quoted(schema), quoted(table))
}

/// The words of PostgreSQL that cannot be names of columns or tables without quotes.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_sql_needs_it() {
        let cases = [
            ("mrn", "mrn"),
            ("_a1", "_a1"),
            ("order", "\"order\""),
            ("Mrn", "\"Mrn\""),
            ("last name", "\"last name\""),
            ("1a", "\"1a\""),
            ("a\"b", "\"a\"\"b\""),
            ("å", "\"å\""),
            ("", "\"\""),
        ];
        for (name, expected) in cases {
            assert_eq!(quoted(name), expected);
        }
        assert_eq!(table(&EntityName::new("lab.user")), "lab.\"user\"");
    }
}
