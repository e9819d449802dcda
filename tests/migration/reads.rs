//! Reads of both tables.

use std::collections::BTreeMap;

use labseal::dialect::postgrest::OPERATORS;
use serde_json::Value;

use crate::{
    kit::{Pair, Request},
    lab::{TEXTS, enc, pair, quoted},
};

/// How often each code was answered; empty: the answers were the same.
#[derive(Default)]
struct Seen(BTreeMap<String, usize>);

impl Seen {
    fn ask(&mut self, pair: &Pair, target: &str) -> Option<String> {
        let code = pair.same(&Request::get(target));
        *self.0.entry(code.clone().unwrap_or_default()).or_default() += 1;
        code
    }
}

/// Every place where a test may stand. `{}` is `operator.value` alone, and the value is quoted where
/// that is needed.
fn places(column: &str, test: &str, quoted: &str) -> Vec<String> {
    let all = "select=id,mrn,name,code,pad,born,rank&order=id";
    vec![
        format!("/people?{all}&{column}={test}"),
        format!("/people?{all}&{column}=not.{test}"),
        format!("/people?{all}&or=({column}.{quoted},id.lt.4)"),
        format!("/people?{all}&or=({column}.not.{quoted},id.lt.4)"),
        format!("/people?{all}&and=({column}.{quoted},id.gt.9)"),
        format!("/people?{all}&not.or=({column}.{quoted},id.lt.4)"),
        format!("/people?{all}&not.and=(id.gt.9,or({column}.{quoted},id.eq.12))"),
        format!("/visits?select=id,people(id,{column})&order=id&people.{column}={test}"),
    ]
}

#[test]
fn every_operator_answers_as_on_a_table_in_clear_or_is_refused_as_on_a_sealed_one() {
    let pair = pair();
    let mut seen = Seen::default();
    let mut answered = BTreeMap::new();
    for operator in OPERATORS {
        for sample in operator.samples {
            for column in ["mrn", "name"] {
                for target in places(column, sample, sample) {
                    let code = seen.ask(&pair, &target);
                    if code.is_none() {
                        *answered.entry(format!("{column} {sample}")).or_insert(0) += 1;
                    }
                }
            }
            // No test of a random class is answered, but for null.
            let code = seen.ask(&pair, &format!("/people?note={sample}&order=id"));
            let is_null = matches!(*sample, "is.null" | "is.not_null");
            assert_eq!(code.as_deref(), (!is_null).then_some("LS104"), "{sample}");
        }
    }
    let all_places = answered.values().filter(|places| **places == 8).count();
    let codes: Vec<_> = seen.0.keys().map(String::as_str).collect();
    // A tree in which a value has brackets is one that PostgREST does not read either.
    assert_eq!(codes, ["", "LS100", "LS104"], "{:?}", seen.0);
    assert!(all_places >= 24 && seen.0[""] > 200, "{answered:#?} {:?}", seen.0);
}

#[test]
fn every_text_is_found_in_both_forms_and_nothing_else_is() {
    let pair = pair();
    let mut seen = Seen::default();
    for (n, text) in TEXTS.iter().enumerate() {
        let in_quotes = quoted(text);
        for column in ["mrn", "name", "code"] {
            // Each text in two of the places with each operator; all texts together in all of them.
            let tests = [("eq", ""), ("neq", ""), ("isdistinct", ""), ("in", "(%22B2%22,")];
            for (m, (word, list)) in tests.into_iter().enumerate() {
                let (test, in_tree) = match list {
                    "" => (format!("{word}.{}", enc(text)), format!("{word}.{in_quotes}")),
                    list => {
                        let test = format!("{word}.{list}{in_quotes})");
                        (test.clone(), test)
                    }
                };
                let places = places(column, &test, &in_tree);
                let count = if column == "name" { 2 } else { 1 };
                for place in (0..count).map(|more| (n + m + 3 * more) % places.len()) {
                    let target = &places[place];
                    assert_eq!(seen.ask(&pair, target), None, "{target}");
                }
            }
        }
        if text.chars().count() >= 3 && !text.ends_with('\\') {
            let start: String = text.chars().take(3).collect();
            // What ILIKE takes for the same under COLLATE "C" differs in ASCII alone.
            let words = if text.is_ascii() { &["like", "ilike"][..] } else { &["like"] };
            for word in words {
                let tests = [format!("{text}*"), text.to_string(), format!("{start}*"), "*".into()];
                for test in tests {
                    let target =
                        format!("/people?select=id,name&order=id&name={word}.{}", enc(&test));
                    let code = seen.ask(&pair, &target);
                    assert!(
                        code.is_none() || code.as_deref() == Some("LS104"),
                        "{target} {code:?}"
                    );
                }
            }
        }
    }
    assert!(seen.0[""] > 700, "{:?}", seen.0);
    assert!(seen.0.keys().all(|code| code.is_empty() || code == "LS104"), "{:?}", seen.0);
}

#[test]
fn equality_that_ignores_spaces_at_the_end_does_so_in_both_forms() {
    let pair = pair();
    // A column of `character(n)` answers its values padded, so the texts are compared without it.
    for text in ["A1", "A1   ", "", " A1", "a.b"] {
        let found =
            pair.sealed(&Request::get(&format!("/people?select=id&order=id&pad=eq.{}", enc(text))));
        let sql = format!(
            "select coalesce(json_agg(json_build_object('id', id) order by id), '[]') from lab.people \
             where rtrim(pad, ' ') = rtrim('{text}', ' ')"
        );
        let expected: Value = serde_json::from_str(pair.plain.database.sql(&sql).trim()).unwrap();
        assert_eq!(found.json(), expected, "{text:?}: {}", found.text());
    }
}

#[test]
fn typed_values_are_answered_and_found_as_their_columns_would() {
    let pair = pair();
    let mut seen = Seen::default();
    let targets = [
        "/people?order=id",
        "/people?select=id,born::text,mrn::text&order=id",
        "/people?rank=eq.3&order=id",
        "/people?rank=eq.%2003&order=id",
        "/people?rank=in.(1,2,-4)&order=id",
        "/people?rank=not.in.(1,2,-4)&order=id",
        "/people?rank=neq.0&order=id",
        "/people?born=eq.1980-02-03&order=id",
        "/people?born=neq.19800203&order=id",
        "/people?born=gte.1999-01-01&order=id",
        "/people?born=gt.1980-05-17&born=lt.2026-03-02&order=id",
        "/people?born=lte.1980-12-31&order=id",
        "/people?born=not.lt.1999-01-01&order=id",
        "/people?or=(born.gte.2026-01-01,id.lt.5)&order=id",
        "/people?not.or=(born.gte.2026-01-01,id.lt.5)&order=id",
        "/people?and=(born.gte.1980-01-01,born.lt.2000-01-01)&order=id",
        "/people?born=is.null&order=id",
        "/people?rank=gt.1",
        "/people?seen=gte.2020-01-01",
        "/people?seen=gte.2020-05-17T10:00:00",
        "/people?at=gte.2020-01-01T00:00:00Z",
        "/people?at=eq.2020-01-01T00:00:00Z",
        "/people?dose=eq.1.5",
        // Orders and counts.
        "/people?order=name.desc.nullslast,id",
        "/people?order=rank.asc,id",
        "/people?order=born.desc,id",
        "/people?order=dose,id",
        "/people?order=at,id",
        "/people?order=code",
        "/people?order=mrn&limit=3",
        "/people?select=count()",
        "/people?select=mrn.count()",
        "/people?select=rank.max()",
        "/people?select=mrn,count()",
        "/people?select=id&name=like.Smi*&order=id&limit=2",
        "/people?select=id,name&name=like.Smit*&order=name,id",
        "/people?select=id,name&name=ilike.smi_h*&order=id",
    ];
    let mut refused = Vec::new();
    for target in targets {
        if let Some(code) = seen.ask(&pair, target) {
            refused.push(format!("{code} {target}"));
        }
    }
    assert_eq!(
        refused,
        [
            "LS104 /people?rank=gt.1",
            "LS127 /people?seen=gte.2020-01-01",
            "LS127 /people?seen=gte.2020-05-17T10:00:00",
            "LS127 /people?at=gte.2020-01-01T00:00:00Z",
            "LS127 /people?at=eq.2020-01-01T00:00:00Z",
            "LS104 /people?dose=eq.1.5",
            "LS105 /people?order=code",
            "LS114 /people?order=mrn&limit=3",
            "LS106 /people?select=rank.max()",
            "LS106 /people?select=mrn,count()",
            "LS114 /people?select=id&name=like.Smi*&order=id&limit=2",
        ]
    );
    let counted =
        Request::get("/people?select=id&mrn=eq.A1&limit=1").header("Prefer", "count=exact");
    let (one, other) = pair.both(&counted);
    assert_eq!(one.status, other.status);
    assert_eq!(one.header("Content-Range"), other.header("Content-Range"));
}

#[test]
fn csv_answers_are_the_same() {
    let pair = pair();
    let columns = "id,mrn,name,born,rank,dose,seen,at,alive,note";
    let request = Request::get(&format!("/people?select={columns}&order=id"));
    assert_eq!(pair.same(&request.header("Accept", "text/csv")), None);
}
