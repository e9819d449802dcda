//! The contract of a provider, over every kind and on real tokens and servers, and what is particular
//! to the file.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use labseal::{
    base::{
        ident::Tenant,
        secret::{Plaintext, SecretKey},
    },
    crypto::{RootKey, WrapError},
    keys::{
        conformance,
        file::{FileProvider, Passphrase, Settings},
        memory::MemoryProvider,
        named::{Named, NamedError},
        provider::{Kind, PROVIDERS, Place, Provider, ProviderError},
        slot::{Slot, SlotError},
    },
};

use super::rig::{Inside, Needs};

pub(super) fn place() -> Place {
    Place { tenant: Tenant::new("main"), instance: "i".to_owned(), generation: 1 }
}

fn file(folder: &Path, passphrase: &str) -> FileProvider {
    let path = folder.join("root.key");
    FileProvider::new(Settings { path, passphrase: Passphrase::Given(passphrase.into()) })
}

/// One of every kind, each with a wrapping key of its own.
fn every_kind(inside: &Inside, name: &str) -> Vec<Box<dyn Provider>> {
    let mut kinds: Vec<Box<dyn Provider>> = vec![Box::new(super::provider())];
    for (word, kind) in PROVIDERS {
        let provider = inside.settings(*kind, name).open().unwrap();
        assert_eq!(provider.kind(), *word);
        kinds.push(provider);
    }
    assert_eq!(kinds.len(), 4);
    kinds
}

#[test]
fn every_kind_keeps_the_contract() {
    let test = "provider::every_kind_keeps_the_contract";
    let Some(inside) = Inside::of(test, &Needs::All) else { return };
    for provider in every_kind(&inside, "one") {
        let kind = provider.kind();
        provider.create().unwrap();
        conformance::prove(&*provider).unwrap();
        let root = RootKey::generate().unwrap();
        let wrapped = provider.wrap(&root, &place()).unwrap();
        assert_ne!(wrapped, provider.wrap(&root, &place()).unwrap(), "{kind}");
        let again = provider.unwrap(&wrapped, &place()).unwrap();
        assert_eq!(again.mac(b"x"), root.mac(b"x"));
        for elsewhere in [
            Place { tenant: Tenant::new("other"), ..place() },
            Place { instance: "j".to_owned(), ..place() },
            Place { generation: 2, ..place() },
        ] {
            let refused = provider.unwrap(&wrapped, &elsewhere).err().unwrap();
            assert!(!refused.is_outage(), "{kind}: {refused}");
        }
        for at in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[at] ^= 1;
            let refused = provider.unwrap(&altered, &place()).err().unwrap();
            assert!(!refused.is_outage(), "{kind} at {at}: {refused}");
        }
        for cut in [0, 1, wrapped.len() - 1] {
            assert!(provider.unwrap(&wrapped[..cut], &place()).is_err(), "{kind} cut at {cut}");
        }
        assert_eq!(provider.key().unwrap(), provider.key().unwrap());
    }
}

#[test]
fn every_kind_keeps_its_root_key_in_a_slot_that_commits_to_it() {
    let test = "provider::every_kind_keeps_its_root_key_in_a_slot_that_commits_to_it";
    let Some(inside) = Inside::of(test, &Needs::All) else { return };
    for provider in every_kind(&inside, "one") {
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
fn no_kind_unwraps_what_another_key_of_its_kind_wrapped() {
    let test = "provider::no_kind_unwraps_what_another_key_of_its_kind_wrapped";
    let Some(inside) = Inside::of(test, &Needs::All) else { return };
    for (_, kind) in PROVIDERS {
        let [one, other] =
            ["one", "other"].map(|name| inside.settings(*kind, name).open().unwrap());
        one.create().unwrap();
        other.create().unwrap();
        assert_ne!(one.key().unwrap(), other.key().unwrap());
        let wrapped = one.wrap(&RootKey::generate().unwrap(), &place()).unwrap();
        one.unwrap(&wrapped, &place()).unwrap();
        let refused = other.unwrap(&wrapped, &place()).err().unwrap();
        assert!(!refused.is_outage(), "{}: {refused}", one.kind());
        // The same key, asked by another process.
        let again = inside.settings(*kind, "one").open().unwrap();
        assert_eq!(again.key().unwrap(), one.key().unwrap());
        again.unwrap(&wrapped, &place()).unwrap();
    }
}

#[test]
fn a_wrapping_key_that_is_not_there_is_not_an_outage() {
    let test = "provider::a_wrapping_key_that_is_not_there_is_not_an_outage";
    let Some(inside) = Inside::of(test, &Needs::All) else { return };
    for (word, kind) in PROVIDERS {
        let provider = inside.absent(*kind).open().unwrap();
        let error = provider.wrap(&RootKey::generate().unwrap(), &place()).err().unwrap();
        assert!(!error.is_outage(), "{word}: {error}");
    }
}

#[test]
fn what_is_out_of_reach_is_an_outage_until_it_is_back() {
    let test = "provider::what_is_out_of_reach_is_an_outage_until_it_is_back";
    let Some(inside) = Inside::of(test, &Needs::All) else { return };
    let mut outages = 0;
    for (word, kind) in PROVIDERS {
        if *kind == Kind::File {
            continue;
        }
        let provider = inside.settings(*kind, "one").open().unwrap();
        provider.create().unwrap();
        let root = RootKey::generate().unwrap();
        let wrapped = provider.wrap(&root, &place()).unwrap();
        let error = inside.while_away(*kind, |settings| {
            // One that is asked for the first time, and one that was in use.
            let fresh = settings.open().unwrap().unwrap(&wrapped, &place()).err().unwrap();
            assert!(fresh.is_outage(), "{word}: {fresh}");
            provider.unwrap(&wrapped, &place()).err()
        });
        outages += 1;
        // A connection that is kept may outlive what was behind the address that is tried anew.
        assert!(error.is_none_or(|error| error.is_outage()), "{word}");
        let again = provider.unwrap(&wrapped, &place()).unwrap();
        assert_eq!(again.mac(b"x"), root.mac(b"x"));
    }
    assert_eq!(outages, 2);
}

/// A provider that is wrong in one way.
struct Broken {
    inner: MemoryProvider,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    AnyPlace,
    Corrects,
    GivesAnother,
    Repeats,
}

impl Provider for Broken {
    fn kind(&self) -> &'static str {
        "broken"
    }

    fn key(&self) -> Result<String, ProviderError> {
        self.inner.key()
    }

    fn create(&self) -> Result<(), ProviderError> {
        Ok(())
    }

    fn wrap(&self, root: &RootKey, at: &Place) -> Result<Vec<u8>, ProviderError> {
        match self.how {
            How::AnyPlace => self.inner.wrap(root, &place()),
            How::Corrects => Ok([self.inner.wrap(root, at)?, vec![0; 200]].concat()),
            How::GivesAnother => self.inner.wrap(root, at),
            How::Repeats => Ok(root.lend(|secret| secret.to_vec())),
        }
    }

    fn unwrap(&self, wrapped: &[u8], at: &Place) -> Result<RootKey, ProviderError> {
        match self.how {
            How::AnyPlace => self.inner.unwrap(wrapped, &place()),
            How::Corrects => self.inner.unwrap(&wrapped[..wrapped.len() - 200], at),
            How::GivesAnother => Ok(RootKey::generate()?),
            How::Repeats => Ok(RootKey::from_secret(SecretKey::new([0; 32]))),
        }
    }
}

#[test]
fn a_provider_that_breaks_a_promise_gets_no_root_key() {
    for (how, promise) in [
        (How::AnyPlace, "in a place it was not wrapped for"),
        (How::Corrects, "unwraps what was altered"),
        (How::GivesAnother, "is not what it wrapped"),
        (How::Repeats, "twice into the same bytes"),
    ] {
        let broken = Broken { inner: super::provider(), how };
        let error = conformance::prove(&broken).err().unwrap();
        assert!(error.to_string().contains(promise), "{how:?}: {error}");
        assert!(!error.is_outage());
        let address = super::memory();
        let clock = std::sync::Arc::new(labseal::base::clock::SystemClock);
        let made = labseal::keys::Keys::create(&address, &broken, &super::tenant(), clock);
        assert!(made.is_err(), "{how:?}");
    }
    conformance::prove(&super::provider()).unwrap();
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
    let passphrase = Passphrase::Named(Named::File(recovery));
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
        let passphrase = Passphrase::Named(Named::File(phrase.clone()));
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
    let env = Passphrase::Named(Named::Env("LABSEAL_TEST_NOT_SET".to_owned()));
    let unset = FileProvider::new(Settings { path: path.clone(), passphrase: env }).create();
    assert!(matches!(unset, Err(ProviderError::Secret(NamedError::NoVariable { .. }))));
    let empty = Passphrase::Given(Plaintext::default());
    let empty = FileProvider::new(Settings { path: path.clone(), passphrase: empty }).create();
    assert!(matches!(empty, Err(ProviderError::Secret(NamedError::Empty { .. }))));
    assert!(!path.exists());
}
