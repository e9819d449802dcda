//! A table that is already full answers as if nothing had happened while it is being sealed: the same
//! requests on a real PostgREST over columns of the types that the classes stand for, with every value
//! in clear, and through labseal over text in which every other record is sealed. What cannot be
//! answered is refused.

mod kit;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, OnceLock},
};

use kit::{Answer, Pair, Request};
use labseal::dialect::postgrest::OPERATORS;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

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
const TEXTS: &[&str] = &[
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
fn pair() -> MutexGuard<'static, Pair> {
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

fn enc(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// How often each code was answered; empty: the answers were the same.
#[derive(Default)]
struct Seen(BTreeMap<String, usize>);

impl Seen {
    fn ask(&mut self, pair: &Pair, target: &str) -> Option<String> {
        let code = pair.same(&Request::get(target));
        *self.0.entry(code.clone().unwrap_or_default()).or_default() += 1;
        code
    }
}

/// Every place where a test may stand. `{}` is `operator.value` alone, and the value is quoted where
/// that is needed.
fn places(column: &str, test: &str, quoted: &str) -> Vec<String> {
    let all = "select=id,mrn,name,code,pad,born,rank&order=id";
    vec![
        format!("/people?{all}&{column}={test}"),
        format!("/people?{all}&{column}=not.{test}"),
        format!("/people?{all}&or=({column}.{quoted},id.lt.4)"),
        format!("/people?{all}&or=({column}.not.{quoted},id.lt.4)"),
        format!("/people?{all}&and=({column}.{quoted},id.gt.9)"),
        format!("/people?{all}&not.or=({column}.{quoted},id.lt.4)"),
        format!("/people?{all}&not.and=(id.gt.9,or({column}.{quoted},id.eq.12))"),
        format!("/visits?select=id,people(id,{column})&order=id&people.{column}={test}"),
    ]
}

#[test]
fn every_operator_answers_as_on_a_table_in_clear_or_is_refused_as_on_a_sealed_one() {
    let pair = pair();
    let mut seen = Seen::default();
    let mut answered = BTreeMap::new();
    for operator in OPERATORS {
        for sample in operator.samples {
            for column in ["mrn", "name"] {
                for target in places(column, sample, sample) {
                    let code = seen.ask(&pair, &target);
                    if code.is_none() {
                        *answered.entry(format!("{column} {sample}")).or_insert(0) += 1;
                    }
                }
            }
            // No test of a random class is answered, but for null.
            let code = seen.ask(&pair, &format!("/people?note={sample}&order=id"));
            let is_null = matches!(*sample, "is.null" | "is.not_null");
            assert_eq!(code.as_deref(), (!is_null).then_some("LS104"), "{sample}");
        }
    }
    let all_places = answered.values().filter(|places| **places == 8).count();
    let codes: Vec<_> = seen.0.keys().map(String::as_str).collect();
    // A tree in which a value has brackets is one that PostgREST does not read either.
    assert_eq!(codes, ["", "LS100", "LS104"], "{:?}", seen.0);
    assert!(all_places >= 24 && seen.0[""] > 200, "{answered:#?} {:?}", seen.0);
}

#[test]
fn every_text_is_found_in_both_forms_and_nothing_else_is() {
    let pair = pair();
    let mut seen = Seen::default();
    for text in TEXTS {
        let in_quotes = enc(&format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")));
        for column in ["mrn", "name", "code"] {
            for word in ["eq", "neq", "isdistinct"] {
                let (test, quoted) =
                    (format!("{word}.{}", enc(text)), format!("{word}.{in_quotes}"));
                for target in places(column, &test, &quoted) {
                    assert_eq!(seen.ask(&pair, &target), None, "{target}");
                }
            }
            let list = format!("in.({in_quotes},%22B2%22)");
            for target in places(column, &list, &list) {
                assert_eq!(seen.ask(&pair, &target), None, "{target}");
            }
        }
        if text.chars().count() >= 3 && !text.ends_with('\\') {
            let start: String = text.chars().take(3).collect();
            // What ILIKE takes for the same under COLLATE "C" differs in ASCII alone.
            let words = if text.is_ascii() { &["like", "ilike"][..] } else { &["like"] };
            for word in words {
                let tests = [format!("{text}*"), text.to_string(), format!("{start}*"), "*".into()];
                for test in tests {
                    let target =
                        format!("/people?select=id,name&order=id&name={word}.{}", enc(&test));
                    let code = seen.ask(&pair, &target);
                    assert!(
                        code.is_none() || code.as_deref() == Some("LS104"),
                        "{target} {code:?}"
                    );
                }
            }
        }
    }
    assert!(seen.0[""] > 4_000, "{:?}", seen.0);
    assert!(seen.0.keys().all(|code| code.is_empty() || code == "LS104"), "{:?}", seen.0);
}

#[test]
fn equality_that_ignores_spaces_at_the_end_does_so_in_both_forms() {
    let pair = pair();
    // A column of `character(n)` answers its values padded, so the texts are compared without it.
    for text in ["A1", "A1   ", "", " A1", "a.b"] {
        let found =
            pair.sealed(&Request::get(&format!("/people?select=id&order=id&pad=eq.{}", enc(text))));
        let sql = format!(
            "select coalesce(json_agg(json_build_object('id', id) order by id), '[]') from lab.people \
             where rtrim(pad, ' ') = rtrim('{text}', ' ')"
        );
        let expected: Value = serde_json::from_str(pair.plain.database.sql(&sql).trim()).unwrap();
        assert_eq!(found.json(), expected, "{text:?}: {}", found.text());
    }
}

#[test]
fn typed_values_are_answered_and_found_as_their_columns_would() {
    let pair = pair();
    let mut seen = Seen::default();
    let targets = [
        "/people?order=id",
        "/people?select=id,born::text,mrn::text&order=id",
        "/people?rank=eq.3&order=id",
        "/people?rank=eq.%2003&order=id",
        "/people?rank=in.(1,2,-4)&order=id",
        "/people?rank=not.in.(1,2,-4)&order=id",
        "/people?rank=neq.0&order=id",
        "/people?born=eq.1980-02-03&order=id",
        "/people?born=neq.19800203&order=id",
        "/people?born=gte.1999-01-01&order=id",
        "/people?born=gt.1980-05-17&born=lt.2026-03-02&order=id",
        "/people?born=lte.1980-12-31&order=id",
        "/people?born=not.lt.1999-01-01&order=id",
        "/people?or=(born.gte.2026-01-01,id.lt.5)&order=id",
        "/people?not.or=(born.gte.2026-01-01,id.lt.5)&order=id",
        "/people?and=(born.gte.1980-01-01,born.lt.2000-01-01)&order=id",
        "/people?born=is.null&order=id",
        "/people?rank=gt.1",
        "/people?seen=gte.2020-01-01",
        "/people?seen=gte.2020-05-17T10:00:00",
        "/people?at=gte.2020-01-01T00:00:00Z",
        "/people?at=eq.2020-01-01T00:00:00Z",
        "/people?dose=eq.1.5",
        // Orders and counts.
        "/people?order=name.desc.nullslast,id",
        "/people?order=rank.asc,id",
        "/people?order=born.desc,id",
        "/people?order=dose,id",
        "/people?order=at,id",
        "/people?order=code",
        "/people?order=mrn&limit=3",
        "/people?select=count()",
        "/people?select=mrn.count()",
        "/people?select=rank.max()",
        "/people?select=mrn,count()",
        "/people?select=id&name=like.Smi*&order=id&limit=2",
        "/people?select=id,name&name=like.Smit*&order=name,id",
        "/people?select=id,name&name=ilike.smi_h*&order=id",
    ];
    let mut refused = Vec::new();
    for target in targets {
        if let Some(code) = seen.ask(&pair, target) {
            refused.push(format!("{code} {target}"));
        }
    }
    assert_eq!(
        refused,
        [
            "LS104 /people?rank=gt.1",
            "LS127 /people?seen=gte.2020-01-01",
            "LS127 /people?seen=gte.2020-05-17T10:00:00",
            "LS127 /people?at=gte.2020-01-01T00:00:00Z",
            "LS127 /people?at=eq.2020-01-01T00:00:00Z",
            "LS104 /people?dose=eq.1.5",
            "LS105 /people?order=code",
            "LS114 /people?order=mrn&limit=3",
            "LS106 /people?select=rank.max()",
            "LS106 /people?select=mrn,count()",
            "LS114 /people?select=id&name=like.Smi*&order=id&limit=2",
        ]
    );
    let counted =
        Request::get("/people?select=id&mrn=eq.A1&limit=1").header("Prefer", "count=exact");
    let (one, other) = pair.both(&counted);
    assert_eq!(one.status, other.status);
    assert_eq!(one.header("Content-Range"), other.header("Content-Range"));
}

#[test]
fn csv_answers_are_the_same() {
    let pair = pair();
    let columns = "id,mrn,name,born,rank,dose,seen,at,alive,note";
    let request = Request::get(&format!("/people?select={columns}&order=id"));
    assert_eq!(pair.same(&request.header("Accept", "text/csv")), None);
}

/// The same write on both ways. The answers hold the same records; nothing orders them.
fn written(pair: &Pair, request: &Request) -> Option<String> {
    let other = pair.sealed(request);
    if let Some(code) = other.header("Labseal-Error") {
        return Some(code.to_owned());
    }
    let one = request.send(pair.plain.address());
    let asked = String::from_utf8_lossy(&request.bytes()).into_owned();
    let records = |answer: &Answer| {
        let mut records = answer.json().as_array().cloned().unwrap_or_default();
        records.sort_by_key(|record| record["id"].as_i64());
        records
    };
    assert_eq!(one.status, other.status, "{asked}\n-{}\n+{}", one.text(), other.text());
    assert_eq!(records(&one), records(&other), "{asked}");
    None
}

fn wards(pair: &Pair) -> [Answer; 2] {
    let all = Request::get("/people?select=id,mrn,name,ward&order=id");
    let (one, other) = pair.both(&all);
    [one, other]
}

#[test]
fn writes_are_decided_in_both_forms_and_seal_what_they_store() {
    let pair = pair();
    let mut count = 0;
    for (n, text) in TEXTS.iter().enumerate() {
        let value = enc(text);
        let in_quotes = enc(&format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")));
        for test in [
            format!("name=eq.{value}"),
            format!("name=not.eq.{value}&id=lt.40"),
            format!("name=in.({in_quotes},%22B2%22)"),
            format!("code=eq.{value}"),
            format!("mrn=eq.{value}"),
            format!("mrn=not.in.({in_quotes})&id=lt.40"),
            format!("or=(name.eq.{in_quotes},mrn.eq.{in_quotes})"),
            format!("mother=gt.0&code=neq.{value}"),
        ] {
            let body = json!({"ward": format!("x{n}")}).to_string();
            let target = format!("/people?{test}&select=id,name,code,mrn,ward&order=id");
            let code = written(&pair, &Request::patch(&target, &body).returning());
            assert_eq!(code, None, "{target}");
            count += 1;
        }
    }
    for pattern in ["Smi*", "smith*", "l*", "ls1*", "a*b", "100%*"] {
        for word in ["like", "ilike"] {
            let target = format!("/people?name={word}.{}&select=id,ward&order=id", enc(pattern));
            let code = written(&pair, &Request::patch(&target, r#"{"ward": "p"}"#).returning());
            let may = [None, Some("LS104"), Some("LS114")];
            assert!(may.contains(&code.as_deref()), "{target} {code:?}");
        }
    }
    let [one, other] = wards(&pair);
    assert_eq!(one.text(), other.text());
    assert_eq!(count, 8 * TEXTS.len());

    let code = written(&pair, &Request::patch("/people?born=gte.1999-01-01", r#"{"ward": "b"}"#));
    assert_eq!(code.as_deref(), Some("LS127"));
    let before = pair.sealed.database.sql("select count(*) from lab.people where name = 'New'");
    assert_eq!(before.trim(), "0");
    let change = json!({"name": "New", "born": "2020-02-02"}).to_string();
    assert_eq!(pair.same(&Request::patch("/people?id=eq.2", &change).returning()), None);
    let stored = pair.sealed.database.sql("select name from lab.people where id = 2");
    assert!(stored.starts_with("ls1s3"), "{stored}");
    assert_eq!(
        written(&pair, &Request::delete("/people?mrn=eq.O%27Neil&id=gt.150").returning()),
        None
    );
    let [one, other] = wards(&pair);
    assert_eq!(one.text(), other.text());
}

#[test]
fn which_record_is_the_same_is_not_decided_by_values_of_two_forms() {
    let pair = pair();
    let body = r#"{"id": 900, "mrn": "A1"}"#;
    let merge =
        |target: &str| Request::post(target, body).header("Prefer", "resolution=merge-duplicates");
    for request in [
        merge("/people?on_conflict=mrn"),
        merge("/people"),
        Request::new("PUT", "/people?mrn=eq.A1").json(body),
    ] {
        assert_eq!(pair.sealed(&request).header("Labseal-Error"), Some("LS126"));
    }
    assert_eq!(pair.same(&merge("/people?on_conflict=id").returning()), None);
    assert_eq!(pair.same(&Request::delete("/people?id=eq.900")), None);
}
