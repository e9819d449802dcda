//! Values that are bound to their record, in front of a plain JSON API.

mod kit;

use std::sync::{Arc, Mutex};

use kit::{
    Act, Answer, Canaries, Front, Request, fake, front::canary, http::Message, policy::NOTES,
};

fn code(answer: &Answer) -> Option<&str> {
    answer.header("Labseal-Error")
}

const RECORDS: &str = r#"
  - name: lims-db
    dialect: json
    routes:
      - match: "PUT /notes/{id}"
        bind: {key: "path:id", record: notes, type: integer}
        fields: {"$.text": {class: note}, "$.replies[*].text": {class: note}}
      - match: "GET /notes/{id}"
        bind: {key: "path:id", record: notes, type: integer}
        fields: {"$.text": {class: note}, "$.replies[*].text": {class: note}}
      - match: "POST /notes"
        bind: {key: "$[*].id", record: notes, type: integer}
        fields: {"$[*].text": {class: note}, "$[*].replies[*].text": {class: note}}
      - match: "GET /notes"
        bind: {key: "$[*].id", record: notes, type: integer}
        fields: {"$[*].text": {class: note}, "$[*].replies[*].text": {class: note}}
      - match: "PUT /patients/{mrn}"
        path: {mrn: mrn}
        bind: {key: "path:mrn", record: patients}
        fields: {"$.text": {class: note}}
      - match: "GET /patients/{mrn}"
        path: {mrn: mrn}
        bind: {key: "path:mrn", record: patients}
        fields: {"$.text": {class: note}}
      - match: "POST /patients"
        bind: {key: "$.mrn", record: patients}
        fields: {"$.mrn": {class: mrn}, "$.text": {class: note}}
"#;

/// An upstream whose answer to a GET is what a test last put here.
struct Shelf {
    front: Front,
    next: Arc<Mutex<String>>,
}

fn shelf() -> Shelf {
    let next = Arc::new(Mutex::new(String::new()));
    let shown = next.clone();
    let front = Front::with(&format!("{NOTES}{RECORDS}"), move |request: &Message| {
        match request.start.starts_with("GET ") {
            true => fake::json(&shown.lock().unwrap()),
            false => vec![Act::Send(fake::answer("204 No Content", &[], b""))],
        }
    });
    Shelf { front, next }
}

impl Shelf {
    /// Writes a body and gives back what came upstream.
    fn write(&self, request: Request) -> String {
        let answer = self.front.send("lims", request);
        assert_eq!(answer.status, 204, "{}", answer.text());
        String::from_utf8(self.front.fake.requests().pop().unwrap().body).unwrap()
    }

    /// What the caller reads where the API holds this.
    fn read(&self, target: &str, stored: &str) -> Answer {
        *self.next.lock().unwrap() = stored.to_owned();
        self.front.send("lims", Request::get(target))
    }
}

#[test]
fn a_record_of_a_json_api_is_known_by_its_path_or_by_a_member() {
    let shelf = shelf();
    let body = r#"{"replies":[{"text":"b"}],"text":"a"}"#;
    let stored = shelf.write(Request::new("PUT", "/notes/17").json(body));
    assert!(!stored.contains("\"a\"") && stored.matches("ls1r").count() == 2, "{stored}");
    assert_eq!(shelf.read("/notes/17", &stored).text(), body);
    assert_eq!(shelf.read("/notes/+017", &stored).text(), body, "the same number");
    let other = shelf.read("/notes/18", &stored);
    assert_eq!((other.status, code(&other)), (502, Some("LS501")), "{}", other.text());
    assert!(other.text().contains("bind: "), "{}", other.text());
    // The same record in a list, with its number behind the values and as text.
    let list = format!("[{},\"id\":\"17\"}}]", stored.trim_end_matches('}'));
    let plain = format!("[{},\"id\":\"17\"}}]", body.trim_end_matches('}'));
    assert_eq!(shelf.read("/notes", &list).text(), plain);
    for wrong in ["18", "null", "17.5", "{}", "[17]", "true"] {
        let list = list.replace("\"17\"", wrong);
        assert_eq!(code(&shelf.read("/notes", &list)), Some("LS501"), "{wrong}");
    }
    let twice = list.replace("\"id\":\"17\"", "\"id\":17,\"\\u0069d\":17");
    assert_eq!(code(&shelf.read("/notes", &twice)), Some("LS501"));
    let none = list.replace(",\"id\":\"17\"", "");
    assert_eq!(code(&shelf.read("/notes", &none)), Some("LS501"));
    // A list has one window for each record, so the second is judged by its own number.
    let both = format!("[{0},{1}]", &list[1..list.len() - 1], &list[1..list.len() - 1]);
    let second = both.rfind("\"17\"").unwrap();
    let swapped = format!("{}\"18\"{}", &both[..second], &both[second + 4..]);
    assert_eq!(code(&shelf.read("/notes", &swapped)), Some("LS501"));
}

#[test]
fn bulk_writes_of_a_json_api_bind_each_record_to_its_own_key() {
    let shelf = shelf();
    let body = r#"[{"text":"a","id":1},{"id":"2","text":"b","replies":[{"text":"c"}]}]"#;
    let stored = shelf.write(Request::post("/notes", body));
    assert_eq!(shelf.read("/notes", &stored).text(), body);
    let first: Vec<&str> = stored.split('"').filter(|text| text.starts_with("ls1r")).collect();
    assert_eq!(first.len(), 3);
    let swapped = stored.replacen(first[0], "*", 1).replacen(first[1], first[0], 1);
    let swapped = swapped.replacen('*', first[1], 1);
    assert_eq!(code(&shelf.read("/notes", &swapped)), Some("LS501"));
    // Within one record, two values of one class are not told apart.
    let within = stored.replacen(first[1], "*", 1).replacen(first[2], first[1], 1);
    let within = within.replacen('*', first[2], 1);
    assert_eq!(shelf.read("/notes", &within).status, 200);
}

#[test]
fn a_sealed_key_binds_as_well_as_one_in_clear() {
    let shelf = shelf();
    let mut canaries = Canaries::new();
    let (number, text) = (canaries.plant("number"), canaries.plant("text"));
    let body = format!(r#"{{"text":"{text}","mrn":"{number}"}}"#);
    let stored = shelf.write(Request::post("/patients", &body));
    let alone = stored.split(",\"mrn\"").next().unwrap().to_owned() + "}";
    let read = shelf.read(&format!("/patients/{number}"), &alone);
    assert_eq!(read.text(), format!(r#"{{"text":"{text}"}}"#));
    assert_eq!(code(&shelf.read("/patients/another", &alone)), Some("LS501"));
    canaries.assert_none("upstream", &shelf.front.fake.received());
}

#[test]
fn a_json_record_without_its_key_is_not_written() {
    let shelf = shelf();
    let (canary, canaries) = canary();
    for (body, expected) in [
        (format!(r#"[{{"id":1,"text":"x"}},{{"text":"{canary}"}}]"#), "LS116"),
        (format!(r#"[{{"id":null,"text":"{canary}"}}]"#), "LS116"),
        (format!(r#"[{{"id":1,"id":2,"text":"{canary}"}}]"#), "LS102"),
        (format!(r#"[{{"id":"one","text":"{canary}"}}]"#), "LS420"),
        (format!(r#"[{{"replies":[{{"text":"{canary}"}}]}}]"#), "LS116"),
    ] {
        let answer = shelf.front.send("lims", Request::post("/notes", &body));
        assert_eq!(code(&answer), Some(expected), "{body}: {}", answer.text());
        canaries.assert_none("refusal", &answer.raw);
    }
    let word = Request::new("PUT", "/notes/one").json(&format!(r#"{{"text":"{canary}"}}"#));
    assert_eq!(code(&shelf.front.send("lims", word)), Some("LS420"));
    canaries.assert_none("upstream", &shelf.front.fake.received());
    // What is not read ahead is not read at all.
    for (kind, body) in [
        ("text/csv", format!("id,text\n1,{canary}\n")),
        ("application/x-www-form-urlencoded", format!("id=1&text={canary}")),
        ("application/x-ndjson", format!("{{\"text\":\"{canary}\"}}\n")),
    ] {
        let request = Request::new("POST", "/notes").header("Content-Type", kind);
        let answer = shelf.front.send("lims", request.body(body.as_bytes()));
        assert!(matches!(code(&answer), Some("LS116" | "LS410")), "{kind}: {}", answer.text());
    }
    let change = Request::new("PUT", "/notes/1").header("Content-Type", "text/csv");
    let answer = shelf.front.send("lims", change.body(format!("text\n{canary}\n").as_bytes()));
    assert_eq!(code(&answer), Some("LS410"));
    canaries.assert_none("upstream", &shelf.front.fake.received());
    let lines = "{\"id\":1,\"text\":\"a\"}\n{\"text\":\"b\",\"id\":2}\n";
    let ndjson = Request::new("POST", "/notes").header("Content-Type", "application/x-ndjson");
    let stored = shelf.write(ndjson.body(lines.as_bytes()));
    let list = format!("[{}]", stored.trim_end().replace('\n', ","));
    let plain = format!("[{}]", lines.trim_end().replace('\n', ","));
    assert_eq!(shelf.read("/notes", &list).text(), plain);
    // A record without a bound value needs no key.
    assert_eq!(shelf.write(Request::post("/notes", r#"[{"text":null}]"#)), r#"[{"text":null}]"#);
}
