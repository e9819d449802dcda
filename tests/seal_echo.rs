//! Literals of filters into what is stored, and out again where an API repeats them.

mod bodies;

use bodies::{Lab, operation, patient, whole};
use labseal::{
    base::{
        ident::{EntityName, FieldName},
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    model::{Filter, Node, Placement, Replacement, Test, Use, UseKind, Verb},
    policy::Plan,
    seal::{Rewritten, Written, echo, readdress, reject_strays},
};

fn use_of(column: &str, test: Test) -> Use {
    Use {
        entity: Some(EntityName::new("public.patients")),
        column: FieldName::new(column),
        kind: UseKind::Filter(Filter { operator: "eq", test }),
        place: Placement::Required,
    }
}

fn filter(lab: &Lab, caller: &str, uses: Vec<Use>) -> Result<(Rewritten, Plan), Refusal> {
    let op = operation(Verb::Read, patient(), uses);
    let plan = lab.plan_of(caller, &op)?;
    Ok((readdress(&plan, &op, &lab.snapshot())?, plan))
}

/// One record sealed: the stored body, and what was written.
fn seal(lab: &Lab, body: &str) -> (String, Written, Plan) {
    let plan = lab.plan("clear", Verb::Create, patient());
    let (out, finished) = whole(lab.sealing(&plan), body.as_bytes()).unwrap();
    (String::from_utf8(out).unwrap(), finished.written, plan)
}

fn envelope(stored: &str) -> &str {
    let from = stored.find("ls1").unwrap();
    stored[from..].split('"').next().unwrap()
}

fn body(lab: &Lab, input: &str, written: &Written, plan: &Plan) -> String {
    let out = echo::body(input.as_bytes(), true, written, &plan.rights, &lab.snapshot());
    String::from_utf8(out).unwrap()
}

#[test]
fn a_literal_becomes_what_a_body_would_store() {
    let lab = Lab::new();
    let (stored, _, _) = seal(&lab, r#"{"mrn":"MRN-1"}"#);
    let (name, _, _) = seal(&lab, r#"{"name":"Ann"}"#);
    let uses = vec![
        use_of("mrn", Test::Equal("MRN-1".into())),
        use_of("name", Test::In(vec!["Ann".into(), "Bob".into()])),
        use_of("mrn", Test::IsNull),
        use_of("other", Test::Other),
    ];
    let (Rewritten { replacements, written, tally, .. }, _) = filter(&lab, "clear", uses).unwrap();
    let [Some(exact), Some(Replacement::Ranges(ranges)), None, None] = &replacements[..] else {
        panic!("{replacements:?}")
    };
    assert_eq!(*exact, Replacement::Exact(vec![vec![envelope(&stored).to_owned()]]));
    let (low, high) = &ranges[0][0];
    assert!(low.as_str() <= envelope(&name) && envelope(&name) < high.as_str());
    assert_eq!((ranges.len(), written.len()), (2, 3));
    assert_eq!(tally.filtered.values().sum::<u64>(), 3);
}

#[test]
fn an_envelope_as_a_literal_needs_the_right_to_read_envelopes() {
    let lab = Lab::new();
    let (mrn, _, _) = seal(&lab, r#"{"mrn":"MRN-1"}"#);
    let (name, _, _) = seal(&lab, r#"{"name":"Ann"}"#);
    let (mrn, name) = (envelope(&mrn), envelope(&name));
    let ask = |caller: &str, column: &str, text: &str| {
        filter(&lab, caller, vec![use_of(column, Test::Equal(text.into()))])
            .map(|(mut rewritten, _)| rewritten.replacements.remove(0).unwrap())
    };
    let exact = ask("sealed", "mrn", mrn).unwrap();
    assert_eq!(exact, Replacement::Exact(vec![vec![mrn.to_owned()]]));
    assert_eq!(
        ask("sealed", "name", name).unwrap(),
        ask("sealed", "name", "Ann").unwrap(),
        "the range of an envelope is that of its text"
    );
    for (caller, column, text) in
        [("clear", "mrn", mrn), ("masked", "mrn", mrn), ("sealed", "mrn", name)]
    {
        let refusal = ask(caller, column, text).unwrap_err();
        assert_eq!(refusal.code, Code::PutBackNotAllowed);
        assert!(refusal.field.is_some() && refusal.policy_line.is_some());
    }
    assert!(ask("masked", "mrn", "••••6789").is_ok());
    let long = ask("clear", "mrn", &"x".repeat(1_801)).unwrap_err();
    assert_eq!(long.code, Code::ValueTooLarge);
    assert_eq!(ask("clear", "mrn", "a\0").unwrap_err().code, Code::WrongType);
}

#[test]
fn an_error_gets_back_only_what_this_exchange_wrote() {
    let lab = Lab::new();
    let (stored, written, plan) = seal(&lab, r#"{"mrn":"O\"Neil"}"#);
    let (foreign, ..) = seal(&lab, r#"{"mrn":"other"}"#);
    let (stored, foreign) = (envelope(&stored), envelope(&foreign));
    let error =
        format!(r#"{{"d":"Key (mrn)=({stored}) \u00e9 exists","m":"{foreign}","n":"ls1"}}"#);
    assert_eq!(
        body(&lab, &error, &written, &plan),
        r#"{"d":"Key (mrn)=(O\"Neil) é exists","m":"[sealed]","n":"ls1"}"#
    );
    let escaped = format!(r#"{{"d":"\u006c{}"}}"#, &foreign[1..]);
    assert_eq!(body(&lab, &escaped, &written, &plan), r#"{"d":"[sealed]"}"#);
    let broken = format!("{{\"d\":\"{stored} {foreign}");
    assert_eq!(body(&lab, &broken, &written, &plan), "{\"d\":\"O\"Neil [sealed]");
    let grown = format!("\"x{stored}y\"");
    assert_eq!(body(&lab, &grown, &written, &plan), "\"x[sealed]\"");
    let junk = format!("\"ls1rAAAA ls1 {}! \\ud800\"", &foreign[..12]);
    assert_eq!(body(&lab, &junk, &written, &plan), "\"ls1rAAAA ls1 [sealed]! \u{fffd}\"");
    let nothing = r#"{"d":"\u00e9 ls1 \ud800", "x" : 1.10}"#;
    assert_eq!(body(&lab, nothing, &written, &plan), nothing);
}

#[test]
fn who_may_not_test_for_equality_gets_no_echo() {
    let lab = Lab::new();
    let (stored, written, _) = seal(&lab, r#"{"mrn":"MRN-1"}"#);
    let reader = lab.plan("reader", Verb::Read, Node::default());
    let error = format!("\"({})\"", envelope(&stored));
    assert_eq!(body(&lab, &error, &written, &reader), "\"([sealed])\"");
}

#[test]
fn a_value_that_postgresql_cut_at_64_bytes_is_cut_in_clear() {
    let lab = Lab::new();
    let long = "é".repeat(40);
    let (stored, written, plan) = seal(&lab, &format!(r#"{{"mrn":"{long}","name":"Ann"}}"#));
    let mrn = envelope(&stored);
    let name = envelope(&stored[stored.find("ls1s").unwrap()..]);
    let error = format!("\"(1, {}..., {}...)\"", &mrn[..64], &name[..64]);
    let cut = "é".repeat(32);
    assert_eq!(body(&lab, &error, &written, &plan), format!("\"(1, {cut}..., Ann)\""));
    let other = format!("\"(1, {}...)\"", &mrn[..63]);
    assert_eq!(body(&lab, &other, &written, &plan), "\"(1, [sealed]...)\"");
}

#[test]
fn headers_get_their_own_spelling_back() {
    let lab = Lab::new();
    let (stored, written, plan) = seal(&lab, "{\"mrn\":\"A b\\r\\n\"}");
    let (foreign, ..) = seal(&lab, r#"{"mrn":"other"}"#);
    let (stored, foreign) = (envelope(&stored), envelope(&foreign));
    let header = |value: &str, echoes: &[(String, Plaintext)]| {
        let out = echo::header(value.as_bytes(), &written, echoes, &plan.rights, &lab.snapshot());
        String::from_utf8(out).unwrap()
    };
    assert_eq!(header(&format!("/patients?mrn=eq.{stored}"), &[]), "/patients?mrn=eq.A%20b%0D%0A");
    assert_eq!(header(&format!("/p?mrn=eq.{foreign}"), &[]), "/p?mrn=eq.%5Bsealed%5D");
    assert_eq!(header(&format!("W {foreign}"), &[]), "W [sealed]");
    let echoes =
        [(format!("eq.{foreign}"), Plaintext::from("eq.it%27s")), (String::new(), "x".into())];
    let value = format!("/p?mrn=eq.{foreign}&n=eq.{foreign}A&m=eq.{foreign}");
    assert_eq!(header(&value, &echoes), "/p?mrn=eq.it%27s&n=eq.%5Bsealed%5D&m=eq.it%27s");
}

#[test]
fn an_envelope_in_a_head_is_refused_however_it_is_spelled() {
    let lab = Lab::new();
    let (stored, ..) = seal(&lab, r#"{"mrn":"MRN-1"}"#);
    let stored = envelope(&stored);
    let encoded: String = stored.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let quoted = format!("/p?x=in.(\"l\\s1{}\")", &stored[3..]);
    let both = format!("/p?x=in.(%22l%5Cs1{}%22)", &stored[3..]);
    let escaped = format!("{{\"x\":\"\\u006c{}\"}}", &stored[1..]);
    let plain = format!("/p?x=eq.{stored}");
    for text in [plain, encoded, quoted, both, escaped, format!("ls1ls1s1{}", &stored[..12])] {
        let refusal = reject_strays(text.as_bytes(), &lab.snapshot()).unwrap_err();
        assert_eq!(refusal.code, Code::StrayEnvelope, "{text}");
    }
    for text in ["/p?x=eq.ls1", "ls1rAAAAAAAAAAAA", "%6cs1d", "%", "%zz\\"] {
        assert!(reject_strays(text.as_bytes(), &lab.snapshot()).is_ok(), "{text}");
    }
}
