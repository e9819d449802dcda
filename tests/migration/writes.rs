//! Writes that are decided by values of two forms.

use serde_json::json;

use crate::{
    kit::{Answer, Pair, Request},
    lab::{TEXTS, enc, pair, quoted},
};

/// The same write on both ways. The answers hold the same records; nothing orders them.
fn written(pair: &Pair, request: &Request) -> Option<String> {
    let other = pair.sealed(request);
    if let Some(code) = other.header("Labseal-Error") {
        return Some(code.to_owned());
    }
    let one = request.send(pair.plain.address());
    let asked = String::from_utf8_lossy(&request.bytes()).into_owned();
    let records = |answer: &Answer| {
        let mut records = answer.json().as_array().cloned().unwrap_or_default();
        records.sort_by_key(|record| record["id"].as_i64());
        records
    };
    assert_eq!(one.status, other.status, "{asked}\n-{}\n+{}", one.text(), other.text());
    assert_eq!(records(&one), records(&other), "{asked}");
    None
}

fn wards(pair: &Pair) -> [Answer; 2] {
    let all = Request::get("/people?select=id,mrn,name,ward&order=id");
    let (one, other) = pair.both(&all);
    [one, other]
}

#[test]
fn writes_are_decided_in_both_forms_and_seal_what_they_store() {
    let pair = pair();
    let mut count = 0;
    for (n, text) in TEXTS.iter().enumerate() {
        let value = enc(text);
        let in_quotes = quoted(text);
        for test in [
            format!("name=eq.{value}"),
            format!("name=not.eq.{value}&id=lt.40"),
            format!("name=in.({in_quotes},%22B2%22)"),
            format!("code=eq.{value}"),
            format!("mrn=eq.{value}"),
            format!("mrn=not.in.({in_quotes})&id=lt.40"),
            format!("or=(name.eq.{in_quotes},mrn.eq.{in_quotes})"),
            format!("mother=gt.0&code=neq.{value}"),
        ] {
            let body = json!({"ward": format!("x{n}")}).to_string();
            let target = format!("/people?{test}&select=id,name,code,mrn,ward&order=id");
            let code = written(&pair, &Request::patch(&target, &body).returning());
            assert_eq!(code, None, "{target}");
            count += 1;
        }
    }
    for pattern in ["Smi*", "smith*", "l*", "ls1*", "a*b", "100%*"] {
        for word in ["like", "ilike"] {
            let target = format!("/people?name={word}.{}&select=id,ward&order=id", enc(pattern));
            let code = written(&pair, &Request::patch(&target, r#"{"ward": "p"}"#).returning());
            let may = [None, Some("LS104"), Some("LS114")];
            assert!(may.contains(&code.as_deref()), "{target} {code:?}");
        }
    }
    let [one, other] = wards(&pair);
    assert_eq!(one.text(), other.text());
    assert_eq!(count, 8 * TEXTS.len());

    let code = written(&pair, &Request::patch("/people?born=gte.1999-01-01", r#"{"ward": "b"}"#));
    assert_eq!(code.as_deref(), Some("LS127"));
    let before = pair.sealed.database.sql("select count(*) from lab.people where name = 'New'");
    assert_eq!(before.trim(), "0");
    let change = json!({"name": "New", "born": "2020-02-02"}).to_string();
    assert_eq!(pair.same(&Request::patch("/people?id=eq.2", &change).returning()), None);
    let stored = pair.sealed.database.sql("select name from lab.people where id = 2");
    assert!(stored.starts_with("ls1s3"), "{stored}");
    assert_eq!(
        written(&pair, &Request::delete("/people?mrn=eq.O%27Neil&id=gt.150").returning()),
        None
    );
    let [one, other] = wards(&pair);
    assert_eq!(one.text(), other.text());
}

#[test]
fn which_record_is_the_same_is_not_decided_by_values_of_two_forms() {
    let pair = pair();
    let body = r#"{"id": 900, "mrn": "A1"}"#;
    let merge =
        |target: &str| Request::post(target, body).header("Prefer", "resolution=merge-duplicates");
    for request in [
        merge("/people?on_conflict=mrn"),
        merge("/people"),
        Request::new("PUT", "/people?mrn=eq.A1").json(body),
    ] {
        assert_eq!(pair.sealed(&request).header("Labseal-Error"), Some("LS126"));
    }
    assert_eq!(pair.same(&merge("/people?on_conflict=id").returning()), None);
    assert_eq!(pair.same(&Request::delete("/people?id=eq.900")), None);
}
