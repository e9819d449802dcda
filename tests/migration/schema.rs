//! What a schema says of a column holds for each form alone, as docs/policy.md says in its table.

use crate::kit::{Answer, Labseal, Postgres, Request, labseal::Setup, stand::Direct};

const SCHEMA: &str = "
create schema lab; create schema archive;
create table lab.people (id integer primary key, mrn text unique, ward text);
create table lab.visits (
    id integer primary key, mrn text references lab.people (mrn) on update cascade, kind text);
insert into lab.people values (1, 'A1', 'w'), (2, 'B2', 'w');
insert into lab.visits values (1, 'A1', 'x'), (2, 'B2', 'x');
";

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn: {id: c-mrn, mode: deterministic}
callers:
  lims: {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
grants:
  lims: {"*": {read: clear, filter: allow, write: allow}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab, archive]
    entities:
      lab.people: {key: [id], fields: {mrn: {class: mrn, unique: true, migration: {state: dual, until: 2099-12-31}}}}
      lab.visits: {key: [id], fields: {mrn: {class: mrn, migration: {state: dual, until: 2099-12-31}}}}
"#;

struct Lab {
    labseal: Labseal,
    direct: Direct,
}

impl Lab {
    fn start() -> Self {
        let direct = Direct::of(&Postgres::shared(), SCHEMA);
        let labseal = Setup::new(POLICY, direct.address()).start();
        Self { labseal, direct }
    }

    fn send(&self, request: Request) -> Answer {
        request.key(self.labseal.key("lims")).send(self.labseal.address())
    }
}

#[test]
fn a_foreign_key_pairs_equal_forms_and_its_embeds_are_right() {
    let lab = Lab::start();
    let embedded = |expected: &str| {
        let found = lab.send(Request::get("/visits?select=id,mrn,people(id,mrn)&order=id"));
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(found.json(), expected);
    };
    let all = r#"[{"id":1,"mrn":"A1","people":{"id":1,"mrn":"A1"}}, {"id":2,"mrn":"B2","people":{"id":2,"mrn":"B2"}}]"#;
    embedded(all);
    // A sealed reference to a value in clear is none, and the database says so.
    let visit = r#"{"id": 3, "mrn": "A1", "kind": "y"}"#;
    let refused = lab.send(Request::post("/visits", visit));
    assert_eq!((refused.status, &refused.json()["code"]), (409, &"23503".into()));
    assert!(!refused.text().contains("ls1"), "{}", refused.text());
    // What is referenced first, and `on update cascade` carries it on.
    assert_eq!(lab.send(Request::patch("/people?id=eq.1", r#"{"mrn": "A1"}"#)).status, 204);
    let stored = lab.direct.database.sql("select mrn from lab.visits order by id");
    assert!(stored.starts_with("ls1d") && stored.trim().ends_with("B2"), "{stored}");
    embedded(all);
    assert_eq!(lab.send(Request::post("/visits", visit)).status, 201);
}

#[test]
fn a_unique_index_keeps_apart_equal_forms_alone() {
    let lab = Lab::start();
    let person = |id: u8| Request::post("/people", &format!(r#"{{"id": {id}, "mrn": "A1"}}"#));
    // Not noticed: the policy's check warns of it, and nothing else can.
    assert_eq!(lab.send(person(3)).status, 201);
    assert_eq!(lab.send(person(4)).status, 409);
    // Both are found, and sealing the old one fails where the LIMS can see it.
    let found = lab.send(Request::get("/people?select=id&mrn=eq.A1&order=id"));
    assert_eq!(found.text(), "[{\"id\":1}, \n {\"id\":3}]");
    assert_eq!(lab.send(Request::patch("/people?id=eq.1", r#"{"mrn": "A1"}"#)).status, 409);
    // What would hide it is refused.
    let merge = person(1).header("Prefer", "resolution=merge-duplicates");
    assert_eq!(lab.send(merge).status, 409);
    let upsert = Request::post("/people?on_conflict=mrn", r#"{"id": 9, "mrn": "B2"}"#);
    let upsert = upsert.header("Prefer", "resolution=ignore-duplicates");
    assert_eq!(lab.send(upsert).header("Labseal-Error"), Some("LS126"));
}
