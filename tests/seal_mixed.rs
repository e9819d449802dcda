//! Bodies and filters of fields in migration: values in clear beside envelopes.

mod bodies;

use bodies::{Lab, in_pieces, operation, patients, whole};
use labseal::{
    base::{
        ident::{EntityName, FieldName},
        refusal::Code,
    },
    model::{Alternative, Case, Cells, Filter, Placement, Replacement, Test, Use, UseKind, Verb},
    seal::{Form, Rewritten, Transform, echo::blotted, readdress},
};

/// Three patients in clear, with white space and escapes that are the API's own.
const CLEAR: &str = "[{\"mrn\":\"MRN-0001\",\"name\":\"An\\u006e \\\"x\\\"\",\"note\":\"\",\"result\":1.50,\
                     \"doc\":{\"a\": [1.10, null]},\"id\":1}, \n \
                     {\"mrn\":null,\"result\":\" 2\",\"contacts\":[{\"name\":\"Zoe\"}]}, \n \
                     {\"mrn\":\"ls1\",\"name\":\"ls1s1x\",\"doc\":\"text\"}]";

/// The same as labseal stores it.
fn sealed(lab: &Lab) -> String {
    let plan = lab.plan("clear", Verb::Create, patients());
    String::from_utf8(lab.seal(&plan, CLEAR.as_bytes()).unwrap()).unwrap()
}

fn opened(lab: &Lab, caller: &str, body: &str) -> Result<String, Code> {
    let plan = lab.plan(caller, Verb::Read, patients());
    let opened = lab.open(&plan, body.as_bytes()).map_err(|refusal| refusal.code);
    opened.map(|opened| String::from_utf8(opened).unwrap())
}

#[test]
fn every_right_shows_of_a_value_in_clear_what_it_shows_of_a_sealed_one() {
    let lab = Lab::new().mixed();
    let stored = sealed(&lab);
    assert!(!stored.contains("MRN-0001") && stored.matches("ls1").count() > 8, "{stored}");
    for caller in ["masked", "nulled", "omitted", "reader"] {
        let (one, other) = (opened(&lab, caller, CLEAR), opened(&lab, caller, &stored));
        // Both are JSON; escapes of a text in clear stay as they are.
        let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
        assert_eq!(json(one.unwrap()), json(other.unwrap()), "{caller}");
    }
    let clear = opened(&lab, "clear", CLEAR).unwrap();
    assert_eq!(clear, CLEAR.replace("1.50", "1.5000").replace("\" 2\"", "2.0000"));
}

#[test]
fn whoever_gets_envelopes_gets_what_can_be_stored_and_opens() {
    let lab = Lab::new().mixed();
    let shown = opened(&lab, "sealed", CLEAR).unwrap();
    assert!(!shown.contains("MRN-0001") && !shown.contains("Zoe"), "{shown}");
    assert_eq!(shown.matches("\"ls1").count(), sealed(&lab).matches("\"ls1").count());
    let plan = lab.plan("sealed", Verb::Create, patients());
    let stored = String::from_utf8(lab.seal(&plan, shown.as_bytes()).unwrap()).unwrap();
    assert_eq!(stored, shown);
    let read = opened(&lab, "clear", &shown).unwrap();
    assert!(read.contains("\"MRN-0001\"") && read.contains("1.5000"), "{read}");
}

#[test]
fn it_does_not_matter_how_an_answer_is_cut() {
    let lab = Lab::new().mixed();
    let plan = lab.plan("masked", Verb::Read, patients());
    let mixed = format!("{}, \n {}", CLEAR.trim_end_matches(']'), &sealed(&lab)[1..]);
    let (expected, all) = whole(lab.opening(&plan), mixed.as_bytes()).unwrap();
    for lengths in [&[1][..], &[2, 3], &[7, 64], &[500]] {
        let (out, finished) = in_pieces(lab.opening(&plan), mixed.as_bytes(), lengths).unwrap();
        assert_eq!(out, expected);
        assert_eq!(finished.tally, all.tally);
    }
    // By class and by field; the values of both forms are counted as shown.
    let count = |name: &str| all.tally.plain.iter().find(|(class, _)| class.as_str() == name);
    assert_eq!(count("mrn").map(|(_, count)| *count), Some(2));
    assert_eq!(count("name").map(|(_, count)| *count), Some(3));
    assert_eq!(all.tally.clear.values().sum::<u64>(), all.tally.plain.values().sum::<u64>());
    assert_eq!(all.tally.masked.values().sum::<u64>(), 2 * all.tally.plain.values().sum::<u64>());
}

#[test]
fn cells_and_lines_are_read_in_both_forms() {
    let lab = Lab::new().mixed();
    let plan = lab.plan("clear", Verb::Read, patients());
    for (form, text, expected) in [
        (
            Form::Csv(Cells::Record),
            "mrn,result\n\"a b\",1.5\n,\n",
            "mrn,result\n\"a b\",1.5000\n,\n",
        ),
        (
            Form::Ndjson,
            "{\"mrn\":\"a\"}\n{\"result\":\"3\"}\n",
            "{\"mrn\":\"a\"}\n{\"result\":3.0000}\n",
        ),
    ] {
        let pass = Transform::opening(&plan, lab.snapshot(), form);
        let (out, _) = whole(pass, text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn what_begins_as_an_envelope_is_none_in_clear() {
    let lab = Lab::new().mixed();
    let stored = sealed(&lab);
    let start = stored.find("ls1s").unwrap();
    let envelope = &stored[start..start + stored[start..].find('"').unwrap()];
    // `ls1s1`, a token, flags and kid: from there on it is known whose it is.
    let named = 5 + 12 + 8;
    let mut refused = 0;
    for end in 1..=envelope.len() {
        let body = format!("{{\"name\":\"{}\"}}", &envelope[..end]);
        match opened(&lab, "clear", &body) {
            Ok(shown) if end == envelope.len() => assert!(shown.contains("Ann"), "{shown}"),
            Ok(shown) => assert!(end < named && shown == body, "{end}: {shown}"),
            Err(code) => {
                assert!(end >= named && code == Code::Integrity, "{end}: {code:?}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, envelope.len() - named);
    for body in [r#"{"result":"about 3"}"#, r#"{"result":true}"#, r#"{"mrn":[1]}"#] {
        assert_eq!(opened(&lab, "masked", body), Err(Code::MixedValue), "{body}");
    }
    let marked = opened(&lab, "clear", r#"{"note":{}}"#).unwrap();
    assert!(!marked.contains("{}"), "{marked}");
    let sealed = Lab::new();
    assert_eq!(opened(&sealed, "clear", r#"{"mrn":"A1"}"#), Err(Code::Integrity));
}

#[test]
fn of_an_error_that_may_repeat_values_its_codes_stay() {
    for (json, given, expected) in [
        (
            true,
            r#"{"code":"23514","details":"row (A1, Smith)","hint":null,"message":"m","ok":false}"#,
            r#"{"code":"23514","details":"[sealed]","hint":null,"message":"[sealed]","ok":false}"#,
        ),
        (
            true,
            r#"{"code":"Ann Smith","errors":[{"code":7,"value":12},"A1"],"status":409}"#,
            r#"{"code":"[sealed]","errors":[{"code":7,"value":null},"[sealed]"],"status":409}"#,
        ),
        (true, "{\"details\":\"A1", "[sealed]"),
        (false, "A1 is taken", "[sealed]"),
        (false, "", ""),
    ] {
        let shown = String::from_utf8(blotted(given.as_bytes(), json)).unwrap();
        assert_eq!(shown, expected);
    }
}

fn alternatives(lab: &Lab, column: &str, test: Test) -> Vec<Alternative> {
    let one = Use {
        entity: Some(EntityName::new("public.patients")),
        column: FieldName::new(column),
        kind: UseKind::Filter(Filter { operator: "op", test }),
        place: Placement::Within,
    };
    let op = operation(Verb::Read, patients(), vec![one]);
    let plan = lab.plan_of("clear", &op).unwrap();
    let Rewritten { replacements, .. } = readdress(&plan, &op, &lab.snapshot()).unwrap();
    match replacements.into_iter().next() {
        Some(Some(Replacement::Either(found))) => found,
        other => panic!("{column}: {other:?}"),
    }
}

#[test]
fn a_test_asks_for_the_envelope_and_for_the_value_as_its_type_spells_it() {
    let lab = Lab::new().mixed();
    let shown = |found: Vec<Alternative>| -> Vec<String> {
        let one = |one| match one {
            Alternative::Envelope(text) => text[..4].to_owned(),
            Alternative::Range(low, _) => format!("{}…", &low[..5]),
            Alternative::Same { literal, equality } => format!("{equality:?} {}", literal.text()),
            Alternative::Like { pattern, case, unlike } => {
                format!("{case:?} {} {}", pattern.text(), unlike.is_some())
            }
            Alternative::Bound { bound, literal } => format!("{bound:?} {}", literal.text()),
        };
        found.into_iter().map(one).collect()
    };
    let equal = |text: &str| Test::Equal(text.into());
    let list = Test::In(vec!["a".into(), "b".into()]);
    for (column, test, expected) in [
        ("mrn", equal("A 1"), &["ls1d", "Exact A 1"][..]),
        ("mrn", list.clone(), &["ls1d", "ls1d", "Exact a", "Exact b"]),
        ("dose", equal(" 1.5"), &["ls1d", "Exact 1.5000"]),
        ("name", equal("Ann"), &["ls1s1…", "Exact Ann"]),
        ("name", list, &["ls1s1…", "ls1s1…", "Exact a", "Exact b"]),
    ] {
        assert_eq!(shown(alternatives(&lab, column, test)), expected, "{column}");
    }
    let any = Test::Pattern { pattern: "%".into(), case: Case::Exact };
    assert_eq!(shown(alternatives(&lab, "name", any)), ["ls1s1…", "Exact % true"]);
    // No debug output shows what is looked for.
    let found = alternatives(&lab, "mrn", equal("Canary"));
    assert!(!format!("{found:?}").contains("Canary"), "{found:?}");
}
