//! What a policy says of whole routes and of what it does not list: open routes, and unknown fields.

mod kit;

use std::{sync::Mutex, time::Duration};

use labseal::{dialect::DIALECTS, policy::Policy};

use kit::{Act, Answer, Front, Request, fake, front::canary, http::Message, policy::NOTES};

/// A store of one body under each path, as it came.
fn store(policy: &str) -> Front {
    let kept: Mutex<Vec<(String, Vec<u8>)>> = Mutex::default();
    Front::with(&format!("{NOTES}{policy}"), move |request: &Message| {
        let mut words = request.start.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap().to_owned());
        let mut kept = kept.lock().unwrap();
        match method {
            "GET" => {
                let found = kept.iter().rev().find(|(known, _)| *known == path);
                let body = found.map(|(_, body)| body.clone()).unwrap_or_default();
                let kind = [("Content-Type", "application/json"), ("ETag", "\"1\"")];
                vec![Act::Send(fake::answer("200 OK", &kind, &body))]
            }
            _ => {
                kept.push((path, request.body.clone()));
                vec![Act::Send(fake::answer("201 Created", &[], b""))]
            }
        }
    })
}

fn code(answer: &Answer) -> Option<&str> {
    answer.header("Labseal-Error")
}

const OPEN: &str = r#"
  - name: lims-db
    dialect: json
    routes:
      - {match: "GET /static/{file}", open: true, why: "the screens"}
      - {match: "POST /static/{file}", open: true, why: "the screens"}
      - {match: "GET /notes/{id}", fields: {"$.text": {class: note}}}
      - {match: "POST /notes/{id}", fields: {"$.text": {class: note}}}
"#;

#[test]
fn an_open_route_passes_untouched_in_both_directions() {
    let front = store(OPEN);
    let junk = b"\xff not { JSON \0 ls1";
    let post = Request::new("POST", "/static/a.bin?mrn=M1&text=x")
        .header("Content-Type", "application/octet-stream")
        .body(junk);
    assert_eq!(front.send("lims", post).status, 201);
    let read = Request::get("/static/a.bin?mrn=M1&text=x")
        .header("Accept-Encoding", "gzip")
        .header("Range", "bytes=0-3")
        .header("If-None-Match", "\"7\"")
        .header("Referer", "http://lims/notes/M1");
    let answer = front.send("lims", read);
    assert_eq!((answer.status, answer.body.as_slice()), (200, junk.as_slice()));
    assert_eq!(answer.header("Cache-Control"), None, "it is nobody's secret");
    assert_eq!(answer.header("ETag"), Some("\"1\""));
    let got = front.got("/static/").pop().unwrap();
    assert_eq!(got.start, "GET /static/a.bin?mrn=M1&text=x HTTP/1.1");
    assert_eq!(got.header("Accept-Encoding"), Some("gzip"));
    assert_eq!(got.header("Range"), Some("bytes=0-3"));
    assert_eq!(got.header("If-None-Match"), Some("\"7\""));
    // A browser repeats there where it came from, which may be the path of a patient.
    assert_eq!(got.header("Referer"), None);
    // Nobody waits for the entry of an exchange that touched nothing.
    kit::wait_until("the audit log", Duration::from_secs(10), || {
        let files = kit::postgres::read_tree(&front.labseal.audit());
        let mut texts = files.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes));
        texts.any(|text| {
            text.contains(r#""verb":"read","entity":"GET /static/{file}","passed":"untouched""#)
        })
    });
}

fn utf16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn an_envelope_is_neither_taken_nor_opened_by_an_open_route() {
    let front = store(OPEN);
    front.send("lims", Request::post("/notes/1", r#"{"text":"positive"}"#));
    let body = front.got("/notes/1").pop().unwrap().body;
    let stored = String::from_utf8(body).unwrap();
    let envelope = stored.split('"').find(|text| text.starts_with("ls1r")).unwrap().to_owned();
    for request in [
        Request::new("POST", "/static/x").body(stored.as_bytes()),
        Request::get(&format!("/static/{envelope}")),
        Request::get(&format!("/static/x?y={envelope}")),
        Request::get("/static/x").header("X-Note", &envelope),
        Request::new("POST", "/static/x").body(stored.replace("ls1r", "\\u006cs1r").as_bytes()),
        Request::new("POST", "/static/x")
            .header("Content-Type", "application/json; charset=utf-16")
            .body(&utf16(&stored)),
        Request::new("POST", "/static/x").body(&utf16(&stored.replace("ls1r", "\\u006cs1r"))),
    ] {
        assert_eq!(code(&front.send("lims", request)), Some("LS103"));
    }
    let front = Front::with(&format!("{NOTES}{OPEN}"), {
        let last = Mutex::new(Vec::new());
        move |request: &Message| {
            if request.start.starts_with("POST") {
                *last.lock().unwrap() = request.body.clone();
            }
            fake::json(&String::from_utf8_lossy(&last.lock().unwrap()))
        }
    });
    let written = front.send("lims", Request::post("/notes/1", r#"{"text":"positive"}"#));
    assert_eq!(written.text(), r#"{"text":"positive"}"#);
    let passed = front.send("lims", Request::get("/static/x"));
    assert!(passed.text().contains("ls1r") && !passed.text().contains("positive"));
}

#[test]
fn an_open_route_is_not_a_way_around_a_protected_one() {
    let front = store(OPEN);
    let (canary, canaries) = canary();
    for request in [
        Request::post("/static/../notes/1", &format!(r#"{{"text":"{canary}"}}"#)),
        Request::post("/static/x/", &format!(r#"{{"text":"{canary}"}}"#)),
        Request::new("PUT", "/static/x").json(&format!(r#"{{"text":"{canary}"}}"#)),
        Request::post("/static%2fx", &format!(r#"{{"text":"{canary}"}}"#)),
    ] {
        let answer = front.send("lims", request);
        assert!(code(&answer).is_some(), "{}", answer.start);
        canaries.assert_none("upstream", &front.fake.received());
    }
    let clash = OPEN.replace("GET /notes/{id}\", ", "GET /notes/{id}\", path: {id: mrn}, ")
        + "      - {match: \"DELETE /notes/{any}\", open: true, why: \"x\"}\n";
    let found = check(&clash);
    assert!(found.contains("it is open, and a path of it could hold a protected value"), "{found}");
}

/// What the dialect says of a policy.
fn check(apis: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let classes = NOTES.split("callers:").next().unwrap();
    std::fs::write(&path, format!("{classes}apis:\n{apis}")).unwrap();
    let (policy, _) = Policy::load(&path).unwrap();
    let (_, build) = DIALECTS.iter().find(|(name, _)| *name == "json").unwrap();
    let errors = build(policy.apis()[0].surface()).err().unwrap_or_default();
    errors.iter().map(|error| format!("{error}\n")).collect()
}

const CLOSED: &str = r#"
  - name: lims-db
    dialect: json
    unknown_fields: deny
    routes:
      - match: "POST /notes"
        fields:
          "$.text": {class: note}
          "$.unit": {mode: plain, why: "a unit"}
          "$.author.name": {class: note}
          "$.author.ward": {mode: plain, why: "a ward"}
          "$.tags[*].label": {mode: plain, why: "a label"}
      - match: "PATCH /notes"
        fields:
          "$.text": {class: note}
          "$.unit": {mode: plain, why: "a unit"}
          "$.tags[*].label": {mode: plain, why: "a label"}
      - {match: "POST /any", unknown_fields: pass, fields: {"$.text": {class: note}}}
      - {match: "POST /said", unknown_fields: warn, fields: {"$.text": {class: note}, "$.unit": {mode: plain, why: "a unit"}}}
      - {match: "POST /nothing", fields: {}}
"#;

const PATCH: &str = "application/json-patch+json";

#[test]
fn a_field_that_is_not_listed_is_refused_without_its_name() {
    let front = store(CLOSED);
    let (canary, canaries) = canary();
    let refused = |target: &str, body: &str, expected: &str| {
        let answer = front.send("lims", Request::post(target, body));
        assert_eq!(code(&answer), Some(expected), "{body}: {}", answer.text());
        canaries.assert_none("refusal", &answer.raw);
        answer
    };
    for body in [
        format!(r#"{{"text":"x","{canary}":1}}"#),
        format!(r#"{{"text":"x","other":"{canary}"}}"#),
        format!(r#"{{"\u006fther":"{canary}"}}"#),
        format!(r#"{{"author":{{"name":"x","email":"{canary}"}}}}"#),
        format!(r#"{{"tags":[{{"label":"x"}},{{"value":"{canary}"}}]}}"#),
    ] {
        let answer = refused("/notes", &body, "LS208");
        assert!(answer.text().contains("field POST /notes: "), "{}", answer.text());
    }
    refused("/nothing", &format!(r#"{{"x":"{canary}"}}"#), "LS208");
    refused("/nothing", &format!(r#"["{canary}"]"#), "LS101");
    refused("/notes", &format!(r#"{{"author":"{canary}"}}"#), "LS101");
    canaries.assert_none("upstream", &front.fake.received());
    canaries.assert_none("log", front.labseal.log().as_bytes());
    for body in [
        r#"{"text":"x","unit":{"any":["thing"]},"author":{"name":"y","ward":null}}"#,
        r#"{"un\u0069t":"g","tags":[{"label":"a"},{}]}"#,
        "{}",
    ] {
        let answer = front.send("lims", Request::post("/notes", body));
        assert_eq!(answer.status, 201, "{body}: {}", answer.text());
    }
    assert_eq!(front.send("lims", Request::post("/nothing", "{}")).status, 201);
    let typed = |method: &str, kind: &str, body: &str| {
        let request = Request::new(method, "/notes").header("Content-Type", kind);
        front.send("lims", request.body(body.as_bytes()))
    };
    let parts = |name: &str| {
        let part = |name, text| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        format!("{}{}--b--\r\n", part("text", "x"), part(name, &canary))
    };
    let multipart = "multipart/form-data; boundary=b";
    for (method, kind, body) in [
        ("POST", "text/csv", format!("text,{canary}\nx,y\n")),
        ("POST", "text/csv", format!("text,other\nx,{canary}\n")),
        ("POST", "application/x-www-form-urlencoded", format!("text=x&other={canary}")),
        ("POST", multipart, parts("other")),
        ("POST", "application/x-ndjson", format!("{{\"text\":\"x\"}}\n{{\"{canary}\":1}}\n")),
        ("PATCH", "application/merge-patch+json", format!(r#"{{"other":"{canary}"}}"#)),
        ("PATCH", PATCH, format!(r#"[{{"op":"add","path":"/{canary}","value":1}}]"#)),
        ("PATCH", PATCH, format!(r#"[{{"op":"test","path":"/other","value":"{canary}"}}]"#)),
        ("PATCH", PATCH, format!(r#"[{{"op":"add","path":"","value":{{"x":"{canary}"}}}}]"#)),
        ("PATCH", PATCH, r#"[{"op":"move","from":"/unit","path":"/other"}]"#.to_owned()),
        ("PATCH", PATCH, format!(r#"[{{"op":"add","path":"/tags/0/x","value":"{canary}"}}]"#)),
    ] {
        let answer = typed(method, kind, &body);
        assert_eq!(code(&answer), Some("LS208"), "{kind} {body}: {}", answer.text());
        canaries.assert_none("refusal", &answer.raw);
    }
    canaries.assert_none("upstream", &front.fake.received());
    for (method, kind, body) in [
        ("POST", "text/csv", "text,unit\nx,y\n".to_owned()),
        ("POST", "application/x-www-form-urlencoded", "text=x&unit=g".to_owned()),
        ("POST", multipart, parts("unit").replace(&canary, "g")),
        ("PATCH", "application/merge-patch+json", r#"{"unit":null}"#.to_owned()),
        ("PATCH", PATCH, r#"[{"op":"add","path":"/tags/0/label","value":1}]"#.to_owned()),
        ("PATCH", PATCH, r#"[{"op":"replace","path":"/unit","value":1}]"#.to_owned()),
    ] {
        let answer = typed(method, kind, &body);
        assert_eq!(answer.status, 201, "{kind} {body}: {}", answer.text());
    }
    assert_eq!(front.send("lims", Request::post("/any", r#"{"x":1}"#)).status, 201);
}

#[test]
fn a_field_that_is_not_listed_is_counted_and_told_once_where_the_policy_says_warn() {
    let front = store(CLOSED);
    let (canary, canaries) = canary();
    for _ in 0..3 {
        let body = format!(r#"{{"text":"x","unit":"g","{canary}":1,"more":2}}"#);
        assert_eq!(front.send("lims", Request::post("/said", &body)).status, 201);
    }
    let metrics = front.labseal.metrics();
    assert!(metrics.contains("labseal_unknown_fields_total{api=\"lims-db\"} 6\n"), "{metrics}");
    let log = front.labseal.log();
    assert_eq!(log.matches("fields that the policy does not list").count(), 1, "{log}");
    canaries.assert_none("log", log.as_bytes());
    canaries.assert_none("metrics", metrics.as_bytes());
}

const TABLES: &str = r#"
  - name: lims-db
    dialect: postgrest
    unknown_fields: warn
    entities:
      patients: {unknown_fields: deny, fields: {mrn: {class: mrn}, id: {mode: plain, why: "a number"}}}
      plain: {unknown_fields: deny, fields: {id: {mode: plain, why: "a number"}}}
      notes: {fields: {text: {class: note}}}
"#;

#[test]
fn columns_and_tests_of_fields_that_are_not_listed_are_refused_too() {
    let front = Front::with(&format!("{NOTES}{TABLES}"), kit::front::quiet);
    let (c, canaries) = canary();
    for request in [
        Request::post("/patients", &format!(r#"{{"mrn":"M1","name":"{c}"}}"#)),
        Request::post("/patients", &format!(r#"[{{"mrn":"M1"}},{{"{c}":1}}]"#)),
        Request::patch("/patients?id=eq.1", &format!(r#"{{"name":"{c}"}}"#)),
        Request::post("/patients?columns=mrn,name", r#"{"mrn":"M1"}"#),
        Request::post("/patients?on_conflict=name", r#"{"mrn":"M1"}"#),
        Request::get(&format!("/patients?name=eq.{c}")),
        Request::get(&format!("/patients?or=(id.eq.1,name.like.{c})")),
        Request::get(&format!("/notes?select=patients(id)&patients.name=eq.{c}")),
        Request::post("/plain", &format!(r#"{{"id":1,"name":"{c}"}}"#)),
    ] {
        front.refuse("lims", request, "LS208", &canaries);
    }
    for request in [
        Request::post("/patients?columns=mrn,id", r#"{"mrn":"M1","id":1}"#),
        Request::get("/patients?id=eq.1&name=is.null&order=name&select=name,x:id"),
        Request::post("/plain", r#"{"id":1}"#),
    ] {
        let answer = front.send("lims", request);
        assert!(code(&answer).is_none(), "{}", answer.text());
    }
    for request in [
        Request::post("/notes", r#"[{"text":"x","a":1},{"text":"y","a":2}]"#),
        Request::get("/notes?a=eq.1&text=is.null"),
    ] {
        assert!(code(&front.send("lims", request)).is_none());
    }
    let metrics = front.labseal.metrics();
    assert!(metrics.contains("labseal_unknown_fields_total{api=\"lims-db\"} 3\n"), "{metrics}");
}
