//! Stored values under new key versions, on a real PostgREST and PostgreSQL: every count is exact,
//! nothing that anybody writes meanwhile is lost, and no kill loses the place.

mod kit;

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use kit::{
    Postgres, Request,
    store::{DUAL, Patients, TABLES, counted, note},
    wait_until,
};

const COUNT: usize = 5_001;
const THIRD: u64 = COUNT as u64 / 3;

fn start() -> Patients {
    Patients::under_three_versions(&Postgres::shared(), COUNT)
}

fn expected(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Under three versions, or all under the third.
fn before() -> Vec<(String, u64)> {
    expected(&[
        ("last_name sealed 1 1", THIRD),
        ("last_name sealed 2 1", THIRD),
        ("last_name sealed 3 1", THIRD),
        ("mrn sealed 1", 3 * THIRD),
        ("notes sealed 1", THIRD),
        ("notes sealed 2", THIRD),
        ("notes sealed 3", THIRD),
    ])
}

fn after() -> Vec<(String, u64)> {
    expected(&[
        ("last_name sealed 3 1", 3 * THIRD),
        ("mrn sealed 1", 3 * THIRD),
        ("notes sealed 3", 3 * THIRD),
    ])
}

#[test]
fn a_census_is_exact_before_and_after_and_a_dry_run_changes_nothing() {
    let patients = start();
    assert_eq!(patients.census(), before());
    let stored = patients.stored();
    let (said, code) = patients.json(&["keys", "reseal", "start", "--dry-run"]);
    assert_eq!(code, Some(0));
    assert_eq!(said["would_move"], 4 * THIRD);
    assert_eq!(counted(&said["census"]), before());
    assert_eq!(patients.stored(), stored);
    assert_eq!(patients.status()["state"], "none");

    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((&said["left"], &said["moved"]), (&0.into(), &(4 * THIRD).into()), "{said}");
    assert_eq!(counted(&said["census"]), after());
    assert_eq!(patients.census(), after());
    patients.assert_read(COUNT);
    assert_eq!(patients.status()["state"], "done");

    // Once more: there is nothing to do, and nothing is written.
    let stored = patients.stored();
    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    assert_eq!((code, &said["moved"]), (Some(0), &0.into()));
    assert_eq!(patients.stored(), stored);
    let folder = patients.labseal.folder().join("audit.jobs");
    let report = labseal::audit::verify(&folder).unwrap();
    assert!(report.entries > 20, "{report:?}");
    let log = std::fs::read_to_string(folder.join("audit-00000001.jsonl")).unwrap_or_default();
    assert!(log.is_empty() || log.contains("labseal-job"), "{log}");
}

#[test]
fn what_others_write_meanwhile_is_never_lost() {
    let patients = start();
    let stop = AtomicBool::new(false);
    let writes = AtomicUsize::new(0);
    // Each writer has rows of its own, and knows what it wrote last.
    let write = |writer: usize| {
        let mut last = std::collections::BTreeMap::new();
        let mut turn = 0;
        while !stop.load(Ordering::Relaxed) {
            let n = (writer + 4 * (turn * 37 % 1_250)) % COUNT;
            let text = format!("written {turn} by {writer}");
            let body = format!(r#"{{"notes":"{text}","last_name":"{text}"}}"#);
            let answer = patients.lims(Request::patch(&format!("/patients?mrn=eq.M{n}"), &body));
            assert_eq!(answer.status, 204, "{}", answer.text());
            last.insert(n, text);
            turn += 1;
            writes.fetch_add(1, Ordering::Relaxed);
        }
        last
    };
    let last = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4).map(|writer| scope.spawn(move || write(writer))).collect();
        // Slowly, so that records are written between a page is read and they come up.
        let (said, code) = patients.json(&["keys", "reseal", "start", "--rate", "400"]);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(code, Some(0), "{said}");
        assert!(said["conflicts"].as_u64().unwrap() > 0, "nobody was faster: {said}");
        let each = writers.into_iter().map(|writer| writer.join().unwrap());
        each.flatten().collect::<std::collections::BTreeMap<_, _>>()
    });
    assert!(writes.load(Ordering::Relaxed) > 50, "the writers hardly wrote");
    let rows = patients.read();
    for (n, row) in rows.as_array().unwrap().iter().enumerate() {
        let (name, note) = match last.get(&n) {
            Some(text) => (text.clone(), text.clone()),
            None => (format!("Name {n}"), note(n)),
        };
        assert_eq!((&row["last_name"], &row["notes"]), (&name.into(), &note.into()), "row {n}");
    }
    assert_eq!(patients.census(), after());
}

#[test]
fn killed_three_times_it_goes_on_where_it_was() {
    let patients = start();
    let mut written = 0;
    for _ in 0..3 {
        let mut job = patients.labseal.begin(&["keys", "reseal", "start", "--rate", "900"]);
        wait_until("some records", Duration::from_secs(180), || {
            let log = patients.labseal.folder().join("command.log");
            let said = std::fs::read_to_string(log).unwrap_or_default();
            assert!(job.runs(), "{said}");
            let status = patients.status();
            assert_ne!(status["state"], "done", "{status}");
            std::thread::sleep(Duration::from_millis(50));
            status["written"].as_u64().unwrap_or(0) >= written + 300
        });
        job.kill();
        let status = patients.status();
        assert_eq!(status["state"], "interrupted", "{status}");
        written = status["written"].as_u64().unwrap();
        let half = patients.census();
        let moved: u64 = half
            .iter()
            .filter(|(name, _)| name.starts_with("notes sealed 3"))
            .map(|(_, n)| n)
            .sum();
        assert!(moved > THIRD && moved < COUNT as u64, "{half:?}");
        patients.assert_read(COUNT);
    }
    // Other values are not mixed up with this job.
    let refused = patients.labseal.cli(&["keys", "reseal", "start", "--entity", "lab.patients"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--anew"));
    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    assert_eq!(code, Some(0), "{said}");
    // A page at most was written and not yet noted each time.
    let moved = said["moved"].as_u64().unwrap();
    assert!((4 * THIRD - 3 * 400..=4 * THIRD).contains(&moved), "{said}");
    assert_eq!(patients.census(), after());
    patients.assert_read(COUNT);
    let checkpoint = patients.labseal.folder().join("labseal.db.job-state");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&checkpoint).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_service_carries_out_a_detached_job_and_obeys() {
    let mut patients = start();
    patients.labseal.must(&["keys", "reseal", "start", "--detach", "--rate", "700"]);
    wait_until("some records", Duration::from_secs(180), || {
        patients.status()["written"].as_u64().unwrap() >= 200
    });
    wait_until("the metrics", Duration::from_secs(5), || {
        patients.labseal.metrics().contains("\nlabseal_reseal_running 1\n")
    });
    let busy = patients.labseal.cli(&["keys", "reseal", "start"]);
    assert!(String::from_utf8_lossy(&busy.stderr).contains("another process"), "{busy:?}");
    patients.labseal.must(&["keys", "reseal", "pause"]);
    wait_until("a pause", Duration::from_secs(20), || {
        let state = patients.labseal.folder().join("labseal.db.job-state");
        std::fs::read_to_string(state).unwrap().contains("\"paused\"")
    });
    let paused = patients.status();
    assert_eq!(paused["state"], "paused");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(patients.status()["written"], paused["written"], "it did not wait");
    // A restart does not make it forget that it is to wait.
    patients.labseal.stop();
    patients.labseal.run();
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(patients.status()["written"], paused["written"], "it did not wait");
    patients.labseal.must(&["keys", "reseal", "resume"]);
    wait_until("more records", Duration::from_secs(180), || {
        patients.status()["written"].as_u64() > paused["written"].as_u64()
    });
    patients.labseal.kill();
    assert_eq!(patients.status()["state"], "interrupted");
    patients.labseal.run();
    patients.wait_for("done");
    wait_until("the metrics", Duration::from_secs(5), || {
        patients.labseal.metrics().contains("\nlabseal_reseal_running 0\n")
    });
    assert_eq!(patients.status()["left"], 0);
    assert_eq!(patients.census(), after());
    patients.assert_read(COUNT);
    patients.labseal.must(&["audit", "verify"]);
    let shown = patients.labseal.must(&["audit", "show", "--last", "5", "--json"]);
    assert!(shown.contains("labseal-job"), "{shown}");
}

/// Rows in clear, as a LIMS had them before there was labseal.
const CLEAR: &str = r#"
insert into lab.patients (mrn, last_name, notes, ward)
select 'M' || n, 'Name ' || n,
    case when n % 500 = 0 then repeat('long note ' || n || ' ', 3000) else 'note ' || n end, 'W' || n % 7
from generate_series(0, 1499) n;
insert into lab.patients (mrn, last_name, notes) values
    ('it''s', E'tab\tand \\ "quotes"', E'two\nlines'), ('empty', '', null), ('ls1 is no envelope', 'ls1rx', 'é€😀');
"#;

#[test]
fn values_in_clear_are_sealed_where_they_are_and_unsealed_to_the_same_bytes() {
    let server = Postgres::shared();
    let tables = format!("{TABLES}{CLEAR}");
    let mut patients = Patients::of(&server, &tables, DUAL);
    let original = patients.stored();
    let clear = [("last_name plaintext", 1503), ("mrn plaintext", 1503), ("notes plaintext", 1502)];
    assert_eq!(patients.census(), expected(&clear));
    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    assert_eq!(code, Some(0), "{said}");
    let sealed = [("last_name sealed 1 1", 1503), ("mrn sealed 1", 1503), ("notes sealed 1", 1502)];
    assert_eq!(patients.census(), expected(&sealed));
    let stored = patients.stored();
    // With the blank: four letters alone may stand in an envelope.
    assert!(!stored.contains("Name ") && !stored.contains("note "), "something is in clear");
    patients.labseal.run();
    assert_eq!(patients.read()[1500]["last_name"], "tab\tand \\ \"quotes\"");
    patients.labseal.stop();

    let unseal = ["unseal", "--api", "lims-db", "--entity", "lab.patients"];
    let refused = patients.labseal.cli(&unseal);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("--yes-i-want-plaintext"), "{said}");
    assert_eq!(patients.stored(), stored);
    let (said, code) = patients.json(&[&unseal[..], &["--yes-i-want-plaintext"]].concat());
    assert_eq!((code, &said["left"]), (Some(0), &0.into()), "{said}");
    assert_eq!(patients.stored(), original);
    assert_eq!(patients.census(), expected(&clear));
}

#[test]
fn values_in_clear_of_a_sealed_field_and_broken_ones_are_counted_and_left_alone() {
    let patients = Patients::under_three_versions(&Postgres::shared(), 30);
    patients.database.sql(
        "update lab.patients set notes = 'in clear' where id = 3;
         update lab.patients set notes = overlay(notes placing 'AAAA' from 40) where id = 4;
         update lab.patients set notes = (select last_name from lab.patients where id = 1) where id = 5;
         update lab.patients set notes = overlay(notes placing 'zzzz' from 7) where id = 6;
         update lab.patients set notes = null where id = 7",
    );
    let is_note = |(name, _): &(String, u64)| name.starts_with("notes");
    let counts: Vec<_> = patients.census().into_iter().filter(is_note).collect();
    let broken = [
        ("notes broken 1", 1),
        ("notes broken 1 1", 1),
        ("notes plaintext", 1),
        ("notes sealed 1", 5),
        ("notes sealed 2", 10),
        ("notes sealed 3", 10),
        ("notes unknown_key", 1),
    ];
    assert_eq!(counts, expected(&broken));
    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    assert_eq!((code, &said["left"], &said["moved"]), (Some(1), &2.into(), &35.into()), "{said}");
    assert_eq!(patients.status()["state"], "failed");
    let kept = patients.database.sql("select notes from lab.patients where id = 3");
    assert_eq!(kept.trim(), "in clear");
}

#[test]
fn bound_values_keep_their_record_and_stay_closed_in_another() {
    let entities = "      lab.patients: {bind: {key: id, type: integer}, fields: {mrn: {class: mrn}, \
         last_name: {class: name}, notes: {class: note}}}\n";
    let mut patients = Patients::none(&Postgres::shared(), entities);
    patients.labseal.run();
    let rows: Vec<_> = (1..40)
        .map(|id| format!(r#"{{"id":{id},"mrn":"M{id}","last_name":"N{id}","notes":"n{id}"}}"#))
        .collect();
    let answer = patients.lims(Request::post("/patients", &format!("[{}]", rows.join(","))));
    assert_eq!(answer.status, 201, "{}", answer.text());
    patients.labseal.must(&["keys", "rotate"]);
    patients.database.sql(
        "update lab.patients set notes = (select notes from lab.patients where id = 1) where id = 2",
    );
    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    assert_eq!((code, &said["left"]), (Some(1), &1.into()), "the moved ciphertext stays: {said}");
    patients.database.sql("update lab.patients set notes = null where id = 2");
    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    assert_eq!(code, Some(0), "{said}");
    let rows = patients.read();
    assert_eq!((&rows[0]["notes"], &rows[38]["last_name"]), (&"n1".into(), &"N39".into()));
    patients.database.sql(
        "update lab.patients set notes = (select notes from lab.patients where id = 1) where id = 2",
    );
    let moved = patients.lims(Request::get("/patients?id=eq.2"));
    assert_eq!(moved.status, 502, "{}", moved.text());
}

#[test]
fn an_api_that_cannot_be_walked_is_refused_with_its_name() {
    let labseal = kit::labseal::Setup::new(kit::policy::ROUTES, ([127, 0, 0, 1], 1).into());
    let labseal = labseal.init(|_| {});
    let output = labseal.cli(&["keys", "census"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("lims-db is of dialect json"), "{said}");
}

/// A composite key with characters that URLs and lists quote, a JSON column, and a view.
const ODD: &str = r#"
create schema lab;
create schema archive;
create table lab.odd (
    site text, "No. 1" integer, "Last, Name" text, doc jsonb, primary key (site, "No. 1")
);
create view lab.seen as select site, "No. 1", "Last, Name" from lab.odd;
"#;

const ODD_ENTITIES: &str = r#"      lab.odd:
        key: [site, "No. 1"]
        fields: {"Last, Name": {class: name}, doc: {class: note}}
      lab.seen: {key: [site, "No. 1"], fields: {"Last, Name": {class: name}}}
"#;

#[test]
fn keys_of_several_columns_odd_names_json_columns_and_views_are_walked() {
    let mut patients = Patients::of(&Postgres::shared(), ODD, ODD_ENTITIES);
    patients.labseal.run();
    let row = |n: usize| {
        let site = ["a,\"(b", "a.b\\", "ü (x)"][n % 3];
        serde_json::json!({"site": site, "No. 1": n / 3, "Last, Name": format!("Name {n}"), "doc": format!("d{n}")})
    };
    let rows: Vec<_> = (0..660).map(row).collect();
    let answer = patients.lims(Request::post("/odd", &serde_json::Value::from(rows).to_string()));
    assert_eq!(answer.status, 201, "{}", answer.text());
    patients.labseal.must(&["keys", "rotate"]);
    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    assert_eq!((code, &said["moved"]), (Some(0), &1_320.into()), "{said}");
    let all =
        [("Last, Name sealed 2 1", 660), ("Last, Name sealed 2 1", 660), ("doc sealed 2", 660)];
    assert_eq!(counted(&said["census"]), expected(&all));
    let read = patients.lims(Request::get("/odd?select=*&limit=1000"));
    let read = read.json();
    assert_eq!(read.as_array().unwrap().len(), 660);
    for row in read.as_array().unwrap() {
        let n = row["doc"].as_str().unwrap().strip_prefix('d').unwrap();
        assert_eq!(row["Last, Name"], format!("Name {n}"));
    }
}

#[test]
fn a_job_shows_who_it_is_and_nothing_in_clear_on_the_wire_or_in_its_files() {
    let server = Postgres::shared();
    let tables = format!("{TABLES}{CLEAR}");
    let patients = Patients::watched(&server, &tables, DUAL);
    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    assert_eq!(code, Some(0), "{said}");
    let sent = String::from_utf8_lossy(&patients.tee.as_ref().unwrap().received()).into_owned();
    let heads = sent.matches("\r\n\r\n").count();
    assert!(heads > 1_500, "{heads}");
    assert_eq!(sent.to_lowercase().matches("x-job: a job").count(), heads);
    for clear in ["Name 7", "Name%207", "note 7", "note%207", "M7\"", "quotes"] {
        assert!(!sent.contains(clear), "{clear} went over the wire");
    }
    let mut searched = 0;
    for (path, bytes) in kit::postgres::read_tree(patients.labseal.folder()) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let is_secret = path.ends_with("job.token");
        assert!(is_secret || !(text.contains("Name 7") || text.contains("a job")), "{path:?}");
        searched += 1;
    }
    assert!(searched > 8);
}
