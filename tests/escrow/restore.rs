//! From shares to a root key file on a new machine.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use labseal::{
    base::{
        class::{ClassParams, Commitment, Equality, Mode, ValueType, Years},
        clock::SystemClock,
        ident::{ClassId, Tenant},
    },
    crypto::{Quorum, Typed},
    keys::{
        Keys, Opened, StoreAddress,
        escrow::{self, join},
        file::{FileProvider, Passphrase, Settings},
        named::Named,
    },
};
use tempfile::TempDir;

use super::lab::{Lab, Ran, private};

/// The keys of a lab, by its own files.
fn opened(lab: &Lab) -> Keys {
    let passphrase = Passphrase::Named(Named::File(lab.path("passphrase")));
    let provider = FileProvider::new(Settings { path: lab.path("root.key"), passphrase });
    let address = StoreAddress::Sqlite(lab.path("labseal.db"));
    Keys::open(&address, &provider, &Tenant::new("main"), Arc::new(SystemClock)).unwrap()
}

/// A new machine: everything from the backup but the root key file, and another passphrase.
fn moved(from: &Lab) -> Lab {
    let lab = Lab(TempDir::with_prefix("labseal-escrow-").unwrap());
    for name in ["labseal.yaml", "policy.yaml"] {
        fs::copy(from.path(name), lab.path(name)).unwrap();
    }
    let backup = rusqlite::Connection::open(from.path("labseal.db")).unwrap();
    let to = lab.path("labseal.db").display().to_string();
    backup.execute("VACUUM INTO ?1", [to]).unwrap();
    fs::set_permissions(lab.path("labseal.db"), fs::Permissions::from_mode(0o600)).unwrap();
    private(&lab.path("passphrase"), "another one, on another machine\n");
    lab
}

fn restore(lab: &Lab, from: &Lab, bundle: &str, shares: &[&String]) -> Ran {
    let there = |name: &str| from.path(name).display().to_string();
    let shares: Vec<_> = shares.iter().map(|share| there(share)).collect();
    let shares: Vec<&str> = shares.iter().map(String::as_str).collect();
    let bundle = there(bundle);
    lab.run(&[&["keys", "escrow", "restore", "--bundle", &bundle][..], &shares].concat())
}

#[test]
fn a_root_key_comes_back_on_a_new_machine_under_a_new_passphrase() {
    let lab = Lab::new();
    let class = ClassParams {
        id: ClassId::new("c-note"),
        mode: Mode::Random,
        ty: ValueType::Text,
        rungs: Vec::new(),
        equality: Equality::Exact,
        years: Years::ALL,
        commitment: Commitment::Absent,
    };
    let keys = opened(&lab);
    keys.register(std::slice::from_ref(&class)).unwrap();
    let mut sealed = Vec::new();
    keys.snapshot().seal(&class.id, &Typed::from_text("fasting"), &mut sealed).unwrap();
    let (bundle, shares) = lab.deal("2", "3");
    let new = moved(&lab);
    assert_eq!(new.run(&["keys", "list"]).code, 1);
    let came = restore(&new, &lab, &bundle, &[&shares[2], &shares[0]]);
    assert_eq!(came.code, 0, "{}", came.err);
    assert!(came.out.contains("root.key") && came.out.contains("recovery"), "{}", came.out);
    let mode = fs::metadata(new.path("root.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let Opened::Value { typed, .. } = opened(&new).snapshot().open(&sealed) else {
        panic!("it is lost")
    };
    assert_eq!(typed.value.expose(), b"fasting");
    assert_eq!(new.run(&["keys", "rotate"]).code, 0);
    // The recovery passphrase of the new file does as well.
    fs::copy(new.path("root.key.recovery"), new.path("passphrase")).unwrap();
    assert_eq!(new.run(&["keys", "list"]).code, 0);
    // And what is in escrow is still the root key of the store.
    let drill = ["keys", "escrow", "verify", "--bundle"];
    let there = |name: &str| lab.path(name).display().to_string();
    let files = [there(&bundle), there(&shares[0]), there(&shares[1])];
    let drill = new.run(&[&drill[..], &files.each_ref().map(String::as_str)].concat());
    assert_eq!(drill.code, 0, "{}", drill.err);
}

#[test]
fn a_restoration_overwrites_nothing_and_leaves_nothing_where_it_fails() {
    let lab = Lab::new();
    let (bundle, shares) = lab.deal("2", "3");
    let both = [&shares[0], &shares[1]];
    let before = lab.files();
    let over = restore(&lab, &lab, &bundle, &both);
    assert_eq!(over.code, 1);
    assert!(over.err.contains("root.key exists already"), "{}", over.err);
    assert_eq!(lab.files(), before);

    let new = moved(&lab);
    let few = restore(&new, &lab, &bundle, &both[..1]);
    assert!(few.err.contains("1 of the 2 shares"), "{}", few.err);
    let foreign = moved(&Lab::new());
    let refused = restore(&foreign, &lab, &bundle, &both);
    assert!(refused.err.contains("is not of this key store"), "{}", refused.err);
    let bare = moved(&lab);
    fs::remove_file(bare.path("labseal.db")).unwrap();
    let refused = restore(&bare, &lab, &bundle, &both);
    assert!(refused.err.contains("restore the key store from its backup"), "{}", refused.err);
    for lab in [&new, &foreign, &bare] {
        assert!(!lab.path("root.key").exists() && !lab.path("root.key.recovery").exists());
    }
}

#[test]
fn a_store_of_the_first_format_is_restored_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["labseal.db", "passphrase.txt", "root.key"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name);
        private(&at(name), "");
        fs::write(at(name), fs::read(from).unwrap()).unwrap();
    }
    let provider = |file: &str| {
        let passphrase = Passphrase::Named(Named::File(at("passphrase.txt")));
        FileProvider::new(Settings { path: at(file), passphrase })
    };
    let address = StoreAddress::Sqlite(at("labseal.db"));
    let (tenant, clock) = (Tenant::new("frozen-lab"), Arc::new(SystemClock));
    let open = |file| Keys::open(&address, &provider(file), &tenant, clock.clone());
    let (bundle, shares) = open("root.key").unwrap().escrow(Quorum::new(2, 2).unwrap()).unwrap();
    fs::remove_file(at("root.key")).unwrap();
    let joined = join(&bundle, shares).unwrap();
    escrow::restore(&joined, &address, &provider("new.key"), &tenant, clock.clone()).unwrap();
    let keys = open("new.key").unwrap().snapshot();
    let stored = "ls1rBHm5FWYJ1DBRZUSyA4Dc96640oze_S78MQ-F4uoM7Th7mMhclQYARY23zqjI0URR__yi1-_kqBHVBg9mRzqTYz4y";
    let Opened::Value { typed, .. } = keys.open(stored.as_bytes()) else { panic!("it is lost") };
    assert_eq!(typed.value.expose(), b"fasting since 22:00");
}
