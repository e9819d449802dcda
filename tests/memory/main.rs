//! Keys, passphrases and plaintext leave nothing behind: a process of its own uses known secrets, gives
//! them back, and looks for them in its whole writable memory.

// Tests may.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../bodies/mod.rs"]
mod bodies;
mod scan;
mod secrets;
mod using;

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

use zeroize::Zeroize as _;

use scan::{Canary, Found, scan};

/// Says to the test program that it is the child, and what it is to do.
const CHILD: &str = "LABSEAL_MEMORY_CHILD";

/// What the child found, by the moment and the name of the secret: `planted` by the test itself, `held` where
/// keys are kept, `left` on the stack at any time or anywhere at the end.
type Report = BTreeMap<(String, String), Vec<String>>;

/// Runs a scenario in a process of its own, which is told the secrets masked.
fn run(scenario: &str, secrets: &[(String, Vec<u8>)]) -> Report {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
        .env(CHILD, scenario)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<_> = secrets.iter().map(|(name, bytes)| Canary::spell(name, bytes)).collect();
    child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    let mut report = Report::new();
    for line in out.lines() {
        let Some(line) = line.strip_prefix("found ") else { continue };
        let [moment, name, place] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        report.entry((moment.to_owned(), name.to_owned())).or_default().push(place.to_owned());
    }
    // What the search does not find while it is there it would not find afterwards either.
    for (name, _) in secrets {
        assert!(report.contains_key(&("planted".to_owned(), name.clone())), "{name} is not found");
    }
    report
}

/// What is where it should not be, with its places.
fn left(report: &Report) -> Vec<String> {
    let left = report.iter().filter(|((moment, _), _)| moment == "left");
    left.map(|((_, name), places)| format!("{name} at {}", places.join(", "))).collect()
}

fn is_held(report: &Report, name: &str) -> bool {
    report.contains_key(&("held".to_owned(), name.to_owned()))
}

#[test]
fn the_child() {
    let Ok(scenario) = std::env::var(CHILD) else { return };
    let text = std::io::read_to_string(std::io::stdin()).unwrap();
    let canaries: Vec<_> = text.lines().map(Canary::parse).collect();
    let tell = |moment: &str, found: Vec<Found>| {
        for Found { name, region, .. } in found {
            writeln!(std::io::stdout(), "found {moment} {name} {region}").unwrap();
        }
    };
    let mut planted: Vec<Vec<u8>> = canaries.iter().map(|canary| vec![0; canary.len()]).collect();
    for (canary, room) in canaries.iter().zip(&mut planted) {
        canary.reveal(room);
    }
    tell("planted", scan(&canaries));
    planted.iter_mut().for_each(|room| room.as_mut_slice().zeroize());
    let traces = scan(&canaries);
    assert!(traces.is_empty(), "the search leaves traces of its own: {traces:?}");
    let during = |held: Vec<Found>| {
        let (stack, held) = held.into_iter().partition(|found| found.is_on_stack);
        tell("left", stack);
        tell("held", held);
    };
    match &*scenario {
        "escrow" => using::escrow(&canaries, &during),
        "keys" => using::keys(&canaries, &during),
        "passphrase" => using::passphrase(&canaries, &during),
        "store" => using::store(&canaries, &during),
        "values" => using::values(&canaries, &during),
        "windows" => using::windows(&canaries, &during),
        other => panic!("{other}"),
    }
    tell("left", scan(&canaries));
}

#[test]
fn root_ring_and_class_keys_are_gone_once_they_are_given_back() {
    let report = run("keys", &secrets::of_keys());
    for name in ["root", "ring", "enc-r", "enc-s", "enc-d"] {
        assert!(is_held(&report, name), "{name} is nowhere while it is held");
    }
    assert_eq!(left(&report), [""; 0]);
}

#[test]
fn shares_and_the_key_they_give_are_gone_once_they_are_given_back() {
    let report = run("escrow", &secrets::of_escrow());
    for name in ["share-1", "share-2", "escrow-key", "escrow-check-state"] {
        assert!(is_held(&report, name), "{name} is nowhere while it is held");
    }
    assert_eq!(left(&report), [""; 0]);
}

#[test]
fn a_passphrase_and_what_it_is_stretched_to_are_gone_once_they_are_given_back() {
    let report = run("passphrase", &secrets::of_passphrase());
    assert!(is_held(&report, "passphrase") && is_held(&report, "root"));
    assert_eq!(left(&report), [""; 0]);
}

#[test]
fn a_value_is_gone_once_it_was_sealed_and_once_it_was_opened() {
    let report = run("values", &secrets::of_values());
    assert!(is_held(&report, "value"));
    assert_eq!(left(&report), [""; 0]);
}

#[test]
fn windows_of_a_body_leave_no_key_on_the_stack() {
    let report = run("windows", &secrets::of_store());
    assert!(is_held(&report, "data-2-enc-r-c-note") && is_held(&report, "index-1-enc-d-c-mrn"));
    assert_eq!(left(&report), [""; 0]);
}

#[test]
fn nothing_of_a_key_store_is_left_once_it_is_closed() {
    let report = run("store", &secrets::of_store());
    for name in ["data-1", "data-2", "index-1"] {
        assert!(is_held(&report, name), "{name} is nowhere while it is held");
    }
    assert_eq!(left(&report), [""; 0]);
}
