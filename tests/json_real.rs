//! The plain JSON dialect in front of Kinto, an API that nobody here wrote: records in an envelope
//! of their own, ETags and preconditions, pages by absolute links, tests with operators in their
//! names. The same client runs direct and through labseal, and gets the same.

mod kit;

use kit::{
    Answer, Canaries, Labseal, Postgres, Request,
    kinto::{ACCOUNT, Kinto},
    labseal::Setup,
    script::enc,
    tee::Tee,
};
use serde_json::{Value, json};

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:  {id: c-mrn, mode: deterministic, type: text, mask: {keep_last: 2}}
  name: {id: c-name, mode: deterministic, type: text, mask: {keep_first: 1}}
  note: {id: c-note, mode: random, type: text, mask: {null: true}}
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
      - match: "GET /v1/buckets/lab/collections/patients/records"
        query: {name: name}
        may_name: [_fields]
        fields: {"$.data[*].id": {class: mrn}, "$.data[*].name": {class: name}, "$.data[*].note": {class: note}, "$.data[*].contacts[*].phone": {class: note}}
      - match: "DELETE /v1/buckets/lab/collections/patients/records"
        query: {name: name}
        fields: {"$.data[*].id": {class: mrn}}
      - match: "POST /v1/buckets/lab/collections/patients/records"
        fields: {"$.data.id": {class: mrn}, "$.data.name": {class: name}, "$.data.note": {class: note}, "$.data.contacts[*].phone": {class: note}}
      - match: "GET /v1/buckets/lab/collections/patients/records/{id}"
        path: {id: mrn}
        fields: {"$.data.id": {class: mrn}, "$.data.name": {class: name}, "$.data.note": {class: note}, "$.data.contacts[*].phone": {class: note}}
      - match: "PUT /v1/buckets/lab/collections/patients/records/{id}"
        path: {id: mrn}
        fields: {"$.data.id": {class: mrn}, "$.data.name": {class: name}, "$.data.note": {class: note}, "$.data.contacts[*].phone": {class: note}}
      - match: "PATCH /v1/buckets/lab/collections/patients/records/{id}"
        path: {id: mrn}
        fields: {"$.data.id": {class: mrn}, "$.data.name": {class: name}, "$.data.note": {class: note}, "$.data.contacts[*].phone": {class: note}}
      - match: "DELETE /v1/buckets/lab/collections/patients/records/{id}"
        path: {id: mrn}
        fields: {"$.data.id": {class: mrn}}
      - match: "GET /v1/buckets/lab/collections/readings/records"
        fields: {"$.data[*].value": {class: doc}}
      - match: "POST /v1/buckets/lab/collections/readings/records"
        fields: {"$.data.value": {class: doc}}
"#;

const PATIENTS: &str = "/v1/buckets/lab/collections/patients/records";
const READINGS: &str = "/v1/buckets/lab/collections/readings/records";

struct Real {
    labseal: Labseal,
    tee: Tee,
    kinto: Kinto,
    database: kit::Database,
}

impl Real {
    fn start() -> Self {
        let database = Postgres::shared().database("");
        let kinto = Kinto::start(&database);
        let tee = Tee::start(kinto.address());
        let labseal = Setup::new(POLICY, tee.address()).start();
        Self { labseal, tee, kinto, database }
    }

    fn send(&self, caller: &str, request: Request) -> Answer {
        let request = request.header("Authorization", ACCOUNT);
        request.key(self.labseal.key(caller)).send(self.labseal.address())
    }

    fn lims(&self, request: Request) -> Answer {
        let answer = self.send("lims", request);
        assert!((200..300).contains(&answer.status), "{}: {}", answer.start, answer.text());
        answer
    }
}

/// A JSON text without the times in it, which no two servers share.
fn timeless(answer: &Answer) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.remove("last_modified");
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
        }
    }
    if answer.body.is_empty() {
        return Value::Null;
    }
    let mut value = answer.json();
    strip(&mut value);
    value
}

/// Refused in the shape of the dialect, with this code.
fn assert_refused(answer: &Answer, code: &str) {
    assert_eq!(answer.header("Labseal-Error"), Some(code), "{}: {}", answer.start, answer.text());
    assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
    assert_eq!(answer.json()["code"], code);
}

/// One after the other: a name, the status that Kinto gives by itself, and the request.
type Step = (&'static str, u16, Request);

fn script(canaries: &mut Canaries) -> Vec<Step> {
    // Kinto takes letters, digits, - and _ in an id.
    let mrn = |c: &mut Canaries, n: u8| format!("M{n}-{}", c.plant(&format!("mrn {n}")));
    let [m1, m2, m3] = [1, 2, 3].map(|n| mrn(canaries, n));
    let name = format!("Åström \"{}\"", canaries.plant("name"));
    let other = format!("O'Neil {}", canaries.plant("other name"));
    let (note, phone) = (canaries.plant("note"), canaries.plant("phone"));
    let contacts = json!([{"phone": phone, "kind": "home"}, {"kind": "none"}, {"phone": null}]);
    let record = |id: &str, name: &str, ward: &str| {
        let note = format!("line\n{note}");
        json!({"data": {"id": id, "name": name, "note": note, "ward": ward, "contacts": contacts}})
    };
    let one = |id: &str| format!("{PATIENTS}/{id}");
    let put = |id: &str, body: &Value| Request::new("PUT", &one(id)).json(&body.to_string());
    let get = |query: &str| Request::get(&format!("{PATIENTS}{query}"));
    let named = enc(&name);
    let renamed = json!({"data": {"name": other, "ward": "C"}}).to_string();
    vec![
        ("create", 201, Request::post(PATIENTS, &record(&m1, &name, "A").to_string())),
        ("create by put", 201, put(&m2, &record(&m2, &other, "B"))),
        ("create once only", 201, put(&m3, &record(&m3, &name, "A")).header("If-None-Match", "*")),
        ("create again", 200, Request::post(PATIENTS, &record(&m1, &name, "A").to_string())),
        ("read one", 200, Request::get(&one(&m1))),
        ("read none", 404, Request::get(&one("nobody"))),
        ("read all", 200, get("?_sort=ward,last_modified")),
        ("read by name", 200, get(&format!("?name={named}&_sort=last_modified"))),
        ("read by name and ward", 200, get(&format!("?ward=B&name={}", enc(&other)))),
        ("read by nothing", 200, get("?name=Nobody")),
        ("read some members", 200, get("?_fields=name,ward&_sort=last_modified")),
        ("count", 200, Request::new("HEAD", &format!("{PATIENTS}?name={named}"))),
        ("patch", 200, Request::patch(&one(&m2), &renamed)),
        (
            "patch what is not known",
            412,
            Request::patch(&one(&m2), &renamed).header("If-Match", "\"1\""),
        ),
        ("put what is there", 200, put(&m2, &record(&m2, &name, "D"))),
        ("an envelope that is wrong", 400, Request::post(PATIENTS, r#"{"data":{},"odd":1}"#)),
        ("a filter that is wrong", 400, get("?_since=abc")),
        ("delete", 200, Request::delete(&one(&m3))),
        ("delete again", 404, Request::delete(&one(&m3))),
        ("delete by name", 200, Request::delete(&format!("{PATIENTS}?name={named}"))),
        ("what is left", 200, get("?_sort=last_modified")),
    ]
}

/// What an error repeats of a stored record stays sealed, unless it was written just now.
fn blotted(value: Value, canaries: &Canaries) -> Value {
    let has = |text: &str| !canaries.search("text", text.as_bytes()).is_empty();
    match value {
        Value::String(text) if text == "[sealed]" || has(&text) => Value::from("*"),
        Value::Array(items) => items.into_iter().map(|item| blotted(item, canaries)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, member)| (name, blotted(member, canaries))).collect()
        }
        other => other,
    }
}

#[test]
fn a_client_of_kinto_gets_the_same_through_labseal_and_kinto_gets_nothing() {
    let real = Real::start();
    let direct = Kinto::start(&Postgres::shared().database(""));
    let mut canaries = Canaries::new();
    let steps = script(&mut canaries);
    assert!(steps.len() > 20);
    for (name, status, request) in steps {
        let plain = direct.send(request.clone());
        let answer = real.send("lims", request);
        assert_eq!(plain.status, status, "{name}, direct: {}", plain.text());
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        let (mut got, mut expected) = (timeless(&answer), timeless(&plain));
        if status == 412 {
            (got, expected) = (blotted(got, &canaries), blotted(expected, &canaries));
        }
        assert_eq!(got, expected, "{name}");
        for header in ["ETag", "Last-Modified", "Total-Objects", "Content-Type"] {
            let present = |answer: &Answer| answer.header(header).map(|_| ());
            assert_eq!(present(&answer), present(&plain), "{name}: {header}");
        }
        assert_eq!(answer.header("Total-Objects"), plain.header("Total-Objects"), "{name}");
    }
    assert!(canaries.count() >= 7);
    canaries.assert_none("Kinto", &real.tee.received());
    canaries.assert_none("the database", &real.database.dump());
    canaries.assert_none("labseal's log", real.labseal.log().as_bytes());
    canaries.assert_none("metrics", real.labseal.metrics().as_bytes());
    assert_eq!(canaries.search_folder(&real.labseal.audit(), 1), []);
}

#[test]
fn preconditions_are_kept_by_the_etags_that_were_given_out() {
    let real = Real::start();
    let target = format!("{PATIENTS}/M1");
    let body = |name: &str| json!({"data": {"name": name}}).to_string();
    real.lims(Request::new("PUT", &target).json(&body("first")));
    let read = real.lims(Request::get(&target));
    let etag = read.header("ETag").expect("an ETag").to_owned();
    let unchanged = real.send("lims", Request::get(&target).header("If-None-Match", &etag));
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let changed = real.lims(Request::patch(&target, &body("second")).header("If-Match", &etag));
    assert_eq!(changed.json()["data"]["name"], "second");
    let late = real.send("lims", Request::patch(&target, &body("third")).header("If-Match", &etag));
    assert_eq!(late.status, 412);
    // It was written by another exchange. What this one wrote is put back.
    assert_eq!(late.json()["details"]["existing"]["name"], "[sealed]");
    let same = Request::patch(&target, &body("second")).header("If-Match", &etag);
    let late = real.send("lims", same);
    assert_eq!(late.status, 412);
    assert_eq!(late.json()["details"]["existing"]["name"], "second");
    assert_eq!(real.lims(Request::get(&target)).json()["data"]["name"], "second");
}

#[test]
fn pages_are_walked_by_the_links_of_the_api() {
    let real = Real::start();
    let (canary, mut canaries) = kit::front::canary();
    let name = format!("Ny & {canary}");
    for n in 0..5 {
        let body = json!({"data": {"id": format!("M{n}"), "name": name, "ward": "A"}}).to_string();
        real.lims(Request::post(PATIENTS, &body));
        canaries.adopt(&format!("link {n}"), &canary);
    }
    let mut next = Some(format!("{PATIENTS}?name={}&_sort=last_modified&_limit=2", enc(&name)));
    let (mut pages, mut seen) = (0, Vec::new());
    while let Some(target) = next {
        let page = real.lims(Request::get(&target));
        let records = page.json()["data"].as_array().cloned().unwrap();
        assert!(records.iter().all(|record| record["name"] == *name), "{records:?}");
        seen.extend(records.into_iter().map(|record| record["id"].as_str().unwrap().to_owned()));
        next = page.header("Next-Page").map(|link| {
            assert!(!link.contains("ls1"), "{link}");
            let link = link.strip_prefix("http://lab.local").expect("the host that was asked");
            assert!(link.contains(&*canary), "{link}");
            link.to_owned()
        });
        pages += 1;
    }
    assert_eq!((pages, seen.len()), (3, 5));
    assert_eq!(seen, ["M0", "M1", "M2", "M3", "M4"]);
    canaries.assert_none("Kinto", &real.tee.received());
}

#[test]
fn what_could_carry_a_value_past_the_policy_is_refused() {
    let real = Real::start();
    let (canary, canaries) = kit::front::canary();
    let list = |query: &str| Request::get(&format!("{PATIENTS}?{query}"));
    let batch = json!({"requests": [{"method": "POST", "path": PATIENTS,
        "body": {"data": {"name": canary}}}]});
    let change = json!([{"op": "replace", "path": "/data/name", "value": canary}]).to_string();
    let patch = Request::new("PATCH", &format!("{PATIENTS}/M1"));
    let cases = [
        // Kinto's operators stand before the name.
        ("LS100", list(&format!("like_name={canary}"))),
        ("LS100", list(&format!("min_name={canary}"))),
        ("LS100", list(&format!("in_name={canary},b"))),
        ("LS100", list(&format!("exclude_name={canary}"))),
        ("LS100", list(&format!("not_name={canary}"))),
        ("LS207", list(&format!("gt_note={canary}"))),
        ("LS207", list(&format!("contains_any_contacts.phone={canary}"))),
        ("LS204", Request::post("/v1/batch", &batch.to_string())),
        ("LS204", Request::post("/v1/buckets/lab/collections", &batch.to_string())),
        ("LS410", patch.clone().header("Content-Type", "application/xml").body(b"<name/>")),
        ("LS113", Request::post(PATIENTS, &json!({"data": {"Name": canary}}).to_string())),
        ("LS100", Request::get(&format!("{PATIENTS}/{canary}/attachment"))),
    ];
    let count = cases.len();
    for (code, request) in cases {
        let answer = real.send("lims", request);
        assert_refused(&answer, code);
        canaries.assert_none("refusal", &answer.raw);
    }
    assert_eq!(count, 12);
    // A list of changes is either understood or refused; it never goes up as it is.
    let patch = patch.header("Content-Type", "application/json-patch+json");
    let answer = real.send("lims", patch.body(change.as_bytes()));
    assert!(answer.status >= 400, "{}", answer.text());
    canaries.assert_none("Kinto", &real.tee.received());
}

#[test]
fn callers_who_may_not_see_get_masks_from_lists_and_records() {
    let real = Real::start();
    let (canary, canaries) = kit::front::canary();
    let body = json!({"data": {"id": format!("M-{canary}42"), "name": format!("Svensson {canary}"),
        "note": canary, "contacts": [{"phone": canary}]}});
    real.lims(Request::post(PATIENTS, &body.to_string()));
    let seen = real.send("billing", Request::get(PATIENTS));
    let record = &seen.json()["data"][0];
    assert_eq!(record["id"], "••••42");
    assert_eq!(record["name"], "S••••");
    assert_eq!((&record["note"], &record["contacts"][0]["phone"]), (&Value::Null, &Value::Null));
    canaries.assert_none("billing", &seen.raw);
    let probe = real.send("billing", Request::get(&format!("{PATIENTS}?name=Svensson")));
    assert_refused(&probe, "LS202");
    assert_refused(&real.send("billing", Request::post(PATIENTS, &body.to_string())), "LS203");
}

#[test]
fn json_values_of_any_kind_come_back_as_they_were_written() {
    let real = Real::start();
    let (canary, canaries) = kit::front::canary();
    let values = [
        json!(1.5),
        json!(canary),
        json!([1, {"a": canary}]),
        json!({"text": "å\u{1F642}\n", "deep": {"er": [null, true]}}),
        json!(false),
        json!(""),
    ];
    for value in &values {
        let body = json!({"data": {"value": value, "unit": "g"}}).to_string();
        let created = real.lims(Request::post(READINGS, &body));
        assert_eq!(created.json()["data"]["value"], *value);
    }
    let all = real.lims(Request::get(&format!("{READINGS}?_sort=last_modified"))).json();
    let read: Vec<_> = all["data"].as_array().unwrap().iter().map(|one| &one["value"]).collect();
    assert_eq!(read, values.iter().collect::<Vec<_>>());
    canaries.assert_none("Kinto", &real.tee.received());
    let sealed = "select count(*) from objects where data->>'value' like 'ls1r%'";
    assert_eq!(real.database.sql(sealed), format!("{}\n", values.len()));
}

#[test]
fn kinto_itself_is_what_it_is_taken_for() {
    let real = Real::start();
    assert_eq!(real.kinto.send(Request::get("/v1/")).json()["project_name"], "kinto");
    let version = real.kinto.send(Request::get("/v1/")).json()["project_version"].clone();
    assert_eq!(version, "26.5.0");
}
