//! What `range:` of a class says may change at any time, and no answer is wrong for it: the same
//! requests on a real PostgREST over dates, and through labseal over text.

mod kit;

use kit::{Pair, Request};

const PLAIN: &str = "create schema lab;\ncreate table lab.people (id integer primary key, born date, seen timestamptz);\n";
const SEALED: &str =
    "create schema lab;\ncreate table lab.people (id integer primary key, born text, seen text);\n";

/// A policy with these years.
fn policy(range: &str) -> String {
    format!(
        r#"apiVersion: labseal/v1
kind: Policy
classes:
  born: {{id: c-born, mode: searchable, type: date, match: [year, month, eq]{range}}}
  seen: {{id: c-seen, mode: searchable, type: timestamptz, match: [year, month, eq]{range}}}
callers:
  lims: {{api_key: {{header: X-Api-Key, sha256_file: keys/lims.sha256}}}}
grants:
  lims: {{"*": {{read: clear, filter: allow, write: allow}}}}
apis:
  - name: lims-db
    dialect: postgrest
    entities:
      lab.people: {{fields: {{born: {{class: born}}, seen: {{class: seen}}}}}}
"#
    )
}

/// Runs with other years from now on.
fn restart(pair: &mut Pair, range: &str) {
    pair.labseal.stop();
    std::fs::write(pair.labseal.folder().join("policy.yaml"), policy(range)).unwrap();
    pair.labseal.run();
}

fn store(pair: &Pair, id: u32, day: &str) -> Option<String> {
    let body = format!(r#"[{{"id":{id},"born":"{day}","seen":"{day}T00:00:00Z"}}]"#);
    let (plain, sealed) = pair.both(&Request::post("/people", &body));
    let code = sealed.header("Labseal-Error").map(str::to_owned);
    match &code {
        None => assert_eq!((plain.status, sealed.status), (201, 201), "{}", sealed.text()),
        // What is refused here is in no column either.
        Some(_) => {
            let gone = Request::delete(&format!("/people?id=eq.{id}")).send(pair.plain.address());
            assert_eq!(gone.status, 204);
        }
    }
    code
}

/// Bounds alone, together and negated. How many labseal answers, as the column does.
fn answered(pair: &Pair) -> usize {
    let mut count = 0;
    let tests = [
        "{}=gte.2000-01-01",
        "{}=gt.1999-12-31",
        "{}=lt.1960-01-01",
        "{}=not.lt.1960-01-01",
        "{}=gte.1901-01-01&{}=lt.2041-01-01",
        "{}=gte.1981-01-01&{}=lt.2000-01-01",
        "and=({}.gte.1901-01-01,{}.lt.2041-01-01)",
        "or=({}.gte.2005-01-01,{}.lt.1940-01-01)",
    ];
    for column in ["born", "seen"] {
        for test in tests {
            let test = test.replace("{}", column);
            // Part of a list, so that nothing can be made up for after opening.
            let target = format!("/people?select=id&order=id&limit=50&{test}");
            count += usize::from(pair.same(&Request::get(&target)).is_none());
        }
    }
    count
}

const WIDE: &str = ", range: {from: 1900, to: 2030, at_most: 200}";
const NARROW: &str = ", range: {from: 1980, to: 2010, at_most: 200}";

#[test]
fn other_years_never_hide_what_is_stored() {
    let mut pair = Pair::start(PLAIN, SEALED, &policy(WIDE));
    for (id, day) in [(1, "1900-01-01"), (2, "1955-06-01"), (3, "1985-06-01"), (4, "2030-12-01")] {
        assert_eq!(store(&pair, id, day), None);
    }
    let all = answered(&pair);
    assert!(all >= 13, "{all}");

    restart(&mut pair, NARROW);
    assert_eq!(store(&pair, 5, "2030-01-01").as_deref(), Some("LS420"));
    assert_eq!(store(&pair, 6, "2005-01-01"), None);
    assert_eq!(answered(&pair), all);

    // For good: what may be stored now is looked for ever after.
    restart(&mut pair, ", range: {from: 1950, to: 2040, at_most: 200}");
    assert_eq!(store(&pair, 7, "2040-03-01"), None);
    for range in [NARROW, WIDE] {
        restart(&mut pair, range);
        assert_eq!(answered(&pair), all);
    }

    restart(&mut pair, "");
    assert_eq!(store(&pair, 8, "2222-03-01"), None);
    let fewer = answered(&pair);
    assert!(fewer < all, "{fewer}");
    restart(&mut pair, WIDE);
    assert!(answered(&pair) <= all);
}
