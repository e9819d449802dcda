//! Bodies through the passes of `seal`: what is sealed, opened, refused, and what stays as it is.

mod bodies;

use bodies::{Lab, field, in_pieces, patient, patients, whole};
use labseal::{
    base::refusal::{Code, Refusal},
    model::{Node, Verb},
    seal::{Form, MARKER, Transform},
};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The string value of a member in JSON that we made.
fn member(json: &str, key: &str) -> String {
    let from = json.find(&format!("\"{key}\":\"")).unwrap() + key.len() + 4;
    json[from..].split('"').next().unwrap().to_owned()
}

fn code<T>(result: Result<T, Refusal>) -> Code {
    result.err().expect("refused").code
}

#[test]
fn a_record_is_sealed_and_opened_again_and_nothing_else_of_it_changes() {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patients());
    let body = concat!(
        " [ {\"mrn\" : \"MRN-1\", \"x\": 1.10,\"name\":\"O'Neil \\u00e9\",\n\"result\":5.5,",
        "\"note\":true,\"doc\":{\"a\": [1, 1e400]},\"contacts\":[{\"name\":\"Ann\"},null]}, {} ]\n"
    );
    let sealed = text(lab.seal(&plan, body.as_bytes()).unwrap());
    for clear in ["MRN-1", "O'Neil", "5.5", "true", "1e400", "Ann"] {
        assert!(!sealed.contains(clear), "{clear}");
    }
    assert!(sealed.starts_with(" [ {\"mrn\" : \"ls1d"));
    assert!(sealed.contains(", \"x\": 1.10,\"name\":\"ls1s1"));
    assert!(sealed.ends_with("\"},null]}, {} ]\n"));
    let opened = text(lab.open(&plan, sealed.as_bytes()).unwrap());
    let expected = body
        .replace("\\u00e9", "é")
        .replace("5.5", "5.5000")
        .replace("\"note\":true", "\"note\":\"true\"");
    assert_eq!(opened, expected);
}

#[test]
fn null_is_never_sealed() {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patient());
    let body = br#"{"mrn":null,"contacts":null}"#;
    assert_eq!(lab.seal(&plan, body).unwrap(), body);
    assert_eq!(lab.open(&plan, body).unwrap(), body);
}

#[test]
fn keys_are_compared_after_unescaping() {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patient());
    let sealed = text(lab.seal(&plan, br#"{"m\u0072n":"A"}"#).unwrap());
    assert!(sealed.starts_with(r#"{"m\u0072n":"ls1d"#));
}

#[test]
fn a_protected_key_that_occurs_twice_is_refused_in_requests_and_opened_twice_in_answers() {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patient());
    let refusal = lab.seal(&plan, br#"{"mrn":"A","m\u0072n":"B"}"#).unwrap_err();
    assert_eq!(refusal.code, Code::DuplicateKey);
    assert_eq!(refusal.field.as_deref(), Some("public.patients.mrn"));
    assert_eq!(code(lab.seal(&plan, br#"{"contacts":null,"contacts":[]}"#)), Code::DuplicateKey);
    let sealed = text(lab.seal(&plan, br#"{"mrn":"A","x":1,"x":2}"#).unwrap());
    let envelope = member(&sealed, "mrn");
    let twice = format!(r#"{{"mrn":"{envelope}","mrn":"{envelope}"}}"#);
    assert_eq!(lab.open(&plan, twice.as_bytes()).unwrap(), br#"{"mrn":"A","mrn":"A"}"#);
}

#[test]
fn a_body_of_another_form_than_declared_is_refused() {
    let lab = Lab::new();
    let one = lab.plan("clear", Verb::Create, patient());
    let many = lab.plan("clear", Verb::Create, patients());
    for body in ["[]", "1", "\"x\"", "", " ", "{", "\u{feff}{}", "{}{}", "{\"contacts\":{}}x"] {
        assert_eq!(code(lab.seal(&one, body.as_bytes())), Code::MalformedBody, "{body}");
    }
    for body in ["[1]", "[[]]", "[{\"contacts\":\"x\"}]", "[{\"contacts\":[1]}]"] {
        assert_eq!(code(lab.seal(&many, body.as_bytes())), Code::MalformedBody, "{body}");
    }
    assert!(lab.seal(&many, b"[null]").is_ok());
}

#[test]
fn a_value_of_another_type_is_refused_by_name_and_line() {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patient());
    for body in [
        r#"{"mrn":{"a":1}}"#,
        r#"{"mrn":[]}"#,
        r#"{"mrn":"\ud800"}"#,
        r#"{"mrn":"\u0000"}"#,
        r#"{"result":"x"}"#,
        r#"{"result":1e9}"#,
    ] {
        let refusal = lab.seal(&plan, body.as_bytes()).unwrap_err();
        assert_eq!(refusal.code, Code::WrongType, "{body}");
        assert!(refusal.field.is_some() && refusal.policy_line.is_some());
    }
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patient());
    let long = |key: &str, length| format!("{{\"{key}\":\"{}\"}}", "x".repeat(length));
    assert!(lab.seal(&plan, long("mrn", 1_800).as_bytes()).is_ok());
    assert_eq!(code(lab.seal(&plan, long("mrn", 1_801).as_bytes())), Code::ValueTooLarge);
    assert!(lab.seal(&plan, long("note", 1 << 20).as_bytes()).is_ok());
    assert_eq!(code(lab.seal(&plan, long("note", (1 << 20) + 1).as_bytes())), Code::ValueTooLarge);
    assert!(lab.seal(&plan, long("x", 8_000_000).as_bytes()).is_ok());
    assert_eq!(code(lab.seal(&plan, long("x", 9_000_000).as_bytes())), Code::RecordTooLarge);
    let deep = |depth| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(lab.seal(&plan, deep(127).as_bytes()).is_ok());
    assert_eq!(code(lab.seal(&plan, deep(128).as_bytes())), Code::TooDeep);
}

#[test]
fn every_truncation_of_a_request_is_refused() {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patients());
    let body =
        br#"[{"mrn":"M\u0052N","n":-1.5e3,"doc":{"a":[true]},"contacts":[{"name":"A"}]},{}]"#;
    let mut cuts = 0;
    for cut in 0..body.len() {
        assert_eq!(code(lab.seal(&plan, &body[..cut])), Code::MalformedBody, "{cut}");
        cuts += 1;
    }
    assert!(cuts > 70);
    let malformed = whole(lab.sealing(&plan), &body[..body.len() - 1]);
    assert!(malformed.is_err());
}

#[test]
fn each_right_shows_its_own_view_at_declared_places_and_elsewhere() {
    let lab = Lab::new();
    let clear = lab.plan("clear", Verb::Create, patient());
    let sealed = text(lab.seal(&clear, br#"{"mrn":"MRN-123456789"}"#).unwrap());
    let envelope = member(&sealed, "mrn");
    let answer = format!(
        r#"{{"mrn":"{envelope}", "alias":"{envelope}" , "x":["{envelope}","z{envelope}"], "y":1}}"#
    );
    let view = |caller: &str| {
        let plan = lab.plan(caller, Verb::Create, patient());
        text(lab.open(&plan, answer.as_bytes()).unwrap())
    };
    let shown = |mrn: &str, element: &str| {
        format!(r#"{{"mrn":{mrn}, "alias":{mrn} , "x":[{element},"z{envelope}"], "y":1}}"#)
    };
    let value = "\"MRN-123456789\"";
    assert_eq!(view("clear"), shown(value, value));
    assert_eq!(view("masked"), shown("\"••••6789\"", "\"••••6789\""));
    assert_eq!(view("sealed"), answer);
    assert_eq!(view("nulled"), shown("null", "null"));
    assert_eq!(view("omitted"), format!(r#"{{"x":[null,"z{envelope}"], "y":1}}"#));
}

#[test]
fn an_omitted_member_takes_its_comma_with_it() {
    let lab = Lab::new();
    let clear = lab.plan("clear", Verb::Create, patient());
    let e = member(&text(lab.seal(&clear, br#"{"mrn":"A"}"#).unwrap()), "mrn");
    let omitted = lab.plan("omitted", Verb::Create, Node::default());
    for (answer, rest) in [
        (r#"{"a":E}"#, r#"{}"#),
        (r#"{ "a" : E }"#, r#"{  }"#),
        (r#"{"a":E,"b":1}"#, r#"{"b":1}"#),
        (r#"{"a":E , "b":E,"c":1}"#, r#"{"c":1}"#),
        (r#"{"a":1, "b":E}"#, r#"{"a":1}"#),
        (r#"{"a":1 ,"b":E , "c":E, "d":2}"#, r#"{"a":1, "d":2}"#),
        (r#"{"a":[{"b":E}],"c":E}"#, r#"{"a":[{}]}"#),
        (r#"{"c":E,"a":{"b":E,"d":E}}"#, r#"{"a":{}}"#),
        (r#"E"#, r#"null"#),
    ] {
        let answer = answer.replace('E', &format!("\"{e}\""));
        assert_eq!(text(lab.open(&omitted, answer.as_bytes()).unwrap()), rest);
        for length in [1, 2, 3, 7] {
            let (out, _) = in_pieces(lab.opening(&omitted), answer.as_bytes(), &[length]).unwrap();
            assert_eq!(text(out), rest, "in pieces of {length}");
        }
    }
}

#[test]
fn a_declared_value_that_is_no_envelope_of_its_class_fails_the_integrity_check() {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patient());
    let sealed = text(lab.seal(&plan, br#"{"mrn":"A","name":"B"}"#).unwrap());
    let name = member(&sealed, "name");
    let mrn = member(&sealed, "mrn");
    let mut flipped = mrn.clone().into_bytes();
    flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
    let flipped = text(flipped);
    for caller in ["clear", "masked", "nulled", "omitted", "sealed"] {
        let plan = lab.plan(caller, Verb::Create, patient());
        for bad in ["\"plain\"".to_owned(), "1".to_owned(), "{}".to_owned(), format!("\"{name}\"")]
        {
            let answer = format!("{{\"mrn\":{bad}}}");
            let refusal = lab.open(&plan, answer.as_bytes()).unwrap_err();
            assert_eq!(refusal.code, Code::Integrity, "{caller}");
            assert_eq!(refusal.field.as_deref(), Some("public.patients.mrn"));
            let marked = format!("{{\"note\":{bad}}}");
            let out = text(lab.open(&plan, marked.as_bytes()).unwrap());
            assert_eq!(out, format!("{{\"note\":\"{MARKER}\"}}"));
        }
    }
    let answer = format!("{{\"mrn\":\"{flipped}\"}}");
    assert_eq!(code(lab.open(&plan, answer.as_bytes())), Code::Integrity);
    let elsewhere = format!("{{\"x\":\"{flipped}\"}}");
    let (out, finished) = whole(lab.opening(&plan), elsewhere.as_bytes()).unwrap();
    assert_eq!(text(out), elsewhere);
    assert_eq!(finished.tally.strays_passed, 1);
}

#[test]
fn an_envelope_comes_back_only_to_a_field_of_its_class_from_who_reads_envelopes() {
    let lab = Lab::new();
    let clear = lab.plan("clear", Verb::Create, patient());
    let sealed = text(lab.seal(&clear, br#"{"mrn":"A","name":"B"}"#).unwrap());
    let (mrn, name) = (member(&sealed, "mrn"), member(&sealed, "name"));
    let with = |caller: &str, body: String| {
        let plan = lab.plan(caller, Verb::Update, patient());
        whole(lab.sealing(&plan), body.as_bytes())
    };
    let (out, finished) = with("sealed", format!("{{\"mrn\":\"{mrn}\"}}")).unwrap();
    assert_eq!(text(out), format!("{{\"mrn\":\"{mrn}\"}}"));
    assert_eq!(finished.tally.put_back.values().sum::<u64>(), 1);
    for caller in ["clear", "masked", "nulled"] {
        let put_back = with(caller, format!("{{\"mrn\":\"{mrn}\"}}"));
        assert_eq!(code(put_back), Code::PutBackNotAllowed, "{caller}");
    }
    for (key, value) in [("mrn", name.as_str()), ("mrn", &mrn[..mrn.len() - 1]), ("name", &mrn)] {
        let body = format!("{{\"{key}\":\"{value}\"}}");
        assert_eq!(code(with("sealed", body)), Code::PutBackNotAllowed);
    }
    // A kid that is not ours: ordinary text.
    let foreign = format!("{{\"mrn\":\"{}\"}}", mrn.replacen(&mrn[5..11], "______", 1));
    assert!(!text(with("clear", foreign).unwrap().0).contains("______"));
}

#[test]
fn an_envelope_elsewhere_in_a_request_is_refused_however_it_is_spelled() {
    let lab = Lab::new();
    let clear = lab.plan("clear", Verb::Create, patient());
    let e = member(&text(lab.seal(&clear, br#"{"mrn":"A"}"#).unwrap()), "mrn");
    let escaped = format!("\\u006c{}", &e[1..]);
    let head = &e[..12];
    for body in [
        format!("{{\"x\":\"{e}\"}}"),
        format!("{{\"x\":\"{escaped}\"}}"),
        format!("{{\"x\":[[\"see {e} there\"]]}}"),
        format!("{{\"{e}\":1}}"),
        format!("{{\"{escaped}\":1}}"),
        format!("{{\"x\":\"{head}\"}}"),
        format!("{{\"x\":\"{head}!junk\"}}"),
        format!("{{\"mrn\":\"B\",\"contacts\":[{{\"y\":\"ls1ls1{head}\"}}]}}"),
    ] {
        for length in [1, 5, 1000] {
            let refused = in_pieces(lab.sealing(&clear), body.as_bytes(), &[length]);
            assert_eq!(code(refused), Code::StrayEnvelope, "{body}");
        }
        // Nothing declared: the same, as bytes of any type.
        let none = lab.plan("clear", Verb::Create, Node::default());
        for form in [Form::Json, Form::Bytes] {
            for length in [1, 5, 1000] {
                let pass = Transform::sealing(&none, lab.snapshot(), form);
                let refused = in_pieces(pass, body.as_bytes(), &[length]);
                assert_eq!(code(refused), Code::StrayEnvelope, "{body}");
            }
        }
    }
    let none = lab.plan("clear", Verb::Create, Node::default());
    let form: String = e.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let pass = Transform::sealing(&none, lab.snapshot(), Form::Bytes);
    assert_eq!(code(in_pieces(pass, form.as_bytes(), &[2])), Code::StrayEnvelope);
    // An escaped backslash in front must not hide which backslash begins the next escape.
    let hidden = format!("\\\\\\\\\\u006c{}", &e[1..]);
    for cut in 0..12 {
        let pass = Transform::sealing(&none, lab.snapshot(), Form::Bytes);
        let refused = in_pieces(pass, hidden.as_bytes(), &[cut, hidden.len()]);
        assert_eq!(code(refused), Code::StrayEnvelope, "{cut}");
    }
    let innocent = b"ls1 ls1r ls1rAAAAAAAA ls1s1 \\u006cs1 %6Cs1";
    let pass = Transform::sealing(&none, lab.snapshot(), Form::Bytes);
    assert_eq!(in_pieces(pass, innocent, &[3]).unwrap().0, innocent);
}

#[test]
fn what_a_caller_cannot_see_it_cannot_overwrite_by_sending_its_view_back() {
    let lab = Lab::new();
    for caller in ["masked", "nulled", "omitted"] {
        let update = lab.plan(caller, Verb::Update, patient());
        for value in ["\"••••6789\"", "null"] {
            let body = format!("{{\"mrn\":{value}}}");
            assert_eq!(code(lab.seal(&update, body.as_bytes())), Code::MaskedWriteback);
        }
        assert!(lab.seal(&update, br#"{"mrn":"new"}"#).is_ok());
        assert!(lab.seal(&update, br#"{}"#).is_ok());
    }
    let replace = lab.plan("masked", Verb::Replace, {
        let mut record = Node { record: true, ..Node::default() };
        record.members.insert("mrn".into(), field("mrn"));
        record
    });
    assert_eq!(code(lab.seal(&replace, br#"{"x":1}"#)), Code::MaskedWriteback);
    assert!(lab.seal(&replace, br#"{"mrn":"new"}"#).is_ok());
    let marked = format!("{{\"mrn\":\"{MARKER}\"}}");
    let clear = lab.plan("clear", Verb::Update, patient());
    assert_eq!(code(lab.seal(&clear, marked.as_bytes())), Code::MaskedWriteback);
    let reader = lab.plan("reader", Verb::Update, patient());
    assert_eq!(code(lab.seal(&reader, br#"{"mrn":"x"}"#)), Code::WriteNotGranted);
    assert!(lab.seal(&reader, br#"{"x":"x"}"#).is_ok());
}

#[test]
fn an_answer_that_is_no_json_passes_only_if_nothing_is_declared() {
    let lab = Lab::new();
    let none = lab.plan("clear", Verb::Read, Node::default());
    let some = lab.plan("clear", Verb::Read, patients());
    for body in ["<html>", "{\"a\":", "[1,]", "\u{feff}[]", "1 2", "", "\u{feff}", "nul", "-"] {
        assert_eq!(text(lab.open(&none, body.as_bytes()).unwrap()), body);
        let (out, _) = in_pieces(lab.opening(&none), body.as_bytes(), &[1]).unwrap();
        assert_eq!(text(out), body);
    }
    for body in ["<html>", "[{\"a\":", "[1,]", "1 2"] {
        assert_eq!(code(lab.open(&some, body.as_bytes())), Code::UpstreamUnreadable);
    }
    for body in ["", "\u{feff}[]", "1", "[[]]"] {
        assert!(lab.open(&some, body.as_bytes()).is_ok(), "{body}");
    }
    let bytes = Transform::opening(&some, lab.snapshot(), Form::Bytes);
    assert_eq!(code(whole(bytes, b"x")), Code::UpstreamUnreadable);
    let bytes = Transform::sealing(&some, lab.snapshot(), Form::Bytes);
    assert_eq!(code(whole(bytes, b"x")), Code::UnsupportedContentType);
}

#[test]
fn after_a_refusal_there_is_no_proof() {
    let lab = Lab::new();
    let plan = lab.plan("clear", Verb::Create, patient());
    let mut pass = lab.sealing(&plan);
    let mut out = Vec::new();
    assert!(pass.push(br#"{"mrn":[]}"#, &mut out).is_err());
    assert!(pass.push(b" ", &mut out).is_err());
    assert!(pass.finish(&mut out).is_err());
    assert!(out.is_empty());
}
