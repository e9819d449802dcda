//! Values in clear are shown to callers who read their class in clear, and to nobody else.

use std::sync::OnceLock;

use serde_json::Value;

use crate::kit::{Answer, Canaries, Labseal, Postgres, Request, labseal::Setup, stand::Direct};

const SCHEMA: &str = "
create schema lab; create schema archive;
create table lab.people (
    id integer primary key, mrn text, name text, dose text, note text, ward text,
    constraint short check (length(ward) < 9));
create table lab.samples (id integer primary key, remark text);
create table lab.stays (id integer primary key, person integer references lab.people(id));
create view lab.faces as select id, mrn, name from lab.people;
create function lab.everyone() returns setof lab.people language sql stable
    as 'select * from lab.people order by id';
create function lab.names() returns setof text language sql stable
    as 'select name from lab.people order by id';
create function lab.is_known(mrn text) returns boolean language sql stable
    as 'select exists (select from lab.people p where p.mrn = is_known.mrn)';
create function lab.keep(mrn text) returns text language sql stable as 'select mrn';
";

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:  {id: c-mrn, mode: deterministic, mask: {keep_last: 2}}
  name: {id: c-name, mode: searchable, match: [ieq, eq], mask: {keep_first: 1}}
  dose: {id: c-dose, mode: random, type: "numeric(12,4)", mask: {null: true}}
  kept: {id: c-kept, mode: random}
  note: {id: c-note, mode: random, on_integrity: mark, mask: {fixed: "hidden"}}
callers:
  lims:      {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
  billing:   {api_key: {header: X-Api-Key, sha256_file: keys/billing.sha256}}
  archivist: {api_key: {header: X-Api-Key, sha256_file: keys/archivist.sha256}}
  blind:     {api_key: {header: X-Api-Key, sha256_file: keys/blind.sha256}}
  clinician: {api_key: {header: X-Api-Key, sha256_file: keys/clinician.sha256}}
  writer:    {api_key: {header: X-Api-Key, sha256_file: keys/writer.sha256}}
grants:
  lims:      {"*": {read: clear, filter: allow, write: allow}}
  billing:   {"*": {read: masked, filter: allow, write: allow}}
  archivist: {"*": {read: sealed, filter: allow, write: allow}}
  blind:     {"*": {read: null, write: allow}}
  clinician: {"*": {read: omit}}
  writer:    {"*": {read: deny, write: allow}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab, archive]
    undeclared: {functions: [keep], why: "gives back what it gets"}
    functions:
      lab.everyone: {returns: lab.people, why: "takes nothing"}
      lab.names:    {why: "takes nothing"}
      lab.is_known: {args: {mrn: {class: mrn, use: test}}}
    entities:
      lab.stays: {fields: {kind: {mode: plain, why: "a word of the lab"}}}
      lab.samples:
        bind: {key: id, type: integer}
        fields:
          remark: {class: kept, migration: {state: dual, until: 2099-12-31}}
      lab.people:
        fields:
          mrn:  {class: mrn, migration: {state: plaintext_ok, until: 2099-12-31}}
          name: {class: name, migration: {state: dual, until: 2099-12-31}}
          dose: {class: dose, migration: {state: dual, until: 2099-12-31}}
          note: {class: note, migration: {state: dual, until: 2099-12-31}}
"#;

struct Lab {
    labseal: Labseal,
    direct: Direct,
    canaries: Canaries,
    mrn: String,
    name: String,
}

fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(Lab::start)
}

impl Lab {
    fn start() -> Self {
        let direct = Direct::of(&Postgres::shared(), SCHEMA);
        let labseal = Setup::new(POLICY, direct.address()).start();
        let mut canaries = Canaries::new();
        let [mrn, name, note] = ["mrn", "name", "note"].map(|field| canaries.plant(field));
        direct.database.sql(&format!(
            "insert into lab.people values (1, '{mrn}', '{name}', '1.50', '{note}', 'A'), (2, null, \
             null, null, null, 'A'), (3, '{mrn}', '{name}', '2.5000', '{note}', 'B'); insert into \
             lab.stays values (1, 1), (2, 3)"
        ));
        let lab = Lab { labseal, direct, canaries, mrn, name };
        // One record of three is sealed.
        let body = format!(r#"{{"mrn": "{}", "name": "{}", "dose": 2.5}}"#, lab.mrn, lab.name);
        assert_eq!(lab.send("lims", Request::patch("/people?id=eq.3", &body)).status, 204);
        lab
    }

    fn send(&self, caller: &str, request: Request) -> Answer {
        request.key(self.labseal.key(caller)).send(self.labseal.address())
    }

    fn refused(&self, caller: &str, request: Request, code: &str) {
        let asked = String::from_utf8_lossy(&request.bytes()).into_owned();
        let answer = self.send(caller, request);
        let got = answer.header("Labseal-Error");
        assert_eq!(got, Some(code), "{caller} {asked}\n{}", answer.text());
        self.canaries.assert_none("refusal", &answer.raw);
    }
}

#[test]
fn whoever_reads_in_clear_gets_values_of_both_forms_alike() {
    let lab = lab();
    let answer = lab.send("lims", Request::get("/people?order=id"));
    let records = answer.json();
    for id in [0, 2] {
        assert_eq!(records[id]["mrn"], lab.mrn.as_str());
        assert_eq!(records[id]["name"], lab.name.as_str());
    }
    // As a column of its type would, whatever its text was.
    assert!(answer.text().contains(r#""dose":1.5000,"#), "{}", answer.text());
    assert!(records[1]["mrn"].is_null() && records[1]["dose"].is_null());
}

#[test]
fn the_mask_of_a_value_in_clear_is_that_of_a_sealed_one() {
    let lab = lab();
    for target in ["/people?order=id", "/rpc/everyone", "/stays?select=people(*)&order=id"] {
        for (caller, count) in [("billing", 2), ("blind", 2), ("clinician", 2)] {
            let answer = lab.send(caller, Request::get(target));
            assert_eq!(answer.status, 200, "{caller} {target}: {}", answer.text());
            lab.canaries.assert_none(&format!("{caller} {target}"), &answer.raw);
            let records = answer.json();
            let shown: Vec<_> = records.as_array().unwrap().iter().collect();
            let record = |index: usize| {
                let record = shown[index].get("people").unwrap_or(shown[index]);
                ["mrn", "name", "dose"].map(|field| record.get(field).cloned())
            };
            assert_eq!(record(0), record(shown.len() - 1), "{caller}");
            assert!(shown.len() >= count);
        }
    }
    let csv = Request::get("/people?select=id,mrn,name&order=id").header("Accept", "text/csv");
    for caller in ["billing", "blind", "archivist"] {
        let answer = lab.send(caller, csv.clone());
        assert_eq!(answer.status, 200, "{}", answer.text());
        lab.canaries.assert_none(caller, &answer.raw);
    }
    lab.refused("writer", Request::get("/people"), "LS201");
}

#[test]
fn whoever_gets_envelopes_gets_one_of_a_value_in_clear_and_can_put_it_back() {
    let lab = lab();
    let answer = lab.send("archivist", Request::get("/people?id=eq.1"));
    lab.canaries.assert_none("envelopes", &answer.raw);
    let record = answer.json()[0].clone();
    let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
    for (field, mode) in [("mrn", "ls1d"), ("name", "ls1s2"), ("dose", "ls1r"), ("note", "ls1r")] {
        assert!(text(field).starts_with(mode), "{field}: {record}");
    }
    // The same value under the same envelope, so that it can be found by it.
    for (field, target) in [("mrn", "mrn=eq."), ("name", "name=eq.")] {
        let target = format!("/people?select=id&order=id&{target}{}", text(field));
        let found = lab.send("archivist", Request::get(&target));
        assert_eq!(found.text(), "[{\"id\":1}, \n {\"id\":3}]", "{field}");
    }
    let mut copy = record.clone();
    copy["id"] = 4.into();
    let kept = lab.send("archivist", Request::post("/people", &copy.to_string()));
    assert_eq!(kept.status, 201, "{}", kept.text());
    let stored = lab.direct.database.sql("select mrn || name || dose from lab.people where id = 4");
    assert_eq!(stored.trim(), text("mrn") + &text("name") + &text("dose"));
    let read = lab.send("lims", Request::get("/people?id=eq.4&select=name,dose"));
    assert_eq!(read.text(), format!("[{{\"name\":\"{}\",\"dose\":1.5000}}]", lab.name));
    lab.direct.database.sql("delete from lab.people where id = 4");
}

#[test]
fn a_value_in_clear_of_a_bound_field_is_sealed_for_its_record() {
    let lab = lab();
    let remark = &lab.name;
    let rows = format!("insert into lab.samples values (1, '{remark}'), (2, '{remark}')");
    lab.direct.database.sql(&rows);
    let shown = lab.send("archivist", Request::get("/samples?select=remark&order=id"));
    assert_eq!(shown.status, 200, "{}", shown.text());
    lab.canaries.assert_none("envelopes", &shown.raw);
    let body = shown.json()[0].to_string();
    lab.refused("archivist", Request::patch("/samples?id=eq.2", &body), "LS301");
    let kept = lab.send("archivist", Request::patch("/samples?id=eq.1", &body));
    assert_eq!(kept.status, 204, "{}", kept.text());
    let read = lab.send("lims", Request::get("/samples?order=id"));
    for id in [0, 1] {
        assert_eq!(read.json()[id]["remark"], remark.as_str());
    }
}

#[test]
fn a_mask_is_written_back_over_a_value_in_clear_as_little_as_over_a_sealed_one() {
    let lab = lab();
    let masked = lab.send("billing", Request::get("/people?id=eq.1&select=name"));
    let Value::String(mask) = &masked.json()[0]["name"] else { panic!("{}", masked.text()) };
    let body = serde_json::json!({"name": mask}).to_string();
    lab.refused("billing", Request::patch("/people?id=eq.1", &body), "LS300");
    lab.refused("blind", Request::patch("/people?id=eq.1", r#"{"name": null}"#), "LS300");
}

#[test]
fn where_nobody_knows_what_is_answered_values_in_clear_are_not() {
    let lab = lab();
    let elsewhere = ["/faces", "/faces?select=id", "/rpc/names", "/stays?select=id,faces(*)"];
    for target in elsewhere {
        for caller in ["billing", "archivist", "blind", "clinician", "writer"] {
            lab.refused(caller, Request::get(target), "LS216");
        }
        lab.refused("billing", Request::new("HEAD", target), "LS216");
    }
    lab.refused("billing", Request::post("/rpc/names", "{}"), "LS216");
    let seen = lab.send("lims", Request::get("/faces?order=id"));
    assert_eq!(seen.json()[0]["name"], lab.name.as_str());
    assert_eq!(seen.json()[2]["name"], lab.name.as_str());
    let named = lab.send("lims", Request::get("/rpc/names"));
    assert_eq!(named.json()[0], lab.name.as_str());
    // What the policy says is harmless passes, and so does the API's own description.
    assert_eq!(lab.send("billing", Request::get("/rpc/keep?mrn=x")).status, 200);
    assert_eq!(lab.send("billing", Request::get("/")).status, 200);
    assert_eq!(lab.send("billing", Request::get("/stays?select=id,people()")).status, 200);
}

#[test]
fn the_text_of_an_error_shows_no_value_in_clear() {
    let lab = lab();
    let too_long = Request::patch("/people?id=eq.1", r#"{"ward": "far too long"}"#);
    let told = lab.send("lims", too_long.clone());
    assert!(told.text().contains(&lab.name), "the database does not tell: {}", told.text());
    for caller in ["billing", "archivist", "blind", "writer"] {
        let told = lab.send(caller, too_long.clone());
        assert_eq!(told.status, 400, "{}", told.text());
        lab.canaries.assert_none(caller, &told.raw);
        assert_eq!(told.json()["code"], "23514");
        assert_eq!(told.json()["details"], "[sealed]");
    }
}

#[test]
fn a_function_is_not_asked_to_compare_two_forms() {
    let lab = lab();
    let body = format!(r#"{{"mrn": "{}"}}"#, lab.mrn);
    lab.refused("lims", Request::get(&format!("/rpc/is_known?mrn={}", lab.mrn)), "LS127");
    lab.refused("lims", Request::post("/rpc/is_known", &body), "LS127");
}

#[test]
fn what_is_no_value_and_what_is_a_broken_envelope_is_not_shown() {
    let lab = Lab::start();
    let database = &lab.direct.database;
    let sealed = database.sql("select name from lab.people where id = 3");
    let (name, foreign) = (sealed.trim(), format!("ls1r{}", "A".repeat(64)));
    let cut = &name[..name.len() - 9];
    for (n, (column, stored, code)) in [
        ("name", cut, "LS501"),
        ("name", &foreign, "LS501"),
        ("name", &format!("{}A", &name[..name.len() - 1]), "LS501"),
        ("mrn", name, "LS501"),
        ("dose", "about 3", "LS507"),
        ("dose", "", "LS507"),
        ("dose", name, "LS501"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = 50 + n;
        database.sql(&format!("insert into lab.people (id, {column}) values ({id}, '{stored}')"));
        // Whoever gets envelopes gets them as they are.
        let is_whole = stored.len() == name.len() && column == "name";
        let others = ["lims", "billing", "blind"].into_iter();
        for caller in others.chain((!is_whole).then_some("archivist")) {
            lab.refused(caller, Request::get(&format!("/people?id=eq.{id}")), code);
        }
    }
    database
        .sql(&format!("insert into lab.people (id, note) values (60, '{cut}'), (61, 'in clear')"));
    let marked = lab.send("lims", Request::get("/people?id=eq.60&select=note"));
    assert_eq!(marked.status, 200, "{}", marked.text());
    assert!(!marked.text().contains("ls1"), "{}", marked.text());
    let read = lab.send("lims", Request::get("/people?id=eq.61&select=note"));
    assert_eq!(read.text(), r#"[{"note":"in clear"}]"#);
}
