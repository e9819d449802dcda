//! A plain JSON API: bodies, lines and cells of both forms. A parameter can ask for one form alone, so
//! it is refused.

use crate::kit::{Act, Canaries, Front, Request, fake};

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:  {id: c-mrn, mode: deterministic, mask: {keep_last: 2}}
  ward: {id: c-ward, mode: deterministic}
  rank: {id: c-rank, mode: random, type: integer}
  doc:  {id: c-doc, mode: random, type: json, mask: {null: true}}
callers:
  lims:    {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
  billing: {api_key: {header: X-Api-Key, sha256_file: keys/billing.sha256}}
grants:
  lims:    {"*": {read: clear, filter: allow, write: allow}}
  billing: {"*": {read: masked}}
apis:
  - name: lims-db
    dialect: json
    routes:
      - match: "GET /readings"
        query: {mrn: mrn, ward: ward}
        fields: {"$[*].mrn": {class: mrn, migration: {state: dual, until: 2099-12-31}}, "$[*].rank": {class: rank, migration: {state: dual, until: 2099-12-31}}, "$[*].doc": {class: doc, migration: {state: dual, until: 2099-12-31}}}
      - {match: "GET /readings/{mrn}", path: {mrn: mrn}, fields: {"$.mrn": {class: mrn}}}
      - match: "PATCH /patients/{id}"
        fields: {"$.mrn": {class: mrn, migration: {state: dual, until: 2099-12-31}}}
"#;

fn front(kind: &'static str, body: String) -> Front {
    let policy = POLICY;
    Front::with(policy, move |_| {
        vec![Act::Send(fake::answer("200 OK", &[("Content-Type", kind)], body.as_bytes()))]
    })
}

#[test]
fn bodies_lines_and_cells_are_read_in_both_forms() {
    let mut canaries = Canaries::new();
    let mrn = canaries.plant("mrn");
    for (kind, body) in [
        (
            "application/json",
            format!(r#"[{{"mrn": "{mrn}", "rank": " 7", "doc": {{"a": [1.10]}}, "n": 1}}]"#),
        ),
        (
            "application/x-ndjson",
            format!("{{\"mrn\": \"{mrn}\", \"rank\": 7, \"doc\": {{\"a\": [1.10]}}, \"n\": 1}}\n"),
        ),
        ("text/csv", format!("mrn,rank,n\n{mrn},7,1\n")),
    ] {
        let front = front(kind, body.clone());
        let read = front.send("lims", Request::get("/readings"));
        assert_eq!(read.status, 200, "{}", read.text());
        // Typed values come as what they are, all else as it was.
        assert_eq!(read.text(), body.replace("\" 7\"", "7"));
        let masked = front.send("billing", Request::get("/readings"));
        assert_eq!(masked.status, 200, "{kind}: {}", masked.text());
        canaries.assert_none(kind, &masked.raw);
        assert!(masked.text().contains("••••"), "{}", masked.text());
    }
}

#[test]
fn a_parameter_of_a_class_in_migration_is_refused_and_others_are_not() {
    let front = front("application/json", "[]".to_owned());
    let mut canaries = Canaries::new();
    let mrn = canaries.plant("mrn");
    for target in [format!("/readings?mrn={mrn}"), format!("/readings/{mrn}")] {
        let answer = front.send("lims", Request::get(&target));
        assert_eq!(answer.header("Labseal-Error"), Some("LS127"), "{}", answer.text());
    }
    let patch = |op: &str| {
        Request::new("PATCH", "/patients/1")
            .header("Content-Type", "application/json-patch+json")
            .body(format!(r#"[{{"op": "{op}", "path": "/mrn", "value": "{mrn}"}}]"#).as_bytes())
    };
    assert_eq!(front.send("lims", patch("test")).header("Labseal-Error"), Some("LS127"));
    assert_eq!(front.send("lims", patch("replace")).status, 200);
    assert_eq!(front.send("lims", Request::get("/readings?ward=W1")).status, 200);
    canaries.assert_none("upstream", &front.fake.received());
    let sent = String::from_utf8_lossy(&front.fake.received()).into_owned();
    assert!(sent.contains("\"ls1d") && sent.contains("ward=ls1d"), "{sent}");
}

#[test]
fn a_route_that_nobody_declares_is_closed_to_whoever_may_not_see_all() {
    let front = front("application/json", r#"[{"mrn": "A1"}]"#.to_owned());
    let refused = front.send("billing", Request::get("/other"));
    assert_eq!(refused.header("Labseal-Error"), Some("LS216"), "{}", refused.text());
    assert_eq!(front.send("lims", Request::get("/other")).status, 200);
}
