//! A lab with keys, as a custodian has it: a folder, and the binary.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
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

pub fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub struct Lab(pub TempDir);

pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Lab {
    /// A lab with keys, and an empty folder for an escrow.
    pub fn new() -> Self {
        let lab = Self(TempDir::with_prefix("labseal-escrow-").unwrap());
        fs::write(lab.path("labseal.yaml"), CONFIG).unwrap();
        fs::write(lab.path("policy.yaml"), POLICY).unwrap();
        private(&lab.path("passphrase"), "correct horse battery staple\n");
        let init = lab.run(&["init"]);
        assert_eq!(init.code, 0, "{}", init.err);
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn run(&self, args: &[&str]) -> Ran {
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
    pub fn deal(&self, needed: &str, shares: &str) -> (String, Vec<String>) {
        let args = ["--needed", needed, "--shares", shares, "--out", "out", "--json"];
        let dealt = self.run(&[&["keys", "escrow", "create"][..], &args].concat());
        assert_eq!(dealt.code, 0, "{}", dealt.err);
        let dealt: Value = serde_json::from_str(&dealt.out).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&dealt["bundle"]), dealt["shares"].as_array().unwrap().iter().map(text).collect())
    }

    pub fn verify(&self, bundle: &str, shares: &[&String]) -> Ran {
        let shares: Vec<&str> = shares.iter().map(|share| share.as_str()).collect();
        self.run(
            &[&["keys", "escrow", "verify", "--json", "--bundle", bundle], &shares[..]].concat(),
        )
    }

    /// Everything in it, by name, but for what SQLite keeps beside an open store.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in [self.path(""), self.path("out")].iter().filter(|folder| folder.exists()) {
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
