//! The folder of the demo: the same files that an operator, a developer and a key custodian would
//! write, in a temporary place.

use std::{
    fs::OpenOptions,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::base::digest::Digest;

/// The policy of the made-up lab.
pub const POLICY: &str = include_str!("policy.yaml");

/// What wraps the root key, unless somebody says otherwise.
pub const FILE: &str = r#"{kind: file, path: root.key, passphrase: "file:passphrase"}"#;

/// The folder, gone when dropped, and the keys of the callers.
pub struct Folder {
    folder: TempDir,
    /// The API key of the LIMS.
    pub lims: String,
    /// The API key of the clinician.
    pub clinician: String,
    /// The API key of billing.
    pub billing: String,
}

impl Folder {
    /// Creates the folder with everything in it but the configuration, which needs an address.
    pub fn create() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("labseal-demo-")
            .tempdir()
            .context("cannot create a temporary folder")?;
        let path = folder.path();
        std::fs::create_dir(path.join("keys"))?;
        write(&path.join("passphrase"), &random()?)?;
        write(&path.join("policy.yaml"), POLICY)?;
        let key = |name: &str| {
            let key = random()?;
            let digest = Digest::of(&[key.as_bytes()]);
            write(&path.join(format!("keys/{name}.sha256")), &format!("{digest}\n"))?;
            anyhow::Ok(key)
        };
        let (lims, clinician, billing) = (key("lims")?, key("clinician")?, key("billing")?);
        Ok(Self { folder, lims, clinician, billing })
    }

    /// Writes `labseal.yaml`, and says where it is.
    pub fn configure(
        &self,
        upstream: SocketAddr,
        port: u16,
        provider: &str,
    ) -> anyhow::Result<PathBuf> {
        let path = self.path().join("labseal.yaml");
        let text = format!(
            r#"apiVersion: labseal/v1
kind: Config
policy: policy.yaml
listeners:
  - {{name: lab, bind: "127.0.0.1:{port}"}}
apis:
  - {{name: lab-db, listener: lab, path_prefix: /, upstream: "http://{upstream}"}}
keys: {{store: "sqlite:labseal.db", provider: {provider}}}
tenant: demo
audit: {{dir: audit}}
admin: {{socket: labseal.sock, ops: "127.0.0.1:0"}}
"#
        );
        write(&path, &text)?;
        Ok(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file of the lab's database.
    pub fn database(&self) -> PathBuf {
        self.path().join("lab.db")
    }

    /// Everything under a file or folder inside, one after the other.
    pub fn bytes(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut waiting = vec![self.path().join(name)];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                for entry in std::fs::read_dir(&path)? {
                    waiting.push(entry?.path());
                }
            } else {
                all.extend(std::fs::read(&path)?);
            }
        }
        Ok(all)
    }
}

/// Writes a file that only its owner can read.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// 256 random bits as hexadecimal digits.
fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
