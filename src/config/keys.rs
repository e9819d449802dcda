//! The section `keys:`: where the key log is, and how this process lives beside others. Who wraps the
//! root key is in [`super::provider`].

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_postgres::config::Host;

use crate::{
    base::host,
    policy::{
        diagnostic::Problems,
        document::{Fields, Node, Value, reader::number, text, truth},
    },
};

use super::{
    api::{UpstreamTls, tls_section},
    limits::duration,
    provider::ProviderSection,
    reference::{FileRef, SecretRef},
};

/// The key store and the provider.
#[derive(Debug)]
pub struct KeysSection {
    /// Where the key log is.
    pub store: StoreSection,
    /// Who unwraps the root key.
    pub provider: ProviderSection,
    /// How this process lives beside others.
    pub replica: ReplicaSection,
}

/// How this process lives beside others that use the same key log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaSection {
    /// For how long it seals without a sign of life that reached the key store.
    pub lease: Duration,
    /// For how long it opens without one.
    pub grace: Duration,
    /// The age in days and the number of values at which the data ring rotates by itself.
    pub auto_rotate: Option<(u64, u64)>,
}

impl Default for ReplicaSection {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { lease: Duration::from_secs(10), grace: day, auto_rotate: Some((365, 1 << 32)) }
    }
}

impl ReplicaSection {
    fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Self {
        let mut section = Self::default();
        if let Some(node) = fields.optional("lease") {
            let range = Duration::from_secs(2)..=Duration::from_secs(600);
            if let Some(lease) = duration_in(node, "lease", range, "2s to 10m", problems) {
                section.lease = lease;
            }
        }
        if let Some(node) = fields.optional("grace") {
            let range = section.lease..=Duration::from_secs(86_400);
            let words = "the lease to 24h";
            if let Some(grace) = duration_in(node, "grace", range, words, problems) {
                section.grace = grace;
            }
        }
        if let Some(node) = fields.optional("auto_rotate") {
            match word_of(node) {
                Some("off") => section.auto_rotate = None,
                _ => section.auto_rotate = auto_rotate(node, problems),
            }
        }
        section
    }
}

fn word_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar.text.as_str()),
        Value::Map(_) | Value::Sequence(_) => None,
    }
}

fn duration_in(
    node: &Node,
    key: &'static str,
    range: RangeInclusive<Duration>,
    words: &str,
    problems: &mut Problems,
) -> Option<Duration> {
    let found = text(node, key, problems)?;
    let read = duration(found).filter(|found| range.contains(found));
    if read.is_none() {
        let remedy = format!("write a whole number and ms, s, m or h, from {words}");
        problems.error(node.at, format!("{key} cannot be `{found}`"), remedy);
    }
    read
}

fn auto_rotate(node: &Node, problems: &mut Problems) -> Option<(u64, u64)> {
    let mut fields = Fields::of(node, "auto_rotate", problems)?;
    let (mut days, mut values) = (365, 1 << 32);
    for (key, most, limit) in [("days", 3_650, &mut days), ("values", 1 << 39, &mut values)] {
        let Some(node) = fields.optional(key) else { continue };
        match number(node, key, problems) {
            Some(found) if (1..=most).contains(&found) => *limit = found,
            Some(found) => {
                let remedy = format!("write a number from 1 to {most}");
                problems.error(node.at, format!("{key} cannot be {found}"), remedy);
            }
            None => {}
        }
    }
    fields.finish(problems);
    Some((days, values))
}

/// Where the key log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSection {
    /// A PostgreSQL database.
    Postgres {
        /// `postgres://USER@HOST/DATABASE`, without a password.
        url: String,
        /// Where the password is.
        password: Option<SecretRef>,
        /// Who vouches for the server; `None` on this machine.
        tls: Option<UpstreamTls>,
        /// The folder of the configuration, for what this replica keeps to itself.
        folder: PathBuf,
    },
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl KeysSection {
    /// Reads the section.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(node, "keys", problems)?;
        fields.later(&["escrow"]);
        let store = fields.required("store", "add store: \"sqlite:labseal.db\"", problems);
        let beside = Beside {
            password: fields.optional("store_password"),
            tls: fields.optional("store_tls"),
            danger: fields.optional("danger_plaintext"),
        };
        let shape = "add provider: {kind: file, path: root.key, passphrase: \"file:passphrase\"}";
        let provider = fields.required("provider", shape, problems);
        let replica = ReplicaSection::read(&mut fields, problems);
        fields.finish(problems);
        let store = store.and_then(|node| store_section(node, &beside, problems));
        let provider = provider.and_then(|node| ProviderSection::read(node, problems));
        Some(Self { store: store?, provider: provider?, replica })
    }
}

/// What may stand beside `store:` for a database.
struct Beside<'a> {
    password: Option<&'a Node>,
    tls: Option<&'a Node>,
    danger: Option<&'a Node>,
}

fn store_section(
    node: &Node,
    beside: &Beside<'_>,
    problems: &mut Problems,
) -> Option<StoreSection> {
    // The text is not repeated: the URL of a database may hold a password.
    let found = text(node, "store", problems)?;
    if found.starts_with("postgres://") {
        return database(node, found, beside, problems);
    }
    for node in [beside.password, beside.tls, beside.danger].into_iter().flatten() {
        problems.error(node.at, "this is for a store in a database", "leave it out");
    }
    if let Some(path) = found.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        let path = FileRef::resolve(path, node.at, problems).into_path();
        return Some(StoreSection::Sqlite(path));
    }
    let remedy =
        "write \"sqlite:path\", relative to this file, or \"postgres://user@host/database\"";
    problems.error(node.at, "store is not the address of a key store", remedy);
    None
}

fn database(
    node: &Node,
    url: &str,
    beside: &Beside<'_>,
    problems: &mut Problems,
) -> Option<StoreSection> {
    let Ok(config) = url.parse::<tokio_postgres::Config>() else {
        let remedy = "write \"postgres://user@host:port/database\"";
        problems.error(node.at, "store is not the URL of a database", remedy);
        return None;
    };
    if config.get_password().is_some() {
        let remedy = "take it out, and write store_password: \"file:path\" or \"env:NAME\"";
        problems.error(node.at, "store holds a password", remedy);
    }
    let password = match beside.password {
        Some(node) => Some(SecretRef::read(node, "store_password", problems)?),
        None => None,
    };
    let tls = match beside.tls {
        Some(node) => Some(tls_section(node, "store_tls", problems)?),
        None => None,
    };
    let danger = beside.danger.and_then(|node| truth(node, "danger_plaintext", problems));
    if tls.is_none() && !is_near(&config) && danger != Some(true) {
        let message = "the key store is reached without TLS: its password and its entries are seen";
        let remedy = "add store_tls: {ca: \"file:tls/db-ca.pem\"}, or write danger_plaintext: true";
        problems.error(node.at, message, remedy);
    }
    let folder = problems.file().parent().unwrap_or(Path::new("")).to_owned();
    Some(StoreSection::Postgres { url: url.to_owned(), password, tls, folder })
}

/// Whether a database is on this machine, as far as its address says.
pub fn is_near(config: &tokio_postgres::Config) -> bool {
    let is_near = |host: &Host| match host {
        Host::Tcp(name) => host::is_loopback(name),
        Host::Unix(_) => true,
    };
    // An address is where the connection goes, whatever the host says.
    config.get_hosts().iter().all(is_near)
        && config.get_hostaddrs().iter().all(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        let near = |url: &str| is_near(&url.parse().unwrap());
        assert!(near("postgres://u@127.0.0.1/d"));
        assert!(near("postgres://u@localhost:5433/d"));
        assert!(near("postgres://u@[::1]/d"));
        assert!(near("host=/run/postgresql user=u"));
        assert!(!near("postgres://u@db.lab.local/d"));
        assert!(!near("postgres://u@127.0.0.1,10.0.0.1/d"));
        assert!(!near("host=localhost hostaddr=10.0.0.1 user=u"));
    }
}
