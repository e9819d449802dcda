//! `labseal recover`: dumps and exports of a real database, opened without one.

mod kit;

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, process::Output};

use kit::{
    Postgres, Request,
    store::{Patients, SEALED, TABLES, parsed},
};

/// Values that every format quotes in its own way.
const AWKWARD: [&str; 9] = [
    "plain",
    "it's \"quoted\", twice",
    "back\\slash \\N \\.",
    "tab\tand\nnew line\r\nand more",
    "",
    " spaces ",
    "semi;colon|bar",
    "é€😀 \u{b}\u{c}\u{8}",
    "E'scape",
];

fn start() -> Patients {
    let mut patients = Patients::none(&Postgres::shared(), SEALED);
    patients.labseal.run();
    let rows: Vec<_> = AWKWARD
        .iter()
        .enumerate()
        .map(|(n, text)| serde_json::json!({"mrn": format!("M{n}'\\\""), "last_name": text, "notes": text}))
        .collect();
    let answer =
        patients.lims(Request::post("/patients", &serde_json::Value::from(rows).to_string()));
    assert_eq!(answer.status, 201, "{}", answer.text());
    patients.labseal.stop();
    patients
}

/// Opens a text; gives what was written.
fn recover(patients: &Patients, text: &[u8], format: &str) -> (Output, PathBuf) {
    let folder = patients.labseal.folder();
    let (input, output) = (folder.join("dump"), folder.join(format!("opened.{format}")));
    std::fs::write(&input, text).unwrap();
    let (input, out) = (input.display().to_string(), output.display().to_string());
    let arguments = ["recover", "--in", &input, "--out", &out, "--format", format, "--json"];
    (patients.labseal.cli(&arguments), output)
}

fn opened(patients: &Patients, text: &[u8], format: &str) -> Vec<u8> {
    let (output, file) = recover(patients, text, format);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(parsed(&output)["opened"], 27);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::read(file).unwrap()
}

/// The rows of a database as JSON.
fn rows(database: &kit::Database) -> serde_json::Value {
    let text = database.sql("select json_agg(p order by id) from lab.patients p");
    serde_json::from_str(&text).unwrap()
}

fn assert_awkward(rows: &serde_json::Value) {
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), AWKWARD.len());
    for (n, (row, text)) in rows.iter().zip(AWKWARD).enumerate() {
        assert_eq!(row["mrn"], format!("M{n}'\\\""));
        assert_eq!((&row["last_name"], &row["notes"]), (&text.into(), &text.into()), "row {n}");
    }
}

#[test]
fn a_dump_of_sql_restores_to_the_values_as_blocks_and_as_statements() {
    let patients = start();
    for form in ["--format=plain", "--inserts", "--column-inserts"] {
        let dump = patients.database.dump_with(&[form]);
        let restored = Postgres::shared().database("");
        let sql = opened(&patients, &dump, "sql");
        restored.script(&sql);
        assert_awkward(&rows(&restored));
        std::fs::remove_file(patients.labseal.folder().join("opened.sql")).unwrap();
    }
}

#[test]
fn exports_of_json_and_csv_are_read_back_as_the_values() {
    let patients = start();
    let json = patients.database.sql("select json_agg(p order by id) from lab.patients p");
    let list = opened(&patients, json.as_bytes(), "json");
    assert_awkward(&serde_json::from_slice(&list).unwrap());

    let csv =
        patients.database.sql("copy (select * from lab.patients order by id) to stdout csv header");
    let opened_csv = opened(&patients, csv.as_bytes(), "csv");
    let other = Postgres::shared().database(TABLES);
    let file = patients.labseal.folder().join("opened.csv");
    other.copy_in("lab.patients", &file, "csv header");
    assert_awkward(&rows(&other));
    assert!(opened_csv.starts_with(b"id,mrn,last_name,notes,ward\n"));
}

#[test]
fn what_does_not_open_stays_is_counted_and_fails_and_nothing_is_overwritten() {
    let patients = start();
    let value = patients.database.sql("select notes from lab.patients where id = 1");
    let value = value.trim();
    let mut broken = value.to_owned();
    broken.replace_range(50..54, "AAAA");
    let mut foreign = value.to_owned();
    foreign.replace_range(6..10, "zzzz");
    let cut = &value[..40];
    let text = format!("a {value} b {broken}\nc {foreign}\nd {cut}\n");
    let (output, file) = recover(&patients, text.as_bytes(), "text");
    assert_eq!(output.status.code(), Some(1));
    let counts = serde_json::json!({"opened": 1, "bound": 0, "failed": 2, "unknown": 1});
    assert_eq!(parsed(&output), counts);
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written, format!("a plain b {broken}\nc {foreign}\nd {cut}\n"));
    let (output, _) = recover(&patients, value.as_bytes(), "text");
    assert!(!output.status.success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
}
