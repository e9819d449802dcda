//! The contract of a provider, over every kind, and what is particular to the file.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use labseal::{
    base::secret::Plaintext,
    keys::{
        file::{FileProvider, Passphrase},
        provider::{PROVIDERS, Provider, ProviderError, Settings},
    },
};

fn file(folder: &Path, passphrase: &str) -> FileProvider {
    let path = folder.join("root.key");
    FileProvider::new(Settings { path, passphrase: Passphrase::Given(passphrase.into()) })
}

#[test]
fn every_kind_gives_the_root_key_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut kinds: Vec<Box<dyn Provider>> = vec![Box::new(super::provider())];
    for plug in PROVIDERS {
        let passphrase = Passphrase::Given("correct horse".into());
        let provider = (plug.open)(Settings { path: folder.path().join(plug.kind), passphrase });
        assert_eq!(provider.kind(), plug.kind);
        assert!(provider.root().is_err(), "there is nothing yet");
        kinds.push(provider);
    }
    assert_eq!(kinds.len(), 2);
    for provider in kinds {
        let made = provider.create().unwrap();
        assert_eq!(provider.root().unwrap().mac(b"x"), made.mac(b"x"));
        assert_eq!(provider.root().unwrap().mac(b"x"), made.mac(b"x"));
    }
}

#[test]
fn the_recovery_passphrase_opens_the_same_root_key_and_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let made = file(folder.path(), "correct horse").create().unwrap();
    let path = folder.path().join("root.key");
    let recovery = FileProvider::recovery_path(&path);
    let passphrase = Passphrase::File(recovery);
    let recovered = FileProvider::new(Settings { path, passphrase }).root().unwrap();
    assert_eq!(recovered.mac(b"x"), made.mac(b"x"));
    let wrong = file(folder.path(), "battery staple").root();
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
    let Err(refused) = file(folder.path(), "correct horse").root() else { panic!("opened") };
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let phrase = folder.path().join("passphrase");
    fs::write(&phrase, "correct horse\n").unwrap();
    for (mode, opens) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        fs::set_permissions(&phrase, fs::Permissions::from_mode(mode)).unwrap();
        let passphrase = Passphrase::File(phrase.clone());
        let root = FileProvider::new(Settings { path: key.clone(), passphrase }).root();
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
        let refused = file(folder.path(), "correct horse").root();
        assert!(matches!(refused, Err(ProviderError::Malformed { .. })), "cut at {cut}");
    }
    let text = String::from_utf8(good).unwrap();
    let at = text.find("\"wrapped\": \"").unwrap() + 40;
    let mut flipped = text.into_bytes();
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    fs::write(&key, &flipped).unwrap();
    let refused = file(folder.path(), "correct horse").root();
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
