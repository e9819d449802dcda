//! `labseal demo --once`, as somebody without a terminal runs it.

use std::{
    process::{Command, Output},
    time::Duration,
};

use labseal::base::clock::{Clock as _, SystemClock};

const STEPS: &[&str] = &[
    "1  What the LIMS sent",
    "2  What the database holds",
    "3  What a clinician, billing and a stranger get",
    "4  A search by record number, and by name",
    "5  A key rotation",
    "6  What the audit log says",
];

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_labseal")).arg("demo").args(arguments).output().unwrap()
}

#[test]
fn the_demo_shows_every_step_and_ends_with_zero() {
    let began = SystemClock.instant();
    let output = demo(&["--once"]);
    let took = began.elapsed();
    let (shown, errors) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&errors));
    let mut rest = shown.as_str();
    for step in STEPS {
        let at = rest.find(&format!("\n{step}\n")).unwrap_or_else(|| panic!("{step}: {shown}"));
        rest = &rest[at + 1..];
    }
    assert!(shown.contains('✓') && !shown.contains('✗'), "{shown}");
    assert!(!shown.contains('\x1b'), "no colours where there is no terminal");
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    assert!(took < Duration::from_secs(20), "took {took:?}");
}

#[test]
fn the_demo_leaves_no_files_behind() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_labseal"))
        .args(["demo", "--once"])
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(folder.path().to_str().unwrap()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_unknown_option_is_wrong_usage() {
    assert_eq!(demo(&["--twice"]).status.code(), Some(2));
}
