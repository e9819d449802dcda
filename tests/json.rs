//! The plain JSON dialect, in front of json-server, which knows nothing of labseal or PostgREST.

mod kit;

use kit::{
    Labseal, Request, front::canary, labseal::Setup, policy, postgrest::JsonServer, script::enc,
    tee::Tee,
};

struct Plain {
    labseal: Labseal,
    tee: Tee,
    server: JsonServer,
}

fn start() -> Plain {
    let server = JsonServer::start(r#"{"readings":[],"patients":[],"open":[]}"#);
    let tee = Tee::start(server.address());
    let labseal = Setup::new(policy::ROUTES, tee.address()).start();
    Plain { labseal, tee, server }
}

impl Plain {
    fn send(&self, caller: &str, request: Request) -> kit::Answer {
        request.key(self.labseal.key(caller)).send(self.labseal.address())
    }
}

/// The member `value` of an object, as it is spelled. Values here have no comma outside brackets.
fn value(text: &str) -> String {
    let at = text.find("\"value\":").expect("a value") + "\"value\":".len();
    let rest = text[at..].trim_start();
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += match c {
            '[' | '{' => 1,
            ']' | '}' => -1,
            _ => 0,
        };
        depth < 0 || (depth == 0 && (c == ',' || c == '\n'))
    });
    rest[..end.unwrap_or(rest.len())].trim_end().to_owned()
}

#[test]
fn every_json_value_of_a_json_class_comes_back_verbatim() {
    let plain = start();
    let values = [
        "12.50",
        "-0",
        "1E+2",
        "1e400",
        "12345678901234567890123",
        "true",
        "false",
        "\"a\"",
        "\"\"",
        "\"1\"",
        "[1.0, 2]",
        "{\"a\" :1.10}",
        "\"å\"",
        "null",
    ];
    for (n, written) in values.iter().enumerate() {
        let body = format!(r#"{{"mrn":"M{n}","value":{written},"unit":"g"}}"#);
        let created = plain.send("lims", Request::post("/readings", &body));
        assert_eq!(created.status, 201, "{}", created.text());
        assert_eq!(value(&created.text()), *written);
        let read = plain.send("lims", Request::get(&format!("/readings/{}", n + 1)));
        assert_eq!(value(&read.text()), *written);
        let found = plain.send("lims", Request::get(&format!("/readings?mrn=M{n}")));
        // Not every JSON number is one of Rust's, so nothing is parsed here.
        assert_eq!(found.text().matches("\"mrn\"").count(), 1, "{}", found.text());
        assert_eq!(value(&found.text()), *written);
    }
    let stored = plain.server.stored();
    let sealed = stored.matches("\"value\": \"ls1r").count();
    assert_eq!(sealed, values.len() - 1, "all but null: {stored}");
}

#[test]
fn path_and_query_parameters_are_sealed_on_the_way_in() {
    let plain = start();
    let (canary, canaries) = canary();
    let number = format!("M å+{canary}");
    let body = serde_json::json!({"id": number, "value": {"name": canary}}).to_string();
    assert_eq!(plain.send("lims", Request::post("/patients", &body)).status, 201);
    let read = plain.send("lims", Request::get(&format!("/patients/{}", enc(&number))));
    assert_eq!(read.status, 200, "{}", read.text());
    assert_eq!(read.json(), serde_json::from_str::<serde_json::Value>(&body).unwrap());
    let reading = format!(r#"{{"mrn":"{canary}","value":1}}"#);
    plain.send("lims", Request::post("/readings", &reading));
    let found = plain.send("lims", Request::get(&format!("/readings?mrn={canary}")));
    assert_eq!(found.json().as_array().map(Vec::len), Some(1), "{}", found.text());
    canaries.assert_none("json-server", &plain.tee.received());
    canaries.assert_none("json-server's file", plain.server.stored().as_bytes());
}

#[test]
fn routes_that_the_policy_does_not_declare_are_closed_to_writes() {
    let plain = start();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"id":1,"text":"{canary}"}}"#);
    for request in [
        Request::post("/open", &body),
        Request::new("PUT", "/open/1").json(&body),
        Request::delete("/readings/1"),
    ] {
        let answer = plain.send("lims", request);
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.header("Labseal-Error").is_some());
        canaries.assert_none("refusal", &answer.raw);
    }
    canaries.assert_none("json-server", &plain.tee.received());
}

#[test]
fn masks_and_closed_doors_hold_here_too() {
    let plain = start();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"M-0012","value":"{canary}"}}"#);
    plain.send("lims", Request::post("/readings", &body));
    let seen = plain.send("billing", Request::get("/readings/1"));
    assert_eq!(seen.json()["mrn"], "••••12");
    assert_eq!(seen.json()["value"], serde_json::Value::Null);
    canaries.assert_none("billing", &seen.raw);
    let probe = plain.send("billing", Request::get("/readings?mrn=M-0012"));
    assert_eq!(probe.header("Labseal-Error"), Some("LS202"));
    let write = plain.send("billing", Request::post("/readings", &body));
    assert_eq!(write.header("Labseal-Error"), Some("LS203"));
    let anyone = Request::get("/readings/1").send(plain.labseal.address());
    assert!([401, 403].contains(&anyone.status));
    let malformed = plain.send("lims", Request::patch("/readings/1", "{\"value\":"));
    assert_eq!(malformed.header("Labseal-Error"), Some("LS101"));
}
