//! What `deploy/` ships can be used as it is.

use std::{fs, path::PathBuf, process::Command};

use labseal::{config::Config, policy::Policy};

fn deploy(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The example files of a folder, beside what a reader is told to make first.
fn loads(folder: &str) {
    let temp = tempfile::tempdir().unwrap();
    for name in ["labseal.yaml", "policy.yaml"] {
        fs::copy(deploy(folder).join(name), temp.path().join(name)).unwrap();
    }
    fs::create_dir(temp.path().join("keys")).unwrap();
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n";
    fs::write(temp.path().join("keys/lims.sha256"), digest).unwrap();

    let config = Config::load(&temp.path().join("labseal.yaml")).unwrap();
    let (policy, warnings) = Policy::load(config.policy.path()).unwrap();
    // Whether the user of a unix_peer rule exists is the machine's affair.
    let warnings: Vec<_> = warnings
        .iter()
        .filter(|one| !one.message.starts_with("this machine has no user"))
        .collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.warnings(), []);
    assert_eq!(config.compare(&policy), []);
}

#[test]
fn the_example_files_load_without_a_warning() {
    loads("");
}

#[test]
fn the_files_of_the_compose_example_load_without_a_warning() {
    loads("compose");
}

#[test]
fn what_the_example_keeps_is_beside_the_file() {
    let config = Config::load(&deploy("labseal.yaml")).unwrap();
    assert_eq!(config.audit_dir, deploy("audit"));
    assert_eq!(config.policy.path(), deploy("policy.yaml"));
    assert_eq!(config.keys.provider.path(), Some(&*deploy("root.key")));
}

/// systemd, where the machine has it (Debian package `systemd`).
fn analyze(arguments: &[&str]) -> Option<String> {
    let output = Command::new("systemd-analyze").args(arguments).output().ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn systemd_takes_the_unit_and_finds_it_hardened() {
    // The binary is not installed here, so the unit names one that is.
    let temp = tempfile::tempdir().unwrap();
    let unit = temp.path().join("labseal.service");
    let text = fs::read_to_string(deploy("labseal.service")).unwrap();
    fs::write(&unit, text.replace("/usr/local/bin/labseal", "/bin/true")).unwrap();
    let unit = unit.to_str().unwrap();
    let Some(complaints) = analyze(&["verify", unit]) else { return };
    assert_eq!(complaints, "");
    let judged = analyze(&["security", "--offline=true", "--threshold=15", unit]).unwrap();
    let line = judged.lines().find(|line| line.contains("Overall exposure level")).unwrap();
    let level: f64 = line.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(level <= 1.5, "{judged}");
}

#[test]
fn systemd_takes_the_unit_with_everything_that_a_token_may_need() {
    let temp = tempfile::tempdir().unwrap();
    let unit = temp.path().join("labseal.service");
    let text = fs::read_to_string(deploy("labseal.service")).unwrap();
    fs::write(&unit, text.replace("/usr/local/bin/labseal", "/bin/true")).unwrap();
    let more = fs::read_to_string(deploy("labseal.service.d/token.conf")).unwrap();
    let folder = temp.path().join("labseal.service.d");
    fs::create_dir(&folder).unwrap();
    // What is offered as a comment is taken up: every line that has no space after the sign.
    let taken = |line: &str| match line.strip_prefix('#') {
        Some(offered) if !offered.starts_with(' ') => offered.to_owned(),
        _ => line.to_owned(),
    };
    let all: Vec<_> = more.lines().map(taken).collect();
    assert!(all.iter().any(|line| line == "StartLimitBurst=2"));
    fs::write(folder.join("token.conf"), all.join("\n")).unwrap();
    let Some(complaints) = analyze(&["verify", unit.to_str().unwrap()]) else { return };
    assert_eq!(complaints, "");
}

#[test]
fn the_unit_keeps_what_keys_need() {
    let unit = fs::read_to_string(deploy("labseal.service")).unwrap();
    let lines: Vec<_> = unit.lines().collect();
    for line in [
        "ExecReload=/bin/kill -HUP $MAINPID",
        "LimitCORE=0",
        "LimitMEMLOCK=infinity",
        "MemoryDenyWriteExecute=yes",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "ProtectSystem=strict",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "StateDirectory=labseal",
        "SystemCallFilter=@system-service",
        "UMask=0077",
    ] {
        assert!(lines.contains(&line), "{line}");
    }
}
