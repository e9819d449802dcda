//! A relation and a column of one name come back side by side, and each is what it is: the same
//! requests on a real PostgREST over plain columns, and through labseal over text.

mod kit;

use kit::{Pair, Request};

fn schema(sealed: bool) -> String {
    let note = if sealed { "text" } else { "jsonb" };
    format!(
        "create schema lab;
create table lab.patients (
    id integer primary key, mrn text unique, name text, ward text, note {note}, doc jsonb
);
create table lab.orders (
    id integer primary key, patient text references lab.patients(mrn), code text,
    doctor integer references lab.patients(id), patients text
);
"
    )
}

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:  {id: c-mrn, mode: deterministic}
  name: {id: c-name, mode: searchable, collation: C, order: {proxy_sort: 100}}
  code: {id: c-code, mode: random}
  note: {id: c-note, mode: random, type: json}
callers:
  lims:    {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
  billing: {api_key: {header: X-Api-Key, sha256_file: keys/billing.sha256}}
grants:
  lims:    {"*": {read: clear, filter: allow, write: allow}}
  billing: {"*": {read: masked}}
apis:
  - name: lims-db
    dialect: postgrest
    entities:
      lab.patients:
        fields: {mrn: {class: mrn}, name: {class: name}, note: {class: note}, doc: {class: note}}
      lab.orders:
        fields: {patient: {class: mrn}, code: {class: code}, patients: {class: code}}
"#;

fn pair() -> Pair {
    let pair = Pair::start(&schema(false), &schema(true), POLICY);
    let patients = r#"[
        {"id":1,"mrn":"A1","name":"Ann","ward":"w1","note":{"a": [1, 2]}},
        {"id":2,"mrn":"B2","name":null,"ward":"w2","note":null}]"#;
    let orders = r#"[
        {"id":1,"patient":"A1","code":"c1","doctor":2,"patients":"p1"},
        {"id":2,"patient":"B2","code":null,"doctor":null,"patients":null},
        {"id":3,"patient":null,"code":"c3","doctor":1,"patients":"p3"}]"#;
    for (path, body) in [("/patients", patients), ("/orders", orders)] {
        let (plain, sealed) = pair.both(&Request::post(path, body));
        assert_eq!((plain.status, sealed.status), (201, 201), "{}", sealed.text());
    }
    pair
}

#[test]
fn a_column_and_a_relation_of_one_name_are_told_apart() {
    let pair = pair();
    for select in [
        // The column `patient`, and the relation that it leads to.
        "*,patient(id)",
        "*,patient(ward)",
        "*,patient(*)",
        "*,patient(mrn,name)",
        "patient(name),*",
        "patient,patient(name)",
        "patient(name),patient",
        "id,patient(id),patient,code",
        "id,code,code:patient(name)",
        "id,code:patient(name),code",
        "id,code,code:patient(id,ward)",
        // Two columns of one name, and a spread one.
        "x:code,x:patient",
        "x:id,x:code",
        "x:code,x:id",
        // And three.
        "x:code,x:patient,x:id",
        "x:id,x:code,x:patients!doctor(name)",
        "*,code:patients!patient(name),code:id",
        "code,*,...patients!patient(*),code",
        "x:id,x:doctor,x:id,x:code",
        "x:code,x:code,x:code",
        "*,...patient(code:name)",
        "*,...patient(code:ward)",
        "id,code,...patient(code:name)",
        // A relation whose table has the name of a protected column.
        "*,patients!patient(name)",
        "*,...patients!patient(code:name)",
        "*,...patients!patient(code:ward,x:name)",
        "*,patients!doctor(name,note)",
        "patients,patients!doctor(name)",
        "patients,patients!doctor(ward)",
        "*,doctor(name)",
        "id,doctor(name),doctor",
    ] {
        for (query, rows) in
            [("order=id", true), ("order=id.desc&limit=2", true), ("id=eq.1", false)]
        {
            let target = format!("/orders?select={select}&{query}");
            assert_eq!(pair.same(&Request::get(&target)), None, "{target}");
            if !rows {
                let one =
                    Request::get(&target).header("Accept", "application/vnd.pgrst.object+json");
                assert_eq!(pair.same(&one), None, "{target}");
            }
        }
        let write = Request::patch(&format!("/orders?id=eq.1&select={select}"), r#"{"code":"c9"}"#);
        assert_eq!(pair.same(&write.returning()), None, "{select}");
    }
    // From the other side: many, in a list.
    for select in [
        "*,mrn:orders!patient(code)",
        "mrn,mrn:orders!patient(id)",
        "name:orders!doctor(code),name",
    ] {
        let target = format!("/patients?select={select}&order=id");
        assert_eq!(pair.same(&Request::get(&target)), None, "{target}");
    }
}

#[test]
fn what_is_ordered_here_does_not_stumble_over_a_plain_column_of_a_relations_name() {
    let pair = pair();
    for select in ["*,ward:orders!patient(code)", "name,ward,ward:orders!doctor(code)"] {
        let target = format!("/patients?select={select}&order=name");
        assert_eq!(pair.same(&Request::get(&target)), None, "{target}");
    }
}

#[test]
fn an_object_that_was_never_sealed_is_not_taken_for_a_relation() {
    let pair = pair();
    let put = "update lab.patients set doc = '{\"secret\": \"Q\"}' where id = 1";
    pair.sealed.database.sql(put);
    for (caller, select) in [
        ("lims", "id,doc"),
        ("lims", "id,doc,doc:orders!patient(id)"),
        ("lims", "id,doc:orders!patient(id),doc"),
        ("lims", "*,doc:orders!doctor(code)"),
        ("billing", "*,doc:orders!doctor(code)"),
        ("billing", "doc,doc:orders!doctor(id)"),
    ] {
        let request = Request::get(&format!("/patients?id=eq.1&select={select}"));
        let answer = request.key(pair.labseal.key(caller)).send(pair.labseal.address());
        assert_eq!(answer.header("Labseal-Error"), Some("LS501"), "{select}: {}", answer.text());
        assert!(!answer.text().contains("secret"));
    }
}
