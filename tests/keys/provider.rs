//! The contract of a provider, over every kind, and what is particular to the file.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use labseal::{
    base::{
        ident::Tenant,
        secret::{Plaintext, SecretKey},
    },
    crypto::{RootKey, WrapError},
    keys::{
        file::{FileProvider, Passphrase},
        memory::MemoryProvider,
        provider::{PROVIDERS, Place, Provider, ProviderError, Settings},
        slot::{Slot, SlotError},
    },
};

fn place() -> Place {
    Place { tenant: Tenant::new("main"), instance: "i".to_owned(), generation: 1 }
}

fn file(folder: &Path, passphrase: &str) -> FileProvider {
    let path = folder.join("root.key");
    FileProvider::new(Settings { path, passphrase: Passphrase::Given(passphrase.into()) })
}

/// One of every kind, each with a wrapping key of its own.
fn every_kind(folder: &Path) -> Vec<Box<dyn Provider>> {
    let mut kinds: Vec<Box<dyn Provider>> = vec![Box::new(super::provider())];
    for plug in PROVIDERS {
        let passphrase = Passphrase::Given("correct horse".into());
        let provider = (plug.open)(Settings { path: folder.join(plug.kind), passphrase });
        assert_eq!(provider.kind(), plug.kind);
        assert!(provider.key().is_err(), "there is nothing yet");
        kinds.push(provider);
    }
    assert_eq!(kinds.len(), 2);
    kinds
}

#[test]
fn every_kind_unwraps_what_it_wrapped_in_its_place_alone() {
    let folder = tempfile::tempdir().unwrap();
    for provider in every_kind(folder.path()) {
        provider.create().unwrap();
        let root = RootKey::generate().unwrap();
        let wrapped = provider.wrap(&root, &place()).unwrap();
        assert_ne!(wrapped, provider.wrap(&root, &place()).unwrap(), "{}", provider.kind());
        let again = provider.unwrap(&wrapped, &place()).unwrap();
        assert_eq!(again.mac(b"x"), root.mac(b"x"));
        for elsewhere in [
            Place { tenant: Tenant::new("other"), ..place() },
            Place { instance: "j".to_owned(), ..place() },
            Place { generation: 2, ..place() },
        ] {
            assert!(provider.unwrap(&wrapped, &elsewhere).is_err(), "{}", provider.kind());
        }
        for at in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[at] ^= 1;
            assert!(provider.unwrap(&altered, &place()).is_err(), "{} {at}", provider.kind());
        }
        assert_eq!(provider.key().unwrap(), provider.key().unwrap());
    }
}

#[test]
fn every_kind_keeps_its_root_key_in_a_slot_that_commits_to_it() {
    let folder = tempfile::tempdir().unwrap();
    for provider in every_kind(folder.path()) {
        provider.create().unwrap();
        let root = RootKey::generate().unwrap();
        let slot = Slot::wrap(&*provider, &root, &place()).unwrap();
        let slot = Slot::parse(&slot.to_bytes()).unwrap();
        assert!(slot.is_of(&*provider).unwrap());
        let again = slot.unwrap(&*provider, &place()).unwrap();
        assert_eq!(again.mac(b"x"), root.mac(b"x"));
        // Of another root key under the same wrapping key and for the same place.
        let other = Slot::wrap(&*provider, &RootKey::generate().unwrap(), &place()).unwrap();
        let [mut one, two] = [&slot, &other]
            .map(|slot| serde_json::from_slice::<serde_json::Value>(&slot.to_bytes()).unwrap());
        one["ct"] = two["ct"].clone();
        let swapped = Slot::parse(one.to_string().as_bytes()).unwrap();
        let refused = swapped.unwrap(&*provider, &place());
        assert!(matches!(refused, Err(SlotError::Commitment { generation: 1 })));
    }
}

#[test]
fn a_slot_of_another_wrapping_key_is_told_apart_and_does_not_open() {
    let [one, other] = [1, 2].map(|byte| MemoryProvider::new(SecretKey::new([byte; 32])));
    let slot = Slot::wrap(&one, &RootKey::generate().unwrap(), &place()).unwrap();
    assert!(!slot.is_of(&other).unwrap());
    let refused = slot.unwrap(&other, &place()).err().unwrap();
    assert!(
        matches!(
            &refused,
            SlotError::Refused { source: ProviderError::Wrap(WrapError::Commitment), .. }
        ),
        "{refused}"
    );
    assert!(matches!(Slot::parse(b"{}"), Err(SlotError::Malformed)));
    let newer = String::from_utf8(slot.to_bytes()).unwrap().replacen("\"v\":1", "\"v\":2", 1);
    assert!(matches!(Slot::parse(newer.as_bytes()), Err(SlotError::Malformed)));
}

#[test]
fn the_recovery_passphrase_opens_the_same_wrapping_key_and_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let made = file(folder.path(), "correct horse");
    made.create().unwrap();
    let path = folder.path().join("root.key");
    let recovery = FileProvider::recovery_path(&path);
    let passphrase = Passphrase::File(recovery);
    let recovered = FileProvider::new(Settings { path, passphrase });
    assert_eq!(recovered.key().unwrap(), made.key().unwrap());
    let wrapped = made.wrap(&RootKey::generate().unwrap(), &place()).unwrap();
    recovered.unwrap(&wrapped, &place()).unwrap();
    let wrong = file(folder.path(), "battery staple").key();
    assert!(matches!(wrong, Err(ProviderError::PassphraseWrong { .. })));
}

#[test]
fn root_key_and_recovery_passphrase_are_private_files_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "correct horse").create().unwrap();
    let key = folder.path().join("root.key");
    let recovery = FileProvider::recovery_path(&key);
    for path in [&key, &recovery] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = fs::read(&key).unwrap();
    assert!(!before.windows(13).any(|window| window == b"correct horse"));
    let again = file(folder.path(), "correct horse").create();
    assert!(matches!(again, Err(ProviderError::Exists { .. })));
    fs::remove_file(&recovery).unwrap();
    assert!(matches!(file(folder.path(), "p").create(), Err(ProviderError::Exists { .. })));
    assert_eq!(fs::read(&key).unwrap(), before);
}

#[test]
fn a_key_or_passphrase_file_that_others_may_read_is_refused_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "correct horse").create().unwrap();
    let key = folder.path().join("root.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let Err(refused) = file(folder.path(), "correct horse").key() else { panic!("opened") };
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let phrase = folder.path().join("passphrase");
    fs::write(&phrase, "correct horse\n").unwrap();
    for (mode, opens) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        fs::set_permissions(&phrase, fs::Permissions::from_mode(mode)).unwrap();
        let passphrase = Passphrase::File(phrase.clone());
        let root = FileProvider::new(Settings { path: key.clone(), passphrase }).key();
        assert_eq!(root.is_ok(), opens, "{mode:o}");
    }
}

#[test]
fn a_damaged_root_key_file_is_refused_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "correct horse").create().unwrap();
    let key = folder.path().join("root.key");
    let good = fs::read(&key).unwrap();
    // Cutting is cheap to refuse everywhere; a flipped digit costs two derivations, so one is tried.
    for cut in 0..good.len() - 2 {
        fs::write(&key, &good[..cut]).unwrap();
        let refused = file(folder.path(), "correct horse").key();
        assert!(matches!(refused, Err(ProviderError::Malformed { .. })), "cut at {cut}");
    }
    let text = String::from_utf8(good).unwrap();
    let at = text.find("\"wrapped\": \"").unwrap() + 40;
    let mut flipped = text.into_bytes();
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    fs::write(&key, &flipped).unwrap();
    let refused = file(folder.path(), "correct horse").key();
    assert!(matches!(refused, Err(ProviderError::PassphraseWrong { .. })));
}

#[test]
fn a_passphrase_that_is_missing_or_empty_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let env = Passphrase::Env("LABSEAL_TEST_NOT_SET".to_owned());
    let unset = FileProvider::new(Settings { path: path.clone(), passphrase: env }).create();
    assert!(matches!(unset, Err(ProviderError::NoVariable { .. })));
    let empty = Passphrase::Given(Plaintext::default());
    let empty = FileProvider::new(Settings { path: path.clone(), passphrase: empty }).create();
    assert!(matches!(empty, Err(ProviderError::PassphraseEmpty)));
    assert!(!path.exists());
}
