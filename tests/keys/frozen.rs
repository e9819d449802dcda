//! What is on disk stays readable: a key store, a root key file and values stored under them, as
//! they were written once. Fixtures are added, never edited.

use std::{
    collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc,
    time::Duration,
};

use labseal::{
    base::{
        class::Rung,
        clock::SystemClock,
        ident::{ClassId, Tenant},
        secret::Plaintext,
    },
    crypto::{Kind, Typed},
    keys::{
        Keys, Opened, Ring, Snapshot,
        file::{FileProvider, Passphrase, Settings},
        life::Turn,
        named::Named,
    },
};
use serde::Deserialize;
use tempfile::TempDir;

/// A stored value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    class: String,
    mode: String,
    /// Of the key that it is sealed under.
    version: u32,
    kind: u8,
    value: String,
    stored: String,
}

impl Case {
    fn class(&self) -> ClassId {
        ClassId::new(self.class.as_str())
    }

    fn value(&self) -> Typed {
        let kind = Kind::from_byte(self.kind).unwrap();
        Typed::new(kind, Plaintext::new(self.value.clone().into_bytes()))
    }
}

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/keys")
        .join(name)
        .display()
        .to_string()
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&fs::read(fixture("values.json")).unwrap()).unwrap()
}

/// The files as a custodian would put them back: a checkout has no private modes.
fn restored() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["labseal.db", "passphrase.txt", "recovery.txt", "root.key"] {
        let to = folder.path().join(name);
        fs::copy(fixture(name), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

fn open(folder: &Path, passphrase: &str) -> Keys {
    let passphrase = Passphrase::Named(Named::File(folder.join(passphrase)));
    let provider = FileProvider::new(Settings { path: folder.join("root.key"), passphrase });
    let clock = Arc::new(SystemClock);
    Keys::open(&super::sqlite(folder), &provider, &Tenant::new("frozen-lab"), clock).unwrap()
}

/// The store of format 2: every state, and a second root key.
fn second() -> (TempDir, FileProvider, Keys) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["labseal.db", "passphrase.txt", "root.key"] {
        let to = folder.path().join(name);
        fs::copy(fixture(&format!("../keys2/{name}")), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let passphrase = Passphrase::Named(Named::File(folder.path().join("passphrase.txt")));
    let path = folder.path().join("root.key");
    let provider = FileProvider::new(Settings { path, passphrase });
    let (address, tenant) = (super::sqlite(folder.path()), Tenant::new("frozen-lab"));
    let keys = Keys::open(&address, &provider, &tenant, Arc::new(SystemClock)).unwrap();
    (folder, provider, keys)
}

/// Opens each stored value; gives how many there are.
fn everything_opens(keys: &Snapshot) -> usize {
    let cases = cases();
    let mut seen = BTreeSet::new();
    for case in &cases {
        let Opened::Value { kid, class, typed } = keys.open(case.stored.as_bytes()) else {
            panic!("{} does not open", case.stored);
        };
        assert_eq!(class, case.class());
        assert_eq!(typed.kind.byte(), case.kind, "{}", case.stored);
        assert_eq!(typed.value.expose(), case.value.as_bytes(), "{}", case.stored);
        assert_eq!(keys.version_of(kid).unwrap().1, case.version, "{}", case.stored);
        seen.insert((case.mode.clone(), case.version));
    }
    let seen: Vec<_> = seen.iter().map(|(mode, version)| (&**mode, *version)).collect();
    let all =
        [("deterministic", 1), ("random", 1), ("random", 2), ("searchable", 1), ("searchable", 2)];
    assert_eq!(seen, all);
    cases.len()
}

#[test]
fn a_frozen_store_opens_with_either_passphrase_and_opens_what_was_stored() {
    for passphrase in ["passphrase.txt", "recovery.txt"] {
        let folder = restored();
        let keys = open(folder.path(), passphrase);
        assert_eq!(everything_opens(&keys.snapshot()), 12, "{passphrase}");
    }
}

#[test]
fn frozen_values_are_still_found_by_what_they_hold() {
    let folder = restored();
    let keys = open(folder.path(), "passphrase.txt").snapshot();
    let (mut exact, mut ranges) = (0, 0);
    for case in cases() {
        match &*case.mode {
            "deterministic" => {
                assert_eq!(keys.exact(&case.class(), &case.value()).unwrap(), [case.stored]);
                exact += 1;
            }
            "searchable" => {
                for rung in [Rung::Ieq, Rung::Eq] {
                    let found = keys.ranges(&case.class(), rung, &case.value()).unwrap();
                    let holds = |(from, to): &(String, String)| (from..to).contains(&&case.stored);
                    assert!(found.iter().any(holds), "{rung:?} {}", case.stored);
                    ranges += 1;
                }
            }
            _ => {}
        }
    }
    assert_eq!((exact, ranges), (2, 8));
}

#[test]
fn a_frozen_store_still_rotates_and_then_opens_both_old_and_new() {
    let folder = restored();
    let keys = open(folder.path(), "passphrase.txt");
    let rotated = keys.rotate(Ring::Data).unwrap();
    assert_eq!(rotated.version, 3);
    let keys = keys.snapshot();
    assert_eq!(everything_opens(&keys), 12);
    let stored = super::seal(&keys, "c-note", "after");
    assert_eq!(super::opened(&keys, &stored), "after");
}

#[test]
fn a_frozen_store_of_format_2_opens_what_each_state_opens() {
    let (_folder, provider, keys) = second();
    let expected =
        ["destroyed", "suspended", "compromised", "retired", "decrypt_only", "active", "active"];
    let states: Vec<_> = keys.describe().unwrap().iter().map(|v| v.state.as_str()).collect();
    assert_eq!(states, expected);
    #[derive(Deserialize)]
    struct Case {
        stored: String,
        opens: String,
    }
    let text = fs::read(fixture("../keys2/values.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&text).unwrap();
    let all_open = |keys: &Keys| {
        let open = |case: &&Case| super::opened(&keys.snapshot(), &case.stored) == case.opens;
        cases.iter().filter(open).count()
    };
    assert_eq!(all_open(&keys), 18);
    assert_eq!(keys.status().unwrap().root.0, 2);
    keys.rotate_root(&provider, Duration::ZERO).unwrap();
    assert_eq!(keys.rotate(Ring::Data).unwrap().version, 7);
    assert_eq!(all_open(&keys), 18);
}

#[test]
fn a_store_of_format_1_goes_on_in_format_2_and_destroys_nothing_that_its_log_still_holds() {
    let folder = restored();
    let keys = open(folder.path(), "passphrase.txt");
    assert!(keys.slots().unwrap().is_empty());
    let passphrase = Passphrase::Named(Named::File(folder.path().join("passphrase.txt")));
    let path = folder.path().join("root.key");
    let provider = FileProvider::new(Settings { path, passphrase });
    let before = fs::read(folder.path().join("root.key")).unwrap();
    assert_eq!(keys.rotate_root(&provider, Duration::ZERO).unwrap().generation, 2);
    assert_eq!(keys.rotate(Ring::Data).unwrap().version, 3);
    let turn = |turn| keys.turn(Ring::Data, 1, turn, Duration::ZERO);
    turn(Turn::Retire).unwrap();
    turn(Turn::Schedule(Duration::ZERO)).unwrap();
    let refused = turn(Turn::Destroy).unwrap_err().to_string();
    assert!(refused.contains("forgets nothing"), "{refused}");
    turn(Turn::Unretire).unwrap();
    // The file is what it was; what it holds is a wrapping key from now on.
    assert_eq!(fs::read(folder.path().join("root.key")).unwrap(), before);
    let again = open(folder.path(), "passphrase.txt");
    assert_eq!(again.slots().unwrap().len(), 1);
    assert_eq!(everything_opens(&again.snapshot()), 12);
}
