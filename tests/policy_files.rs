//! Policy files, accepted and rejected: `tests/fixtures/policy`. Beside each rejected file stands
//! what is said of it. `LABSEAL_BLESS=1` writes that anew.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use labseal::policy::{Diagnostic, Policy};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policy").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn shown(found: &[Diagnostic]) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/policy/reject/");
    found.iter().map(|one| format!("{one}\n").replace(folder, "")).collect()
}

#[test]
fn every_accepted_file_loads_without_warnings_but_for_the_open_one() {
    let files = files("accept");
    assert_eq!(files.len(), 8);
    for file in files {
        let (policy, warnings) = Policy::load(&file).unwrap_or_else(|e| panic!("{}", shown(&e)));
        let open = policy.apis().iter().all(|api| api.is_open());
        assert_eq!(warnings.is_empty(), !open, "{file:?}: {}", shown(&warnings));
    }
}

#[test]
fn every_rejected_file_is_rejected_with_all_its_problems_and_places() {
    let files = files("reject");
    assert_eq!(files.len(), 23);
    for file in files {
        let found = Policy::load(&file).expect_err(&file.display().to_string());
        let expected = file.with_extension("expected.txt");
        if env::var_os("LABSEAL_BLESS").is_some() {
            fs::write(&expected, shown(&found)).unwrap();
        }
        assert_eq!(shown(&found), fs::read_to_string(expected).unwrap(), "{file:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_a_problem_and_not_a_panic() {
    let found = Policy::load(Path::new("/nonexistent/policy.yaml")).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().starts_with("/nonexistent/policy.yaml:1:1: error: "));
}

#[test]
fn the_digest_follows_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let mut digests = Vec::new();
    for text in [
        "apiVersion: labseal/v1\nkind: Policy\napis: []\n",
        "kind: Policy\napiVersion: labseal/v1\napis: []\n",
    ] {
        fs::write(&path, text).unwrap();
        digests.push(Policy::load(&path).unwrap().0.digest());
    }
    assert_ne!(digests[0], digests[1]);
}
