//! What the build must have switched on: without these features the crates compile as well, and leave
//! their keys in memory. `aes-gcm-siv` does not pass its own on to `aes` and `polyval`.

// Tests may.
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Crates that hold keys or what keys are made of.
const WIPING: [&str; 9] =
    ["aes", "aes-gcm-siv", "argon2", "blahaj", "block-buffer", "digest", "hmac", "polyval", "sha2"];

/// Every crate of the build that is not for tests alone, as `name vVERSION|feature,feature`.
fn build() -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}|{f}", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The crates of [`WIPING`] that do not wipe, or are not there.
fn unwiped(build: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for name in WIPING {
        let of_crate = |line: &&str| line.split(' ').next() == Some(name);
        let lines: Vec<_> = build.lines().filter(of_crate).collect();
        let wipes = |line: &str| {
            let features = line.split('|').nth(1).unwrap_or_default().trim_end_matches(" (*)");
            features.split(',').any(|feature| feature == "zeroize")
        };
        if lines.is_empty() || !lines.iter().all(|line| wipes(line)) {
            faults.push(name.to_owned());
        }
    }
    faults
}

#[test]
fn every_crate_that_holds_keys_is_built_to_wipe_them() {
    assert_eq!(unwiped(&build()), [""; 0]);
}

#[test]
fn a_crate_without_the_feature_is_noticed() {
    let build = build();
    for name in WIPING {
        let line = |line: &str| match line.split(' ').next() == Some(name) {
            true => line.replace("zeroize", "alloc"),
            false => line.to_owned(),
        };
        let off = build.lines().map(line).collect::<Vec<_>>().join("\n");
        assert_eq!(unwiped(&off), [name]);
    }
    assert_eq!(unwiped("").len(), WIPING.len());
}
