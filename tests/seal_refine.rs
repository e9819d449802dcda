//! Records whose value does not pass the test that their token passed: 60-bit tokens collide, so this
//! is looked at where values are opened anyway.
//!
//! A collision is staged by answering a record that the request did not ask for, since what comes
//! back does not depend on why the API found it.

mod bodies;

use bodies::{Lab, in_pieces, operation, patients, whole};
use labseal::{
    base::{
        ident::{EntityName, FieldName},
        refusal::Code,
    },
    model::{Filter, Operation, Page, Placement, Test, Use, UseKind, Verb},
    policy::Plan,
    seal::{Refine, Refined, Rewritten, Transform, Unsealed, readdress},
};

fn used(test: Test) -> Use {
    Use {
        entity: Some(EntityName::new("public.patients")),
        column: FieldName::new("name"),
        kind: UseKind::Filter(Filter { operator: "eq", test }),
        place: Placement::Required,
    }
}

/// `GET /patients?name=eq.Ann`.
fn asked() -> Operation {
    let mut op = operation(Verb::Read, patients(), vec![used(Test::Equal("Ann".into()))]);
    op.own_keys.insert(FieldName::new("name"), "name".into());
    op
}

struct Asked {
    plan: Plan,
    refine: Refine,
}

fn ask(lab: &Lab, caller: &str, op: &Operation) -> Asked {
    let plan = lab.plan_of(caller, op).unwrap();
    let Rewritten { refine, .. } = readdress(&plan, op, &lab.snapshot()).unwrap();
    Asked { plan, refine }
}

fn opening(lab: &Lab, asked: &Asked) -> Transform<Unsealed> {
    lab.opening(&asked.plan).refined(&asked.refine).unwrap()
}

fn record(id: usize, name: &str) -> String {
    format!(r#"{{"id":{id},"name":"{name}","contacts":[{{"name":"Zoe"}}]}}"#)
}

/// A list as PostgREST separates its records.
fn list(records: &[(usize, &str)]) -> String {
    let records: Vec<_> = records.iter().map(|(id, name)| record(*id, name)).collect();
    format!("[{}]", records.join(", \n "))
}

fn stored(lab: &Lab, records: &[(usize, &str)]) -> String {
    let plan = lab.plan("clear", Verb::Create, patients());
    String::from_utf8(lab.seal(&plan, list(records).as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_whole_list_leaves_out_what_collides() {
    let lab = Lab::new();
    let asked = ask(&lab, "clear", &asked());
    for names in [
        &["Ann"][..],
        &["Bob"],
        &["Bob", "Bob", "Bob"],
        &["Bob", "Ann", "Ann"],
        &["Ann", "Bob", "Ann"],
        &["Ann", "Bob", "Bob", "Ann"],
        &["Ann", "Ann", "Bob"],
        &["Bob", "Bob", "Ann", "Bob", "Ann", "Bob"],
    ] {
        let records: Vec<_> = names.iter().copied().enumerate().collect();
        let kept: Vec<_> = records.iter().copied().filter(|(_, name)| *name == "Ann").collect();
        let stored = stored(&lab, &records);
        for lengths in [&[1][..], &[7, 64], &[100_000]] {
            let (out, finished) =
                in_pieces(opening(&lab, &asked), stored.as_bytes(), lengths).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), list(&kept), "{names:?}");
            let (kept, all) = (kept.len() as u64, names.len() as u64);
            assert_eq!(finished.refined, Refined { kept, dropped: all - kept });
            // What was left out was opened: its name and that of its contact.
            assert_eq!(finished.tally.opened.values().sum::<u64>(), 2 * all);
        }
    }
}

#[test]
fn what_a_caller_may_not_see_is_tested_all_the_same() {
    let lab = Lab::new();
    let stored = stored(&lab, &[(1, "Bob"), (2, "Ann"), (3, "Bob")]);
    for caller in ["masked", "sealed", "nulled", "omitted"] {
        let asked = ask(&lab, caller, &asked());
        let (out, finished) = whole(opening(&lab, &asked), stored.as_bytes()).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(finished.refined, Refined { kept: 1, dropped: 2 }, "{caller}");
        assert!(out.starts_with(r#"[{"id":2,"#) && !out.contains("Ann"), "{caller}: {out}");
    }
}

#[test]
fn part_of_a_list_fails_where_a_collision_is_seen_and_only_there() {
    let lab = Lab::new();
    let mut op = asked();
    op.page = Page::Part("limit");
    let asked = ask(&lab, "clear", &op);
    let ann = stored(&lab, &[(1, "Ann"), (2, "Ann")]);
    let (out, _) = whole(opening(&lab, &asked), ann.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), list(&[(1, "Ann"), (2, "Ann")]));
    let bob = stored(&lab, &[(1, "Ann"), (2, "Bob")]);
    assert_eq!(whole(opening(&lab, &asked), bob.as_bytes()).unwrap_err().code, Code::Collision);
    let one = stored(&lab, &[(1, "Bob")]);
    let one = one.trim_matches(['[', ']']);
    assert_eq!(whole(opening(&lab, &asked), one.as_bytes()).unwrap_err().code, Code::Collision);
}

#[test]
fn an_answer_whose_head_has_said_how_many_there_are_fails() {
    let lab = Lab::new();
    let asked = ask(&lab, "clear", &asked());
    let (first, last) = (stored(&lab, &[(1, "Ann")]), stored(&lab, &[(2, "Bob")]));
    let first = first.trim_end_matches(']');
    let last = format!(", {}", last.trim_start_matches('['));
    let mut pass = opening(&lab, &asked);
    let mut out = Vec::new();
    pass.push(first.as_bytes(), &mut out).unwrap();
    assert!(!pass.settle());
    assert_eq!(pass.push(last.as_bytes(), &mut out).unwrap_err().code, Code::Collision);
    // One that is known to have fewer says nothing of how many.
    let mut pass = opening(&lab, &asked);
    let mut out = Vec::new();
    pass.push(stored(&lab, &[(1, "Bob")]).trim_end_matches(']').as_bytes(), &mut out).unwrap();
    assert!(pass.settle());
    pass.push(last.as_bytes(), &mut out).unwrap();
    let _ = pass.finish(&mut out).unwrap();
    assert_eq!(out, b"[]");
}

#[test]
fn what_is_no_list_of_records_with_the_value_is_not_passed() {
    let lab = Lab::new();
    let asked = ask(&lab, "clear", &asked());
    let sealed = stored(&lab, &[(1, "Ann")]);
    for body in [
        "[null]".to_owned(),
        "[1]".to_owned(),
        "null".to_owned(),
        "[[]]".to_owned(),
        r#"[{"id":1}]"#.to_owned(),
        sealed.replacen('[', "[7,", 1),
        sealed.replace(r#""name""#, r#""other""#),
    ] {
        let refusal = whole(opening(&lab, &asked), body.as_bytes()).unwrap_err();
        assert_eq!(refusal.code, Code::UpstreamUnreadable, "{body}");
    }
    let (out, _) = whole(opening(&lab, &asked), br#"[{"name":null}]"#).unwrap();
    assert_eq!(out, b"[]", "null equals nothing");
    let twice = stored(&lab, &[(1, "Ann")]).replace(r#""contacts""#, r#""name":null,"x""#);
    assert_eq!(whole(opening(&lab, &asked), twice.as_bytes()).unwrap().0, b"[]");
}

#[test]
fn tests_that_do_not_hold_for_every_record_are_not_looked_at_again() {
    let lab = Lab::new();
    let bob = stored(&lab, &[(1, "Bob")]);
    let mut within = asked();
    within.uses[0].place = Placement::Within;
    let mut unselected = asked();
    unselected.own_keys.clear();
    let mut write = asked();
    write.verb = Verb::Update;
    for op in [within, unselected, write] {
        let asked = ask(&lab, "clear", &op);
        assert!(asked.refine.is_empty());
        let (out, _) = whole(opening(&lab, &asked), bob.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), list(&[(1, "Bob")]));
    }
}
