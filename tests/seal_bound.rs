//! Bound records in bodies: whatever stands around the key, and however the body is cut, each value
//! is bound to the key of its own record.

mod bodies;

use std::sync::LazyLock;

use bodies::{Lab, in_pieces, patient, whole};
use labseal::{
    base::{ident::EntityName, refusal::Code},
    model::{BoundRecord, FieldRef, KeyPlace, Node, Origin, Verb},
    policy::Plan,
};
use proptest::prelude::*;

static LAB: LazyLock<Lab> = LazyLock::new(Lab::bound);

fn plan(origin: Origin) -> Plan {
    let name = if origin == Origin::Added { "labseal_key" } else { "accession" };
    let key = KeyPlace::Member { name: name.to_owned(), origin };
    let bound = BoundRecord { entity: EntityName::new("public.patients"), key };
    let record: Node<FieldRef> = Node { bound: Some(Box::new(bound)), ..patient() };
    let list = Node { elements: Some(Box::new(record.clone())), ..record };
    LAB.plan("clear", Verb::Create, list)
}

static ASKED: LazyLock<Plan> = LazyLock::new(|| plan(Origin::Asked));
static ADDED: LazyLock<Plan> = LazyLock::new(|| plan(Origin::Added));

/// Members of a record without its key, in any order.
fn members() -> impl Strategy<Value = Vec<String>> {
    let member = prop_oneof![
        "[a-z{}\",: ]{0,12}".prop_map(|v| format!("\"note\":{}", serde_json::json!(v))),
        "[A-Z]{1,6}".prop_map(|v| format!("\"name\" : {}", serde_json::json!(v))),
        "[A-Z]{1,6}".prop_map(|v| format!("\"mrn\":{}", serde_json::json!(v))),
        Just("\"other\": {\"accession\":[1,{\"accession\":\"no\"}]}".to_owned()),
        Just("\"contacts\":[{\"name\":\"x\"},{\"name\":null}]".to_owned()),
        Just("\"text\":\"\\\"accession\\\":1\"".to_owned()),
    ];
    let name = |member: &String| member.split(':').next().unwrap().trim().to_owned();
    prop::collection::vec(member, 0..6).prop_map(move |mut members| {
        let mut seen = std::collections::BTreeSet::new();
        members.retain(|member| seen.insert(name(member)));
        members
    })
}

/// A list of records, each with its own key somewhere among its members.
fn list() -> impl Strategy<Value = Vec<(Vec<String>, usize)>> {
    prop::collection::vec((members(), 0..6_usize), 1..5)
}

fn spelled(records: &[(Vec<String>, usize)], name: &str) -> String {
    let record = |(n, (members, at)): (usize, &(Vec<String>, usize))| {
        let mut members = members.clone();

        members.insert((*at).min(members.len()), format!("\"{name}\":\"S-{n}\""));
        format!("{{{}}}", members.join(", "))
    };
    format!("[{}]", records.iter().enumerate().map(record).collect::<Vec<_>>().join(",\n "))
}

fn opens(body: &[u8]) -> Result<String, Code> {
    match whole(LAB.opening(&ASKED), body) {
        Ok((out, _)) => Ok(String::from_utf8(out).unwrap()),
        Err(refusal) => Err(refusal.code),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_sealed_for_a_record_opens_in_it_however_the_body_is_cut(
        records in list(),
        lengths in prop::collection::vec(1..40_usize, 1..5),
    ) {
        let body = spelled(&records, "accession");
        let (sealed, _) = in_pieces(LAB.sealing(&ASKED), body.as_bytes(), &lengths).unwrap();
        let (opened, _) = in_pieces(LAB.opening(&ASKED), &sealed, &lengths).unwrap();
        prop_assert_eq!(String::from_utf8(opened).unwrap(), body);
    }

    #[test]
    fn what_was_sealed_for_a_record_does_not_open_in_its_neighbour(records in list()) {
        let body = spelled(&records, "accession");
        let (sealed, finished) = whole(LAB.sealing(&ASKED), body.as_bytes()).unwrap();
        let sealed = String::from_utf8(sealed).unwrap();
        // The same bodies with the keys of their neighbours.
        let moved = (0..records.len()).fold(sealed.clone(), |text, n| {
            let to = (n + 1) % records.len();
            text.replacen(&format!("\"S-{n}\""), &format!("\"T-{to}\""), 1)
        });
        let moved = moved.replace("\"T-", "\"S-");
        let bound: u64 = finished.tally.sealed.iter()
            .filter(|(class, _)| class.as_str() != "mrn").map(|(_, count)| count).sum();
        let names = finished.tally.sealed.iter().any(|(class, _)| class.as_str() == "name");
        match (opens(moved.as_bytes()), records.len()) {
            (result, 1) => prop_assert!(result.is_ok()),
            (Ok(_), _) if bound == 0 => {}
            // `note` says mark, the others say fail.
            (Ok(text), _) => prop_assert!(!names && text.contains("integrity check failed")),
            (Err(code), _) => prop_assert_eq!(code, Code::Integrity),
        }
    }

    #[test]
    fn a_key_that_was_added_is_gone_from_the_answer(
        records in list(),
        lengths in prop::collection::vec(1..40_usize, 1..5),
    ) {
        let (sealed, _) =
            whole(LAB.sealing(&ASKED), spelled(&records, "accession").as_bytes()).unwrap();
        let answer = String::from_utf8(sealed).unwrap().replace("\"accession\":\"S", "\"labseal_key\":\"S");
        let (opened, _) = in_pieces(LAB.opening(&ADDED), answer.as_bytes(), &lengths).unwrap();
        let without = |(members, _): &(Vec<String>, usize)| format!("{{{}}}", members.join(", "));
        let expected: Vec<serde_json::Value> =
            records.iter().map(|r| serde_json::from_str(&without(r)).unwrap()).collect();
        let opened: Vec<serde_json::Value> = serde_json::from_slice(&opened).unwrap();
        prop_assert_eq!(opened, expected);
    }
}

#[test]
fn a_large_record_in_small_pieces_costs_no_more_than_one_pass() {
    let filler = format!("\"filler\":\"{}\"", "x".repeat(2 << 20));
    let body = format!("{{\"note\":\"a\",{filler},\"accession\":\"S-1\"}}");
    let (sealed, _) = in_pieces(LAB.sealing(&ASKED), body.as_bytes(), &[7]).unwrap();
    let (opened, _) = in_pieces(LAB.opening(&ASKED), &sealed, &[7]).unwrap();
    assert!(opened == body.as_bytes());
    let mut pass = LAB.sealing(&ASKED);
    let endless = "x".repeat(9 << 20);
    let refused = pass.push(format!("{{\"note\":\"{endless}").as_bytes(), &mut Vec::new());
    assert_eq!(refused.unwrap_err().code, Code::RecordTooLarge);
}

#[test]
fn a_record_that_never_ends_is_not_json() {
    for body in ["{\"accession\":\"S-1\"", "[{\"note\":1", "{\"a\":]}", "{\"accession\":1x}"] {
        let refused = whole(LAB.sealing(&ASKED), body.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(refused.code, Code::MalformedBody, "{body}");
    }
}
