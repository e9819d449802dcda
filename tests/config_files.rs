//! Configuration files, accepted and rejected: `tests/fixtures/config`. Beside each rejected file
//! stands what is said of it. `LABSEAL_BLESS=1` writes that anew.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use labseal::{
    config::{Bind, Config, LogLevel, ProviderSection, SecretRef, keys::StoreSection},
    keys::{
        aws_kms::Wire,
        private::{self, PrivateError},
    },
    policy::{Diagnostic, Policy, Severity},
};

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(folder)
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn shown(found: &[Diagnostic]) -> String {
    let folder = format!("{}/", fixtures("reject").display());
    found.iter().map(|one| format!("{one}\n").replace(&folder, "")).collect()
}

fn load(name: &str) -> Config {
    Config::load(&fixtures("accept").join(name)).unwrap_or_else(|e| panic!("{}", shown(&e)))
}

#[test]
fn every_accepted_file_loads_without_warnings() {
    let files = files("accept");
    assert_eq!(files.len(), 5);
    for file in files {
        let config = Config::load(&file).unwrap_or_else(|found| panic!("{}", shown(&found)));
        assert_eq!(shown(config.warnings()), "", "{file:?}");
    }
}

#[test]
fn every_rejected_file_is_rejected_with_all_its_problems_and_places() {
    let files = files("reject");
    assert_eq!(files.len(), 11);
    for file in files {
        let found = Config::load(&file).expect_err(&file.display().to_string());
        let said = shown(&found);
        assert!(!said.contains("hunter2"), "a secret in the wrong place is not repeated: {said}");
        let expected = file.with_extension("expected.txt");
        if env::var_os("LABSEAL_BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(expected).unwrap(), "{file:?}");
    }
}

#[test]
fn paths_are_relative_to_the_file_and_defaults_are_safe() {
    let config = load("design.yaml");
    let folder = fixtures("accept");
    assert_eq!(config.policy.path(), folder.join("policy.yaml"));
    assert_eq!(config.audit_dir, folder.join("audit"));
    assert_eq!(config.admin_socket, Some(folder.join("labseal.sock")));
    assert_eq!(config.keys.store, StoreSection::Sqlite(folder.join("labseal.db")));
    assert_eq!(config.keys.provider.path(), Some(&*folder.join("root.key")));
    assert_eq!(config.timeouts.connect, Duration::from_secs(10));
    assert_eq!(config.timeouts.drain, Duration::from_secs(30));
    assert_eq!((config.log, config.tenant.as_str()), (LogLevel::Info, "main"));
}

#[test]
fn what_a_file_says_replaces_the_defaults() {
    let config = load("further.yaml");
    assert_eq!(config.listeners[0].bind, Bind::Unix("/run/labseal/lims.sock".into()));
    assert_eq!(config.timeouts.body_idle, Duration::from_millis(1500));
    assert_eq!((config.limits.connections, config.log), (16, LogLevel::Debug));
    let passphrase = config.keys.provider.secret();
    assert_eq!(passphrase, Some(&SecretRef::Env("LABSEAL_PASSPHRASE".into())));
    let prefixes: Vec<_> = config.apis.iter().map(|api| api.path_prefix.as_str()).collect();
    assert_eq!(prefixes, ["/db", "/worklist/v1", "/"]);
}

#[test]
fn a_provider_is_what_its_section_says() {
    match load("kms.yaml").keys.provider {
        ProviderSection::AwsKms { key, region, endpoint, wire } => {
            assert!(key.ends_with("1234567890ab"), "{key}");
            assert_eq!((region.as_str(), wire), ("eu-central-1", Wire::Tls));
            assert_eq!(endpoint.as_deref(), Some("http://127.0.0.1:4566"));
        }
        other => panic!("{other:?}"),
    }
    match load("token.yaml").keys.provider {
        ProviderSection::Pkcs11 { token, key, pin, .. } => {
            assert_eq!((token.as_str(), key.as_str()), ("lab", "labseal"));
            assert_eq!(pin, Some(SecretRef::Env("LABSEAL_PIN".into())));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_replica_rotates_by_itself_unless_it_is_told_not_to() {
    let usual = load("design.yaml").keys.replica;
    let (lease, grace) = (Duration::from_secs(10), Duration::from_secs(86_400));
    assert_eq!((usual.lease, usual.grace), (lease, grace));
    assert_eq!(usual.auto_rotate, Some((365, 1 << 32)));
    let replica = load("replica.yaml").keys.replica;
    assert_eq!(
        (replica.lease, replica.grace),
        (Duration::from_secs(30), Duration::from_secs(7_200))
    );
    assert_eq!(replica.auto_rotate, Some((90, 1 << 32)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labseal.yaml");
    let text = fs::read_to_string(fixtures("accept").join("replica.yaml")).unwrap();
    fs::write(&path, text.replace("{days: 90}", "off")).unwrap();
    assert_eq!(Config::load(&path).unwrap().keys.replica.auto_rotate, None);
}

#[test]
fn files_that_are_not_there_are_told_apart() {
    let absent = load("design.yaml").absent();
    let said = shown(&absent);
    assert_eq!(absent.len(), 5, "{said}");
    for name in ["cert.pem", "key.pem", "ca.pem", "db-ca.pem", "passphrase"] {
        assert!(said.contains(name), "{name}: {said}");
    }
}

#[test]
fn both_files_must_speak_of_the_same_apis() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let text = "apiVersion: labseal/v1\nkind: Policy\napis:\n- {name: lims-bd, dialect: json}\n";
    fs::write(&path, text).unwrap();
    let (policy, _) = Policy::load(&path).unwrap();
    let found = load("design.yaml").compare(&policy);
    let [missing, unserved] = &found[..] else { panic!("{}", shown(&found)) };
    assert_eq!((missing.severity, missing.line), (Severity::Error, 7));
    assert_eq!(missing.remedy, "did you mean `lims-bd`?");
    assert_eq!((unserved.severity, unserved.line), (Severity::Warning, 4));
}

#[test]
fn a_secret_file_is_for_its_owner_alone_at_load_and_at_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labseal.yaml");
    fs::copy(fixtures("accept").join("design.yaml"), &path).unwrap();
    let secret = folder.path().join("passphrase");
    fs::write(&secret, "hunter2\n").unwrap();
    for (mode, is_sound) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let loaded = Config::load(&path);
        assert_eq!(loaded.is_ok(), is_sound, "{mode:o}");
        if let Err(found) = loaded {
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].remedy, format!("chmod 600 {}", secret.display()));
        }
        match private::read(&secret) {
            Ok(read) => assert!(is_sound && read.len() == "hunter2\n".len(), "{mode:o}"),
            Err(error) => {
                assert!(!is_sound && matches!(error, PrivateError::Exposed { .. }), "{error}");
            }
        }
    }
}

#[test]
fn a_key_store_in_a_database_is_reached_by_tls_or_on_this_machine_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labseal.yaml");
    let text = fs::read_to_string(fixtures("accept").join("design.yaml")).unwrap();
    let written = |store: &str| {
        let store = text.replace("store: \"sqlite:labseal.db\"", store);
        assert_ne!(store, text, "the example has another store");
        fs::write(&path, store).unwrap();
        Config::load(&path)
    };
    let near = written("store: \"postgres://labseal@127.0.0.1/keys\"").unwrap();
    assert!(matches!(near.keys.store, StoreSection::Postgres { password: None, tls: None, .. }));
    let far = "store: \"postgres://labseal@db.lab.local/keys\"";
    let refused = |store: &str, said: &str| {
        let found = shown(&written(store).unwrap_err());
        assert!(found.contains(said) && !found.contains("hunter2"), "{found}");
    };
    refused(far, "without TLS");
    refused("store: \"postgres://labseal:hunter2@localhost/keys\"", "holds a password");
    refused("store: \"sqlite:keys.db\", store_password: \"env:NAME\"", "in a database");
    assert!(written(&format!("{far}, danger_plaintext: true")).is_ok());
    let tls = "store_tls: {ca: \"file:ca.pem\"}, store_password: \"env:NAME\"";
    assert!(written(&format!("{far}, {tls}")).is_ok());
}
