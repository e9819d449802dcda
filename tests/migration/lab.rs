//! The two tables: columns of their own types, all in clear; and text, in which every other record is
//! sealed.

use std::{
    fmt::Write as _,
    sync::{Mutex, MutexGuard, OnceLock},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::kit::{self, Pair, Request};

const COLUMNS: &str = "
    id integer primary key, mrn text collate \"C\", name text collate \"C\", code CITEXT,
    pad text collate \"C\", born DATE, seen STAMP, at ZONED, rank INTEGER, dose NUMERIC,
    alive BOOLEAN, note text, ward text, mother integer references lab.people(id)
";

fn schema(types: [(&str, &str); 7]) -> String {
    let columns = types.iter().fold(COLUMNS.to_owned(), |text, (word, ty)| text.replace(word, ty));
    format!(
        "create schema lab; create schema archive; create extension if not exists citext;\n\
         create table lab.people ({columns});\n\
         create table lab.visits (id integer primary key, person integer references lab.people(id));"
    )
}

const WORDS: [&str; 7] = ["CITEXT", "DATE", "STAMP", "ZONED", "INTEGER", "NUMERIC", "BOOLEAN"];

fn plain() -> String {
    let types = [
        "public.citext",
        "date",
        "timestamp",
        "timestamptz",
        "integer",
        "numeric(12,4)",
        "boolean",
    ];
    schema(std::array::from_fn(|i| (WORDS[i], types[i])))
}

fn mixed() -> String {
    schema(WORDS.map(|word| (word, "text")))
}

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:   {id: c-mrn, mode: deterministic, mask: {keep_last: 2}, order: {proxy_sort: 500}, collation: C}
  name:  {id: c-name, mode: searchable, match: ["prefix(3)", ieq, eq], order: {proxy_sort: 500}, collation: C}
  code:  {id: c-code, mode: searchable, match: [eq], equality: ci}
  pad:   {id: c-pad, mode: searchable, match: [eq], equality: pad_space}
  born:  {id: c-born, mode: searchable, type: date, match: [year, month, eq], range: {from: 1975, to: 2030, at_most: 60}, order: {proxy_sort: 500}}
  seen:  {id: c-seen, mode: searchable, type: timestamp, match: [year, month, eq], range: {from: 2000, to: 2040, at_most: 60}, order: {proxy_sort: 500}}
  at:    {id: c-at, mode: searchable, type: timestamptz, match: [year, month, eq], range: {from: 2000, to: 2040, at_most: 60}, order: {proxy_sort: 500}}
  rank:  {id: c-rank, mode: deterministic, type: integer, order: {proxy_sort: 500}}
  dose:  {id: c-dose, mode: random, type: "numeric(12,4)", order: {proxy_sort: 500}}
  alive: {id: c-alive, mode: random, type: boolean}
  note:  {id: c-note, mode: random}
callers:
  lims: {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
grants:
  lims: {"*": {read: clear, filter: allow, write: allow}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab, archive]
    entities:
      lab.visits: {fields: {kind: {mode: plain, why: "a word of the lab"}}}
      lab.people:
        fields:
"#;

const FIELDS: [&str; 11] =
    ["mrn", "name", "code", "pad", "born", "seen", "at", "rank", "dose", "alive", "note"];

/// The policy, with every field in migration.
fn policy() -> String {
    let mut text = POLICY.to_owned();
    for (n, field) in FIELDS.iter().enumerate() {
        let state = ["plaintext_ok", "dual"][n % 2];
        let migration = format!("{{state: {state}, until: 2099-12-31}}");
        writeln!(text, "          {field}: {{class: {field}, migration: {migration}}}").unwrap();
    }
    text
}

/// Texts that each part of the way could take for something else.
pub const TEXTS: &[&str] = &[
    "A1",
    "a1",
    "B2",
    "b2",
    "A12",
    "A1 ",
    " A1",
    "",
    "Smith",
    "SMITH",
    "smith",
    "Smithson",
    "Smi",
    "Smyth",
    "Åström",
    "åström",
    "ÅSTRÖM",
    "山田",
    "a*b",
    "aXb",
    "100%",
    "a_b",
    "axb",
    r"a\b",
    "a.b",
    "(a)",
    "a,b",
    "{a}",
    "say \"hi\"",
    "line\nfeed",
    "null",
    "ls1",
    "LS1x",
    "lsx",
    "l",
    "Ls1s3",
    "^A1$",
    "[A]1",
    "O'Neil",
    "a&b=c",
    "a+b",
    "a/b?c#d",
    "not.eq.x",
    "ends\\",
];

fn records() -> Vec<Value> {
    let mut numbers = kit::Numbers(11);
    let mut text = move |n: usize| match numbers.below(12) {
        0 => Value::Null,
        _ if n < TEXTS.len() => json!(TEXTS[n]),
        _ => json!(TEXTS[numbers.below(TEXTS.len())]),
    };
    let mut numbers = kit::Numbers(5);
    let mut record = |n: usize| {
        let id = n + 1;
        let (mut date, mut rank) = (Value::Null, Value::Null);
        if numbers.below(8) > 0 {
            let year = [1975, 1980, 1999, 2026, 2030][numbers.below(5)];
            date =
                json!(format!("{year}-{:02}-{:02}", numbers.below(12) + 1, numbers.below(28) + 1));
            rank = json!(numbers.below(9) as i64 - 4);
        }
        let (hour, cent) = (numbers.below(24), numbers.below(100));
        // Within the range of the classes: 2000 to 2039.
        let later = |day: &str| format!("{:02}{}", cent % 40, &day[4..]);
        let timed = |zone: &str| match &date {
            Value::String(day) => json!(format!("20{}T{hour:02}:30:00{zone}", later(day))),
            _ => Value::Null,
        };
        json!({
            "id": id, "mrn": text(n), "name": text(n), "code": text(n), "pad": text(n), "born": date,
            "seen": timed(""), "at": timed("+00:00"), "rank": rank,
            "dose": format!("{}.{cent:02}", numbers.below(20)), "alive": cent % 2 == 0,
            "note": text(n), "ward": format!("w{}", n % 3),
            "mother": if n < 4 { Value::Null } else { json!(n / 2) },
        })
    };
    (0..160).map(&mut record).collect()
}

/// Both tables, full; in the one behind labseal every other record was written through it since.
pub fn pair() -> MutexGuard<'static, Pair> {
    static PAIR: OnceLock<Mutex<Pair>> = OnceLock::new();
    let pair = PAIR.get_or_init(|| {
        let pair = Pair::start(&plain(), &mixed(), &policy());
        let records = Value::Array(records());
        let filled = Request::post("/people", &records.to_string()).send(pair.plain.address());
        assert_eq!(filled.status, 201, "{}", filled.text());
        // As `alter table … type text using column::text` would spell each.
        let columns: Vec<_> = FIELDS.iter().map(|field| format!("{field}::text")).collect();
        let copied = pair.plain.database.sql(&format!(
            "set timezone = 'UTC'; select json_agg(row_to_json(r)) from (select id, ward, mother, {} \
             from lab.people order by id) r",
            columns.join(", ")
        ));
        let copied: String = copied.lines().skip_while(|line| !line.starts_with('[')).collect();
        let filled = Request::post("/people", &copied).send(pair.sealed.address());
        assert_eq!(filled.status, 201, "{}", filled.text());
        for record in records.as_array().unwrap().iter().step_by(2) {
            let id = &record["id"];
            let request = Request::patch(&format!("/people?id=eq.{id}"), &record.to_string());
            let sealed = pair.sealed(&request);
            assert_eq!(sealed.status, 204, "{id}: {}", sealed.text());
        }
        let count = |condition: &str| -> usize {
            let sql = format!("select count(*) from lab.people where {condition}");
            pair.sealed.database.sql(&sql).trim().parse().unwrap()
        };
        assert!(count("mrn like 'ls1d%'") > 60 && count("mrn not like 'ls1d%'") > 60);
        assert!(count("born like 'ls1s3%'") > 60 && count("born like '____-__-__'") > 60);
        for side in [&pair.plain, &pair.sealed] {
            side.database.sql("insert into lab.visits select id, id from lab.people");
        }
        Mutex::new(pair)
    });
    pair.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub fn enc(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A text in quotes, as in a list or a tree.
pub fn quoted(text: &str) -> String {
    enc(&format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")))
}
