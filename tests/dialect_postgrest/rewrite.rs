//! What becomes of targets: replaced literals, echoes, preflights, and everything left alone.

use http::{HeaderMap, Method};
use labseal::{
    base::refusal::{Code, Refusal},
    dialect::{Head, Readdressed},
    model::Replacement,
};
use proptest::prelude::*;

use super::{build, shown, surface};

pub fn exact(texts: &[&[&str]]) -> Replacement {
    Replacement::Exact(texts.iter().map(|t| t.iter().map(|t| (*t).to_owned()).collect()).collect())
}

pub fn ranges(ranges: &[&[(&str, &str)]]) -> Replacement {
    let own = |(low, high): &(&str, &str)| ((*low).to_owned(), (*high).to_owned());
    Replacement::Ranges(ranges.iter().map(|r| r.iter().map(own).collect()).collect())
}

/// Replaces the uses of protected columns, in order.
fn readdress(target: &str, replacements: Vec<Replacement>) -> Result<Readdressed, Refusal> {
    readdress_as(&Method::GET, target, replacements)
}

pub fn readdress_as(
    method: &Method,
    target: &str,
    replacements: Vec<Replacement>,
) -> Result<Readdressed, Refusal> {
    let dialect = build(&surface());
    let headers = HeaderMap::new();
    let head = Head { method, target, headers: &headers };
    let operation = dialect.classify(head)?;
    let mut left = replacements.into_iter();
    let protected = ["mrn", "last_name", "code"];
    let aligned: Vec<_> = operation
        .uses
        .iter()
        .map(|used| protected.contains(&used.column.as_str()).then(|| left.next()).flatten())
        .collect();
    dialect.readdress(head, &aligned)
}

pub fn rewritten(query: &str, replacements: Vec<Replacement>) -> String {
    let readdressed = readdress(&format!("/patients?{query}"), replacements);
    let target = readdressed.unwrap_or_else(|refusal| panic!("{query}: {refusal}")).target;
    target.strip_prefix("/patients?").unwrap().to_owned()
}

#[test]
fn exact_texts_stand_where_the_literals_stood() {
    let one = || vec![exact(&[&["E1"]])];
    let two = || vec![exact(&[&["E1", "E2"]])];
    for (query, replacements, expected) in [
        ("a=eq.%20x&m%72n=eq.A%31&b", one(), "a=eq.%20x&m%72n=eq.E1&b"),
        ("mrn=neq.A1", one(), "mrn=neq.E1"),
        ("mrn=not.eq.A1", one(), "mrn=not.eq.E1"),
        ("mrn=eq.", one(), "mrn=eq.E1"),
        ("mrn=eq.A1", two(), "mrn=in.(E1,E2)"),
        ("mrn=neq.A1", two(), "mrn=not.in.(E1,E2)"),
        ("mrn=not.eq.A1", two(), "mrn=not.in.(E1,E2)"),
        ("mrn=not.neq.A1", two(), "mrn=in.(E1,E2)"),
        ("mrn=in.(A1)", two(), "mrn=in.(E1,E2)"),
        ("mrn=%69n.(A1)", two(), "mrn=%69n.(E1,E2)"),
        (
            "mrn=not.in.(%22A1%22,B2)",
            vec![exact(&[&["E1"], &["F1", "F2"]])],
            "mrn=not.in.(E1,F1,F2)",
        ),
        ("mrn=in.()", vec![exact(&[])], "mrn=in.()"),
        ("or=(mrn.eq.\"A,1\",id.eq.2)", one(), "or=(mrn.eq.E1,id.eq.2)"),
        ("or=( mrn .not.eq.A1,id.eq.2 )", two(), "or=( mrn .not.in.(E1,E2),id.eq.2 )"),
        (
            "and=(mrn.in.(A1,B2),or(mrn.eq.A1,id.eq.1))",
            vec![exact(&[&["E1"], &["E2"]]), exact(&[&["E3"]])],
            "and=(mrn.in.(E1,E2),or(mrn.eq.E3,id.eq.1))",
        ),
    ] {
        assert_eq!(rewritten(query, replacements), expected, "{query}");
    }
}

#[test]
fn ranges_are_spelled_as_the_test_they_stand_for() {
    let one = || vec![ranges(&[&[("P", "Q")]])];
    let two = || vec![ranges(&[&[("P", "Q"), ("R", "S")]])];
    let either = "(and(mrn.gte.P,mrn.lt.Q),and(mrn.gte.R,mrn.lt.S))";
    for (query, replacements, expected) in [
        ("a=eq.1&mrn=eq.A1&b", one(), "a=eq.1&mrn=gte.P&mrn=lt.Q&b".to_owned()),
        ("%22mrn%22=eq.A1", one(), "%22mrn%22=gte.P&%22mrn%22=lt.Q".into()),
        ("mrn=not.neq.A1", one(), "mrn=gte.P&mrn=lt.Q".into()),
        ("mrn=neq.A1", one(), "not.and=(mrn.gte.P,mrn.lt.Q)".into()),
        ("mrn=not.eq.A1", one(), "not.and=(mrn.gte.P,mrn.lt.Q)".into()),
        ("mrn=eq.A1", two(), format!("or={either}")),
        ("mrn=neq.A1", two(), format!("not.or={either}")),
        ("mrn=in.(A1)", one(), "mrn=gte.P&mrn=lt.Q".into()),
        ("mrn=in.(A1,B2)", vec![ranges(&[&[("P", "Q")], &[("R", "S")]])], format!("or={either}")),
        ("mrn=not.in.(A1)", two(), format!("not.or={either}")),
        ("mrn=in.()", vec![ranges(&[])], "mrn=in.()".into()),
        ("or=(mrn.eq.A1,id.eq.2)", one(), "or=(and(mrn.gte.P,mrn.lt.Q),id.eq.2)".into()),
        ("or=(mrn.neq.\"A1\",id.eq.2)", one(), "or=(not.and(mrn.gte.P,mrn.lt.Q),id.eq.2)".into()),
        ("or=(mrn.not.neq.A1)", one(), "or=(and(mrn.gte.P,mrn.lt.Q))".into()),
        ("or=(mrn.in.(A1),id.eq.2)", two(), format!("or=(or{either},id.eq.2)")),
        ("or=(id.eq.2,mrn.not.in.(A1))", two(), format!("or=(id.eq.2,not.or{either})")),
        (
            "select=id,orders(id)&orders.code=eq.x",
            one(),
            "select=id,orders(id)&orders.code=gte.P&orders.code=lt.Q".into(),
        ),
        (
            "select=id,orders(id)&orders.code=neq.x",
            one(),
            "select=id,orders(id)&orders.not.and=(code.gte.P,code.lt.Q)".into(),
        ),
        (
            "select=id,orders(id)&orders.code=in.(x)",
            two(),
            format!("select=id,orders(id)&orders.or={}", either.replace("mrn", "code")),
        ),
    ] {
        assert_eq!(rewritten(query, replacements), expected, "{query}");
    }
}

#[test]
fn rewriting_keeps_to_envelopes_and_to_the_number_of_literals() {
    for replacement in [
        exact(&[&["A,1"]]),
        exact(&[&[""]]),
        exact(&[&[]]),
        exact(&[]),
        exact(&[&["E1"], &["E2"]]),
        ranges(&[&[("P", "Q&x")]]),
    ] {
        let refusal = readdress("/patients?mrn=eq.A1", vec![replacement]).unwrap_err();
        assert_eq!(refusal.code, Code::Internal);
    }
}

#[test]
fn echoes_are_spelled_as_content_location_spells_them() {
    let found =
        readdress("/patients?select=id,mrn&mrn=eq.A%201&id=eq.1", vec![exact(&[&["E1"]])]).unwrap();
    let pairs: Vec<_> =
        found.echoes.iter().map(|e| (e.written.as_str(), shown(e.original.expose()))).collect();
    let whole = ("id=eq.1&mrn=eq.E1&select=id%2Cmrn", "id=eq.1&mrn=eq.A%201&select=id%2Cmrn");
    let single = ("mrn=eq.E1", "mrn=eq.A%201");
    assert_eq!(pairs, [(whole.0, whole.1.to_owned()), (single.0, single.1.to_owned())]);

    let found = readdress("/patients?mrn=neq.A1&id=eq.1", vec![ranges(&[&[("P", "Q")]])]).unwrap();
    assert_eq!(found.echoes[0].written, "id=eq.1&not.and=%28mrn.gte.P%2Cmrn.lt.Q%29");
    assert_eq!(shown(found.echoes[0].original.expose()), "id=eq.1&mrn=neq.A1");
    let found = readdress("/patients?mrn=eq.A1", vec![ranges(&[&[("P", "Q")]])]).unwrap();
    assert_eq!(found.echoes[0].written, "mrn=gte.P,lt.Q");
}

#[test]
fn a_preflight_does_not_carry_a_protected_value_up() {
    let dialect = build(&surface());
    let headers = HeaderMap::new();
    for (target, expected) in [
        ("/patients?mrn=eq.A1&select=id", "/patients"),
        ("/wards?or=(mrn.eq.A1)", "/wards"),
        ("/patients?mrn;x=eq", "/patients"),
        ("/patients?MRN=eq.A1", "/patients"),
        ("/rpc/find_patient?number=A1", "/rpc/find_patient"),
        ("/patients?id=eq.1", "/patients?id=eq.1"),
        ("/patients", "/patients"),
    ] {
        let head = Head { method: &Method::OPTIONS, target, headers: &headers };
        assert!(dialect.classify(head).unwrap().uses.is_empty());
        assert_eq!(dialect.readdress(head, &[]).unwrap().target, expected);
    }
}

proptest! {
    #[test]
    fn no_query_makes_it_panic_and_nothing_replaced_is_nothing_changed(
        query in "[a-z.(){},=&:!*\"\\\\%+ 0-9>;é_-]{0,60}",
        path in "/(patients|wards|rpc/f|)",
    ) {
        let target = format!("{path}?{query}");
        let dialect = build(&surface());
        let headers = HeaderMap::new();
        let head = Head { method: &Method::GET, target: &target, headers: &headers };
        if let Ok(operation) = dialect.classify(head) {
            let nothing = vec![None; operation.uses.len()];
            prop_assert_eq!(dialect.readdress(head, &nothing).unwrap().target, target);
        }
    }

    #[test]
    fn a_protected_test_is_found_wherever_it_stands(
        before in "(id=eq\\.[a-z&]{0,8}&|order=id&|select=id,orders\\(id\\)&){0,1}",
        literal in "[A-Zé'][A-Z0-9'é +]{0,12}",
        after in "(&limit=1|&or=\\(id\\.eq\\.1,n\\.is\\.null\\)|&zz){0,2}",
        place in 0..4_usize,
    ) {
        let test = match place {
            0 => format!("mrn=eq.{literal}"),
            1 => format!("not.or=(id.eq.1,and(mrn.eq.{literal},id.lt.9))"),
            2 => format!("mrn=not.in.(\"{literal}\")"),
            _ => format!("or=(mrn.in.({literal}))"),
        };
        let target = format!("/patients?{before}{test}{after}");
        let done = readdress(&target, vec![exact(&[&["ENVELOPE"]])]).unwrap().target;
        let kept = test.replace(&format!("\"{literal}\""), &literal).replace(&literal, "ENVELOPE");
        prop_assert_eq!(done, format!("/patients?{before}{kept}{after}"));
    }
}

#[test]
fn in_an_update_no_parameter_becomes_a_tree() {
    let update = |query: &str, replacement| {
        readdress_as(&Method::PATCH, &format!("/patients?{query}"), vec![replacement])
            .map(|readdressed| readdressed.target.replacen("/patients?", "", 1))
            .map_err(|refusal| refusal.code)
    };
    let (one, two) = (("ab7", "aba"), ("bzz", "c22"));
    for (query, replacement, expected) in [
        ("last_name=eq.x", ranges(&[&[one]]), "last_name=gte.ab7&last_name=lt.aba"),
        ("last_name=neq.x", ranges(&[&[two]]), "last_name=not.like.bzz*"),
        ("last_name=in.(x,y)", ranges(&[&[two], &[two]]), "last_name=like(any).{bzz*,bzz*}"),
        (
            "last_name=not.eq.x",
            ranges(&[&[two, two]]),
            "last_name=not.like.bzz*&last_name=not.like.bzz*",
        ),
        (
            "or=(last_name.eq.x,id.eq.1)",
            ranges(&[&[two]]),
            "or=(and(last_name.gte.bzz,last_name.lt.c22),id.eq.1)",
        ),
    ] {
        assert_eq!(update(query, replacement).as_deref(), Ok(expected), "{query}");
    }
    // These ranges hold more than the texts that begin with their first.
    for range in [("aaa", "aac"), ("aaz", "ab3"), ("aaz", "ab"), ("aaa", "aaa")] {
        let refused = update("last_name=neq.x", ranges(&[&[range]]));
        assert_eq!(refused, Err(Code::UnsupportedOperator), "{range:?}");
    }
    let distinct = update("last_name=isdistinct.x", ranges(&[&[two]]));
    assert_eq!(distinct, Err(Code::UnsupportedOperator));
}
