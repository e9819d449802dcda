//! What is behind the providers: a token, a key service, a folder.
//!
//! A module of a token and the key service's client both look into the environment of their process,
//! which a test cannot change. So a test runs itself again, in a process with the right environment.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use labseal::keys::{
    aws_kms::{self, Wire},
    file::{self, Passphrase},
    pkcs11,
    provider::{Kind, Settings},
};
use tempfile::TempDir;

use super::kit::{
    kms::{self, Moto},
    process::free_address,
    softhsm::{self, SoftHsm},
};

/// The label of the token.
pub const TOKEN: &str = "lab token";

const HSM: &str = "LABSEAL_TEST_HSM";
const KMS: &str = "LABSEAL_TEST_KMS";

/// What a test needs to be there.
pub enum Needs {
    All,
    Credentials,
    Hsm,
    Nothing,
}

/// A test, in its own process.
pub struct Inside {
    hsm: PathBuf,
    kms: Option<SocketAddr>,
    folder: TempDir,
}

impl Inside {
    /// In the process of the test: what is there. Else runs the test named so in such a process, and
    /// fails if it does.
    pub fn of(test: &str, needs: &Needs) -> Option<Self> {
        Self::with(test, needs, &[])
    }

    /// The same, with more in the environment.
    pub fn with(test: &str, needs: &Needs, more: &[(&str, &str)]) -> Option<Self> {
        if let Some(hsm) = std::env::var_os(HSM) {
            let kms = std::env::var(KMS).unwrap().parse().ok();
            let folder = tempfile::tempdir().unwrap();
            return Some(Self { hsm: hsm.into(), kms, folder });
        }
        let has_hsm = matches!(needs, Needs::All | Needs::Hsm);
        let hsm = has_hsm.then(|| SoftHsm::new(TOKEN));
        let kms = matches!(needs, Needs::All).then(Moto::start);
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args([test, "--exact", "--nocapture", "--test-threads=1"]);
        let at = kms.as_ref().map(|kms| kms.address().to_string()).unwrap_or_default();
        again.env(HSM, hsm.as_ref().map(SoftHsm::folder).unwrap_or(Path::new(""))).env(KMS, at);
        again.envs(hsm.as_ref().map(SoftHsm::variable));
        if matches!(needs, Needs::All | Needs::Credentials) {
            again.envs(kms::CREDENTIALS);
        }
        // What a developer is logged in to is none of the tests' business.
        for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            again.env(name, "/dev/null");
        }
        again.envs(more.iter().copied());
        let done = again.output().unwrap();
        let [out, err] = [&done.stdout, &done.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(done.status.success() && out.contains("1 passed"), "{test} inside:\n{out}{err}");
        None
    }

    /// The folder of the token's files.
    pub fn hsm(&self) -> &Path {
        &self.hsm
    }

    /// A folder of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The key service.
    pub fn kms(&self) -> SocketAddr {
        self.kms.unwrap()
    }

    /// A provider with a wrapping key of this name.
    pub fn settings(&self, kind: Kind, name: &str) -> Settings {
        match kind {
            Kind::AwsKms => {
                let alias = format!("alias/{name}");
                let known = kms::ask(self.kms(), "ListAliases", &serde_json::json!({}));
                if !known.to_string().contains(&alias) {
                    let key = kms::make_key(self.kms());
                    let question = serde_json::json!({"AliasName": alias, "TargetKeyId": key});
                    kms::ask(self.kms(), "CreateAlias", &question);
                }
                aws_kms(&alias, self.kms())
            }
            Kind::File => {
                let path = self.folder().join(name);
                Settings::File(file::Settings { path, passphrase: given("correct horse") })
            }
            Kind::Pkcs11 => Settings::Pkcs11(token(name)),
        }
    }

    /// A provider whose wrapping key is not there.
    pub fn absent(&self, kind: Kind) -> Settings {
        match kind {
            Kind::AwsKms => aws_kms("alias/nobody", self.kms()),
            Kind::File | Kind::Pkcs11 => self.settings(kind, "nobody"),
        }
    }

    /// Does `work` while what is behind the provider is away. It gets a provider like it.
    pub fn while_away<T>(&self, kind: Kind, work: impl FnOnce(Settings) -> T) -> T {
        match kind {
            Kind::AwsKms => work(aws_kms("alias/one", free_address())),
            Kind::File => unreachable!("a file is there or not"),
            Kind::Pkcs11 => {
                softhsm::take_away(&self.hsm);
                let done = work(self.settings(kind, "one"));
                softhsm::put_back(&self.hsm);
                done
            }
        }
    }
}

/// A key of the service at an address.
pub fn aws_kms(key: &str, address: SocketAddr) -> Settings {
    Settings::AwsKms(aws_kms::Settings {
        key: key.to_owned(),
        region: kms::REGION.to_owned(),
        endpoint: Some(format!("http://{address}")),
        wire: Wire::Tls,
    })
}

/// A key of the token.
pub fn token(key: &str) -> pkcs11::Settings {
    pkcs11::Settings {
        module: softhsm::MODULE.into(),
        token: TOKEN.to_owned(),
        key: key.to_owned(),
        pin: given(softhsm::PIN),
    }
}

fn given(text: &str) -> Passphrase {
    Passphrase::Given(text.into())
}
