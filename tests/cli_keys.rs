//! `labseal init`, `labseal keys` and `labseal inspect`, through the binary.

// Tests may.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

const CONFIG: &str = r#"apiVersion: labseal/v1
kind: Config
policy: policy.yaml
listeners:
  - {name: lims, bind: "127.0.0.1:0"}
apis:
  - {name: lims-db, listener: lims, path_prefix: /, upstream: "http://127.0.0.1:9"}
keys: {store: "sqlite:labseal.db", provider: {kind: file, path: root.key, passphrase: "file:passphrase"}}
tenant: main
audit: {dir: audit}
"#;

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:    {id: c-mrn,  mode: deterministic, type: text, mask: {keep_last: 4}}
  name:   {id: c-name, mode: searchable, type: text, match: [eq], mask: {keep_first: 1}}
  result: {id: c-res,  mode: random, type: "numeric(12,4)", mask: {null: true}}
callers:
  lims: {subject: "CN=lims,O=lab"}
grants:
  lims: {"*": {read: clear, filter: allow, write: allow}}
apis:
  - name: lims-db
    dialect: postgrest
    entities:
      public.patients: {fields: {mrn: {class: mrn, unique: true}, last_name: {class: name}}}
      public.results: {fields: {value: {class: result}}}
"#;

const PASSPHRASE: &str = "correct horse battery staple";

fn lab() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("labseal.yaml"), CONFIG).unwrap();
    fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    private(&folder.path().join("passphrase"), &format!("{PASSPHRASE}\n"));
    folder
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs labseal in a folder, with nothing to type on.
fn labseal(folder: &Path, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_labseal"))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn done(folder: &Path, args: &[&str]) -> String {
    let ran = labseal(folder, args);
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
    ran.out
}

const INIT: [&str; 3] = ["init", "--config", "labseal.yaml"];

#[test]
fn init_makes_private_files_asks_nothing_and_says_what_to_back_up() {
    let lab = lab();
    let out = done(lab.path(), &INIT);
    for file in ["labseal.db", "root.key", "root.key.recovery", "passphrase", "policy.yaml"] {
        assert!(out.contains(file), "{file}: {out}");
    }
    for file in ["labseal.db", "root.key", "root.key.recovery", "labseal.db.seen"] {
        let mode = fs::metadata(lab.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(!out.contains(PASSPHRASE));
    let recovery = fs::read_to_string(lab.path().join("root.key.recovery")).unwrap();
    assert!(!out.contains(recovery.trim()));
}

#[test]
fn init_overwrites_nothing() {
    let lab = lab();
    done(lab.path(), &INIT);
    let before = fs::read(lab.path().join("root.key")).unwrap();
    let again = labseal(lab.path(), &INIT);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("labseal.db exists already"), "{}", again.err);
    for name in ["labseal.db", "labseal.db-wal", "labseal.db-shm", "labseal.db.seen"] {
        let _ = fs::remove_file(lab.path().join(name));
    }
    let again = labseal(lab.path(), &INIT);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("root.key exists already"), "{}", again.err);
    assert!(!lab.path().join("labseal.db").exists(), "a store without a root key was left behind");
    assert_eq!(fs::read(lab.path().join("root.key")).unwrap(), before);
}

#[test]
fn init_refuses_a_passphrase_that_others_may_read() {
    let lab = lab();
    let file = lab.path().join("passphrase");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = labseal(lab.path(), &INIT);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("chmod 600") || ran.out.contains("chmod 600"), "{}", ran.err);
    assert!(!lab.path().join("labseal.db").exists());
    assert!(!lab.path().join("root.key").exists());
}

#[test]
fn init_takes_a_credential_of_systemd_that_only_an_access_list_opens() {
    let lab = lab();
    let file = lab.path().join("passphrase");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
    let init = |credentials: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labseal"));
        command.args(INIT).current_dir(lab.path()).stdin(Stdio::null());
        command.env("CREDENTIALS_DIRECTORY", credentials).output().unwrap().status.success()
    };
    assert!(!init("/run/credentials/labseal.service"), "it is no credential of that folder");
    assert!(!init(""));
    // Only what belongs to root counts, as it does there.
    let is_roots = fs::metadata(&file).unwrap().uid() == 0;
    assert_eq!(init("."), is_roots);
}

#[test]
fn keys_are_listed_rotated_and_listed_again() {
    let lab = lab();
    let made: Value =
        serde_json::from_str(&done(lab.path(), &[&INIT[..], &["--json"]].concat())).unwrap();
    assert_eq!(made["classes"], 3);
    let list = || -> Vec<Value> {
        let args = ["keys", "list", "--config", "labseal.yaml", "--json"];
        serde_json::from_str(&done(lab.path(), &args)).unwrap()
    };
    let before = list();
    assert_eq!(before.len(), 2);
    let rotated: Value = serde_json::from_str(&done(
        lab.path(),
        &["keys", "rotate", "--config", "labseal.yaml", "--json"],
    ))
    .unwrap();
    assert_eq!(rotated["version"], 2);
    let after = list();
    let states: Vec<_> =
        after.iter().map(|v| (v["ring"].as_str().unwrap(), v["state"].as_str().unwrap())).collect();
    assert_eq!(states, [("data", "decrypt_only"), ("data", "active"), ("index", "active")]);
    assert_eq!(after[1]["kids"], rotated["kids"]);
    assert_eq!(after[0]["kids"], before[0]["kids"]);
    let shown = done(lab.path(), &["keys", "list", "--config", "labseal.yaml"]);
    for words in ["data", "index", "decrypt_only", "c-name", "c-mrn"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn everything_there_is_can_be_seen_and_a_dry_run_changes_none_of_it() {
    let lab = lab();
    done(lab.path(), &INIT);
    let config = ["--config", "labseal.yaml"];
    let keys = |args: &[&str]| done(lab.path(), &[&["keys"], args, &config].concat());
    let before = keys(&["status"]);
    for words in ["Root key: 1", "wrapped by file key", "No replica runs", "active", "index"] {
        assert!(before.contains(words), "{words}: {before}");
    }
    assert!(keys(&["rotate", "--dry-run"]).contains("Version 2"));
    assert!(keys(&["rotate", "root", "--dry-run"]).contains("Root key 2"));
    let json = |args: &[&str]| -> Value { serde_json::from_str(&keys(args)).unwrap() };
    assert_eq!(json(&["rotate", "--dry-run", "--json"])["next"], 2);
    let versions = json(&["status", "--json"])["versions"].as_array().unwrap().len();
    assert_eq!(
        (versions, json(&["status", "--json"])["root"]["generation"].clone()),
        (2, 1.into())
    );

    keys(&["rotate"]);
    assert_eq!(json(&["compromise", "1", "--dry-run", "--json"])["state"], "compromised");
    assert_eq!(json(&["status", "--json"])["versions"][0]["state"], "decrypt_only");
    let suspended = json(&["suspend", "1", "--yes", "--json"]);
    assert_eq!(
        (&suspended["from"], &suspended["in_force"]),
        (&"decrypt_only".into(), &true.into())
    );
    assert!(keys(&["resume", "1"]).contains("is decrypt_only; it was suspended"));
    assert_eq!(json(&["rotate", "root", "--json"])["root"], 2);
    assert!(keys(&["status"]).contains("Root key: 2"));
    let missing = labseal(lab.path(), &[&["keys", "resume", "7"][..], &config].concat());
    assert!(missing.code == 1 && missing.err.contains("keys status"), "{}", missing.err);
}

#[test]
fn the_index_ring_is_not_rotated() {
    let lab = lab();
    done(lab.path(), &INIT);
    let args = ["keys", "rotate", "--config", "labseal.yaml", "index"];
    let ran = labseal(lab.path(), &args);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("sealed again"), "{}", ran.err);
}

#[test]
fn the_recovery_passphrase_does_what_the_passphrase_does_and_another_does_nothing() {
    let lab = lab();
    done(lab.path(), &INIT);
    let list = ["keys", "list", "--config", "labseal.yaml"];
    let recovery = fs::read_to_string(lab.path().join("root.key.recovery")).unwrap();
    private(&lab.path().join("passphrase"), &recovery);
    done(lab.path(), &list);
    private(&lab.path().join("passphrase"), "wrong");
    let ran = labseal(lab.path(), &list);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("recovery passphrase"), "{}", ran.err);
    assert!(!ran.err.contains("wrong"), "{}", ran.err);
}

#[test]
fn without_a_passphrase_and_a_terminal_the_remedy_is_given() {
    let lab = lab();
    let config = CONFIG.replace(r#", passphrase: "file:passphrase""#, "");
    assert_ne!(config, CONFIG);
    fs::write(lab.path().join("labseal.yaml"), config).unwrap();
    // A session of its own has no terminal, whatever this test was started from.
    let output = Command::new("setsid")
        .args(["--wait", env!("CARGO_BIN_EXE_labseal")])
        .args(INIT)
        .current_dir(lab.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("keys.provider.passphrase"), "{err}");
    assert!(!lab.path().join("labseal.db").exists());
}

/// An envelope of the store in `folder`.
fn sealed(folder: &Path, class: &str) -> String {
    use labseal::{
        base::{
            clock::SystemClock,
            ident::{ClassId, Tenant},
        },
        crypto::Typed,
        keys::{
            Keys, StoreAddress,
            file::{FileProvider, Passphrase, Settings},
            named::Named,
        },
    };
    let passphrase = Passphrase::Named(Named::File(folder.join("passphrase")));
    let provider = FileProvider::new(Settings { path: folder.join("root.key"), passphrase });
    let address = StoreAddress::Sqlite(folder.join("labseal.db"));
    let clock = std::sync::Arc::new(SystemClock);
    let keys = Keys::open(&address, &provider, &Tenant::new("main"), clock).unwrap();
    let mut out = Vec::new();
    let value = Typed::from_text("Svensson");
    keys.snapshot().seal(&ClassId::new(class), &value, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn an_envelope_tells_its_format_without_keys_and_its_key_and_class_with_them() {
    let lab = lab();
    done(lab.path(), &INIT);
    let envelope = sealed(lab.path(), "c-name");
    let plain: Value =
        serde_json::from_str(&done(lab.path(), &["inspect", &envelope, "--json"])).unwrap();
    assert_eq!(plain["mode"], "searchable");
    assert_eq!(plain["rungs"], 1);
    assert_eq!(plain["committed"], false);
    assert_eq!(plain["text_bytes"], envelope.len());
    assert_eq!(plain.get("class"), None);
    done(lab.path(), &["keys", "rotate", "--config", "labseal.yaml"]);
    let args = ["inspect", &envelope, "--config", "labseal.yaml", "--json"];
    let known: Value = serde_json::from_str(&done(lab.path(), &args)).unwrap();
    assert_eq!(known["kid"], plain["kid"]);
    let found = [&known["ring"], &known["state"], &known["class"], &known["class_id"]];
    assert_eq!(found, ["data", "decrypt_only", "name", "c-name"]);
    assert_eq!(known["version"], 1);
    let shown = done(lab.path(), &["inspect", &envelope, "--config", "labseal.yaml"]);
    assert!(shown.contains("decrypt_only") && !shown.contains("Svensson"), "{shown}");
}

#[test]
fn a_text_that_is_no_envelope_is_told_where_it_goes_wrong() {
    let lab = lab();
    done(lab.path(), &INIT);
    let envelope = sealed(lab.path(), "c-res");
    let cut = &envelope[..envelope.len() - 1];
    for (text, words) in [
        ("Svensson", "at byte 0"),
        ("ls1x", "at byte 3"),
        (&envelope[..20], "cut off"),
        (cut, "cut off"),
    ] {
        let ran = labseal(lab.path(), &["inspect", text]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains(words), "{}", ran.err);
        assert_eq!(ran.out, "");
    }
}

#[test]
fn a_class_that_differs_from_the_register_is_found_by_check_as_run_refuses_it() {
    let lab = lab();
    let check = ["check", "--config", "labseal.yaml"];
    let before = labseal(lab.path(), &check);
    assert_eq!(before.code, 0, "{}{}", before.out, before.err);
    assert!(before.out.contains("warning: classes were not compared with the key log"));
    done(lab.path(), &INIT);
    assert_eq!(done(lab.path(), &check), "both files can be used\n");

    let other = POLICY.replace("match: [eq]", "match: [ieq, eq]");
    fs::write(lab.path().join("policy.yaml"), other).unwrap();
    let found = labseal(lab.path(), &check);
    assert_eq!(found.code, 1);
    let words = "class c-name was registered as: mode searchable, type text, match [eq]";
    let at = "policy.yaml:5:1: error: ";
    assert!(found.out.contains(words) && found.out.contains(at), "{}", found.out);
    let refused = labseal(lab.path(), &["run", "--config", "labseal.yaml"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains(words), "{}", refused.err);

    // Nothing of it is written, so that the policy as it was is still right.
    fs::write(lab.path().join("policy.yaml"), POLICY).unwrap();
    assert_eq!(done(lab.path(), &check), "both files can be used\n");
    let config = CONFIG.replace(", passphrase: \"file:passphrase\"", "");
    fs::write(lab.path().join("labseal.yaml"), config).unwrap();
    let unasked = labseal(lab.path(), &check);
    assert_eq!(unasked.code, 0);
    assert!(unasked.out.contains("no passphrase is configured"), "{}", unasked.out);
    private(&lab.path().join("passphrase"), "another\n");
    fs::write(lab.path().join("labseal.yaml"), CONFIG).unwrap();
    let locked = labseal(lab.path(), &[&check[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&locked.out).unwrap();
    assert_eq!((locked.code, &report["usable"]), (0, &Value::Bool(true)));
    let message = report["diagnostics"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("classes were not compared with the key log: "), "{message}");
}
