//! The root key in escrow: what is dealt comes back from enough shares and from nothing else, through the
//! binary and its files.

// Tests may.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use labseal::{
    base::{clock::SystemClock, ident::Tenant, secret::SecretKey},
    crypto::{Quorum, RootKey},
    keys::{
        Keys, StoreAddress,
        entry::Record,
        escrow::{Bundle, Share, Standing, join},
        memory::{MemoryProvider, MemoryStore},
        store::Store as _,
    },
};
use serde_json::{Value, json};
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

const POLICY: &str =
    "apiVersion: labseal/v1\nkind: Policy\napis: [{name: lims-db, dialect: json}]\n";

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

struct Lab(TempDir);

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Lab {
    /// A lab with keys, and an empty folder for an escrow.
    fn new() -> Self {
        let lab = Self(TempDir::with_prefix("labseal-escrow-").unwrap());
        fs::write(lab.path("labseal.yaml"), CONFIG).unwrap();
        fs::write(lab.path("policy.yaml"), POLICY).unwrap();
        private(&lab.path("passphrase"), "correct horse battery staple\n");
        fs::create_dir(lab.path("out")).unwrap();
        let init = lab.run(&["init"]);
        assert_eq!(init.code, 0, "{}", init.err);
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_labseal"))
            .args(args)
            .args(["--config", "labseal.yaml"])
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Deals shares: the bundle's file and theirs.
    fn deal(&self, needed: &str, shares: &str) -> (String, Vec<String>) {
        let args = ["--needed", needed, "--shares", shares, "--out", "out", "--json"];
        let dealt = self.run(&[&["keys", "escrow", "create"][..], &args].concat());
        assert_eq!(dealt.code, 0, "{}", dealt.err);
        let dealt: Value = serde_json::from_str(&dealt.out).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&dealt["bundle"]), dealt["shares"].as_array().unwrap().iter().map(text).collect())
    }

    fn verify(&self, bundle: &str, shares: &[&String]) -> Ran {
        let shares: Vec<&str> = shares.iter().map(|share| share.as_str()).collect();
        self.run(
            &[&["keys", "escrow", "verify", "--json", "--bundle", bundle], &shares[..]].concat(),
        )
    }

    /// Everything in it, by name, but for what SQLite keeps beside an open store.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in [self.path(""), self.path("out")] {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.display().to_string();
                if path.is_file() && !name.ends_with("-wal") && !name.ends_with("-shm") {
                    files.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

#[test]
fn a_drill_brings_the_root_key_back_and_leaves_a_record_and_nothing_else() {
    let lab = Lab::new();
    let (bundle, shares) = lab.deal("2", "3");
    for file in shares.iter().chain([&bundle]) {
        let mode = fs::metadata(lab.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let before = lab.files();
    for pair in [[0, 2], [1, 0], [2, 1]] {
        let drill = lab.verify(&bundle, &pair.map(|at| &shares[at]));
        assert_eq!(drill.code, 0, "{}", drill.err);
        let told: Value = serde_json::from_str(&drill.out).unwrap();
        assert_eq!(told["result"], "current");
        assert_eq!(told["shares"], json!(pair.map(|at| at + 1)));
        let file = told["record"].as_str().unwrap();
        let record: Value = serde_json::from_slice(&fs::read(lab.path(file)).unwrap()).unwrap();
        assert_eq!(record["user"]["uid"], nix::unistd::getuid().as_raw());
        assert!(record["time"].as_str().unwrap().starts_with("20"));
        assert_eq!(record["epoch"], 4);
        for share in &shares {
            let share: Value = serde_json::from_slice(&before[&lab.path(share)]).unwrap();
            let secret = share["secret"].as_str().unwrap();
            assert!(!record.to_string().contains(secret) && !drill.out.contains(secret));
        }
        fs::remove_file(lab.path(file)).unwrap();
    }
    assert_eq!(lab.files(), before);
}

#[test]
fn a_drill_that_fails_says_why_and_is_recorded_too() {
    let lab = Lab::new();
    let (bundle, shares) = lab.deal("2", "3");
    let (_, others) = lab.deal("2", "2");
    for (given, words) in [
        (vec![&shares[1]], "1 of the 2 shares"),
        (vec![&shares[1], &shares[1]], "share 2 is there twice"),
        (vec![&shares[0], &others[1]], "share 2 belongs to escrow"),
        (vec![&shares[0], &bundle], "is not a share"),
    ] {
        let drill = lab.verify(&bundle, &given);
        assert_eq!(drill.code, 1);
        assert!(drill.err.contains(words), "{}", drill.err);
        let records: Vec<_> = lab
            .files()
            .into_iter()
            .filter(|(path, _)| path.display().to_string().contains("drill"))
            .collect();
        let [(path, record)] = &records[..] else { panic!("{records:?}") };
        let record: Value = serde_json::from_slice(record).unwrap();
        assert_eq!(record["result"], "failed");
        assert!(record["reason"].as_str().unwrap().contains(words));
        fs::remove_file(path).unwrap();
    }
    let drill = lab.verify(&shares[0], &[&shares[0], &shares[1]]);
    assert!(drill.err.contains("is not a bundle"), "{}", drill.err);
    fs::set_permissions(lab.path(&shares[0]), fs::Permissions::from_mode(0o644)).unwrap();
    let drill = lab.verify(&bundle, &[&shares[0], &shares[1]]);
    assert!(drill.err.contains("chmod 600"), "{}", drill.err);
}

#[test]
fn a_quorum_that_protects_nothing_or_never_comes_together_is_refused() {
    let lab = Lab::new();
    for (needed, shares, words) in
        [("1", "3", "at least two shares"), ("4", "3", "can never be brought together")]
    {
        let args = ["--needed", needed, "--shares", shares, "--out", "out"];
        let dealt = lab.run(&[&["keys", "escrow", "create"][..], &args].concat());
        assert_eq!((dealt.code, &*dealt.out), (1, ""));
        assert!(dealt.err.contains(words), "{}", dealt.err);
    }
    assert_eq!(fs::read_dir(lab.path("out")).unwrap().count(), 0);
}

#[test]
fn an_escrow_of_another_key_store_is_noticed() {
    let (lab, other) = (Lab::new(), Lab::new());
    let (bundle, shares) = other.deal("2", "2");
    let absolute = |name: &String| other.path(name).display().to_string();
    let shares: Vec<_> = shares.iter().map(absolute).collect();
    let drill = lab.verify(&absolute(&bundle), &shares.iter().collect::<Vec<_>>());
    assert_eq!(drill.code, 1);
    assert!(drill.err.contains("is not of this key store"), "{}", drill.err);
    assert!(drill.out.contains(r#""result":"foreign""#), "{}", drill.out);
}

/// Two of three shares in a folder of their own.
struct Dealt {
    folder: TempDir,
    bundle: PathBuf,
    shares: Vec<PathBuf>,
}

fn keys() -> (Keys, MemoryStore) {
    let store = MemoryStore::default();
    let provider = MemoryProvider::new(SecretKey::new([7; 32]));
    let (address, clock) = (StoreAddress::Memory(store.clone()), Arc::new(SystemClock));
    (Keys::create(&address, &provider, &Tenant::new("main"), clock).unwrap(), store)
}

impl Dealt {
    fn of(keys: &Keys) -> Self {
        let (bundle, shares) = keys.escrow(Quorum::new(2, 3).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bundle = bundle.create(folder.path()).unwrap();
        let shares = shares.iter().map(|share| share.create(folder.path()).unwrap()).collect();
        Self { folder, bundle, shares }
    }

    fn bundle(&self) -> Bundle {
        Bundle::read(&self.bundle).unwrap()
    }

    fn join(&self) -> Result<RootKeyCame, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let bundle = Bundle::read(&self.bundle).map_err(|error| told(&error))?;
        let shares = self.shares[..2].iter().map(|path| Share::read(path));
        let shares = shares.collect::<Result<_, _>>().map_err(|error| told(&error))?;
        join(&bundle, shares).map(|_| RootKeyCame).map_err(|error| told(&error))
    }
}

#[derive(Debug)]
struct RootKeyCame;

/// Each member of a file changed, one at a time.
fn altered(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let mut all = Vec::new();
    for (name, member) in whole.as_object().unwrap() {
        let mut changed = whole.clone();
        changed[name] = match member {
            Value::Number(number) => json!(number.as_u64().unwrap() + 1),
            Value::Array(list) => {
                let mut list = list.clone();
                list.swap(0, 1);
                list.into()
            }
            other => {
                let mut text = other.as_str().unwrap().to_owned();
                let swapped = if &text[3..4] == "4" { "5" } else { "4" };
                text.replace_range(3..4, swapped);
                text.into()
            }
        };
        all.push((name.clone(), changed.to_string()));
    }
    all
}

#[test]
fn every_altered_member_of_a_share_is_noticed_and_its_share_named() {
    let dealt = Dealt::of(&keys().0);
    dealt.join().unwrap();
    let (path, whole) = (&dealt.shares[1], fs::read(&dealt.shares[1]).unwrap());
    let cases = altered(path);
    assert_eq!(cases.len(), 11);
    for (member, text) in cases {
        fs::write(path, text).unwrap();
        let error = dealt.join().unwrap_err();
        let is_named = match member.as_str() {
            "v" => error.contains("is not a share") && error.contains("share-2"),
            "escrow" => error.contains("share 2 belongs to escrow"),
            // Number 3 has another secret.
            "share" => error.contains("share 3 is not the one"),
            _ => error.contains("share 2 is not the one"),
        };
        assert!(is_named, "{member}: {error}");
    }
    fs::write(path, whole).unwrap();
    dealt.join().unwrap();
}

#[test]
fn every_altered_member_of_a_bundle_is_noticed() {
    let dealt = Dealt::of(&keys().0);
    let whole = fs::read(&dealt.bundle).unwrap();
    let cases = altered(&dealt.bundle);
    assert_eq!(cases.len(), 15);
    for (member, text) in cases {
        fs::write(&dealt.bundle, text).unwrap();
        assert!(dealt.join().is_err(), "{member}");
    }
    fs::write(&dealt.bundle, whole).unwrap();
    dealt.join().unwrap();
}

#[test]
fn files_of_an_escrow_are_refused_when_cut_anywhere() {
    let dealt = Dealt::of(&keys().0);
    let whole = fs::read(&dealt.shares[0]).unwrap();
    for end in 0..whole.len() - 2 {
        fs::write(&dealt.shares[0], &whole[..end]).unwrap();
        assert!(Share::read(&dealt.shares[0]).is_err(), "{end}");
    }
    let whole = fs::read(&dealt.bundle).unwrap();
    for end in 0..whole.len() - 2 {
        fs::write(&dealt.bundle, &whole[..end]).unwrap();
        assert!(Bundle::read(&dealt.bundle).is_err(), "{end}");
    }
}

#[test]
fn a_root_key_that_was_replaced_makes_its_escrow_stale() {
    let (keys, mut store) = keys();
    let dealt = Dealt::of(&keys);
    assert_eq!(keys.escrowed(&dealt.bundle()).unwrap(), Standing::Current);
    assert_eq!(self::keys().0.escrowed(&dealt.bundle()).unwrap(), Standing::Foreign);
    let shares = dealt.shares.iter().map(|path| Share::read(path).unwrap()).collect();
    let joined = join(&dealt.bundle(), shares).unwrap();
    let mut records = store.load(0).unwrap();
    assert_eq!(joined.standing(&records), Standing::Current);
    // The next entry is authenticated under the root key that came after.
    let (body, epoch) = (b"{}".to_vec(), records.len() as u64);
    let mac = RootKey::generate().unwrap().mac(&body);
    records.push(Record { epoch, body, mac });
    assert_eq!(joined.standing(&records), Standing::Stale);
    assert_eq!(joined.standing(&records[records.len() - 1..]), Standing::Foreign);
    assert_eq!(joined.standing(&[]), Standing::Foreign);
    drop(dealt.folder);
}
