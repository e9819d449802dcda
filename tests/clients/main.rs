//! Client libraries that know nothing of labseal: each drives a script of its own, direct and
//! through labseal, and compares what the library gives back.

// Tests may.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::explicit_auto_deref)]

#[path = "../kit/mod.rs"]
mod kit;
// The tables with every mode and type are those of the differential runs.
#[allow(dead_code)]
#[path = "../differential/lab.rs"]
mod lab;
#[path = "../differential/schema.rs"]
mod schema;

use std::process::Command;

use kit::{Canaries, process};
use lab::Pair;
use serde_json::{Value, json};

/// Runs a script of a client on both ways; gives its report.
fn run(mut command: Command, least: u64) {
    let mut pair = Pair::start();
    let mut canaries = Canaries::new();
    let mut plant =
        |what: &str| (0..10).map(|n| canaries.plant(&format!("{what} {n}"))).collect::<Vec<_>>();
    let values = json!({"mrn": plant("mrn"), "name": plant("name"), "note": plant("note")});
    command.arg(format!("http://{}", pair.direct.address()));
    command.arg(format!("http://{}", pair.labseal.address()));
    command.arg(pair.labseal.key("lims")).arg(values.to_string());
    let report: Value = serde_json::from_slice(&process::run(command)).unwrap();
    let count = |what: &str| report[what].as_u64().unwrap();
    assert!(report["differences"].as_array().unwrap().is_empty(), "{report:#}");
    assert!(count("steps") >= least, "{report}");
    // Where most fails on both ways, sameness means little.
    assert!(
        count("refused") * 4 < count("steps") && count("failed") * 4 < count("steps"),
        "{report}"
    );
    pair.assert_no_leak(&canaries);
}

#[test]
fn postgrest_js_gets_the_same_through_labseal() {
    let module = process::parts().join("node_modules/@supabase/postgrest-js/dist/index.mjs");
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/postgrest_js.mjs")).arg(module);
    run(node, 130);
}

#[test]
fn postgrest_py_gets_the_same_through_labseal() {
    let mut python = Command::new(process::parts().join("python/bin/python"));
    python.arg("-B").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/postgrest_py.py"));
    run(python, 50);
}
