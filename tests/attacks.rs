//! What somebody who holds the database, its API, a backup or a caller's account might try.

mod kit;

use std::sync::{Arc, Mutex};

use kit::{
    Act, Answer, Canaries, Front, Request, Stand, assert_refused, fake,
    front::{canary, quiet},
    http::Message,
    policy,
    script::enc,
};

/// The first envelope of a mode in some bytes.
fn envelope(bytes: &[u8], mode: char) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let start = text.find(&format!("ls1{mode}")).unwrap_or_else(|| panic!("none in {text}"));
    let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '_';
    text[start..].chars().take_while(is_part).collect()
}

/// An upstream whose answers a test sets as it goes.
fn scripted() -> (Arc<Front>, Arc<Mutex<Vec<u8>>>) {
    let next = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&next);
    let reply = move |request: &Message| match kept.lock().unwrap().clone() {
        bytes if bytes.is_empty() => quiet(request),
        bytes => vec![Act::Send(bytes)],
    };
    (Arc::new(Front::with(policy::LAB, reply)), next)
}

/// Has labseal seal a patient and steals what is stored: record number, name, notes.
fn stolen(front: &Front, value: &str) -> [String; 3] {
    let body = format!(r#"{{"mrn":"{value}","last_name":"{value}","notes":"{value}"}}"#);
    assert_eq!(front.send("lims", Request::post("/patients?stolen", &body)).status, 201);
    let got = front.got("/patients?stolen").pop().unwrap().body;
    ['d', 's', 'r'].map(|mode| envelope(&got, mode))
}

#[test]
fn plaintext_cannot_be_written_through_an_updatable_view() {
    let stand = Stand::start();
    let (canary, canaries) = canary();
    stand.lims(Request::post("/patients", r#"{"mrn":"M1","last_name":"A"}"#));
    let before = stand.sql("select * from lab.patients");
    let body = format!(r#"{{"surname":"{canary}"}}"#);
    for request in [
        Request::patch("/roster?id=eq.1", &body),
        Request::post("/roster", &body),
        Request::new("PUT", "/roster?id=eq.1").json(&body),
    ] {
        assert_refused(&stand.send("lims", request), "LS204", &canaries);
    }
    assert_eq!(stand.sql("select * from lab.patients"), before);
    canaries.assert_none("PostgREST", &stand.tee.received());
}

#[test]
fn undeclared_functions_get_no_plaintext_by_post_or_get() {
    let stand = Stand::start();
    let (canary, canaries) = canary();
    for request in [
        Request::post("/rpc/rename_patient", &format!(r#"{{"who":1,"last_name":"{canary}"}}"#)),
        Request::post("/rpc/find_patient", &format!(r#"{{"mrn":"{canary}"}}"#)),
        Request::get(&format!("/rpc/find_patient?mrn={canary}")),
    ] {
        assert_refused(&stand.send("lims", request), "LS205", &canaries);
    }
    canaries.assert_none("PostgREST", &stand.tee.received());
}

#[test]
fn a_view_answers_by_class_and_cannot_be_probed() {
    let stand = Stand::start();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"{canary}","last_name":"{canary}"}}"#);
    stand.lims(Request::post("/patients", &body));
    let read = |caller| stand.send(caller, Request::get("/roster?select=mrn,surname")).text();
    assert_eq!(read("lims"), format!(r#"[{{"mrn":"{canary}","surname":"{canary}"}}]"#));
    let masked = format!(r#"[{{"mrn":"{canary}","surname":"Q••••"}}]"#);
    assert_eq!(read("billing"), masked);
    canaries.assert_none("blind caller", read("blind").as_bytes());
    // Who is denied a class gets not even its envelopes, by whatever name they come.
    let denied = format!(r#"[{{"mrn":"{canary}","surname":null}}]"#);
    assert_eq!(read("writer"), denied);
    assert!(read("archivist").contains(r#""surname":"ls1s"#));
    let probe = Request::get(&format!("/roster?mrn=eq.{canary}"));
    assert_refused(&stand.send("lims", probe), "LS207", &canaries);
    canaries.assert_none("PostgREST", &stand.tee.received());
}

/// Nothing of the value, nothing of the envelope, but a word where it stood.
fn assert_withheld(answer: &Answer, envelopes: &[String], canaries: &Canaries) {
    canaries.assert_none("answer", &answer.raw);
    let text = String::from_utf8_lossy(&answer.raw).into_owned();
    for envelope in envelopes {
        assert!(!text.contains(&envelope[..20]), "{text}");
    }
}

#[test]
fn an_envelope_from_a_backup_is_not_opened_by_having_an_error_echo_it() {
    let (front, next) = scripted();
    let (canary, canaries) = canary();
    let stolen = stolen(&front, &canary);
    for envelope in &stolen {
        let bodies = [
            format!(
                r#"{{"code":"22P02","message":"invalid input: \"{envelope}\"","details":"{envelope}","hint":null}}"#
            ),
            format!(
                r#"{{"code":"XX","message":"cut {}","details":null,"hint":null}}"#,
                &envelope[..envelope.len().min(64)]
            ),
        ];
        for body in bodies {
            let kind = [("Content-Type", "application/json; charset=utf-8")];
            *next.lock().unwrap() = fake::answer("400 Bad Request", &kind, body.as_bytes());
            let answer = front.send("lims", Request::get("/patients?ward=eq.A"));
            assert_eq!(answer.status, 400);
            assert!(answer.text().contains("[sealed]"), "{}", answer.text());
            assert_withheld(&answer, &stolen, &canaries);
        }
        let text = [("Content-Type", "text/plain")];
        *next.lock().unwrap() =
            fake::answer("500 Oops", &text, format!("x {envelope} y").as_bytes());
        let answer = front.send("lims", Request::get("/patients?ward=eq.A"));
        assert_eq!(answer.text(), "x [sealed] y");
    }
}

#[test]
fn an_envelope_from_a_backup_is_not_opened_by_having_a_header_echo_it() {
    let (front, next) = scripted();
    let (canary, canaries) = canary();
    let stolen = stolen(&front, &canary);
    for envelope in &stolen {
        for header in ["Location", "Content-Location", "X-Debug", "Link"] {
            let value = format!("/patients?mrn=eq.{envelope}");
            let headers = [("Content-Type", "application/json"), (header, &*value)];
            *next.lock().unwrap() = fake::answer("201 Created", &headers, b"");
            let body = r#"{"mrn":"M1","ward":"A"}"#;
            let answer = front.send("lims", Request::post("/patients", body));
            assert_withheld(&answer, &stolen, &canaries);
        }
    }
}

#[test]
fn an_envelope_cannot_be_sent_anywhere_but_to_its_field() {
    let front = Front::start();
    let (canary, canaries) = canary();
    for e in stolen(&front, &canary) {
        let escaped: String = e.bytes().map(|b| format!("\\u{b:04x}")).collect();
        let percent: String = e.bytes().map(|b| format!("%{b:02x}")).collect();
        let strays = [
            Request::post("/patients", &format!(r#"{{"mrn":"M1","ward":"{e}"}}"#)),
            Request::post("/patients", &format!(r#"{{"mrn":"M1","ward":"{escaped}"}}"#)),
            Request::post("/patients", &format!(r#"{{"mrn":"M1","ward":"see {e}."}}"#)),
            Request::post("/patients", &format!(r#"{{"mrn":"M1","{e}":1}}"#)),
            Request::post("/patients", &format!(r#"{{"mrn":"M1","deep":[{{"x":["{e}"]}}]}}"#)),
            Request::post("/wards", &format!(r#"{{"code":"A","title":"{e}"}}"#)),
            Request::get(&format!("/patients?ward=eq.{e}")),
            Request::get(&format!("/patients?ward=eq.{percent}")),
            Request::get(&format!("/patients?select=id,{e}:ward")),
            Request::get(&format!("/wards?title=eq.{e}")),
            Request::get(&format!("/{e}")),
            Request::get("/patients?select=id").header("X-Note", &e),
        ];
        let before = front.fake.requests().len();
        for request in strays {
            for caller in ["lims", "archivist"] {
                front.refuse(caller, request.clone(), "LS103", &canaries);
            }
        }
        assert_eq!(front.fake.requests().len(), before);
    }
}

#[test]
fn an_envelope_cannot_be_put_into_a_field_of_another_class() {
    let front = Front::start();
    let (canary, canaries) = canary();
    let [number, name, note] = stolen(&front, &canary);
    let before = front.fake.requests().len();
    for (field, envelope) in
        [("notes", &number), ("last_name", &number), ("first_name", &name), ("birth_date", &note)]
    {
        let body = format!(r#"{{"mrn":"M1","{field}":"{envelope}"}}"#);
        front.refuse("archivist", Request::post("/patients", &body), "LS301", &canaries);
    }
    // Nor into its own, by a caller who never reads envelopes, or once it was altered.
    let body = format!(r#"{{"mrn":"M1","notes":"{note}"}}"#);
    front.refuse("lims", Request::post("/patients", &body), "LS301", &canaries);
    let last = if note.ends_with('A') { "Q" } else { "A" };
    let altered = format!("{}{last}", &note[..note.len() - 1]);
    let body = format!(r#"{{"mrn":"M1","notes":"{altered}"}}"#);
    front.refuse("archivist", Request::post("/patients", &body), "LS301", &canaries);
    assert_eq!(front.fake.requests().len(), before);
}

#[test]
fn a_stored_envelope_moved_to_another_class_does_not_open() {
    let stand = Stand::start();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"{canary}","last_name":"{canary}","notes":"{canary}"}}"#);
    stand.lims(Request::post("/patients", &body));
    for swap in ["notes = mrn", "birth_date = notes", "first_name = last_name"] {
        stand.sql(&format!("update lab.patients set {swap}"));
        let answer =
            stand.send("lims", Request::get("/patients?select=notes,birth_date,first_name"));
        assert_refused(&answer, "LS501", &canaries);
        stand.sql("update lab.patients set notes = null, birth_date = null, first_name = null");
        stand.lims(Request::patch("/patients?id=eq.1", &format!(r#"{{"notes":"{canary}"}}"#)));
    }
}

#[test]
fn junk_of_the_right_shape_is_text_like_any_other() {
    let stand = Stand::start();
    let junk = [
        format!("ls1r{}", "A".repeat(64)),
        format!("ls1d{}", "b".repeat(80)),
        format!("ls1s2{}{}", "a2".repeat(12), "c".repeat(64)),
        "ls1r".to_owned(),
        "ls1x-not-a-mode".to_owned(),
    ];
    for (n, junk) in junk.iter().enumerate() {
        let body =
            format!(r#"{{"mrn":"J{n}","ward":"{junk}","notes":"{junk}","last_name":"{junk}"}}"#);
        let answer =
            stand.lims(Request::post("/patients?select=ward,notes,last_name", &body).returning());
        let same = format!(r#"[{{"ward":"{junk}","notes":"{junk}","last_name":"{junk}"}}]"#);
        assert_eq!(answer.text(), same);
        let found = stand.lims(Request::get(&format!(
            "/patients?last_name=eq.{}&select=ward,notes,last_name",
            enc(junk)
        )));
        assert_eq!(found.text(), same);
    }
    let stored = stand.direct.database.column("lab.patients", "notes");
    assert!(stored.iter().all(|text| !junk.contains(text)), "{stored:?}");
    assert_eq!(stand.direct.database.column("lab.patients", "ward").len(), junk.len());
}

#[test]
fn the_key_of_a_caller_never_reaches_upstream() {
    let front = Front::start();
    let mut canaries = Canaries::new();
    for caller in ["lims", "billing"] {
        canaries.adopt(caller, front.labseal.key(caller));
        front.send(caller, Request::get("/patients?select=id"));
        front.send(caller, Request::post("/wards", r#"{"code":"A"}"#));
        let key = front.labseal.key(caller).to_owned();
        Request::get("/patients")
            .header("x-api-key", &key)
            .header("X-API-KEY", &key)
            .send(front.labseal.address());
    }
    assert!(!front.fake.requests().is_empty());
    canaries.assert_none("upstream", &front.fake.received());
    let received = String::from_utf8_lossy(&front.fake.received()).to_lowercase();
    assert!(!received.contains("x-api-key"), "{received}");
}

#[test]
fn a_key_that_upstream_got_from_elsewhere_does_not_open_there() {
    // Whoever holds the API sees envelopes alone, with whatever headers.
    let stand = Stand::start();
    let (canary, canaries) = canary();
    stand.lims(Request::post("/patients", &format!(r#"{{"mrn":"{canary}"}}"#)));
    let replayed =
        Request::get("/patients").key(stand.labseal.key("lims")).send(stand.direct.address());
    assert_eq!(replayed.status, 200);
    canaries.assert_none("PostgREST's answer", &replayed.raw);
}
