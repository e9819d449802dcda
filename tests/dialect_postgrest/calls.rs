//! Calls of declared functions, and upserts that leave the key to the server.

use labseal::{
    base::refusal::Code,
    dialect::Head,
    model::{BodyForm, Operation},
};

use super::{build, classify_with, headers, part, rewrite::exact, rows, surface, tree, uses};

const CALL: &str = "/rpc/find_patient";

fn call(method: &str, query: &str) -> Operation {
    let target = format!("{CALL}?{query}");
    classify_with(method, &target, &[]).unwrap_or_else(|refusal| panic!("{target}: {refusal}"))
}

#[test]
fn arguments_in_a_query_are_told_from_tests_of_what_comes_back() {
    let a = "lab.find_patient()";
    for (query, expected) in [
        ("number=A1", vec![format!("{a}.number argument A1")]),
        (
            "number=A%201&ward=x",
            vec![format!("{a}.number argument A 1"), format!("{a}.ward other parameter")],
        ),
        ("number=eq", vec![format!("{a}.number argument eq")]),
        ("number=foo.x", vec![format!("{a}.number argument foo.x")]),
        // The server takes these for tests of columns; none has this name.
        ("number=eq.A1", vec![format!("{a}.number other eq")]),
        ("NUMBER=in.(A1)", vec![format!("{a}.NUMBER other in")]),
        (
            "or=(id.eq.1,number.eq.A1)",
            vec!["lab.patients.id eq 1".into(), format!("{a}.number other eq")],
        ),
        ("number->a=A1", vec![format!("{a}.number other parameter")]),
        ("mrn=eq.A1", vec!["lab.patients.mrn eq A1".into()]),
        ("columns=number", vec![format!("{a}.number columns")]),
        ("order=mrn", vec!["lab.patients.mrn order".into()]),
    ] {
        assert_eq!(uses(&call("GET", query)), expected, "{query}");
    }
    // With a body, the server takes every parameter for a test.
    assert_eq!(uses(&call("POST", "number=A1")), [format!("{a}.number other parameter")]);
}

#[test]
fn a_declared_function_takes_its_arguments_and_answers_records_of_its_entity() {
    let posted = call("POST", "select=x:mrn");
    let BodyForm::Records(body) = &posted.body else { panic!("{posted:?}") };
    assert_eq!(tree(body), rows("number:lab.find_patient().number"));
    assert_eq!(tree(&posted.answer), rows("x:lab.patients.mrn"));
    let got = call("GET", "select=mrn,orders(code)&number=A1");
    assert_eq!(got.body, BodyForm::Opaque);
    let orders = part("code:lab.orders.code");
    assert_eq!(tree(&got.answer), rows(&format!("mrn:lab.patients.mrn,orders:{orders}")));
    let single = [("prefer", "return=minimal, Params=single-object")];
    assert_eq!(classify_with("POST", CALL, &single).unwrap_err().code, Code::UnsupportedHeader);
    let other = classify_with("POST", "/rpc/other", &single).unwrap();
    assert_eq!(other.body, BodyForm::Opaque);
}

#[test]
fn an_argument_becomes_one_text_or_the_call_is_refused() {
    let dialect = build(&surface());
    let headers = headers(&[]);
    let target = "/rpc/find_patient?select=id&number=A%201";
    let head = Head { method: &http::Method::GET, target, headers: &headers };
    let one = dialect.readdress(head, &[Some(exact(&[&["E1"]]))]).unwrap();
    assert_eq!(one.target, "/rpc/find_patient?select=id&number=E1");
    let both = dialect.readdress(head, &[Some(exact(&[&["E1", "E2"]]))]).unwrap_err();
    assert_eq!(both.code, Code::UnsupportedOperator);
}

#[test]
fn an_upsert_that_names_no_columns_asks_every_protected_one() {
    let upsert = |target: &str, prefer: &str| {
        uses(&classify_with("POST", target, &[("prefer", prefer)]).unwrap())
    };
    let keys = ["lab.patients.last_name key", "lab.patients.mrn key", "lab.patients.origin key"];
    assert_eq!(upsert("/patients", "return=minimal,resolution=merge-duplicates"), keys);
    assert_eq!(upsert("/patients?on_conflict", "Resolution=ignore-duplicates"), keys);
    assert_eq!(
        upsert("/patients?on_conflict=id", "resolution=merge-duplicates"),
        ["lab.patients.id conflict"]
    );
    assert!(upsert("/patients", "return=minimal").is_empty());
    assert!(upsert("/wards", "resolution=merge-duplicates").is_empty());
}
