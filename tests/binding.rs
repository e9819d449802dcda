//! Values that are bound to their record, on a real PostgREST and PostgreSQL: the client notices
//! nothing, and whoever moves a ciphertext to another row gets nothing opened.

mod kit;

use kit::{Answer, Canaries, Postgres, Request, Stand, front::canary, stand::Direct};

/// Specimens are bound to a key in clear, patients to a sealed one, orders to nothing.
const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:  {id: c-mrn, mode: deterministic, type: text, mask: {keep_last: 2}}
  name: {id: c-name, mode: searchable, type: text, match: [ieq, eq], mask: {keep_first: 1}}
  kind: {id: c-kind, mode: random, type: text, on_integrity: mark}
  note: {id: c-note, mode: random, type: text}
callers:
  lims:      {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
  archivist: {api_key: {header: X-Api-Key, sha256_file: keys/archivist.sha256}}
  billing:   {api_key: {header: X-Api-Key, sha256_file: keys/billing.sha256}}
grants:
  lims:      {"*": {read: clear, filter: allow, write: allow}}
  archivist: {"*": {read: sealed, filter: allow, write: allow}}
  billing:   {name: {read: clear}, mrn: {read: deny}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab]
    undeclared: {functions: [find_patient], why: "what it finds is opened by class, or not at all"}
    entities:
      lab.patients:
        bind: mrn
        fields: {mrn: {class: mrn, unique: true}, last_name: {class: name}, notes: {class: note}}
      lab.specimens:
        bind: accession
        key: [accession]
        fields: {mrn: {class: mrn}, kind: {class: kind}}
      lab.orders: {fields: {mrn: {class: mrn}, remark: {class: note}}}
"#;

fn start() -> Stand {
    Stand::with(&Postgres::shared(), POLICY)
}

/// Two patients with two specimens, and an order.
fn filled() -> Stand {
    let stand = start();
    fill(&mut |request| drop(stand.lims(request)));
    stand
}

fn fill(send: &mut dyn FnMut(Request)) {
    for (target, body) in [
        (
            "/patients",
            r#"[{"last_name":"Svensson","notes":"first","ward":null,"mrn":"M1"},
                {"mrn":"M2","last_name":"Olsson","notes":"second","ward":"A"}]"#,
        ),
        (
            "/specimens",
            r#"[{"kind":"blood","accession":"S-1","mrn":"M1","position":3},
                {"accession":"S-2","kind":"urine","mrn":"M2","position":1}]"#,
        ),
        ("/orders", r#"{"mrn":"M1","accession":"S-1","code":"Na","remark":"fasting"}"#),
    ] {
        send(Request::post(target, body));
    }
}

fn refused(stand: &Stand, request: Request, code: &str) -> Answer {
    let answer = stand.send("lims", request);
    assert_eq!(answer.header("Labseal-Error"), Some(code), "{}: {}", answer.start, answer.text());
    answer
}

#[test]
fn a_client_gets_the_same_answers_as_without_labseal() {
    let stand = start();
    let direct = Direct::start(&Postgres::shared());
    fill(&mut |request| {
        let (sealed, plain) = (stand.lims(request.clone()), request.send(direct.address()));
        assert_eq!((sealed.status, sealed.text()), (plain.status, plain.text()));
    });
    let read = |target: &str| Request::get(target);
    let one = "application/vnd.pgrst.object+json";
    let steps = vec![
        read("/patients"),
        read("/patients?select=*&order=id.desc"),
        read("/patients?select=id,last_name"),
        read("/patients?select=last_name"),
        read("/patients?select=notes,mrn,last_name"),
        read("/patients?select=family:last_name,number:mrn"),
        read("/patients?select=mrn:ward,last_name"),
        read("/specimens?select=accession:position,*"),
        read("/patients?select=labseal_key:ward,last_name"),
        read("/patients?last_name=eq.Svensson&select=last_name"),
        read("/patients?last_name=in.(Svensson,Olsson)&select=notes&order=id"),
        read("/patients?mrn=eq.M2&select=last_name"),
        read("/patients?select=%20last_name%20,id"),
        read("/patients?id=eq.0&select=last_name"),
        read("/patients?select=last_name&limit=1&offset=1").header("Prefer", "count=exact"),
        read("/patients?mrn=eq.M1&select=last_name").header("Accept", one),
        read("/patients?select=count()"),
        read("/patients?select=id,ward"),
        read("/specimens?select=kind"),
        read("/specimens?select=kind,position&order=position"),
        read("/specimens?select=kind,patients(last_name)"),
        read("/specimens?select=accession,patients(id,notes)"),
        read("/patients?select=last_name,specimens(kind)"),
        read("/patients?select=id,specimens(),orders(remark,specimens(kind))"),
        read("/patients?select=id,o:orders(*,s:specimens!accession(kind))&o.order=id"),
        read("/orders?select=code,...specimens(position),patients(last_name)"),
        Request::new("HEAD", "/patients?select=last_name"),
        Request::patch("/patients?mrn=eq.M1", r#"{"notes":"third"}"#),
        Request::patch("/patients?mrn=eq.M1&select=notes", r#"{"notes":"fourth"}"#).returning(),
        Request::patch("/patients?mrn=eq.M1", r#"{"mrn":"M1","notes":"5"}"#).returning(),
        Request::patch("/specimens?accession=eq.S-1&position=gt.0", r#"{"kind":"csf"}"#),
        Request::patch("/specimens?accession=eq.S-9", r#"{"kind":"csf"}"#),
        Request::patch("/specimens?position=eq.1", r#"{"position":7}"#).returning(),
        Request::patch("/patients?id=eq.2", r#"{"ward":"B","notes":null}"#).returning(),
        Request::post("/specimens?on_conflict=accession", UPSERT)
            .header("Prefer", "resolution=merge-duplicates,return=representation"),
        Request::post("/specimens?columns=accession,mrn,kind&select=kind", UPSERT_MORE)
            .header("Prefer", "resolution=ignore-duplicates,return=representation"),
        Request::post("/specimens", UPSERT).header("Prefer", "resolution=merge-duplicates"),
        Request::new("PUT", "/specimens?accession=eq.S-2").json(PUT),
        Request::post("/specimens", r#"{"accession":"S-1","mrn":"M1","kind":"x"}"#),
        read("/specimens?order=accession"),
        read("/patients?order=id"),
        Request::delete("/specimens?accession=eq.S-2&select=kind").returning(),
    ];
    for step in steps {
        let line = String::from_utf8_lossy(&step.bytes()).lines().next().unwrap().to_owned();
        let (sealed, plain) = (stand.send("lims", step.clone()), step.send(direct.address()));
        assert_eq!(sealed.status, plain.status, "{line}: {}", sealed.text());
        assert_eq!(sealed.text(), plain.text(), "{line}");
        for header in ["Content-Location", "Content-Range", "Content-Type", "Location"] {
            assert_eq!(sealed.header(header), plain.header(header), "{line}: {header}");
        }
    }
}

const UPSERT: &str = r#"[{"accession":"S-2","mrn":"M2","kind":"plasma","position":4},
    {"accession":"S-3","mrn":"M2","kind":"swab","position":5}]"#;
const UPSERT_MORE: &str = r#"[{"accession":"S-3","mrn":"M2","kind":"serum","position":9},
    {"accession":"S-4","mrn":"M1","kind":"serum","position":6}]"#;
const PUT: &str = r#"{"accession":"S-2","mrn":"M2","kind":"liquor","position":2}"#;

#[test]
fn no_value_of_a_bound_entity_leaves_in_clear() {
    let stand = start();
    let mut canaries = Canaries::new();
    let (name, number, note) =
        (canaries.plant("name"), canaries.plant("number"), canaries.plant("note"));
    let body = format!(r#"{{"notes":"{note}","last_name":"{name}","mrn":"{number}"}}"#);
    stand.lims(Request::post("/patients", &body));
    let change = format!(r#"{{"mrn":"{number}","notes":"{note}!"}}"#);
    stand.lims(Request::patch(&format!("/patients?mrn=eq.{number}"), &change));
    let read = stand.lims(Request::get(&format!("/patients?select=notes&last_name=eq.{name}")));
    assert_eq!(read.text(), format!(r#"[{{"notes":"{note}!"}}]"#));
    canaries.assert_none("PostgREST", &stand.tee.received());
    canaries.assert_none("database", &stand.direct.database.dump());
    canaries.assert_none("log", stand.labseal.log().as_bytes());
    let flags = stand.sql("select left(notes, 6), left(mrn, 6) from lab.patients");
    // The first characters behind `ls1r` hold flags: five (R and P) there, four (P) here.
    assert!(flags.starts_with("ls1rB") && flags.contains("ls1dB"), "{flags}");
    assert!(matches!(flags.as_bytes()[5], b'Q'..=b'Z' | b'a'..=b'f'), "{flags}");
}

#[test]
fn a_ciphertext_that_was_moved_to_another_row_is_not_opened() {
    let stand = filled();
    let swap = |table: &str, column: &str, key: &str| {
        let sql = format!(
            "update lab.{table} t set {column} = o.{column} from lab.{table} o where t.{key} <> o.{key}"
        );
        stand.sql(&sql);
    };
    swap("patients", "notes", "mrn");
    for target in ["/patients", "/patients?select=notes", "/orders?select=patients(notes)"] {
        let answer = stand.send("lims", Request::get(target));
        assert_eq!(answer.status, 502, "{target}: {}", answer.text());
        assert_eq!(answer.header("Labseal-Error"), Some("LS501"));
        assert!(answer.text().contains("lab.patients.notes: bind: "), "{}", answer.text());
    }
    let audit = read_audit(&stand);
    assert!(audit.contains(r#""refusal":"LS501""#), "{audit}");
    // What was not moved opens as before, and what is found by a token is still found.
    let names = stand.lims(Request::get("/patients?select=last_name&order=id"));
    assert_eq!(names.text(), "[{\"last_name\":\"Svensson\"}, \n {\"last_name\":\"Olsson\"}]");
    // The class of `kind` says mark.
    swap("specimens", "kind", "accession");
    for target in ["/specimens", "/specimens?select=kind", "/patients?select=specimens(kind)"] {
        let answer = stand.lims(Request::get(target));
        assert_eq!(answer.text().matches("integrity check failed").count(), 2, "{target}");
        assert!(!answer.text().contains("blood") && !answer.text().contains("urine"));
    }
    let metrics = stand.labseal.metrics();
    assert!(metrics.contains(r#"labseal_integrity_failures_total{class="kind"} 6"#), "{metrics}");
}

fn read_audit(stand: &Stand) -> String {
    let files = kit::postgres::read_tree(&stand.labseal.audit());
    files.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect()
}

#[test]
fn a_record_whose_key_was_changed_is_not_opened() {
    let stand = filled();
    stand.sql("alter table lab.orders drop constraint orders_accession_fkey");
    stand.sql("update lab.specimens set accession = 'S-9' where accession = 'S-1'");
    let answer = stand.lims(Request::get("/specimens?select=kind&order=position"));
    assert!(answer.text().contains("urine") && answer.text().contains("check failed"));
}

#[test]
fn values_of_bound_and_of_other_entities_do_not_open_for_each_other() {
    let stand = filled();
    // The same class, once bound and once not.
    stand.sql("update lab.orders set remark = (select notes from lab.patients where ward is null)");
    let read = stand.send("lims", Request::get("/orders?select=remark"));
    assert_eq!(read.header("Labseal-Error"), Some("LS501"));
    stand.lims(Request::patch("/orders?code=eq.Na", r#"{"remark":"free"}"#));
    stand.sql("update lab.patients set notes = (select remark from lab.orders limit 1)");
    let read = stand.send("lims", Request::get("/patients?select=notes"));
    assert_eq!(read.header("Labseal-Error"), Some("LS501"), "it was stored before bind:");
}

#[test]
fn a_bound_value_elsewhere_in_an_answer_stays_shut() {
    let stand = filled();
    for request in [
        Request::get("/roster?select=surname&order=id"),
        Request::post("/rpc/find_patient?select=notes", r#"{"mrn":"M1"}"#),
        Request::get("/orders?select=mrn(notes)"),
    ] {
        let answer = stand.lims(request);
        assert!(!answer.text().contains("Svensson") && !answer.text().contains("first"));
    }
    assert!(stand.lims(Request::get("/roster?select=surname&order=id")).text().contains("ls1s"));
    let metrics = stand.labseal.metrics();
    let passed = metrics.lines().find(|line| line.starts_with("labseal_strays_passed_total"));
    assert_ne!(passed, Some("labseal_strays_passed_total 0"));
}

#[test]
fn a_value_without_the_key_of_its_record_is_not_stored() {
    let stand = filled();
    let (c, canaries) = canary();
    let note = format!(r#"{{"notes":"{c}"}}"#);
    let list = format!(r#"[{{"mrn":"M8","notes":"{c}"}},{{"notes":"{c}"}}]"#);
    for request in [
        Request::post("/patients", &list),
        Request::post("/patients", &format!(r#"{{"mrn":null,"notes":"{c}"}}"#)),
        Request::post("/patients?columns=notes", &format!(r#"{{"mrn":"M8","notes":"{c}"}}"#)),
        Request::patch("/patients", &note),
        Request::patch("/patients?id=eq.1", &note),
        Request::patch("/patients?mrn=in.(M1)", &note),
        Request::patch("/patients?mrn=neq.M1", &note),
        Request::patch("/patients?mrn=not.eq.M1", &note),
        Request::patch("/patients?mrn=eq.M1&mrn=eq.M2", &note),
        Request::patch("/patients?or=(mrn.eq.M1,id.eq.2)", &note),
        Request::patch("/patients?and=(mrn.eq.M1)", &note),
        Request::patch("/specimens?accession=like.S-1", &format!(r#"{{"kind":"{c}"}}"#)),
    ] {
        let answer = refused(&stand, request, "LS116");
        assert!(answer.text().contains("lab."), "{}", answer.text());
        canaries.assert_none("refusal", &answer.raw);
    }
    canaries.assert_none("PostgREST", &stand.tee.received());
}

#[test]
fn a_key_to_which_values_are_bound_cannot_be_changed() {
    let stand = filled();
    let merge = |target: &str, body: &str| {
        Request::post(target, body).header("Prefer", "resolution=merge-duplicates")
    };
    for request in [
        Request::patch("/patients?mrn=eq.M1", r#"{"mrn":"M3"}"#),
        Request::patch("/patients?mrn=eq.M1", r#"{"mrn":null}"#),
        Request::patch("/patients?id=eq.1", r#"{"mrn":"M1"}"#),
        Request::patch("/patients", r#"{"ward":"C","mrn":"M3"}"#),
        Request::patch("/patients?mrn=eq.M1&columns=mrn", r#"{"ward":"C"}"#),
        Request::new("PUT", "/specimens?accession=eq.S-1").json(PUT),
        merge("/patients?on_conflict=id", r#"{"id":1,"mrn":"M3"}"#),
        merge("/patients", r#"{"id":1,"mrn":"M3","notes":"x"}"#),
    ] {
        refused(&stand, request, "LS117");
    }
    refused(&stand, Request::patch("/patients?mrn=eq.M1", r#"{"mrn":"M1","mrn":"M1"}"#), "LS102");
    refused(&stand, Request::post("/specimens", r#"{"accession":"S ","kind":"x"}"#), "LS420");
    assert_eq!(stand.lims(Request::get("/patients")).json().as_array().map(Vec::len), Some(2));
}

#[test]
fn a_bound_field_is_not_spread_among_the_members_of_another_record() {
    let stand = filled();
    for target in [
        "/orders?select=code,...specimens(kind)",
        "/orders?select=code,...specimens(accession,kind)",
        "/specimens?select=kind,...patients(last_name)",
    ] {
        refused(&stand, Request::get(target), "LS118");
    }
    refused(&stand, Request::get("/patients").header("Accept", "text/csv"), "LS107");
}

#[test]
fn a_caller_who_gets_envelopes_puts_them_back_into_their_own_record_alone() {
    let stand = filled();
    let envelope = |mrn: &str| {
        let target = format!("/patients?mrn=eq.{mrn}&select=notes");
        let answer = stand.send("archivist", Request::get(&target));
        answer.json()[0]["notes"].as_str().expect("an envelope").to_owned()
    };
    let (first, second) = (envelope("M1"), envelope("M2"));
    let put = |mrn: &str, envelope: &str| {
        let body = format!(r#"{{"notes":"{envelope}"}}"#);
        stand.send("archivist", Request::patch(&format!("/patients?mrn=eq.{mrn}"), &body))
    };
    assert_eq!(put("M1", &first).status, 204);
    assert_eq!(put("M1", &second).header("Labseal-Error"), Some("LS301"));
    let read = stand.lims(Request::get("/patients?select=notes&mrn=eq.M1"));
    assert_eq!(read.text(), r#"[{"notes":"first"}]"#);
    // The whole record, with the sealed key among it.
    let all = stand.send("archivist", Request::get("/patients?mrn=eq.M2"));
    let record = all.json()[0].to_string();
    let mrn = all.json()[0]["mrn"].as_str().unwrap().to_owned();
    let back = stand.send("archivist", Request::patch(&format!("/patients?mrn=eq.{mrn}"), &record));
    assert_eq!(back.status, 204, "{}", back.text());
}

#[test]
fn who_may_not_read_the_key_may_read_what_is_bound_to_it() {
    let stand = filled();
    let answer = stand.send("billing", Request::get("/patients?select=last_name&order=id.desc"));
    assert_eq!(answer.text(), "[{\"last_name\":\"Olsson\"}, \n {\"last_name\":\"Svensson\"}]");
    let named = stand.send("billing", Request::get("/patients?select=mrn,last_name"));
    assert_eq!(named.header("Labseal-Error"), Some("LS201"));
}

#[test]
fn what_is_bound_survives_a_rotation_of_the_data_key() {
    let stand = filled();
    stand.labseal.must(&["keys", "rotate"]);
    stand.lims(Request::patch("/patients?mrn=eq.M1", r#"{"notes":"newer"}"#));
    let read = stand.lims(Request::get("/patients?select=notes&order=id"));
    assert_eq!(read.text(), "[{\"notes\":\"newer\"}, \n {\"notes\":\"second\"}]");
}
