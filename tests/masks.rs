//! Load, edit, save: a caller who does not see a value cannot destroy it by accident.

mod kit;

use kit::{Answer, Postgres, Request, Stand, assert_refused, policy};
use serde_json::Value;

const PROTECTED: &str = "select mrn, last_name, first_name, birth_date, notes from lab.patients";

/// A stand with one patient.
fn stand() -> Stand {
    let stand = Stand::start();
    stand.lims(Request::post(
        "/patients",
        r#"{"mrn":"MRN-0007","last_name":"Lindqvist","first_name":"Maja","birth_date":"1970-01-01","notes":"pregnant","ward":"A"}"#,
    ));
    stand
}

/// One record as a caller sees it.
fn load(stand: &Stand, caller: &str) -> Value {
    let one = "application/vnd.pgrst.object+json";
    let answer = stand.send(caller, Request::get("/patients?id=eq.1").header("Accept", one));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Loads the record, moves the patient to another ward, and saves all of it but `without`.
fn load_edit_save(stand: &Stand, caller: &str, without: &[&str]) -> Answer {
    let mut record = load(stand, caller);
    record["ward"] = "B".into();
    for member in without {
        record.as_object_mut().unwrap().remove(*member);
    }
    stand.send(caller, Request::patch("/patients?id=eq.1", &record.to_string()))
}

#[test]
fn callers_see_what_their_grant_says() {
    let stand = stand();
    let seen = load(&stand, "billing");
    assert_eq!(seen["mrn"], "MRN-0007");
    assert_eq!(seen["last_name"], "L••••");
    assert_eq!(seen["first_name"], "M••••");
    assert_eq!(seen["birth_date"], "hidden");
    assert_eq!(seen.get("notes"), None);
    assert_eq!(seen["ward"], "A");
    let seen = load(&stand, "blind");
    for field in ["last_name", "first_name", "birth_date", "notes"] {
        assert_eq!(seen.get(field), Some(&Value::Null), "{field}");
    }
    let seen = load(&stand, "archivist");
    for (field, mode) in [("mrn", "ls1d"), ("last_name", "ls1s"), ("notes", "ls1r")] {
        assert!(seen[field].as_str().unwrap().starts_with(mode), "{field}: {}", seen[field]);
    }
    assert_eq!(load(&stand, "clinician")["notes"], "pregnant");
}

#[test]
fn masked_values_are_not_written_back() {
    let stand = stand();
    let before = stand.sql(PROTECTED);
    // Billing may not write record numbers at all, so its client leaves them out.
    let answer = load_edit_save(&stand, "billing", &["mrn"]);
    assert_refused(&answer, "LS300", &kit::front::canary().1);
    assert_eq!(stand.sql(PROTECTED), before);
    assert_eq!(stand.sql("select ward from lab.patients"), "A\n");
    for member in ["last_name", "first_name", "birth_date"] {
        let mask = load(&stand, "billing")[member].to_string();
        let body = format!(r#"{{"{member}":{mask}}}"#);
        let answer = stand.send("billing", Request::patch("/patients?id=eq.1", &body));
        assert_eq!(answer.header("Labseal-Error"), Some("LS300"), "{member} {mask}");
    }
    assert_eq!(stand.sql(PROTECTED), before);
}

#[test]
fn a_record_saved_without_the_masked_values_keeps_them() {
    let stand = stand();
    let before = stand.sql(PROTECTED);
    let masked = ["mrn", "last_name", "first_name", "birth_date"];
    let answer = load_edit_save(&stand, "billing", &masked);
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(stand.sql(PROTECTED), before);
    assert_eq!(stand.sql("select ward from lab.patients"), "B\n");
}

#[test]
fn nulls_of_a_caller_who_sees_null_are_not_written_back() {
    let stand = stand();
    let before = stand.sql(PROTECTED);
    let answer = load_edit_save(&stand, "blind", &["mrn"]);
    assert_refused(&answer, "LS300", &kit::front::canary().1);
    assert_eq!(stand.sql(PROTECTED), before);
}

#[test]
fn a_null_for_an_omitted_field_is_not_written_back() {
    let stand = stand();
    let before = stand.sql(PROTECTED);
    let answer = stand.send("billing", Request::patch("/patients?id=eq.1", r#"{"notes":null}"#));
    assert_refused(&answer, "LS300", &kit::front::canary().1);
    assert_eq!(stand.sql(PROTECTED), before);
}

#[test]
fn sealed_values_are_put_back_as_they_were() {
    let stand = stand();
    let before = stand.sql(PROTECTED);
    let answer = load_edit_save(&stand, "archivist", &[]);
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(stand.sql(PROTECTED), before);
    assert_eq!(stand.sql("select ward from lab.patients"), "B\n");
    assert_eq!(load(&stand, "lims")["last_name"], "Lindqvist");
}

#[test]
fn a_sealed_value_finds_its_record() {
    let stand = stand();
    for field in ["mrn", "last_name"] {
        let envelope = load(&stand, "archivist")[field].as_str().unwrap().to_owned();
        let found = Request::get(&format!("/patients?{field}=eq.{envelope}&select=id"));
        let answer = stand.send("archivist", found);
        assert_eq!((answer.status, &*answer.text()), (200, r#"[{"id":1}]"#), "{field}");
    }
}

#[test]
fn a_put_without_what_the_caller_cannot_see_is_refused() {
    let closed = "\"*\": {read: deny, write: allow}";
    assert!(policy::LAB.contains(closed));
    let policy = policy::LAB.replace(closed, "\"*\": {read: omit, write: allow}");
    let stand = Stand::with(&Postgres::shared(), &policy);
    stand.lims(Request::post("/patients", r#"{"mrn":"MRN-0007"}"#));
    stand.lims(Request::post("/contacts", r#"{"mrn":"MRN-0007","phone":"070-1","room":"1"}"#));
    let before = stand.sql("select * from lab.contacts");
    let target = "/contacts?mrn=eq.MRN-0007";
    let body = r#"{"mrn":"MRN-0007","room":"2"}"#;
    for body in [body, r#"{"mrn":"MRN-0007","phone":null,"room":"2"}"#] {
        let answer = stand.send("writer", Request::new("PUT", target).json(body));
        assert_refused(&answer, "LS300", &kit::front::canary().1);
    }
    assert_eq!(stand.sql("select * from lab.contacts"), before);
}

#[test]
fn a_new_value_by_a_caller_who_sees_a_mask_is_stored() {
    let stand = stand();
    let body = r#"{"last_name":"Bergman"}"#;
    let answer = stand.send("billing", Request::patch("/patients?id=eq.1", body));
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(load(&stand, "lims")["last_name"], "Bergman");
    assert_eq!(load(&stand, "billing")["last_name"], "B••••");
}
