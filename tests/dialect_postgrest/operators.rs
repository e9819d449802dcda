//! What each operator asks, and what becomes of it when its literals are replaced.

use labseal::{base::refusal::Code, model::Replacement};

use super::{
    get, refused,
    rewrite::{exact, ranges, rewritten},
    uses,
};

fn asks(test: &str) -> String {
    let found = uses(&get(&format!("/patients?mrn={test}")));
    found.join(" and ").replace("lab.patients.mrn ", "")
}

#[test]
fn quantified_equality_is_a_list_where_the_meaning_is_one() {
    for (test, expected) in [
        ("eq(any).{A1,%22B,2%22}", "eq(any) A1|B,2"),
        ("eq(any).%7B%20A1%20%7D", "eq(any) A1"),
        ("eq(any).{}", "eq(any) "),
        ("eq(all).{A1}", "eq(all) A1"),
        ("eq(all).{A1,A1}", "other eq(all)"),
        // Of none, it holds for a null too.
        ("eq(all).{}", "other eq(all)"),
        ("eq(any).{A1,NULL}", "other eq(any)"),
        ("eq(any).{{A1}}", "other eq(any)"),
        ("eq(any).A1", "other eq(any)"),
        ("like(any).{A1,C%5C%5C_2}", "like(any) A1|C_2"),
        ("like(any).{A1,B*}", "other like(any)"),
        ("like(any).{B*}", "pattern like(any) Exact B%"),
        ("like(all).{A1}", "like(all) A1"),
        ("ilike(any).{a1}", "pattern ilike(any) Folded a1"),
        ("ilike(any).{a1,b2}", "other ilike(any)"),
        ("gte(all).{A1}", "bound gte(all) A1"),
        ("lt(any).{A1,B2}", "other lt(any)"),
        ("match(any).{A1}", "other match(any)"),
    ] {
        assert_eq!(asks(test), expected, "{test}");
    }
    assert_eq!(
        uses(&get("/patients?or=(mrn.eq(any).{A1,\"B,2\"},mrn.eq(any).\"{C,\\\"D,4\\\"}\")")),
        ["lab.patients.mrn eq(any) A1|B,2", "lab.patients.mrn eq(any) C|D,4"]
    );
    for test in ["neq(any).{A1}", "in(any).(A1)", "isdistinct(any).{A1}", "eq(some).{A1}"] {
        assert_eq!(refused(&format!("/patients?mrn={test}")), Code::MalformedTarget, "{test}");
    }
}

#[test]
fn patterns_without_wildcards_are_texts_and_others_stay_patterns() {
    for (test, expected) in [
        ("like.A1", "like A1"),
        ("not.like.A1", "like A1"),
        ("like.A%5C_1", "like A_1"),
        ("like.A%5C%5C1", "like A\\1"),
        ("like.A%5C*1", "like A%1"),
        ("like.A*", "pattern like Exact A%"),
        ("like.A%251", "pattern like Exact A%1"),
        ("like.A_%5C_", "pattern like Exact A_\\_"),
        ("like.A%5C", "other like"),
        ("ilike.A1", "pattern ilike Folded A1"),
        ("ilike.*A%5C%251", "pattern ilike Folded %A\\%1"),
        ("gt.A1", "bound gt A1"),
        ("lte.", "bound lte "),
        ("match.%5EA1", "other match"),
        ("plfts(english).A1", "other plfts"),
        ("cs.{A1}", "other cs"),
        ("isdistinct.A1", "isdistinct A1"),
        ("is.not_null", "null"),
        ("is.unknown", "other is"),
    ] {
        assert_eq!(asks(test), expected, "{test}");
    }
}

#[test]
fn a_test_whose_literals_do_not_fit_is_spelled_anew() {
    let one = || vec![exact(&[&["E1"]])];
    let both = || vec![exact(&[&["E1", "E2"]])];
    let list = || vec![exact(&[&["E1"], &["F1", "F2"]])];
    let range = || vec![ranges(&[&[("P", "Q")]])];
    for (query, replacements, expected) in [
        ("mrn=eq(any).{A1,B2}", list(), "mrn=in.(E1,F1,F2)"),
        ("mrn=not.eq(any).{A1,B2}", list(), "mrn=not.in.(E1,F1,F2)"),
        ("mrn=eq(any).{}", vec![exact(&[])], "mrn=eq(any).{}"),
        ("mrn=eq(all).{A1}", both(), "mrn=in.(E1,E2)"),
        ("mrn=like.A1", one(), "mrn=in.(E1)"),
        ("mrn=not.like.A1", one(), "mrn=not.in.(E1)"),
        ("mrn=like.A1", range(), "mrn=gte.P&mrn=lt.Q"),
        ("mrn=ilike.A1", range(), "mrn=gte.P&mrn=lt.Q"),
        ("mrn=not.ilike.A1", range(), "not.and=(mrn.gte.P,mrn.lt.Q)"),
        ("mrn=gte.2020-01-01", range(), "mrn=gte.P&mrn=lt.Q"),
        ("or=(mrn.like.\"A,1\",id.eq.1)", one(), "or=(mrn.in.(E1),id.eq.1)"),
        ("or=(mrn.eq(any).\"{A1,B2}\",id.eq.1)", list(), "or=(mrn.in.(E1,F1,F2),id.eq.1)"),
        ("or=(mrn.not.eq(any).{A1})", one(), "or=(mrn.not.in.(E1))"),
        ("or=(mrn.eq(any).{A1},id.eq.1)", range(), "or=(and(mrn.gte.P,mrn.lt.Q),id.eq.1)"),
    ] {
        assert_eq!(rewritten(query, replacements), expected, "{query}");
    }
}

#[test]
fn a_test_that_tells_nulls_apart_still_does() {
    let one = || vec![exact(&[&["E1"]])];
    let both = || vec![exact(&[&["E1", "E2"]])];
    let range = || vec![ranges(&[&[("P", "Q")]])];
    let either: fn() -> Vec<Replacement> = || vec![ranges(&[&[("P", "Q"), ("R", "S")]])];
    let any = "or(and(mrn.gte.P,mrn.lt.Q),and(mrn.gte.R,mrn.lt.S))";
    for (query, replacements, expected) in [
        ("mrn=isdistinct.A1", one(), "mrn=isdistinct.E1".to_owned()),
        ("mrn=not.isdistinct.A1", one(), "mrn=not.isdistinct.E1".into()),
        ("mrn=isdistinct.A1", both(), "or=(mrn.is.null,mrn.not.in.(E1,E2))".into()),
        ("mrn=not.isdistinct.A1", both(), "and=(mrn.not.is.null,mrn.in.(E1,E2))".into()),
        ("mrn=isdistinct.A1", range(), "or=(mrn.is.null,not.and(mrn.gte.P,mrn.lt.Q))".into()),
        ("mrn=not.isdistinct.A1", range(), "and=(mrn.not.is.null,and(mrn.gte.P,mrn.lt.Q))".into()),
        ("mrn=isdistinct.A1", either(), format!("or=(mrn.is.null,not.{any})")),
        (
            "or=(id.eq.1,mrn.isdistinct.A1)",
            range(),
            "or=(id.eq.1,or(mrn.is.null,not.and(mrn.gte.P,mrn.lt.Q)))".into(),
        ),
        (
            "not.or=(mrn.not.isdistinct.A1)",
            both(),
            "not.or=(and(mrn.not.is.null,mrn.in.(E1,E2)))".into(),
        ),
        (
            "select=id,orders(id)&orders.code=isdistinct.x",
            range(),
            "select=id,orders(id)&orders.or=(code.is.null,not.and(code.gte.P,code.lt.Q))".into(),
        ),
    ] {
        assert_eq!(rewritten(query, replacements), expected, "{query}");
    }
}
