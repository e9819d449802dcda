//! The files of an escrow: every alteration is noticed, and its share named.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use labseal::{
    base::{clock::SystemClock, ident::Tenant, secret::SecretKey},
    crypto::Quorum,
    keys::{
        Keys, StoreAddress,
        escrow::{Bundle, Share, Standing, join},
        memory::{MemoryProvider, MemoryStore},
        store::Store as _,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two of three shares in a folder of their own.
struct Dealt {
    _folder: TempDir,
    bundle: PathBuf,
    shares: Vec<PathBuf>,
}

fn provider() -> MemoryProvider {
    MemoryProvider::new(SecretKey::new([7; 32]))
}

fn keys() -> (Keys, MemoryStore) {
    let store = MemoryStore::default();
    let (address, clock) = (StoreAddress::Memory(store.clone()), Arc::new(SystemClock));
    (Keys::create(&address, &provider(), &Tenant::new("main"), clock).unwrap(), store)
}

impl Dealt {
    fn of(keys: &Keys) -> Self {
        let (bundle, shares) = keys.escrow(Quorum::new(2, 3).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bundle = bundle.create(folder.path()).unwrap();
        let shares = shares.iter().map(|share| share.create(folder.path()).unwrap()).collect();
        Self { _folder: folder, bundle, shares }
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
    let joined = || {
        let shares = dealt.shares.iter().map(|path| Share::read(path).unwrap()).collect();
        join(&dealt.bundle(), shares).unwrap()
    };
    assert_eq!(joined().standing(&store.load(0).unwrap()), Standing::Current);
    keys.rotate_root(&provider(), Duration::ZERO).unwrap();
    assert_eq!(keys.escrowed(&dealt.bundle()).unwrap(), Standing::Stale);
    let records = store.load(0).unwrap();
    assert_eq!(joined().standing(&records), Standing::Stale);
    assert_eq!(joined().standing(&records[records.len() - 1..]), Standing::Foreign);
    assert_eq!(joined().standing(&[]), Standing::Foreign);
    let again = Dealt::of(&keys);
    assert_eq!(keys.escrowed(&again.bundle()).unwrap(), Standing::Current);
}
