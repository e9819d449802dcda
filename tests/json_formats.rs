//! Every format of the `json` dialect over the wire, in front of an upstream that keeps what it is sent
//! and gives it back.

mod kit;

use std::sync::{Arc, Mutex};

use kit::{Act, Answer, Front, Request, fake, http::Message};

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:  {id: c-mrn, mode: deterministic, type: text, mask: {keep_last: 2}}
  name: {id: c-name, mode: random, type: text, mask: {keep_first: 1}}
callers:
  lims:    {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
  billing: {api_key: {header: X-Api-Key, sha256_file: keys/billing.sha256}}
grants:
  lims:    {"*": {read: clear, filter: allow, write: allow}}
  billing: {"*": {read: masked, write: allow}}
apis:
  - name: lims-db
    dialect: json
    routes:
      - {match: "GET /patients", fields: {"$[*].mrn": {class: mrn}, "$[*].name": {class: name}}}
      - {match: "POST /patients", fields: {"$[*].mrn": {class: mrn}, "$[*].name": {class: name}}}
      - {match: "PATCH /patients/{id}", fields: {"$.mrn": {class: mrn}, "$.contacts[*].name": {class: name}}}
      - {match: "POST /kinto", fields: {"$.data.mrn": {class: mrn}}}
      - {match: "PATCH /kinto/{id}", fields: {"$.data.mrn": {class: mrn}}}
      - {match: "POST /uploads", form: {mrn: mrn, name: name}}
"#;

struct Store {
    front: Front,
}

impl Store {
    /// Gives back, under the same content type, what it was sent last.
    fn start() -> Self {
        let last = Arc::new(Mutex::new((String::new(), Vec::new())));
        let reply = move |request: &Message| {
            let mut last = last.lock().unwrap();
            if !request.start.starts_with("GET ") {
                let kind = request.header("Content-Type").unwrap_or_default();
                *last = (kind.to_owned(), request.body.clone());
                return vec![Act::Send(fake::answer("204 No Content", &[], b""))];
            }
            vec![Act::Send(fake::answer("200 OK", &[("Content-Type", &last.0)], &last.1))]
        };
        Self { front: Front::with(POLICY, reply) }
    }

    fn send(&self, method: &str, target: &str, kind: &str, body: &str) -> Answer {
        let request = Request::new(method, target).header("Content-Type", kind);
        self.front.send("lims", request.body(body.as_bytes()))
    }

    /// What the upstream got of a request that it took.
    fn stored(&self, method: &str, target: &str, kind: &str, body: &str) -> String {
        let answer = self.send(method, target, kind, body);
        assert_eq!(answer.status, 204, "{kind}: {}", answer.text());
        let got = self.front.fake.requests().pop().unwrap();
        assert_eq!(got.header("Content-Type"), Some(kind));
        assert!(!got.text().contains("SECRET"), "{}", got.text());
        got.text()
    }

    fn refused(&self, method: &str, target: &str, kind: &str, body: &str, code: &str) {
        let answer = self.send(method, target, kind, body);
        assert_eq!(answer.header("Labseal-Error"), Some(code), "{kind}: {}", answer.text());
        let received = self.front.fake.received();
        assert_eq!(kit::http::find(&received, b"SECRET"), None);
    }
}

#[test]
fn lists_of_records_come_back_as_they_were_sent_in_every_format() {
    let store = Store::start();
    for (kind, body) in [
        ("application/json", "[ {\"mrn\":\"SECRET\", \"n\":1.10}, {\"name\":\"SECRET é\"}]\n"),
        ("application/x-ndjson", "{\"mrn\":\"SECRET\", \"n\":1.10}\n\n{\"name\":\"SECRET\"}"),
        ("application/jsonl", "{\"name\":\"SECRET\"}\r\n"),
        ("application/json-seq", "\u{1e}{\"mrn\":\"SECRET\"}\n\u{1e}\u{1e}{\"n\":\n1.10}\n"),
        (
            "text/csv",
            "n,mrn,\"x\",name\r\n1.10,SECRET,\" \",\"SECRET, \"\"b\"\"\"\r\n\r\n2,,NULL,\"\"\n",
        ),
    ] {
        let stored = store.stored("POST", "/patients", kind, body);
        assert_eq!(
            stored.matches("ls1").count(),
            body.matches("SECRET").count() + usize::from(kind == "text/csv")
        );
        let answer = store.front.send("lims", Request::get("/patients"));
        assert_eq!(answer.text(), body);
        assert_eq!(answer.header("Content-Type"), Some(kind));
        assert_eq!(answer.header("Cache-Control"), Some("private, no-store"));
        let masked = store.front.send("billing", Request::get("/patients")).text();
        assert!(!masked.contains("SECRET") && masked.contains("••••"), "{masked}");
    }
}

#[test]
fn a_patch_seals_what_it_adds_and_changes_nothing_else() {
    let store = Store::start();
    let patch = "[ {\"op\":\"add\",\"path\":\"/ward\",\"value\":1.10},\n \
                 {\"value\":\"SECRET\", \"op\":\"replace\",\"path\":\"/mrn\"},\
                 {\"op\":\"add\",\"path\":\"/contacts/-\",\"value\":{\"name\":\"SECRET\"}} ]";
    let kind = "application/json-patch+json";
    let stored = store.stored("PATCH", "/patients/1", kind, patch);
    let mut pieces = patch.split("SECRET");
    assert!(stored.starts_with(&format!("{}ls1d", pieces.next().unwrap())), "{stored}");
    assert!(stored.contains(&format!("{}ls1r", pieces.next().unwrap())), "{stored}");
    assert!(stored.ends_with(pieces.next().unwrap()), "{stored}");
    let wrapped = "[{\"op\":\"replace\",\"path\":\"/data/mrn\",\"value\":\"SECRET\"}]";
    assert!(store.stored("PATCH", "/kinto/1", kind, wrapped).contains("ls1d"));

    let merge = "{\"mrn\":\"SECRET\",\"ward\":null,\"contacts\":[{\"name\":\"SECRET\"}]}";
    let kind = "application/merge-patch+json";
    assert_eq!(store.stored("PATCH", "/patients/1", kind, merge).matches("ls1").count(), 2);
    let remove = "{\"mrn\":null}";
    assert_eq!(store.stored("PATCH", "/patients/1", kind, remove), remove);
}

#[test]
fn the_fields_of_a_form_are_sealed_and_its_files_pass() {
    let store = Store::start();
    let form = "application/x-www-form-urlencoded";
    let stored = store.stored("POST", "/uploads", form, "a=b+%2c&mrn=SECRET+1&name=%53ECRET");
    assert!(stored.starts_with("a=b+%2c&mrn=ls1d") && stored.contains("&name=ls1r"), "{stored}");
    let file = "\0\u{1}\r\n--other\r\n".repeat(40_000);
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"mrn\"\r\n\r\nSECRET\r\n\
         --b\r\nContent-Disposition: form-data; name=\"scan\"; filename=\"a.pdf\"\r\n\
         Content-Type: application/pdf\r\n\r\n{file}\r\n--b--\r\n"
    );
    let stored = store.stored("POST", "/uploads", "multipart/form-data; boundary=b", &body);
    let (before, after) = body.split_once("SECRET").unwrap();
    let envelope = stored.strip_prefix(before).unwrap().strip_suffix(after).unwrap();
    assert!(envelope.starts_with("ls1d"));
}

#[test]
fn what_cannot_be_read_on_a_protected_route_is_refused() {
    let store = Store::start();
    let json = "{\"mrn\":\"SECRET\"}";
    for kind in [
        "text/plain",
        "application/xml",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/vnd.api+json",
        "multipart/mixed; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=\"a b \"",
        "text/csv; header=absent",
        "application/x-ndjson; charset=utf-16",
    ] {
        store.refused("POST", "/patients", kind, json, "LS410");
    }
    // A record within another cannot be found in a row, a pair or a part.
    for (kind, body) in [
        ("text/csv", "mrn\nSECRET\n"),
        ("application/x-www-form-urlencoded", "data.mrn=SECRET"),
        ("multipart/form-data; boundary=b", "--b--"),
    ] {
        store.refused("POST", "/kinto", kind, body, "LS410");
    }
    for (kind, body, code) in [
        ("application/x-ndjson", "{\"mrn\":\"SECRET\"}{\"mrn\":\"SECRET\"}\n", "LS101"),
        ("application/x-ndjson", "[{\"mrn\":\"SECRET\"}]\n", "LS101"),
        ("application/x-ndjson", "{\"mrn\":\n\"SECRET\"}\n", "LS101"),
        ("application/x-ndjson", "{\"Mrn\":\"SECRET\"}\n", "LS113"),
        ("application/json-seq", "{\"mrn\":\"SECRET\"}\n", "LS101"),
        ("application/json-seq", "\u{1e}{\"mrn\":\"SECRET\"}", "LS101"),
        ("text/csv", "m;mrn\nA;SECRET\n", "LS113"),
        ("text/csv", "name,patient.mrn\nA,SECRET\n", "LS113"),
    ] {
        store.refused("POST", "/patients", kind, body, code);
    }
}

#[test]
fn an_answer_of_declared_fields_in_no_known_format_is_an_error() {
    for (kind, body) in [("text/csv", "mrn,x\nplain\n"), ("application/x-ndjson", "{\"mrn\":")] {
        let reply = fake::answer("200 OK", &[("Content-Type", kind)], body.as_bytes());
        let front = Front::with(POLICY, move |_| vec![Act::Send(reply.clone())]);
        let answer = front.send("lims", Request::get("/patients"));
        assert_eq!(answer.header("Labseal-Error"), Some("LS503"), "{kind}");
    }
}
