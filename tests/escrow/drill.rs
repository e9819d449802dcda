//! The drill, through the binary: the root key comes back in memory, and a record is left.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use super::lab::Lab;

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
        let bundle: Value = serde_json::from_slice(&before[&lab.path(&bundle)]).unwrap();
        assert_eq!(record["epoch"], bundle["epoch"]);
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
    assert!(!lab.path("out").exists());
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
