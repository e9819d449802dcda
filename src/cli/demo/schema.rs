//! The tables of the made-up lab, as constants.
//!
//! Everything the demo's API puts into SQL by name comes from here: a name in a request is looked up
//! and the constant is used, so no text of a request ever becomes part of a statement.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// Text. Columns that labseal seals are of this kind, like the ones it cannot read.
    Text,
}

/// One column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Anything else that the database checks.
    pub rule: Rule,
}

/// What the database checks about a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The primary key.
    Key,
    /// Nothing; null is allowed.
    Nullable,
    /// Never null.
    Required,
    /// Never null, and the `id` of a row of this table.
    References(&'static str),
    /// Never null, never twice.
    Unique,
}

/// One table. Its first column is `id`.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
}

const fn column(name: &'static str, kind: Kind, rule: Rule) -> Column {
    Column { name, kind, rule }
}

const ID: Column = column("id", Kind::Integer, Rule::Key);

/// Every table, referenced ones first.
pub const TABLES: &[Table] = &[
    Table {
        name: "patients",
        columns: &[
            ID,
            column("mrn", Kind::Text, Rule::Unique),
            column("last_name", Kind::Text, Rule::Required),
            column("first_name", Kind::Text, Rule::Nullable),
            column("birth_date", Kind::Text, Rule::Nullable),
            column("phone", Kind::Text, Rule::Nullable),
            column("ward", Kind::Text, Rule::Nullable),
        ],
    },
    Table {
        name: "specimens",
        columns: &[
            ID,
            column("accession", Kind::Text, Rule::Unique),
            column("patient_id", Kind::Integer, Rule::References("patients")),
            column("material", Kind::Text, Rule::Required),
            column("collected_at", Kind::Text, Rule::Nullable),
        ],
    },
    Table {
        name: "orders",
        columns: &[
            ID,
            column("number", Kind::Text, Rule::Unique),
            column("patient_id", Kind::Integer, Rule::References("patients")),
            column("specimen_id", Kind::Integer, Rule::References("specimens")),
            column("test", Kind::Text, Rule::Required),
            column("status", Kind::Text, Rule::Nullable),
        ],
    },
    Table {
        name: "results",
        columns: &[
            ID,
            column("order_id", Kind::Integer, Rule::References("orders")),
            column("analyte", Kind::Text, Rule::Required),
            column("value", Kind::Text, Rule::Nullable),
            column("unit", Kind::Text, Rule::Nullable),
            column("comment", Kind::Text, Rule::Nullable),
        ],
    },
];

/// The table of that name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

impl Table {
    /// The column of that name.
    pub fn column(&'static self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column that refers to `other`.
    pub fn reference_to(&'static self, other: &str) -> Option<&'static Column> {
        self.columns
            .iter()
            .find(|column| matches!(column.rule, Rule::References(table) if table == other))
    }

    /// The statement that creates it.
    pub fn create(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(Column::define).collect();
        format!("CREATE TABLE {} ({}) STRICT", self.name, columns.join(", "))
    }
}

impl Column {
    fn define(&self) -> String {
        let kind = match self.kind {
            Kind::Integer => "INTEGER",
            Kind::Text => "TEXT",
        };
        let rule = match self.rule {
            Rule::Key => " PRIMARY KEY".to_owned(),
            Rule::Nullable => String::new(),
            Rule::Required => " NOT NULL".to_owned(),
            Rule::References(table) => format!(" NOT NULL REFERENCES {table}(id)"),
            Rule::Unique => " NOT NULL UNIQUE".to_owned(),
        };
        format!("{} {kind}{rule}", self.name)
    }
}
