//! How much is left to be sealed can be seen; what it is cannot. And the end of a migration is told,
//! while a lab that runs goes on.

use crate::kit::{Canaries, Postgres, Request, labseal::Setup, stand::Direct, tee::Tee};

const SCHEMA: &str = "
create schema lab; create schema archive;
create table lab.people (id integer primary key, mrn text, name text);
";

fn policy(until: &str) -> String {
    format!(
        r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:  {{id: c-mrn, mode: deterministic}}
  name: {{id: c-name, mode: searchable}}
callers:
  lims:    {{api_key: {{header: X-Api-Key, sha256_file: keys/lims.sha256}}}}
  billing: {{api_key: {{header: X-Api-Key, sha256_file: keys/billing.sha256}}}}
grants:
  lims:    {{"*": {{read: clear, filter: allow, write: allow}}}}
  billing: {{"*": {{read: masked}}}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab, archive]
    entities:
      lab.people:
        fields:
          mrn:  {{class: mrn, unique: true, migration: {{state: dual, until: {until}}}}}
          name: {{class: name, migration: {{state: plaintext_ok, until: {until}}}}}
"#
    )
}

fn metric(text: &str, field: &str) -> u64 {
    let labels = format!(r#"{{api="lims-db",entity="lab.people",field="{field}"}} "#);
    let name = format!("labseal_plaintext_values_seen_total{labels}");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

#[test]
fn what_is_left_in_clear_is_counted_until_nothing_is() {
    let server = Postgres::start();
    let direct = Direct::of(&server, SCHEMA);
    let tee = Tee::start(direct.address());
    let mut labseal = Setup::new(&policy("2099-12-31"), tee.address()).start();
    let mut canaries = Canaries::new();
    let rows: Vec<_> = (0..6)
        .map(|n| (canaries.plant(&format!("mrn {n}")), canaries.plant(&format!("name {n}"))))
        .collect();
    for (n, (mrn, name)) in rows.iter().enumerate() {
        let row = format!("({n}, '{mrn}', '{name}')");
        direct.database.sql(&format!("insert into lab.people values {row}"));
    }
    let send = |caller: &str, request: Request| {
        let answer = request.key(labseal.key(caller)).send(labseal.address());
        assert!(answer.status < 300, "{}: {}", answer.start, answer.text());
        answer
    };
    let seen = || ["mrn", "name"].map(|field| metric(&labseal.metrics(), field));
    assert_eq!(seen(), [0, 0]);
    send("lims", Request::get("/people"));
    assert_eq!(seen(), [6, 6]);
    send("billing", Request::get("/people?select=name&limit=2"));
    assert_eq!(seen(), [6, 8]);
    for (n, (mrn, name)) in rows.iter().enumerate() {
        let body = format!(r#"{{"mrn": "{mrn}", "name": "{name}"}}"#);
        send("lims", Request::patch(&format!("/people?id=eq.{n}"), &body));
        let left = 5 - n as u64;
        let before = seen();
        send("lims", Request::get("/people"));
        assert_eq!(seen().map(|count| count - before[0]), [left, left + before[1] - before[0]]);
    }
    let audit = labseal.must(&["audit", "show", "--json"]);
    assert!(audit.contains(r#""mrn":{"opened":6,"plain":6}"#), "{audit}");
    assert!(audit.contains(r#""name":{"masked":2,"plain":2}"#), "{audit}");
    assert!(labseal.metrics().contains("labseal_fields_plain_total{class=\"mrn\"} "));

    // What is looked for goes up in clear, as long as it may be there in clear; nowhere else.
    let (mrn, name) = &rows[0];
    send("lims", Request::get(&format!("/people?mrn=eq.{mrn}&name=eq.{name}")));
    let found = canaries.search("upstream", &tee.received());
    let mut names: Vec<_> = found.iter().map(|finding| finding.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["mrn 0", "name 0"], "{found:#?}");
    let metrics = labseal.metrics();
    labseal.stop();
    canaries.assert_none("metrics", metrics.as_bytes());
    assert!(labseal.log().contains("\"TRACE\""));
    let found = canaries.search_folder(labseal.folder(), 10);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_end_of_a_migration_fails_the_check_and_stops_nobody() {
    let direct = Direct::of(&Postgres::shared(), SCHEMA);
    let labseal = Setup::new(&policy("2020-01-31"), direct.address()).start();
    let check = labseal.cli(&["check"]);
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{text}");
    let due = "error: `lab.people.mrn` was to be dual until 2020-01-31 at most";
    assert!(text.contains(due), "{text}");
    assert!(text.contains("a unique index does not see"), "{text}");
    assert!(text.ends_with("a migration was to have ended; labseal runs, and warns\n"), "{text}");

    direct.database.sql("insert into lab.people values (1, 'A1', 'Smith')");
    let read = Request::get("/people").key(labseal.key("lims")).send(labseal.address());
    assert_eq!(read.json()[0]["name"], "Smith");
    let ready = Request::get("/readyz").send(labseal.ops());
    assert_eq!(ready.status, 200);
    let warnings = ready.json()["warnings"].to_string();
    assert!(
        warnings.contains("`lab.people.name` was to be plaintext_ok until 2020-01-31"),
        "{warnings}"
    );
    let until = r#"labseal_migration_until_seconds{api="lims-db",entity="lab.people",field="mrn"} 1580515200"#;
    assert!(labseal.metrics().contains(until), "{}", labseal.metrics());
    assert!(labseal.log().contains("was to be dual until 2020-01-31"), "{}", labseal.log());
    let leakage = labseal.cli(&["check", "--leakage"]);
    let text = String::from_utf8_lossy(&leakage.stdout).into_owned();
    assert!(
        text.contains("until 2020-01-31, every value of lab.people.mrn that is not sealed"),
        "{text}"
    );

    // Sealed: a value in clear is what it always was.
    let sealed = policy("2020-01-31").replace(", migration: {state: dual, until: 2020-01-31}", "");
    std::fs::write(labseal.folder().join("policy.yaml"), sealed).unwrap();
    labseal.signal("HUP");
    crate::kit::wait_until("the reload", std::time::Duration::from_secs(20), || {
        let read = Request::get("/people").key(labseal.key("lims")).send(labseal.address());
        read.header("Labseal-Error") == Some("LS501")
    });
    let until = labseal.metrics();
    assert!(
        !until.contains(r#"until_seconds{api="lims-db",entity="lab.people",field="mrn"}"#),
        "{until}"
    );
}
