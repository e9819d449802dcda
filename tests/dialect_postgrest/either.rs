//! Tests of columns that hold values in clear beside envelopes: what is sought stands in the target,
//! and is read there as what it is, whatever it is.

use http::Method;
use labseal::{
    base::refusal::Code,
    model::{
        Alternative, Bound, Case, Filter, Literal, Replacement, Sameness, Test, Unlike, UseKind,
    },
};
use proptest::prelude::*;

use super::{
    get,
    rewrite::{readdress_as, rewritten},
};

fn same(text: &str, equality: Sameness) -> Alternative {
    Alternative::Same { literal: Literal::new(text.to_owned()), equality }
}

fn either(found: &[Alternative]) -> Vec<Replacement> {
    vec![Replacement::Either(found.to_vec())]
}

fn range() -> Alternative {
    Alternative::Range("P2".into(), "P3".into())
}

fn like(pattern: &str, case: Case, unlike: Option<Unlike>) -> Alternative {
    Alternative::Like { pattern: Literal::new(pattern.to_owned()), case, unlike }
}

#[test]
fn each_place_gets_a_test_of_both_forms() {
    let exact = [Alternative::Envelope("E".into()), same("a,\"b", Sameness::Exact)];
    let list = "in.(E,%22a%2C%5C%22b%22)";
    for (query, expected) in [
        ("mrn=eq.x", format!("mrn={list}")),
        ("mrn=not.eq.x&id=eq.1", format!("mrn=not.{list}&id=eq.1")),
        ("mrn=not.neq.x", format!("mrn={list}")),
        ("mrn=in.(x)", format!("mrn={list}")),
        ("or=(mrn.neq.x,id.eq.1)", format!("or=(mrn.not.{list},id.eq.1)")),
        ("mrn=isdistinct.x", format!("or=(mrn.is.null,mrn.not.{list})")),
        ("mrn=not.isdistinct.x", format!("and=(mrn.not.is.null,mrn.{list})")),
    ] {
        assert_eq!(rewritten(query, either(&exact)), expected, "{query}");
    }
    let ranged = [range(), same("a", Sameness::Exact)];
    let members = "(and(mrn.gte.P2,mrn.lt.P3),mrn.eq.%22a%22)";
    for (query, expected) in [
        ("mrn=eq.x", format!("or={members}")),
        ("mrn=neq.x", format!("not.or={members}")),
        ("and=(mrn.not.eq.x,id.eq.1)", format!("and=(not.or{members},id.eq.1)")),
        ("mrn=isdistinct.x", format!("or=(mrn.is.null,not.or{members})")),
    ] {
        assert_eq!(rewritten(query, either(&ranged)), expected, "{query}");
    }
    let unlike = Some(Unlike { start: "ls1s1".into(), least: 3 });
    for (one, expected) in [
        (same("a.b", Sameness::Folded), "mrn.match.%22%28%3Fi%29%5Ea%5C%5C.b%24%22"),
        (same("a", Sameness::Padded), "mrn.match.%22%5Ea%20%2A%24%22"),
        (like("S%", Case::Exact, None), "mrn.like.%22S%25%22"),
        (like("l%", Case::Folded, unlike), "and(mrn.ilike.%22l%25%22,mrn.not.like.ls1s1___*)"),
        (
            Alternative::Bound { bound: Bound::Above, literal: Literal::new("2026-01-01".into()) },
            "and(mrn.gt.%222026-01-01%22,mrn.lt.a)",
        ),
    ] {
        let query = rewritten("mrn=eq.x", either(&[range(), one]));
        assert_eq!(query, format!("or=(and(mrn.gte.P2,mrn.lt.P3),{expected})"));
    }
}

#[test]
fn in_a_write_a_parameter_stays_one() {
    let found = [range(), same("a*b", Sameness::Exact)];
    let write = |query: &str, found: &[Alternative]| {
        let target = format!("/patients?{query}");
        readdress_as(&Method::PATCH, &target, either(found)).map(|written| written.target)
    };
    let holds = write("mrn=eq.x", &found).unwrap();
    assert_eq!(holds, "/patients?mrn=match(any).{%22%5EP2%22,%22%5Ea%5C%5C%2Ab%24%22}");
    let negated = write("mrn=neq.x", &found).unwrap();
    assert_eq!(negated, "/patients?mrn=not.match.%5EP2&mrn=not.match.%5Ea%5C%2Ab%24");
    let exact = [Alternative::Envelope("E".into()), same("a", Sameness::Exact)];
    assert_eq!(write("mrn=eq.x", &exact).unwrap(), "/patients?mrn=in.(E,%22a%22)");
    let literal = Literal::new("2026-01-01".into());
    let bound = Alternative::Bound { bound: Bound::Below, literal };
    assert_eq!(write("mrn=eq.x", &[range(), bound]).unwrap_err().code, Code::MixedTest);
    assert_eq!(write("mrn=isdistinct.x", &found).unwrap_err().code, Code::UnsupportedOperator);
}

/// The literals of a target's tests of `mrn`, as the dialect reads them.
fn literals(target: &str) -> Vec<String> {
    let text = |text: &labseal::base::secret::Plaintext| {
        String::from_utf8(text.expose().to_vec()).unwrap()
    };
    let mut found = Vec::new();
    for used in get(target).uses {
        let UseKind::Filter(Filter { operator, test }) = used.kind else { continue };
        match test {
            Test::Equal(literal) => found.push(text(&literal)),
            Test::In(list) => found.extend(list.iter().map(text)),
            _ => found.push(operator.to_owned()),
        }
    }
    found
}

proptest! {
    #[test]
    fn no_text_ends_its_test_or_becomes_another(text in any::<String>()) {
        prop_assume!(!text.contains('\0'));
        let found = [Alternative::Envelope("E".into()), same(&text, Sameness::Exact)];
        for query in ["mrn=eq.x&id=eq.1", "mrn=not.eq.x&id=eq.1", "and=(id.eq.1,mrn.eq.x)"] {
            let mut read = literals(&format!("/patients?{}", rewritten(query, either(&found))));
            // The other test's literal, once: the text may be the same.
            let id = read.iter().position(|literal| literal == "1");
            read.remove(id.expect("the id is asked for"));
            prop_assert_eq!(read, ["E".to_owned(), text.clone()]);
        }
        let found = [range(), same(&text, Sameness::Exact)];
        for query in ["mrn=eq.x", "or=(mrn.neq.x,id.eq.1)"] {
            let read = literals(&format!("/patients?{}", rewritten(query, either(&found))));
            prop_assert_eq!(read.get(2), Some(&text));
        }
        let found = [range(), same(&text, Sameness::Folded), like(&text, Case::Exact, None)];
        let count = literals(&format!("/patients?{}", rewritten("mrn=eq.x", either(&found)))).len();
        prop_assert_eq!(count, 4);
    }
}
