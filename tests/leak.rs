//! The leak oracle: after a whole day of the lab, no value of a protected field is anywhere but
//! with the clients. Nor is any caller's key anywhere but with that caller.

mod kit;

use kit::{Canaries, Finding, Postgres, Request, Stand, script, stand::Direct};

#[test]
fn the_oracle_finds_every_value_where_there_is_no_labseal() {
    let server = Postgres::start();
    let direct = Direct::start(&server);
    let tee = kit::tee::Tee::start(direct.address());
    let mut canaries = Canaries::new();
    let steps = script::lab(&mut canaries);
    assert!(canaries.count() >= 25, "only {} canaries", canaries.count());
    for step in steps {
        let answer = step.request.send(tee.address());
        assert_eq!(answer.status, step.status, "{}: {}", step.name, answer.text());
    }
    let names = |found: Vec<Finding>| {
        let mut names: Vec<_> = found.into_iter().map(|finding| finding.name).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(names(canaries.search("wire", &tee.received())), canaries.names());
    assert_eq!(names(canaries.search("log", &server.log())), canaries.names());
    // Some values are replaced or refused on the way, but most are kept.
    let dumped = names(canaries.search("dump", &direct.database.dump()));
    assert!(dumped.len() > canaries.count() * 2 / 3, "{dumped:?}");
    let files = server.files();
    let found =
        files.iter().flat_map(|(path, bytes)| canaries.search(&path.to_string_lossy(), bytes));
    let found: Vec<_> = found.collect();
    assert!(found.iter().any(|finding| finding.place.contains("pg_wal")), "{found:#?}");
    assert!(found.iter().any(|finding| finding.place.contains("base")), "{found:#?}");
}

#[test]
fn no_value_of_a_protected_field_is_anywhere_but_with_the_clients() {
    let server = Postgres::start();
    let mut stand = Stand::on(&server);
    let mut canaries = Canaries::new();
    for step in script::lab(&mut canaries) {
        let answer = stand.send("lims", step.request);
        assert_eq!(answer.status, step.status, "{}: {}", step.name, answer.text());
    }
    let refused = what_goes_wrong(&stand, &mut canaries);
    stand.labseal.must(&["keys", "rotate"]);
    stand.labseal.signal("HUP");
    for caller in ["lims", "clinician", "billing", "archivist"] {
        assert_eq!(stand.send(caller, Request::get("/patients?order=id")).status, 200, "{caller}");
    }
    let metrics = stand.labseal.metrics();
    assert!(metrics.contains("# TYPE"), "{metrics}");
    stand.labseal.stop();
    let log = stand.labseal.log();
    assert!(log.lines().count() > 15 && log.contains("\"refused\""), "{log}");
    assert!(log.contains("\"TRACE\""), "the log is not at its highest level: {log}");

    for (name, key) in ["lims", "clinician", "billing", "stranger"]
        .map(|caller| (format!("key of {caller}"), stand.labseal.key(caller).to_owned()))
    {
        canaries.adopt(&name, &key);
    }
    let mut found = canaries.search("received by PostgREST", &stand.tee.received());
    found.extend(canaries.search("answered by PostgREST", &stand.tee.answered()));
    found.extend(canaries.search("pg_dump", &stand.direct.database.dump()));
    found.extend(canaries.search("PostgreSQL's log", &server.log()));
    for (path, bytes) in server.files() {
        found.extend(canaries.search(&path.display().to_string(), &bytes));
    }
    found.extend(canaries.search("metrics", metrics.as_bytes()));
    found.extend(canaries.search("refusals", refused.as_bytes()));
    // Configuration, policy, six caller digests, passphrase, root key, key store, audit, log.
    found.extend(canaries.search_folder(stand.labseal.folder(), 13));
    assert!(found.is_empty(), "{found:#?}");
}

/// Sends what cannot succeed, each with values in it; gives every answer with its headers.
fn what_goes_wrong(stand: &Stand, canaries: &mut Canaries) -> String {
    let mut answers = String::new();
    let mut plant = |name: &str| canaries.plant(name);
    let body = format!(r#"{{"mrn":"{}","last_name":"{}"}}"#, plant("bad mrn"), plant("bad name"));
    let cases = [
        ("stranger", Request::post("/patients", &body)),
        ("stranger", Request::get(&format!("/patients?mrn=eq.{}", plant("asked")))),
        ("clinician", Request::post("/patients", &body)),
        ("blind", Request::get(&format!("/patients?last_name=eq.{}", plant("probed")))),
        ("lims", Request::get(&format!("/patients?last_name=like.{}*", plant("liked")))),
        ("lims", Request::get(&format!("/patients?last_name=bogus.{}", plant("bogus")))),
        ("lims", Request::get(&format!("/roster?surname=eq.x&mrn=eq.{}", plant("by view")))),
        ("lims", Request::post("/scratch", &format!(r#"{{"memo":"{}"}}"#, plant("memo")))),
        ("lims", Request::post("/rpc/find_patient", &body)),
        ("lims", Request::post("/patients", &body[..body.len() - 4])),
        ("lims", Request::post("/patients", &format!("[{body},{body}")).returning()),
        (
            "lims",
            Request::new("POST", "/patients").header("Content-Type", "text/csv").body(
                format!("mrn,last_name\n{},{},odd\n", plant("csv mrn"), plant("csv name"))
                    .as_bytes(),
            ),
        ),
        ("lims", Request::new("BREW", &format!("/patients?mrn=eq.{}", plant("brewed")))),
        ("lims", Request::post("/patients", &format!(r#"{{"last_name":"{}"}}"#, plant("no mrn")))),
    ];
    for (caller, request) in cases {
        let answer = stand.send(caller, request);
        assert!(answer.status >= 400, "{caller}: {} {}", answer.start, answer.text());
        // What the database itself answers to a caller with every right may speak of the values.
        if answer.header("Labseal-Error").is_some() {
            answers.push_str(&String::from_utf8_lossy(&answer.raw));
        }
    }
    answers
}
