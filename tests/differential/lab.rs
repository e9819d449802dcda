//! What the requests are about: tables with every mode and type, their schema with and without
//! sealing, and the policy that says which is which.

use crate::{
    kit::{Canaries, Database, Labseal, PostgRest, Postgres, labseal::Setup, tee::Tee},
    schema::{POLICY, SCHEMA},
};

/// How a column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it is.
    Plain,
    /// Equal values are equal.
    Deterministic,
    /// Found by its tokens.
    Searchable,
    /// Kept, and nothing more.
    Random,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `text`
    Text,
    /// `bigint`
    Integer,
    /// `numeric(14,2)`
    Numeric,
    /// `date`
    Date,
    /// `timestamp`
    Moment,
    /// `boolean`
    Boolean,
    /// `jsonb`
    Json,
    /// `text[]`
    Array,
}

/// What can be found of a searchable class, and ordered, beyond `eq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// The characters of the rung `prefix(n)`; 0 is none.
    pub prefix: usize,
    /// Whether there is the rung `ieq`.
    pub folds: bool,
    /// Whether equality itself ignores case.
    pub blind: bool,
    /// Whether there are years and months.
    pub dated: bool,
    /// Whether labseal orders by it.
    pub sorted: bool,
}

/// No more than `eq`.
const PLAIN: Ladder = Ladder { prefix: 0, folds: false, blind: false, dated: false, sorted: false };

/// A column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// How it is stored.
    pub mode: Mode,
    /// What can be found of it.
    pub ladder: Ladder,
}

impl Column {
    /// Whether the policy protects it.
    pub fn is_protected(&self) -> bool {
        self.mode != Mode::Plain
    }
}

/// How the policy stands to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its protected columns are listed.
    Declared,
    /// It is listed as harmless.
    Excepted,
    /// Nothing is said of it.
    Unknown,
}

/// A relation that can be embedded.
#[derive(Debug)]
pub struct Relation {
    /// How it is spelled, with hints.
    pub spelling: &'static str,
    /// Its table.
    pub table: &'static str,
    /// Whether the spelling names the table.
    pub is_known: bool,
    /// Whether there can be several records.
    pub is_many: bool,
}

/// A table or view.
#[derive(Debug)]
pub struct Table {
    /// Its schema; `lab` is the default.
    pub schema: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What the policy says of it.
    pub standing: Standing,
    /// Its columns; the first is the key.
    pub columns: &'static [Column],
    /// What can be embedded in it.
    pub relations: &'static [Relation],
    /// Whether it takes writes.
    pub writable: bool,
}

const fn column(name: &'static str, kind: Kind, mode: Mode) -> Column {
    Column { name, kind, mode, ladder: PLAIN }
}

const fn searched(name: &'static str, kind: Kind, ladder: Ladder) -> Column {
    Column { name, kind, mode: Mode::Searchable, ladder }
}

const fn one(spelling: &'static str, table: &'static str, is_known: bool) -> Relation {
    Relation { spelling, table, is_known, is_many: false }
}

const fn many(spelling: &'static str, table: &'static str) -> Relation {
    Relation { spelling, table, is_known: true, is_many: true }
}

/// All tables; the first is the richest.
pub const TABLES: &[Table] = &[
    Table {
        schema: "lab",
        name: "patients",
        standing: Standing::Declared,
        columns: &[
            column("id", Kind::Integer, Mode::Plain),
            column("mrn", Kind::Text, Mode::Deterministic),
            searched("last_name", Kind::Text, Ladder { folds: true, ..PLAIN }),
            column("given", Kind::Text, Mode::Searchable),
            column("e.mail", Kind::Text, Mode::Deterministic),
            column("notes", Kind::Text, Mode::Random),
            column("born", Kind::Date, Mode::Deterministic),
            column("score", Kind::Numeric, Mode::Deterministic),
            column("visits", Kind::Integer, Mode::Searchable),
            column("vip", Kind::Boolean, Mode::Random),
            column("ward", Kind::Text, Mode::Plain),
            column("bed", Kind::Integer, Mode::Plain),
            column("active", Kind::Boolean, Mode::Plain),
            column("meta", Kind::Json, Mode::Plain),
            column("tags", Kind::Array, Mode::Plain),
        ],
        relations: &[
            many("orders", "orders"),
            one("contacts", "contacts", true),
            many("orders!orders_mrn_fkey", "orders"),
            many("samples", "samples"),
            many("vials", "vials"),
        ],
        writable: true,
    },
    Table {
        schema: "lab",
        name: "orders",
        standing: Standing::Declared,
        columns: &[
            column("id", Kind::Integer, Mode::Plain),
            column("mrn", Kind::Text, Mode::Deterministic),
            column("code", Kind::Text, Mode::Plain),
            column("priority", Kind::Integer, Mode::Plain),
            column("remark", Kind::Text, Mode::Searchable),
            column("amount", Kind::Numeric, Mode::Random),
            column("placed", Kind::Date, Mode::Plain),
        ],
        relations: &[
            one("patients", "patients", true),
            one("patients!orders_mrn_fkey", "patients", true),
            one("patients!mrn", "patients", true),
            one("orders_mrn_fkey", "patients", false),
            one("mrn", "patients", false),
        ],
        writable: true,
    },
    Table {
        schema: "lab",
        name: "contacts",
        standing: Standing::Declared,
        columns: &[
            column("mrn", Kind::Text, Mode::Deterministic),
            column("phone", Kind::Text, Mode::Random),
            column("room", Kind::Text, Mode::Plain),
        ],
        relations: &[one("patients", "patients", true)],
        writable: true,
    },
    Table {
        schema: "lab",
        name: "census",
        standing: Standing::Declared,
        columns: &[
            column("id", Kind::Integer, Mode::Plain),
            column("mrn", Kind::Text, Mode::Deterministic),
            searched("surname", Kind::Text, Ladder { folds: true, ..PLAIN }),
            column("ward", Kind::Text, Mode::Plain),
        ],
        relations: &[many("orders", "orders")],
        writable: false,
    },
    Table {
        schema: "archive",
        name: "patients",
        standing: Standing::Declared,
        columns: &[
            column("id", Kind::Integer, Mode::Plain),
            column("mrn", Kind::Text, Mode::Searchable),
            column("last_name", Kind::Text, Mode::Plain),
        ],
        relations: &[],
        writable: true,
    },
    Table {
        schema: "lab",
        name: "wards",
        standing: Standing::Excepted,
        columns: &[
            column("code", Kind::Text, Mode::Plain),
            column("title", Kind::Text, Mode::Plain),
        ],
        relations: &[],
        writable: true,
    },
    Table {
        schema: "lab",
        name: "roster",
        standing: Standing::Unknown,
        columns: &[
            column("id", Kind::Integer, Mode::Plain),
            column("mrn", Kind::Text, Mode::Plain),
            column("surname", Kind::Text, Mode::Plain),
            column("ward", Kind::Text, Mode::Plain),
        ],
        relations: &[],
        writable: true,
    },
    Table {
        schema: "lab",
        name: "samples",
        standing: Standing::Declared,
        columns: &[
            column("id", Kind::Integer, Mode::Plain),
            column("mrn", Kind::Text, Mode::Deterministic),
            searched("label", Kind::Text, Ladder { prefix: 4, folds: true, sorted: true, ..PLAIN }),
            searched("serial", Kind::Text, Ladder { prefix: 3, ..PLAIN }),
            searched("city", Kind::Text, Ladder { prefix: 2, blind: true, ..PLAIN }),
            searched("taken", Kind::Date, Ladder { dated: true, sorted: true, ..PLAIN }),
            searched("seen", Kind::Moment, Ladder { dated: true, ..PLAIN }),
            column("bench", Kind::Text, Mode::Plain),
        ],
        relations: &[one("patients", "patients", true), one("samples_mrn_fkey", "patients", false)],
        writable: true,
    },
    // Bound to its key.
    Table {
        schema: "lab",
        name: "vials",
        standing: Standing::Declared,
        columns: &[
            column("tube", Kind::Text, Mode::Plain),
            column("depth", Kind::Numeric, Mode::Random),
            column("finding", Kind::Text, Mode::Random),
            column("mrn", Kind::Text, Mode::Deterministic),
            column("rack", Kind::Text, Mode::Plain),
            column("tag", Kind::Text, Mode::Searchable),
        ],
        relations: &[one("patients", "patients", true), one("mrn", "patients", false)],
        writable: true,
    },
];

/// A table of the default schema.
pub fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|table| table.schema == "lab" && table.name == name).expect("a table")
}

/// Whether some table protects a column of this name.
pub fn is_protected_name(name: &str) -> bool {
    TABLES.iter().flat_map(|table| table.columns).any(|c| c.is_protected() && c.name == name)
}

/// The same API twice: as it is, and behind labseal.
pub struct Pair {
    /// As it is.
    pub direct: PostgRest,
    /// labseal.
    pub labseal: Labseal,
    /// The wire behind labseal.
    pub tee: Tee,
    /// The API behind that.
    pub behind: PostgRest,
    /// Its database.
    pub sealed: Database,
    _plain: Database,
}

impl Pair {
    /// Starts both, empty. The database behind labseal has a server of its own.
    pub fn start() -> Self {
        let plain = Postgres::shared().database(&SCHEMA.replace(['{', '}'], ""));
        let mut typed = SCHEMA.to_owned();
        for kind in
            ["{date}", "{numeric(14,2)}", "{bigint}", "{boolean}", "{citext}", "{timestamp}"]
        {
            assert!(typed.contains(kind), "{kind} is in no column");
            typed = typed.replace(kind, "text");
        }
        let sealed = Postgres::start().database(&typed);
        let settings = "db-aggregates-enabled = true\n";
        let direct = PostgRest::with(&plain, settings);
        let behind = PostgRest::with(&sealed, settings);
        let tee = Tee::start(behind.address());
        let labseal = Setup::new(POLICY, tee.address()).start();
        Self { direct, labseal, tee, behind, sealed, _plain: plain }
    }

    /// Everything that must not know a value is searched for all of them.
    pub fn assert_no_leak(&mut self, canaries: &Canaries) {
        let metrics = self.labseal.metrics();
        self.labseal.stop();
        let mut found = canaries.search("received by PostgREST", &self.tee.received());
        found.extend(canaries.search("answered by PostgREST", &self.tee.answered()));
        found.extend(canaries.search("pg_dump", &self.sealed.dump()));
        found.extend(canaries.search("PostgreSQL's log", &self.sealed.server().log()));
        found.extend(canaries.search("metrics", metrics.as_bytes()));
        found.extend(canaries.search_folder(self.labseal.folder(), 8));
        assert!(found.is_empty(), "{found:#?}");
    }
}

impl Table {
    /// Whether values of a column are bound to the key.
    pub fn binds(&self, column: &Column) -> bool {
        self.name == "vials" && matches!(column.mode, Mode::Random | Mode::Searchable)
    }
}

impl Relation {
    /// The spelling without hints.
    pub fn name(&self) -> &'static str {
        self.spelling.split('!').next().unwrap_or_default()
    }
}
