//! What holds for any body: nothing matches, nothing changes; sealed and opened again, it is the same;
//! and the pieces it comes in do not matter.

mod bodies;

use std::sync::LazyLock;

use bodies::{Lab, in_pieces, patients, whole};
use labseal::{
    base::refusal::Code,
    model::{Node, Verb},
    policy::Plan,
    seal::{Form, Transform},
};
use proptest::{collection::vec, prelude::*, test_runner::Config};

static LAB: LazyLock<Lab> = LazyLock::new(Lab::new);
static PATIENTS: LazyLock<Plan> = LazyLock::new(|| LAB.plan("clear", Verb::Create, patients()));
static NOTHING: LazyLock<Plan> = LazyLock::new(|| LAB.plan("clear", Verb::Create, Node::default()));

/// Valid JSON that parsers are tempted to change.
const ODD: &[&str] = &[
    "[1.10,1e400,-0,1E+2,12345678901234567890,0.1e-7,-0.0]",
    r#"{"a":"\u00e9","b":"é","c":"\/","d":"/","e":"\ud800","f":"\udc00\ud800","g":"\u0000"}"#,
    r#"{"":0,"a":1,"a":2,"\u0061":3," ":{"":[]}}"#,
    " \t\r\n[ ] \n",
    "{ }",
    "\"\"",
    "null",
    "-12.5e-3",
    "true",
    " [[[[[[[[[[{\"x\":[{}]}]]]]]]]]]]\n\n",
    "{\"k\":\"\u{7f}\u{80}\u{ffff}\u{10ffff}\\\"\\\\\"}",
    r#"["ls1","ls1d","ls1rAAAAAAAAAAAA","\u006cs1","ls1s1abc"]"#,
];

/// Any JSON, spelled in any way, with none of the declared keys in it.
fn json(depth: u32) -> BoxedStrategy<String> {
    let space = prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\n\t ")];
    let string = vec(
        prop_oneof![
            6 => "[ -!#-\\[\\]-~]{0,12}",
            2 => "[é中😀\u{7f}\u{2028}]{1,4}",
            2 => r#"\\(["\\/bfnrt]|u[0-9a-fA-F]{4})"#,
        ],
        0..4,
    )
    .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let number = r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?";
    let leaf = prop_oneof![
        string.clone(),
        number.prop_map(String::from),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
    ];
    leaf.prop_recursive(depth, 64, 6, move |inner| {
        let spaced =
            (space.clone(), inner, space.clone()).prop_map(|(a, v, b)| format!("{a}{v}{b}"));
        let member = (string.clone(), space.clone(), spaced.clone())
            .prop_map(|(key, space, value)| format!("{space}{key}{space}:{value}"));
        prop_oneof![
            vec(spaced, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
            vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
    .boxed()
}

/// A record with declared fields among others, and the same as it comes back.
fn record() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just(String::new()),
        "[a-zA-Z0-9 ,'{}:-]{1,40}",
        "[éñ中文שלום😀\u{301}]{1,12}",
        Just("O'Neil \\\"the\\\\ \\n\\b\\u001f/".to_owned()),
    ]
    .prop_map(|inside| format!("\"{inside}\""));
    let maybe = |value: BoxedStrategy<String>| prop_oneof![3 => value, 1 => Just("null".into())];
    let declared = (
        proptest::option::of(maybe(text.clone().boxed())),
        proptest::option::of(maybe(text.clone().boxed())),
        proptest::option::of(maybe("-?[1-9][0-9]{0,7}\\.[0-9]{4}".prop_map(String::from).boxed())),
        proptest::option::of(json(3)),
        proptest::option::of(vec(text.clone(), 0..3)),
    );
    (declared, vec(json(2), 0..4)).prop_map(|((mrn, name, result, doc, contacts), others)| {
        let mut members = Vec::new();
        let mut others = others.into_iter().enumerate();
        let mut other = |members: &mut Vec<String>| {
            members.extend(others.next().map(|(i, json)| format!("\"other{i}\" : {json}")));
        };
        for (key, value) in [("mrn", mrn), ("name", name), ("result", result), ("doc", doc)] {
            members.extend(value.map(|value| format!("\"{key}\": {value}")));
            other(&mut members);
        }
        if let Some(contacts) = contacts {
            let all: Vec<_> = contacts.iter().map(|name| format!("{{\"name\":{name}}}")).collect();
            members.push(format!("\"contacts\":[{}]", all.join(" , ")));
        }
        format!("{{{}}}", members.join(",\n"))
    })
}

fn same(left: &[u8], right: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(String::from_utf8_lossy(left), String::from_utf8_lossy(right));
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 120, ..Config::default() })]

    #[test]
    fn any_bytes_pass_as_they_are_where_nothing_is_declared(
        body in vec(any::<u8>(), 0..400),
        lengths in vec(1..50_usize, 1..5),
    ) {
        for form in [Form::Json, Form::Bytes] {
            let sealing = Transform::sealing(&NOTHING, LAB.snapshot(), form);
            same(&in_pieces(sealing, &body, &lengths).unwrap().0, &body)?;
            let opening = Transform::opening(&NOTHING, LAB.snapshot(), form);
            same(&in_pieces(opening, &body, &lengths).unwrap().0, &body)?;
        }
    }

    #[test]
    fn any_json_without_declared_keys_passes_as_it_is(
        json in json(5),
        lengths in vec(1..50_usize, 1..5),
    ) {
        let list = format!("[{{\"x\":{json}}}, {{\"y\" :{json} }}]");
        for (plan, body) in [(&*NOTHING, &json), (&*PATIENTS, &list)] {
            same(&in_pieces(LAB.sealing(plan), body.as_bytes(), &lengths).unwrap().0, body.as_bytes())?;
            let (out, finished) = in_pieces(LAB.opening(plan), body.as_bytes(), &lengths).unwrap();
            same(&out, body.as_bytes())?;
            prop_assert!(finished.tally.is_empty());
        }
    }

    #[test]
    fn what_is_sealed_opens_to_the_same_in_whatever_pieces_it_comes(
        records in vec(record(), 0..5),
        lengths in vec(1..200_usize, 1..5),
    ) {
        let body = format!("[{}]\n", records.join(" ,"));
        let (sealed, finished) =
            in_pieces(LAB.sealing(&PATIENTS), body.as_bytes(), &lengths).unwrap();
        let count: u64 = finished.tally.sealed.values().sum();
        let (opened, finished) = in_pieces(LAB.opening(&PATIENTS), &sealed, &lengths).unwrap();
        same(&opened, body.as_bytes())?;
        prop_assert_eq!(finished.tally.opened.values().sum::<u64>(), count);
        same(&whole(LAB.opening(&PATIENTS), &sealed).unwrap().0, body.as_bytes())?;
        same(&in_pieces(LAB.opening(&PATIENTS), &sealed, &[1]).unwrap().0, body.as_bytes())?;
    }

    #[test]
    fn a_request_that_is_cut_anywhere_is_refused(records in vec(record(), 1..3), cut in any::<prop::sample::Index>()) {
        let body = format!("[{}]", records.join(","));
        let cut = cut.index(body.len());
        let refused = LAB.seal(&PATIENTS, &body.as_bytes()[..cut]).unwrap_err();
        prop_assert_eq!(refused.code, Code::MalformedBody);
    }

    #[test]
    fn no_bytes_make_a_pass_panic(
        mut body in record().prop_map(String::into_bytes),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        for plan in [&*PATIENTS, &*NOTHING] {
            let _ = LAB.seal(plan, &body);
            let _ = LAB.open(plan, &body);
        }
    }
}

#[test]
fn odd_but_valid_json_passes_as_it_is_in_both_directions() {
    let mut seen = 0;
    for body in ODD {
        let list = format!("[{{\"x\":{body}}}]");
        for (plan, body) in [(&*NOTHING, *body), (&*PATIENTS, list.as_str())] {
            for length in [1, 2, 3, 64] {
                let sealed = in_pieces(LAB.sealing(plan), body.as_bytes(), &[length]).unwrap().0;
                assert_eq!(String::from_utf8_lossy(&sealed), body);
                let opened = in_pieces(LAB.opening(plan), body.as_bytes(), &[length]).unwrap().0;
                assert_eq!(String::from_utf8_lossy(&opened), body);
            }
        }
        let json = format!("{{\"doc\":{body}}}");
        let sealed = LAB.seal(&PATIENTS, json.as_bytes()).unwrap();
        let is_null = *body == "null";
        assert_eq!(String::from_utf8_lossy(&sealed).contains("\"ls1r"), !is_null);
        let opened = LAB.open(&PATIENTS, &sealed).unwrap();
        assert_eq!(String::from_utf8_lossy(&opened), json);
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn a_long_list_passes_in_constant_memory() {
    let record = br#"{"mrn":"MRN-1","x":"0123456789abcdef0123456789abcdef","result":1.5}"#;
    let mut sealing = LAB.sealing(&PATIENTS);
    let mut opening = LAB.opening(&PATIENTS);
    let (mut sealed, mut opened, mut total) = (b"".to_vec(), Vec::new(), 0);
    let mut through = |bytes: &[u8]| {
        sealed.clear();
        opened.clear();
        sealing.push(bytes, &mut sealed).unwrap();
        opening.push(&sealed, &mut opened).unwrap();
        total += opened.len();
    };
    through(b"[");
    through(record);
    for _ in 0..100_000 {
        through(b",");
        through(record);
    }
    through(b"]");
    assert!(total > 6_000_000);
    assert!(sealing.high_water() < 1_000 && opening.high_water() < 2_000);
    // One large push needs no large buffer either.
    let list = format!("[{}{{}}]", "{\"x\":1},".repeat(500_000));
    let mut pass = LAB.opening(&PATIENTS);
    pass.push(list.as_bytes(), &mut opened).unwrap();
    assert!(pass.high_water() < 140_000);
    sealed.clear();
    let _ = sealing.finish(&mut sealed).unwrap();
    opening.push(&sealed, &mut opened).unwrap();
    let _ = opening.finish(&mut opened).unwrap();
}
