//! Patches and forms in parts through the passes of `seal`.

mod bodies;

use std::sync::LazyLock;

use bodies::{Lab, field, patient, whole};
use labseal::{
    base::refusal::{Code, Refusal},
    model::Verb,
    seal::{Boundary, Form, Transform},
};

static LAB: LazyLock<Lab> = LazyLock::new(Lab::new);

fn seal(caller: &str, form: Form, body: &str) -> Result<String, Refusal> {
    let plan = LAB.plan(caller, Verb::Update, patient());
    let pass = Transform::sealing(&plan, LAB.snapshot(), form);
    whole(pass, body.as_bytes()).map(|(out, _)| String::from_utf8(out).unwrap())
}

fn code<T>(result: Result<T, Refusal>) -> Code {
    result.err().expect("refused").code
}

fn patch(caller: &str, change: &str) -> Result<String, Refusal> {
    seal(
        caller,
        Form::JsonPatch,
        &format!("[{{\"op\":\"test\",\"path\":\"/x\",\"value\":1}}, {change} ]"),
    )
}

#[test]
fn values_are_sealed_at_and_above_the_places_that_pointers_name() {
    for (change, sealed) in [
        (r#"{"op":"add","path":"/mrn","value":"A"}"#, 1),
        (r#"{"value":"A","path":"/m\u0072n","op":"replace"}"#, 1),
        (r#"{"op":"replace","path":"/doc","value":{"a":[1]}}"#, 1),
        (r#"{"op":"add","path":"/contacts/-","value":{"name":"A","x":1}}"#, 1),
        (r#"{"op":"add","path":"/contacts/0/name","value":"A"}"#, 1),
        (r#"{"op":"replace","path":"","value":{"mrn":"A","name":"B"}}"#, 2),
        (r#"{"op":"replace","path":"/contacts","value":[{"name":"A"},{"name":"B"}]}"#, 2),
        (r#"{"op":"test","path":"/mrn","value":"A"}"#, 1),
        (r#"{"op":"replace","path":"/mrn","value":null}"#, 0),
        (r#"{"op":"test","path":"/name","value":null}"#, 0),
        (r#"{"op":"add","path":"/a~1b~0c","value":["A"]}"#, 0),
        (r#"{"op":"remove","path":"/mrn"}"#, 0),
        (r#"{"op":"move","from":"/a","path":"/b"}"#, 0),
        (r#"{"op":"copy","from":"/name","path":"/contacts/1/name"}"#, 0),
        (r#"{"op":"move","from":"/contacts/0","path":"/contacts/1"}"#, 0),
    ] {
        let out = patch("clear", change).unwrap_or_else(|refusal| panic!("{change}: {refusal}"));
        assert_eq!(out.matches("\"ls1").count(), sealed, "{out}");
        if sealed == 0 {
            assert!(out.contains(change), "{out}");
        } else {
            assert!(!out.contains("\"A\"") && !out.contains("\"B\""), "{out}");
        }
    }
}

#[test]
fn changes_that_cannot_be_followed_are_refused() {
    use Code::*;
    for (change, expected) in [
        (r#"{"op":"add","path":"/mrn/0","value":"A"}"#, UnsupportedOperator),
        (r#"{"op":"replace","path":"/doc/a","value":"A"}"#, UnsupportedOperator),
        (r#"{"op":"remove","path":"/doc/a"}"#, UnsupportedOperator),
        (r#"{"op":"test","path":"/name","value":"A"}"#, UnsupportedOperator),
        (r#"{"op":"test","path":"","value":{}}"#, UnsupportedOperator),
        (r#"{"op":"test","path":"/contacts","value":[]}"#, UnsupportedOperator),
        (r#"{"op":"move","from":"/x","path":"/mrn"}"#, UnsupportedOperator),
        (r#"{"op":"copy","from":"/mrn","path":"/x"}"#, UnsupportedOperator),
        (r#"{"op":"copy","from":"/mrn","path":"/name"}"#, UnsupportedOperator),
        (r#"{"op":"move","from":"","path":"/x"}"#, UnsupportedOperator),
        (r#"{"op":"move","from":"/contacts","path":"/x"}"#, UnsupportedOperator),
        (r#"{"op":"add","path":"/MRN","value":"A"}"#, NearName),
        (r#"{"op":"add","Path":"/x","path":"/y","value":"A"}"#, NearName),
        (r#"{"op":"add","path":"/x","path":"/mrn","value":"A"}"#, DuplicateKey),
        (r#"{"op":"add","path":"/x","p\u0061th":"/mrn","value":"A"}"#, DuplicateKey),
        (r#"{"op":"add","path":"mrn","value":"A"}"#, MalformedBody),
        (r#"{"op":"add","path":"/a~2","value":"A"}"#, MalformedBody),
        (r#"{"op":"upsert","path":"/mrn","value":"A"}"#, MalformedBody),
        (r#"{"op":"add","path":"/mrn"}"#, MalformedBody),
        (r#"{"path":"/mrn","value":"A"}"#, MalformedBody),
        (r#"{"op":"add","path":"/contacts","value":{"name":"A"}}"#, MalformedBody),
        (r#"["add"]"#, MalformedBody),
        (r#"{"op":"replace","path":"/result","value":"x"}"#, WrongType),
    ] {
        assert_eq!(code(patch("clear", change)), expected, "{change}");
    }
    for body in ["", "{}", "[{}]", "[", "[] []", r#"{"op":"add","path":"/mrn","value":"A"}"#] {
        assert_eq!(code(seal("clear", Form::JsonPatch, body)), Code::MalformedBody, "{body}");
    }
}

#[test]
fn rights_decide_what_a_patch_may_do() {
    use Code::*;
    for (caller, change, expected) in [
        ("masked", r#"{"op":"remove","path":"/mrn"}"#, MaskedWriteback),
        ("masked", r#"{"op":"remove","path":""}"#, MaskedWriteback),
        ("masked", r#"{"op":"replace","path":"/contacts","value":[]}"#, MaskedWriteback),
        ("masked", r#"{"op":"replace","path":"/mrn","value":null}"#, MaskedWriteback),
        ("masked", r#"{"op":"replace","path":"/mrn","value":"••••5678"}"#, MaskedWriteback),
        ("masked", r#"{"op":"copy","from":"/name","path":"/contacts/0/name"}"#, MaskedWriteback),
        ("reader", r#"{"op":"remove","path":"/mrn"}"#, WriteNotGranted),
        ("reader", r#"{"op":"add","path":"/mrn","value":"A"}"#, WriteNotGranted),
        ("reader", r#"{"op":"move","from":"/name","path":"/contacts/0/name"}"#, WriteNotGranted),
        ("reader", r#"{"op":"test","path":"/mrn","value":"A"}"#, FilterNotGranted),
    ] {
        assert_eq!(code(patch(caller, change)), expected, "{caller} {change}");
    }
    assert!(patch("masked", r#"{"op":"replace","path":"/mrn","value":"A"}"#).is_ok());
    assert!(patch("reader", r#"{"op":"add","path":"/ward","value":"A"}"#).is_ok());
}

#[test]
fn a_test_of_a_number_does_not_round_it() {
    let value_of = |op: &str, value: &str| {
        let mut form = patient();
        form.members.insert("dose".into(), field("dose"));
        let plan = LAB.plan("clear", Verb::Update, form);
        let body = format!(r#"[{{"op":"{op}","path":"/dose","value":{value}}}]"#);
        let pass = Transform::sealing(&plan, LAB.snapshot(), Form::JsonPatch);
        let (out, _) = whole(pass, body.as_bytes()).unwrap();
        let out: serde_json::Value = serde_json::from_slice(&out).unwrap();
        out[0]["value"].as_str().unwrap().to_owned()
    };
    let stored = value_of("add", "1.00005");
    assert_eq!(stored, value_of("add", "1.0001"));
    for same in ["1.0001", "\"1.0001\"", "1.000100", "10001e-4", "\" 1.0\\u003001 \""] {
        assert_eq!(value_of("test", same), stored, "{same}");
    }
    for other in ["1.00005", "\"1.00005\"", "1.00012", "10000500e-7"] {
        assert_ne!(value_of("test", other), stored, "{other}");
    }
}

#[test]
fn a_merge_patch_removes_what_its_caller_can_see() {
    let merge = |caller, body| seal(caller, Form::MergePatch, body);
    for body in [r#"{"mrn":null,"contacts":null,"x":{"y":null}}"#, r#"{"ward":"A"}"#] {
        assert_eq!(merge("clear", body).unwrap(), body);
    }
    assert_eq!(merge("masked", r#"{"ward":null}"#).unwrap(), r#"{"ward":null}"#);
    assert!(merge("masked", r#"{"mrn":"B"}"#).unwrap().starts_with(r#"{"mrn":"ls1d"#));
    for body in [r#"{"mrn":null}"#, r#"{"contacts":null}"#, r#"{"contacts":[]}"#, "null"] {
        assert_eq!(code(merge("masked", body)), Code::MaskedWriteback, "{body}");
    }
    assert_eq!(code(merge("reader", r#"{"mrn":null}"#)), Code::WriteNotGranted);
}

const MRN: &str = "Content-Disposition: form-data; name=\"mrn\"\r\n";
const FILE: &str = "Content-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n";

fn parts(body: &str) -> Result<String, Refusal> {
    seal("clear", Form::Multipart(Boundary::parse("XX").unwrap()), body)
}

#[test]
fn the_text_of_a_named_part_is_sealed_and_every_other_byte_stays() {
    let file = format!(
        "--XX\r\n{FILE}Content-Type: a/b\r\n\r\n\r\n-\r\n--X\n\r\n{}\r\n",
        "x".repeat(200_000)
    );
    let body = format!("{file}--XX\r\n{MRN}Content-Type: text/plain\r\n\r\nA\r\nb\r\n--XX--\r\n");
    let sealed = parts(&body).unwrap();
    let (before, after) = body.split_once("A\r\nb").unwrap();
    let envelope = sealed.strip_prefix(before).unwrap().strip_suffix(after).unwrap();
    assert!(envelope.starts_with("ls1d") && !envelope.contains('\r'), "{envelope}");
}

#[test]
fn a_file_of_any_size_passes_in_little_memory() {
    let plan = LAB.plan("clear", Verb::Create, patient());
    let form = Form::Multipart(Boundary::parse("XX").unwrap());
    let mut pass = Transform::sealing(&plan, LAB.snapshot(), form);
    let mut out = Vec::new();
    pass.push(format!("--XX\r\n{FILE}\r\n").as_bytes(), &mut out).unwrap();
    for _ in 0..200 {
        pass.push(&[b'x'; 100_000], &mut out).unwrap();
        out.clear();
    }
    pass.push(b"\r\n--XX--", &mut out).unwrap();
    assert!(pass.high_water() < 200_000, "{}", pass.high_water());
    assert_eq!(pass.finish(&mut out).unwrap().tally.sealed.len(), 0);
}

#[test]
fn parts_that_servers_find_differently_are_refused() {
    use Code::*;
    for (body, expected) in [
        ("".to_owned(), MalformedBody),
        (format!("preamble\r\n--XX\r\n{MRN}\r\nA\r\n--XX--"), MalformedBody),
        (format!("\r\n--XX\r\n{MRN}\r\nA\r\n--XX--"), MalformedBody),
        (format!("--XX\r\n{MRN}\r\nA\r\n--XX"), MalformedBody),
        (format!("--XX\r\n{MRN}\r\nA\r\n--XX--\r\nepilogue"), MalformedBody),
        (format!("--XX\r\n{MRN}\r\nA\r\n--XX \r\n{MRN}\r\nB\r\n--XX--"), MalformedBody),
        (format!("--XX\r\n{FILE}\r\nA\n--XX\n{MRN}\r\nB\r\n--XX--"), MalformedBody),
        (format!("--XX\r\n{FILE}\r\nA--XX\r\n{MRN}\r\nB\r\n--XX--"), MalformedBody),
        (format!("--XX\n{MRN}\nA\n--XX--"), MalformedBody),
        ("--XX\r\n\r\nA\r\n--XX--".to_owned(), MalformedBody),
        (format!("--XX\r\n{MRN}\r\nA\r\n--XX\r\n{MRN}\r\nB\r\n--XX--"), DuplicateKey),
        (format!("--XX\r\n{}\r\nA\r\n--XX--", MRN.replace("mrn", "Mrn")), NearName),
        (format!("--XX\r\n{}\r\nA\r\n--XX--", MRN.replace("mrn", "p[mrn]")), NearName),
        (
            format!("--XX\r\n{}\r\nA\r\n--XX--", FILE.replace("\"f\"", "\"mrn\"")),
            UnsupportedContentType,
        ),
        (format!("--XX\r\n{MRN}Content-Type: a/b\r\n\r\nA\r\n--XX--"), UnsupportedContentType),
        (
            format!("--XX\r\n{FILE}Content-Transfer-Encoding: base64\r\n\r\nA\r\n--XX--"),
            UnsupportedContentType,
        ),
        (
            format!("--XX\r\n{FILE}Content-Type: multipart/mixed; boundary=y\r\n\r\nA\r\n--XX--"),
            UnsupportedContentType,
        ),
        (
            format!("--XX\r\n{}\r\nutf-16\r\n--XX--", MRN.replace("mrn", "_charset_")),
            UnsupportedContentType,
        ),
        (format!("--XX\r\n{}", "X: y\r\n".repeat(4_000)), RecordTooLarge),
    ] {
        assert_eq!(code(parts(&body)), expected, "{body}");
    }
    assert_eq!(parts("--XX--\r\n").unwrap(), "--XX--\r\n");
}
