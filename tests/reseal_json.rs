//! Stored values of a plain JSON API under a new key version: documents of a real Kinto, each
//! written on condition of its entity tag, and what is refused without one.

mod kit;

use std::sync::atomic::{AtomicBool, Ordering};

use kit::{
    Labseal, Postgres, Request,
    kinto::{ACCOUNT, Kinto},
    labseal::{Setup, private},
    postgrest::JsonServer,
    store::{counted, parsed},
};
use serde_json::{Value, json};

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  name: {id: c-name, mode: deterministic, type: text}
  note: {id: c-note, mode: random, type: text}
  doc:  {id: c-doc, mode: random, type: json}
callers:
  lims: {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
grants:
  lims: {"*": {read: clear, filter: allow, write: allow}}
apis:
  - name: lims-db
    dialect: json
    routes:
      - {match: "GET RECORDS", fields: {"LIST.name": {class: name}, "LIST.note": {class: note}, "LIST.value": {class: doc}}}
      - {match: "POST RECORDS", fields: {"ITEM.name": {class: name}, "ITEM.note": {class: note}, "ITEM.value": {class: doc}}}
      - {match: "GET RECORDS/{id}", fields: {"ITEM.name": {class: name}, "ITEM.note": {class: note}, "ITEM.value": {class: doc}}}
      - {match: "PATCH RECORDS/{id}", fields: {"ITEM.name": {class: name}, "ITEM.note": {class: note}, "ITEM.value": {class: doc}}}
"#;

const RECORDS: &str = "/v1/buckets/lab/collections/patients/records";

fn policy(records: &str, list: &str, item: &str) -> String {
    POLICY.replace("RECORDS", records).replace("LIST", list).replace("ITEM", item)
}

struct Real {
    labseal: Labseal,
    kinto: Kinto,
}

impl Real {
    fn start() -> Self {
        let kinto = Kinto::start(&Postgres::shared().database(""));
        let jobs = format!(
            "jobs: {{apis: {{lims-db: {{headers: {{Authorization: \"file:job.token\"}}, walk: \
             [{{list: \"GET {RECORDS}?_limit=7\", records: \"$.data[*]\", key: \"$.id\", item: \"PUT \
             {RECORDS}/{{id}}\", next: \"header:Next-Page\"}}]}}}}}}\n"
        );
        let setup = Setup::new(&policy(RECORDS, "$.data[*]", "$.data"), kinto.address());
        let mut labseal =
            setup.also(&jobs).init(|folder| private(&folder.join("job.token"), ACCOUNT));
        labseal.run();
        Self { labseal, kinto }
    }

    fn lims(&self, request: Request) -> Value {
        let request = request.header("Authorization", ACCOUNT).key(self.labseal.key("lims"));
        let answer = request.send(self.labseal.address());
        assert!((200..300).contains(&answer.status), "{}: {}", answer.start, answer.text());
        answer.json()
    }

    fn add(&self, n: usize) -> String {
        let value = json!({"n": n, "list": [1.50, "x\"y"]});
        let body = json!({"data": {"name": format!("Name {n}"), "note": format!("n\\{n}"), "value": value, "ward": n}});
        let added = self.lims(Request::post(RECORDS, &body.to_string()));
        added["data"]["id"].as_str().unwrap().to_owned()
    }
}

fn job(labseal: &Labseal, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = labseal.cli(&[arguments, &["--json"]].concat());
    (parsed(&output), output.status.code())
}

#[test]
fn documents_of_kinto_move_under_their_entity_tags_while_others_write() {
    let real = Real::start();
    let ids: Vec<_> = (0..40).map(|n| real.add(n)).collect();
    real.labseal.must(&["keys", "rotate"]);
    let (said, code) = job(&real.labseal, &["keys", "census"]);
    assert_eq!(code, Some(0), "{said}");
    let before = [("* sealed 1", 40), ("* sealed 1", 40), ("* sealed 1", 40)];
    assert_eq!(counted(&said), before.map(|(name, count)| (name.to_owned(), count)));

    let stop = AtomicBool::new(false);
    let last = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut last = Vec::new();
            for turn in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let id = &ids[turn % 5];
                let body = json!({"data": {"note": format!("written {turn}")}}).to_string();
                let request = Request::patch(&format!("{RECORDS}/{id}"), &body)
                    .header("Authorization", ACCOUNT)
                    .key(real.labseal.key("lims"));
                // Kinto itself refuses one of two writes at the same time.
                match request.send(real.labseal.address()) {
                    answer if answer.status == 409 => {}
                    answer => {
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        last.push((id.clone(), format!("written {turn}")));
                    }
                }
            }
            last
        });
        let (said, code) = job(&real.labseal, &["keys", "reseal", "start"]);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(code, Some(0), "{said}");
        writer.join().unwrap()
    });
    let (said, _) = job(&real.labseal, &["keys", "census"]);
    let after = [("* sealed 1", 40), ("* sealed 2", 40), ("* sealed 2", 40)];
    assert_eq!(counted(&said), after.map(|(name, count)| (name.to_owned(), count)));
    for (n, id) in ids.iter().enumerate() {
        let record = real.lims(Request::get(&format!("{RECORDS}/{id}")));
        let data = &record["data"];
        let note = last.iter().rev().find(|(of, _)| of == id).map(|(_, note)| note.clone());
        assert_eq!(data["note"], note.unwrap_or(format!("n\\{n}")));
        assert_eq!(data["name"], format!("Name {n}"));
        assert_eq!(data["value"], json!({"n": n, "list": [1.50, "x\"y"]}));
        assert_eq!(data["ward"], n);
    }
    let stored = real.kinto.send(Request::get(RECORDS)).text();
    assert!(!stored.contains("Name ") && !stored.contains("written"), "{stored}");
    real.labseal.must(&["audit", "verify", "--jobs"]);
}

#[test]
fn where_conditions_are_not_kept_to_documents_are_left_alone_unless_that_is_asked_for() {
    let server = JsonServer::start(r#"{"readings": []}"#);
    let walk = |more: &str| {
        format!(
            "jobs: {{apis: {{lims-db: {{walk: [{{list: \"GET /readings\", records: \"$\", key: \"$.id\", \
             item: \"PUT /readings/{{id}}\"{more}}}]}}}}}}\n"
        )
    };
    let policy = policy("/readings", "$[*]", "$");
    let mut labseal = Setup::new(&policy, server.address()).also(&walk("")).init(|_| {});
    labseal.run();
    let key = labseal.key("lims").to_owned();
    for n in 1..4 {
        let body = json!({"id": n, "name": "N", "note": "n"}).to_string();
        let answer = Request::post("/readings", &body).key(&key).send(labseal.address());
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    labseal.must(&["keys", "rotate"]);
    let stored = server.stored();
    let output = labseal.cli(&["keys", "reseal", "start"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // It gives tags, and takes no notice of conditions on writes.
    assert!(!output.status.success() && said.contains("If-Match"), "{said}");
    assert_eq!(server.stored(), stored);
    let config = std::fs::read_to_string(labseal.config()).unwrap();
    let unsafe_config = config.replace(&walk(""), &walk(", unsafe_sweep: true"));
    assert_ne!(config, unsafe_config);
    std::fs::write(labseal.config(), unsafe_config).unwrap();
    labseal.must(&["keys", "reseal", "start"]);
    assert_ne!(server.stored(), stored);
    let answer = Request::get("/readings/1").key(&key).send(labseal.address());
    assert_eq!(answer.json()["note"], "n");
}
