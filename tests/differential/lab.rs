//! What the requests are about: tables with every mode and type, their schema with and without
//! sealing, and the policy that says which is which.

use crate::kit::{Canaries, Database, Labseal, PostgRest, Postgres, labseal::Setup, tee::Tee};

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
    /// `boolean`
    Boolean,
    /// `jsonb`
    Json,
    /// `text[]`
    Array,
}

/// A column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// How it is stored.
    pub mode: Mode,
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
    Column { name, kind, mode }
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
            column("last_name", Kind::Text, Mode::Searchable),
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
            column("surname", Kind::Text, Mode::Searchable),
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
];

/// A table of the default schema.
pub fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|table| table.schema == "lab" && table.name == name).expect("a table")
}

/// Whether some table protects a column of this name.
pub fn is_protected_name(name: &str) -> bool {
    TABLES.iter().flat_map(|table| table.columns).any(|c| c.is_protected() && c.name == name)
}

const SCHEMA: &str = r#"
create schema lab;
create schema archive;
create table lab.patients (
    id bigint generated by default as identity primary key,
    mrn text not null unique,
    last_name text,
    given text,
    "e.mail" text unique,
    notes text,
    born {date},
    score {numeric(14,2)},
    visits {bigint},
    vip {boolean},
    ward text,
    bed integer check (bed < 1000),
    active boolean not null default true,
    meta jsonb,
    tags text[]
);
create table lab.orders (
    id bigint generated by default as identity primary key,
    mrn text not null references lab.patients (mrn),
    code text not null,
    priority integer not null default 0 check (priority between 0 and 9),
    remark text,
    amount {numeric(14,2)},
    placed date
);
create table lab.contacts (
    mrn text primary key references lab.patients (mrn),
    phone text,
    room text
);
create table lab.wards (code text primary key, title text);
create table archive.patients (
    id bigint generated by default as identity primary key, mrn text, last_name text);
create view lab.census as select id, mrn, last_name as surname, ward from lab.patients;
create view lab.roster as select id, mrn, last_name as surname, ward from lab.patients;
create function lab.patient_count() returns bigint
    language sql stable as 'select count(*) from lab.patients';
create function lab.of_ward(w text) returns setof lab.patients
    language sql stable as 'select * from lab.patients where ward = w order by id';
create function lab.find_patient(mrn text) returns setof lab.patients
    language sql stable as 'select * from lab.patients p where p.mrn = find_patient.mrn';
create schema kept;
create function lab.keep() returns void language plpgsql as $$ begin
    create table kept.patients as table lab.patients order by id;
    create table kept.orders as table lab.orders order by id;
    create table kept.contacts as table lab.contacts;
    create table kept.wards as table lab.wards;
    create table kept.archived as table archive.patients order by id;
end $$;
create function lab.restore() returns void language plpgsql as $$ begin
    truncate lab.patients, lab.orders, lab.contacts, lab.wards, archive.patients;
    insert into lab.patients select * from kept.patients;
    insert into lab.orders select * from kept.orders;
    insert into lab.contacts select * from kept.contacts;
    insert into lab.wards select * from kept.wards;
    insert into archive.patients select * from kept.archived;
    perform setval('lab.patients_id_seq', 1000), setval('lab.orders_id_seq', 1000),
        setval('archive.patients_id_seq', 1000);
end $$;
"#;

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:    {id: c-mrn, mode: deterministic, type: text}
  mail:   {id: c-mail, mode: deterministic, type: text}
  name:   {id: c-name, mode: searchable, type: text, match: [ieq, eq]}
  given:  {id: c-given, mode: searchable, type: text}
  note:   {id: c-note, mode: random, type: text}
  born:   {id: c-born, mode: deterministic, type: date}
  score:  {id: c-score, mode: deterministic, type: "numeric(14,2)"}
  amount: {id: c-amount, mode: random, type: "numeric(14,2)"}
  visits: {id: c-visits, mode: searchable, type: bigint}
  vip:    {id: c-vip, mode: random, type: boolean}
callers:
  lims:   {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
grants:
  lims:   {"*": {read: clear, filter: allow, write: allow}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab, archive]
    undeclared:
      entities: [wards]
      functions: [patient_count, of_ward]
      why: "ward names and counts hold no patient data"
    entities:
      lab.patients:
        key: [id]
        fields:
          mrn: {class: mrn, unique: true}
          last_name: {class: name}
          given: {class: given}
          e.mail: {class: mail, unique: true}
          notes: {class: note}
          born: {class: born}
          score: {class: score}
          visits: {class: visits}
          vip: {class: vip}
      lab.orders: {key: [id], fields: {mrn: {class: mrn}, remark: {class: given}, amount: {class: amount}}}
      lab.contacts: {key: [mrn], fields: {mrn: {class: mrn, unique: true}, phone: {class: note}}}
      lab.census: {fields: {mrn: {class: mrn}, surname: {class: name}}}
      archive.patients: {key: [id], fields: {mrn: {class: given}}}
"#;

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
        for kind in ["{date}", "{numeric(14,2)}", "{bigint}", "{boolean}"] {
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

impl Relation {
    /// The spelling without hints.
    pub fn name(&self) -> &'static str {
        self.spelling.split('!').next().unwrap_or_default()
    }
}
