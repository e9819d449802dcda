//! The ways in which other products were found to fail open, each held against this one. Those that
//! have a refusal of their own are in `refusals.rs` and `limits.rs` under their code.

mod kit;

use std::sync::Mutex;

use kit::{
    Act, Front, Request, Stand, fake,
    front::{all_refused, canary, post},
    policy,
};

#[test]
fn upsert_merge_path_stores_no_plaintext() {
    let stand = Stand::start();
    let (canary, canaries) = canary();
    for last_name in ["first", &canary] {
        let body = format!(r#"[{{"mrn":"M1","last_name":"{last_name}"}}]"#);
        let upsert = Request::post("/patients?on_conflict=mrn", &body);
        stand.lims(upsert.header("Prefer", "resolution=merge-duplicates"));
    }
    assert_eq!(stand.sql("select count(*) from lab.patients"), "1\n");
    let read = stand.lims(Request::get("/patients?mrn=eq.M1&select=last_name"));
    assert_eq!(read.text(), format!(r#"[{{"last_name":"{canary}"}}]"#));
    canaries.assert_none("database", &stand.direct.database.dump());
    canaries.assert_none("PostgREST", &stand.tee.received());
}

#[test]
fn partial_content_206_is_never_asked_for_by_bytes() {
    let front = Front::start();
    let request = Request::get("/patients?select=id");
    let request = request.header("Range", "bytes=0-10").header("If-Range", "\"x\"");
    assert_eq!(front.send("lims", request).status, 200);
    let got = front.got("/patients").pop().unwrap();
    assert_eq!((got.header("range"), got.header("if-range")), (None, None));
}

#[test]
fn cached_answers_and_304_cannot_cross_from_one_caller_to_another() {
    let last = Mutex::new(Vec::new());
    let front = Front::with(policy::LAB, move |request| {
        if request.start.starts_with("POST ") {
            *last.lock().unwrap() = request.body.clone();
        }
        let headers = [
            ("Content-Type", "application/json"),
            ("Cache-Control", "public, max-age=600"),
            ("Accept-Ranges", "bytes"),
        ];
        vec![Act::Send(fake::answer("200 OK", &headers, &last.lock().unwrap()))]
    });
    front.send("lims", Request::post("/patients", r#"{"mrn":"M1","last_name":"Lindqvist"}"#));
    for (caller, name) in [("lims", "Lindqvist"), ("billing", "L••••")] {
        let answer = front.send(caller, Request::get("/patients"));
        assert_eq!(answer.json()["last_name"], name);
        assert_eq!(answer.values("cache-control"), ["private, no-store"]);
        assert_eq!(answer.header("accept-ranges"), None);
    }
}

#[test]
fn no_option_of_a_session_disables_protection() {
    let front = Front::start();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"{canary}"}}"#);
    for (name, value) in [
        ("X-Labseal-Bypass", "true"),
        ("X-Labseal-Disable", "1"),
        ("Labseal-Mode", "pass"),
        ("Prefer", "tx=rollback, labseal=off"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Client-Cert", "URI=spiffe://lab.local/mesh"),
        ("X-Remote-User", "lims"),
    ] {
        let write = Request::post("/patients", &body).header(name, value);
        assert_eq!(front.send("lims", write.clone()).status, 201);
        let answer = write.send(front.labseal.address());
        assert!([401, 403].contains(&answer.status), "{name}: {}", answer.start);
    }
    canaries.assert_none("upstream", &front.fake.received());
}

#[test]
fn a_content_type_with_odd_charset_or_json_suffix_is_never_passed_in_clear() {
    let front = Front::shared();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"{canary}"}}"#);
    for kind in [
        "application/vnd.pgrst.object+json",
        "application/problem+json",
        "APPLICATION/JSON",
        "application/json;charset=UTF8",
        "application/json; charset=\"utf-8\"",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json;",
        " application/json",
        "application/json-patch+json",
        "application/merge-patch+json",
    ] {
        let request = Request::new("POST", "/patients").header("Content-Type", kind);
        let answer = front.send("lims", request.body(body.as_bytes()));
        let right = answer.status == 201 || answer.header("Labseal-Error") == Some("LS410");
        assert!(right, "{kind}: {} {}", answer.start, answer.text());
        canaries.assert_none("upstream", &front.fake.received());
    }
    // Without any, PostgREST takes it for JSON.
    let answer = front.send("lims", Request::new("POST", "/patients").body(body.as_bytes()));
    assert!([201, 415].contains(&answer.status), "{}", answer.start);
    canaries.assert_none("upstream", &front.fake.received());
}

#[test]
fn http_2_upgrade_and_websocket_are_not_passed_through() {
    let asking = |c: &str, protocol| {
        let request = post("/patients", format!(r#"{{"mrn":"{c}"}}"#)).1;
        let request = request.header("Connection", "Upgrade, HTTP2-Settings");
        request.header("Upgrade", protocol).header("HTTP2-Settings", "AAMAAABk")
    };
    all_refused("LS109", |c| ["irc/2", "websocket"].map(|p| ("lims", asking(c, p))).to_vec());
    // Clients offer this one by themselves, and go on as before if nobody takes it up.
    let front = Front::start();
    let (canary, canaries) = canary();
    assert_eq!(front.send("lims", asking(&canary, "h2c")).status, 201);
    assert!(front.fake.requests().iter().all(|request| request.header("upgrade").is_none()));
    canaries.assert_none("upstream", &front.fake.received());
}

#[test]
fn prefer_params_single_object_hands_no_plaintext_to_a_function() {
    all_refused("LS205", |c| {
        let call = post("/rpc/find_patient", format!(r#"{{"mrn":"{c}"}}"#)).1;
        vec![("lims", call.header("Prefer", "params=single-object"))]
    });
}

#[test]
fn a_body_where_none_belongs_is_not_passed_in_clear() {
    all_refused("LS112", |c| {
        let body = format!(r#"{{"mrn":"{c}"}}"#);
        vec![
            ("lims", Request::get("/patients").json(&body)),
            ("lims", Request::get("/wards").json(&body)),
            ("lims", Request::delete("/patients?id=eq.1").json(&body)),
        ]
    });
}

#[test]
fn an_answer_that_redirects_past_the_sidecar_is_not_followed() {
    let headers = [("Location", "http://127.0.0.1:1/patients")];
    let answer = fake::answer("307 Temporary Redirect", &headers, b"");
    let front = Front::with(policy::LAB, move |_| vec![Act::Send(answer.clone())]);
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"{canary}"}}"#);
    assert_eq!(front.send("lims", Request::post("/patients", &body)).status, 307);
    assert_eq!(front.fake.requests().len(), 1);
    canaries.assert_none("upstream", &front.fake.received());
}

/// Others bind a value to nothing, so that a ciphertext copied from one row to another opens there.
#[test]
fn no_context_binding_lets_no_ciphertext_move_between_records_that_have_a_key() {
    let results = "lab.results: {";
    let key = format!("{results}bind: {{key: id, type: integer}}, ");
    let bound = policy::LAB.replace(results, &key);
    assert_ne!(bound, policy::LAB);
    let stand = Stand::with(&kit::Postgres::shared(), &bound);
    stand.lims(Request::post("/patients", r#"{"mrn":"M1"}"#));
    stand.lims(Request::post("/orders", r#"{"id":1,"mrn":"M1","code":"HIV"}"#));
    let results = r#"[{"id":1,"order_id":1,"analyte":"HIV","value":"positive"},
        {"id":2,"order_id":1,"analyte":"Na","value":"140"}]"#;
    stand.lims(Request::post("/results", results));
    let read = stand.lims(Request::get("/results?select=value&order=id"));
    assert!(read.text().contains("positive") && read.text().contains("140"));
    stand.sql("update lab.results set value = (select value from lab.results where id = 1)");
    let read = stand.send("lims", Request::get("/results?select=value&id=eq.2"));
    assert_eq!((read.status, read.header("Labseal-Error")), (502, Some("LS501")));
    assert!(!read.text().contains("positive"));
}

/// Elsewhere a column that is added to a table is stored in clear until somebody notices.
#[test]
fn an_unlisted_field_is_not_stored_in_clear_where_the_policy_closes_the_record() {
    let closed = policy::LAB.replace("lab.contacts: {", "lab.contacts: {unknown_fields: deny, ");
    assert_ne!(closed, policy::LAB);
    let front = Front::with(&closed, kit::front::quiet);
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"M1","second_phone":"{canary}"}}"#);
    front.refuse("lims", Request::post("/contacts", &body), "LS208", &canaries);
}
