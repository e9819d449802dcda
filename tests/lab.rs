//! The lab on a real PostgREST and PostgreSQL: the same client, direct and through labseal, gets the
//! same answers.

mod kit;

use std::sync::OnceLock;

use kit::{Answer, Canaries, Postgres, Request, Stand, script, stand::Direct};

/// What a step of the script gave on both ways.
struct Outcome {
    name: &'static str,
    expected: u16,
    direct: Answer,
    sealed: Answer,
}

/// Headers that mean something to a client of PostgREST.
const HEADERS: [&str; 7] = [
    "Allow",
    "Content-Location",
    "Content-Profile",
    "Content-Range",
    "Content-Type",
    "Location",
    "Preference-Applied",
];

/// Runs the script once, on both ways, for all tests here.
fn outcomes() -> &'static [Outcome] {
    static OUTCOMES: OnceLock<Vec<Outcome>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let direct = Direct::start(&Postgres::shared());
        let mut stand = Stand::start();
        let steps = script::lab(&mut Canaries::new());
        assert!(steps.len() > 70, "the script has shrunk to {} steps", steps.len());
        let outcomes = steps.into_iter().map(|step| Outcome {
            name: step.name,
            expected: step.status,
            direct: step.request.send(direct.address()),
            sealed: stand.send("lims", step.request),
        });
        let outcomes = outcomes.collect();
        stand.labseal.stop();
        outcomes
    })
}

/// Fails with every difference in the steps of one group.
fn same_answers(group: &str, at_least: usize) {
    let steps: Vec<_> = outcomes().iter().filter(|step| step.name.starts_with(group)).collect();
    assert!(steps.len() >= at_least, "{group} has shrunk to {} steps", steps.len());
    let mut differences = String::new();
    for step in steps {
        let (direct, sealed) = (&step.direct, &step.sealed);
        assert_eq!(direct.status, step.expected, "{} direct: {}", step.name, direct.text());
        let mut differ = |what: &str, direct: &str, sealed: &str| {
            if direct != sealed {
                let name = step.name;
                differences.push_str(&format!("{name}: {what}\n  -{direct}\n  +{sealed}\n"));
            }
        };
        differ("status", &direct.start, &sealed.start);
        differ("body", &direct.text(), &sealed.text());
        for header in HEADERS {
            differ(header, &direct.values(header).join("|"), &sealed.values(header).join("|"));
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn creating_records_gives_the_same_answers() {
    same_answers("create/", 9);
}

#[test]
fn numbers_and_booleans_in_text_columns_come_back_as_strings() {
    same_answers("kinds/", 5);
}

#[test]
fn reading_pages_aliases_and_embedded_records_gives_the_same_answers() {
    same_answers("read/", 19);
}

#[test]
fn looking_up_by_number_and_by_name_gives_the_same_answers() {
    same_answers("search/", 22);
}

#[test]
fn a_request_after_head_is_answered_however_soon_it_comes() {
    // PostgREST closes the connection after an answer to HEAD, and does not say so.
    let stand = Stand::start();
    for n in 0..300 {
        let head = stand.send("lims", Request::new("HEAD", "/patients?select=id"));
        assert_eq!(head.status, 200);
        let next = match n % 3 {
            0 => stand.send("lims", Request::get("/patients?select=id")),
            1 => stand.send("lims", Request::post("/wards", &format!(r#"{{"code":"{n}"}}"#))),
            _ => stand.send("lims", Request::patch("/patients?id=eq.0", r#"{"ward":"A"}"#)),
        };
        assert!(next.status < 300, "after {n} times: {}", next.text());
    }
}

#[test]
fn trees_of_conditions_give_the_same_answers() {
    same_answers("trees/", 7);
}

#[test]
fn updating_and_replacing_give_the_same_answers() {
    same_answers("update/", 7);
}

#[test]
fn errors_of_the_database_come_back_in_its_own_words() {
    same_answers("errors/", 8);
}

#[test]
fn deleting_gives_the_same_answers() {
    same_answers("delete/", 4);
}

#[test]
fn a_port_is_given_out_once() {
    let given: std::collections::HashSet<_> =
        (0..120).map(|_| kit::process::free_address()).collect();
    assert_eq!(given.len(), 120);
}
