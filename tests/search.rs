//! Searching a ladder gives the records that a plain column gives: the same requests on a real
//! PostgREST over columns of the types that the classes stand for, and through labseal over text.

mod kit;

use std::{fmt::Write as _, sync::OnceLock};

use kit::{Numbers, Pair, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

// Under ICU, whose lower() maps each character in full, as the normal form does; that of the C
// library makes one character of every one.
const PLAIN: &str = r#"
create extension citext;
create schema lab;
create schema archive;
create collation lab.ai (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
create table lab.people (
    id integer primary key,
    name text collate "und-x-icu",
    maiden text collate "und-x-icu",
    nick text collate "und-x-icu",
    login citext collate "und-x-icu",
    town text collate lab.ai,
    code char(8),
    born date,
    seen timestamptz,
    due timestamp
);
"#;

const SEALED: &str = "
create schema lab;
create schema archive;
create table lab.people (
    id integer primary key, name text, maiden text, nick text, login text, town text, code text,
    born text, seen text, due text
);
";

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  name:   {id: c-name, mode: searchable, match: ["prefix(1)", "prefix(3)", ieq, eq]}
  maiden: {id: c-maiden, mode: searchable, match: [ieq, eq]}
  nick:   {id: c-nick, mode: searchable, match: ["prefix(2)", eq]}
  login:  {id: c-login, mode: searchable, equality: ci, match: ["prefix(2)", eq]}
  town:   {id: c-town, mode: searchable, equality: ci_ai}
  code:   {id: c-code, mode: searchable, equality: pad_space}
  born:   {id: c-born, mode: searchable, type: date, match: [year, month, eq], range: {from: 1900, to: 2030, at_most: 200}}
  seen:   {id: c-seen, mode: searchable, type: timestamptz, match: [year, month, eq], range: {from: 2000, to: 2040, at_most: 60}}
  due:    {id: c-due, mode: searchable, type: timestamp, match: [year, eq]}
callers:
  lims: {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
grants:
  lims: {"*": {read: clear, filter: allow, write: allow}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab, archive]
    entities:
      lab.people:
        fields:
          name: {class: name}
          maiden: {class: maiden}
          nick: {class: nick}
          login: {class: login}
          town: {class: town}
          code: {class: code}
          born: {class: born}
          seen: {class: seen}
          due: {class: due}
"#;

const NAMES: &[&str] = &[
    "",
    "A",
    "a",
    "ä",
    "Ä",
    "ab",
    "AB",
    "Smith",
    "SMITH",
    "smith",
    "Smithson",
    "smi",
    "Smi ",
    "sm",
    "Åström",
    "ÅSTRÖM",
    "A\u{30a}ström",
    "Astrom",
    "İstanbul",
    "istanbul",
    "i\u{307}stanbul",
    "İs",
    "Straße",
    "STRASSE",
    "straße",
    "ẞ",
    "山田",
    "山田太郎",
    "100%",
    "100",
    "a_b",
    "axb",
    r"a\b",
    "a,b",
    "(a)",
    "\"q\"",
    "*",
    "ÿ",
    "Ÿ",
    "ǅ",
    "Ǆ",
    "ǆ",
];

// Without Ł beside L: the stroke is no mark that Unicode takes off.
const TOWNS: &[&str] = &[
    "",
    "Köln",
    "koln",
    "KÖLN",
    "Ko\u{308}ln",
    "Malmö",
    "malmo",
    "Łódź",
    "łodz",
    "Zürich",
    "Zurich",
];

fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let pair = Pair::start(PLAIN, SEALED, POLICY);
        let mut numbers = Numbers(7);
        let codes = ["", "A", "A ", "A1", "a1", "A1  ", "B"];
        let mut rows = Vec::new();
        for id in 0..400 {
            let (year, month) = (1900 + numbers.below(131), 1 + numbers.below(12));
            let day = 1 + numbers.below(28);
            let recent = 2000 + numbers.below(41);
            let time = format!("{recent}-{month:02}-{day:02}T{:02}:30:00", numbers.below(24));
            let zone = ["Z", "+00:00", "+05:30", "-11:00"][numbers.below(4)];
            let some = numbers.below(12) > 0;
            rows.push(json!({
                "id": id,
                "name": numbers.one_of(NAMES),
                "maiden": numbers.one_of(NAMES),
                "nick": numbers.one_of(NAMES),
                // citext compares by the collation of the database, in which İ has one character in
                // lower case.
                "login": numbers.one_of(NAMES).filter(|text| !text.contains('İ')),
                "town": numbers.one_of(TOWNS),
                "code": numbers.one_of(&codes),
                "born": some.then(|| format!("{year}-{month:02}-{day:02}")),
                "seen": some.then(|| format!("{time}{zone}")),
                "due": some.then_some(time),
            }));
        }
        let edges = [
            ("1900-01-01", "2000-01-01T00:00:00Z"),
            ("2030-12-31", "2040-12-31T23:59:59.999999Z"),
            ("2024-02-29", "2025-12-31T23:59:59.999999Z"),
            ("2024-03-01", "2026-01-01T00:00:00Z"),
            ("2025-12-31", "2026-01-01T00:00:00.000001Z"),
            ("2026-01-01", "2026-01-01T00:30:00+01:00"),
        ];
        for (id, (born, seen)) in (400..).zip(edges) {
            let due = seen.trim_end_matches("+01:00");
            rows.push(json!({"id": id, "name": "", "maiden": null, "nick": null, "login": null,
                "town": null, "code": null, "born": born, "seen": seen, "due": due}));
        }
        let rows = serde_json::to_string(&rows).unwrap();
        let (plain, sealed) = pair.both(&Request::post("/people", &rows));
        assert_eq!(
            (plain.status, sealed.status),
            (201, 201),
            "{}\n{}",
            plain.text(),
            sealed.text()
        );
        pair
    })
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Runs a test with `select` on both ways; the code of the refusal, if labseal refuses.
fn asked(select: &str, column: &str, test: &str) -> Option<String> {
    let target = format!("/people?select={select}&order=id&{column}={}", encoded(test));
    pair().same(&Request::get(&target))
}

fn answered(select: &str, column: &str, test: &str) {
    assert_eq!(asked(select, column, test), None, "{column}={test}");
}

/// A pattern that stands for a text itself.
fn literal(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[test]
fn what_was_stored_comes_back_as_it_was_spelled() {
    // A char(8) would be padded, which is what pad_space does without.
    let all = "id,name,maiden,nick,login,town,born,seen,due";
    assert_eq!(pair().same(&Request::get(&format!("/people?select={all}&order=id"))), None);
}

#[test]
fn equality_is_that_of_the_column_and_its_negation_too() {
    let mut count = 0;
    for (column, texts) in
        [("name", NAMES), ("login", NAMES), ("town", TOWNS), ("code", &["A", "A   ", "a1", ""])]
    {
        for text in texts.iter().filter(|text| column != "login" || !text.contains('İ')) {
            for operator in ["eq", "neq", "not.eq"] {
                answered("id", column, &format!("{operator}.{text}"));
                count += 1;
            }
        }
        let texts: Vec<_> = texts.iter().take(3).map(|text| format!("\"{text}\"")).collect();
        answered("id", column, &format!("in.({})", texts.join(",")));
        answered("id", column, &format!("not.in.({})", texts.join(",")));
    }
    assert!(count > 290);
}

#[test]
fn ilike_without_wildcards_finds_what_differs_in_case_alone() {
    for column in ["name", "maiden", "login"] {
        for text in NAMES.iter().filter(|text| **text != "*") {
            for operator in ["ilike", "not.ilike", "like"] {
                answered("id,name,maiden,login", column, &format!("{operator}.{}", literal(text)));
            }
        }
    }
    assert_eq!(asked("id", "nick", "ilike.sm"), Some("LS104".into()));
}

#[test]
fn patterns_of_a_prefix_find_the_same_and_all_others_are_refused() {
    let (mut answers, mut refusals) = (String::new(), String::new());
    for column in ["name", "maiden", "nick", "login"] {
        for text in NAMES.iter().filter(|text| **text != "*") {
            for (operator, end) in
                [("ilike", "*"), ("like", "*"), ("not.ilike", "%"), ("ilike", "_*")]
            {
                let test = format!("{operator}.{}{end}", literal(text));
                match asked("id", column, &test) {
                    None => writeln!(answers, "{column}={test}").unwrap(),
                    Some(code) => {
                        assert!(code.starts_with("LS1"), "{column}={test}: {code}");
                        writeln!(refusals, "{column}={test}").unwrap();
                    }
                }
            }
        }
    }
    for expected in [
        "name=ilike.smi*",
        "name=ilike.A*",
        "name=not.ilike.İs%",
        "login=ilike.山田*",
        "name=ilike.100*",
        "nick=like.ab*",
        "nick=like.山田*",
        "login=like.AB*",
        "login=ilike.sm*",
        "maiden=like.*",
    ] {
        assert!(answers.contains(&format!("{expected}\n")), "{expected} was refused");
    }
    for expected in [
        "name=like.smi*",
        "name=ilike.sm*",
        "name=ilike.Smith*",
        "nick=ilike.ab*",
        "nick=like.A*",
        "name=ilike.smi_*",
        "maiden=ilike.smi*",
    ] {
        assert!(refusals.contains(&format!("{expected}\n")), "{expected} was not refused");
    }
}

#[test]
fn what_lies_between_rungs_is_found_where_the_whole_list_is_seen() {
    let mut answers = 0;
    let patterns = [
        "like.smi*",
        "like.Smi*",
        "ilike.Smith*",
        "ilike.smi_h",
        "ilike.smi_*",
        "ilike.s*h",
        "like.a_b",
        "ilike.åstr*",
        "like.ÅS*",
        "like.100%25",
        r"like.100\%*",
        "ilike.i\u{307}st*l",
        "like.山田*",
        "ilike.ß*",
        "ilike.STRASS*",
        "ilike.Ÿ*",
    ];
    for column in ["name", "nick", "login"] {
        for pattern in patterns {
            answers += usize::from(asked(&format!("id,{column}"), column, pattern).is_none());
        }
    }
    for column in ["seen", "due", "born"] {
        for other in ["gte.2020-01-01", "gt.2025-12-31T12:00:00Z"] {
            for end in
                ["lt.2026-01-15T12:00:00Z", "lte.2026-01-01", "lte.2026-07-01T00:00:00.000001Z"]
            {
                let target =
                    format!("/people?select=id,{column}&order=id&{column}={other}&{column}={end}");
                answers += usize::from(pair().same(&Request::get(&target)).is_none());
            }
        }
    }
    assert!(answers > 40, "{answers}");
    for (test, page) in
        [("name=ilike.smith*", "limit=5"), ("seen=gt.2026-01-15T12:00:00Z", "offset=1")]
    {
        let target = format!("/people?select=id,name,seen&order=id&{page}&{test}");
        assert!(pair().same(&Request::get(&target)).is_some(), "{target}");
    }
}

#[test]
fn ranges_of_dates_find_the_same_or_are_refused() {
    let (mut answers, mut refusals) = (0, Vec::new());
    let mut ask = |column: &str, literal: &str| {
        for operator in ["gte", "gt", "lte", "lt", "not.gte", "eq"] {
            match asked("id", column, &format!("{operator}.{literal}")) {
                None => answers += 1,
                Some(code) => {
                    assert!(code.starts_with("LS1"), "{code}");
                    refusals.push(format!("{column}={operator}.{literal}"));
                }
            }
        }
    };
    for date in [
        "1899-12-31",
        "1900-01-01",
        "1950-07-01",
        "1999-12-31",
        "2024-02-29",
        "2026-01-01",
        "2026-6-15",
        "2030-12-31",
        "2031-01-01",
        "2500-01-01",
    ] {
        ask("born", date);
    }
    for time in [
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "2026-07-01T02:00:00+02:00",
        "2025-12-31T23:59:59.999999Z",
        "1999-01-01T00:00:00Z",
        "2041-01-01T00:00:00Z",
        "2026-01-15T12:00:00Z",
    ] {
        ask("seen", time);
        ask("due", time.trim_end_matches("+02:00").trim_end_matches('Z'));
    }
    assert!(answers > 90, "{answers} {refusals:?}");
    for expected in ["seen=gte.2026-01-15T12:00:00Z", "due=lt.2026-07-01T02:00:00"] {
        assert!(refusals.iter().any(|one| one == expected), "{expected} was not refused");
    }
    assert!(!refusals.iter().any(|one| one.starts_with("born=")), "{refusals:?}");
}

#[test]
fn both_ends_of_a_range_find_the_same_alone_and_in_trees() {
    for query in [
        "born=gte.2020-01-01&born=lt.2027-01-01",
        "and=(born.gte.2020-01-01,born.lt.2024-03-01)",
        "due=gte.2020-01-01&due=lt.2027-01-01",
        "due=gte.2020-01-01&due=lt.2027-01-01&due=gt.2024-12-31T23:59:59.999999",
        "seen=lt.2027-01-01&seen=gte.2026-01-01T02:00:00%2B02:00&born=lt.1990-01-01",
        "or=(born.lt.1950-01-01,and(seen.gte.2026-01-01T00:00:00Z,name.ilike.smi*))",
        "not.or=(born.lt.1950-01-01,name.ilike.smi*)",
        "or=(born.gte.2025-12-31,born.is.null)",
        "born=gte.2027-01-01&born=lt.2020-01-01",
    ] {
        let target = format!("/people?select=id,born&order=id&{query}");
        assert_eq!(pair().same(&Request::get(&target)), None, "{query}");
    }
}

#[test]
fn a_range_without_a_declared_end_is_refused_unless_both_ends_are_asked_for() {
    for test in ["gte.2020-01-01", "lt.2027-01-01", "not.gte.2020-01-01"] {
        assert_eq!(asked("id", "due", test), Some("LS104".into()), "{test}");
    }
    // In a tree, nobody can say that both must hold.
    let tree = "/people?select=id&or=(id.eq.1,and(due.gte.2020-01-01,due.lt.2027-01-01))";
    assert_eq!(pair().same(&Request::get(tree)), Some("LS104".into()));
}

#[test]
fn a_write_never_reaches_more_than_its_test_says() {
    for test in ["name=ilike.smit*", "seen=gt.2026-01-15T12:00:00Z", "name=like.smi*"] {
        let target = format!("/people?select=id,name,seen&{test}");
        for request in [
            Request::delete(&target).returning(),
            Request::patch(&target, r#"{"nick":"x"}"#).returning(),
            Request::delete(&target),
        ] {
            let answer = pair().sealed(&request);
            let code = answer.header("Labseal-Error").unwrap_or_default();
            assert!(code.starts_with("LS1"), "{test}: {} {code}", answer.status);
        }
    }
}

#[test]
fn points_in_time_are_given_in_utc_or_not_at_all() {
    let asked = |zone: &str| {
        let request =
            Request::get("/people?select=id,seen,due&order=id&seen=gte.2026-01-01T00:00:00Z");
        pair().same(&request.header("Prefer", &format!("timezone={zone}")))
    };
    assert_eq!(asked("UTC"), None);
    assert_eq!(asked("Europe/Berlin"), Some("LS109".into()));
    assert_eq!(asked("utc, handling=strict"), None);
}

#[test]
fn a_value_outside_the_declared_range_is_refused() {
    for (column, value) in
        [("born", "1899-12-31"), ("born", "2031-01-01"), ("seen", "1999-12-31 23:59")]
    {
        let row = json!({"id": 9000, column: value}).to_string();
        let answer = pair().sealed(&Request::post("/people", &row));
        assert_eq!(answer.header("Labseal-Error"), Some("LS420"), "{column} {value}");
    }
}
