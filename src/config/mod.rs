//! The operators' file, `labseal.yaml`: where to listen, what lies behind, where keys, log and policy
//! are. Each part owns its section: [`listener`], [`api`], [`jobs`], [`keys`], [`provider`],
//! [`limits`].
//!
//! Paths are relative to the file. Secrets are never in it, only references to them
//! ([`mod@reference`]).
//!
//! # Why
//! Loading judges what the file says and the secret files that are there, but not whether every
//! file is there already: `labseal init` reads the same file before certificates are made.
//! [`Config::absent`] says what is missing, and `check` and `run` ask it. (2026-11)

pub mod api;
pub mod jobs;
pub mod keys;
pub mod limits;
pub mod listener;
pub mod provider;
pub mod reference;

pub use api::{Api, Upstream, UpstreamTls};
pub use jobs::{Jobs, JobsOfApi, Walk};
pub use keys::KeysSection;
pub use limits::{Limits, Timeouts};
pub use listener::{Bind, Listener, ListenerTls};
pub use provider::ProviderSection;
pub use reference::{FileRef, SecretRef};

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    base::ident::{ApiName, Tenant},
    policy::{
        Diagnostic, Policy,
        diagnostic::{Place, Problems, settle},
        document::{self, Fields, Node, text, word},
        head, read_text,
    },
};

/// The running form of `labseal.yaml`. It has a field per section of the file, and no more.
#[derive(Debug)]
pub struct Config {
    /// The file itself.
    pub file: PathBuf,
    /// The policy file.
    pub policy: FileRef,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// What lies behind.
    pub apis: Vec<Api>,
    /// How jobs reach the APIs.
    pub jobs: Jobs,
    /// The key store and the provider.
    pub keys: KeysSection,
    /// Part of every key; never changes.
    pub tenant: Tenant,
    /// The folder of the audit log.
    pub audit_dir: PathBuf,
    /// The socket of `labseal` commands, if there is one.
    pub admin_socket: Option<PathBuf>,
    /// Health, readiness and metrics, if they are served.
    pub ops: Option<SocketAddr>,
    /// How much is logged.
    pub log: LogLevel,
    /// Sizes and counts.
    pub limits: Limits,
    /// Times.
    pub timeouts: Timeouts,
    warnings: Vec<Diagnostic>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// What happens inside, too.
    Debug,
    /// Only what fails.
    Error,
    /// What changes, too.
    #[default]
    Info,
    /// Everything.
    Trace,
    /// What fails, and what should be looked at.
    Warn,
}

impl Config {
    /// Reads a configuration file. Gives every problem if there is one.
    pub fn load(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Problems::new(path);
        let config = read_text(path, &mut problems).and_then(|text| read(&text, &mut problems));
        let (mut config, warnings) = settle(config, problems)?;
        config.warnings = warnings;
        Ok(config)
    }

    /// What [`Config::load`] found that does not make the file unusable.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The API of this name.
    pub fn api(&self, name: &ApiName) -> Option<&Api> {
        self.apis.iter().find(|api| api.name == *name)
    }

    /// Which files that have to be there before `run` are not: certificates, keys, passphrases.
    pub fn absent(&self) -> Vec<Diagnostic> {
        let mut problems = Problems::new(&self.file);
        for listener in &self.listeners {
            listener.tls.iter().flat_map(ListenerTls::files).for_each(|f| f.exists(&mut problems));
        }
        for api in &self.apis {
            let tls = api.upstream.tls.iter();
            tls.flat_map(UpstreamTls::files).for_each(|file| file.exists(&mut problems));
        }
        self.keys.provider.files().for_each(|file| file.exists(&mut problems));
        problems.into_found()
    }

    /// Whether the two files speak of the same APIs.
    pub fn compare(&self, policy: &Policy) -> Vec<Diagnostic> {
        let mut problems = Problems::new(&self.file);
        for api in self.apis.iter().filter(|api| policy.api(&api.name).is_none()) {
            let known = policy.apis().iter().map(|api| api.name().as_str());
            let remedy = document::reader::suggest(api.name.as_str(), known);
            problems.error(api.at, format!("the policy has no API `{}`", api.name), remedy);
        }
        let mut found = problems.into_found();
        let mut problems = Problems::new(self.policy.path());
        for api in policy.apis().iter().filter(|api| self.api(api.name()).is_none()) {
            let at = Place { line: api.dialect_line(), column: 1 };
            let message = format!("the configuration has no API `{}`", api.name());
            problems.warning(at, message, "add it under apis: there, or leave it out here");
        }
        found.extend(problems.into_found());
        found
    }
}

fn read(text: &str, problems: &mut Problems) -> Option<Config> {
    let root = document::parse(text, problems)?;
    let mut fields = Fields::of(&root, "a configuration", problems)?;
    fields.later(&["replicas", "tracing"]);
    head(&mut fields, "Config", problems);
    let policy = fields.required("policy", "add policy: policy.yaml", problems);
    let listeners = fields.required("listeners", "add a listener with name and bind", problems);
    let apis = fields.required("apis", "add an API with name, listener and upstream", problems);
    let keys = fields.required("keys", "add keys: {store: …, provider: …}", problems);
    let tenant = fields.required("tenant", "add tenant: main; it must never change", problems);
    let audit = fields.required("audit", "add audit: {dir: audit}", problems);
    let admin = fields.optional("admin");
    let jobs = fields.optional("jobs");
    let log = fields.optional("log");
    let limits = fields.optional("limits");
    let timeouts = fields.optional("timeouts");
    fields.finish(problems);

    let policy = policy.and_then(|node| FileRef::plain(node, "policy", problems));
    let listeners = listeners.map(|node| listener::read(node, problems));
    let apis = apis.map(|node| api::read(node, listeners.as_deref().unwrap_or_default(), problems));
    let known = apis.as_deref().unwrap_or_default();
    let jobs = jobs.map(|node| Jobs::read(node, known, problems)).unwrap_or_default();
    let keys = keys.and_then(|node| KeysSection::read(node, problems));
    let tenant = tenant.and_then(|node| tenant_name(node, problems));
    let audit_dir = audit.and_then(|node| audit_dir(node, problems));
    let (admin_socket, ops) = admin.map(|node| admin_section(node, problems)).unwrap_or_default();
    let log = log.and_then(|node| log_level(node, problems)).unwrap_or_default();
    let limits = limits.map(|node| Limits::read(node, problems)).unwrap_or_default();
    let timeouts = timeouts.map(|node| Timeouts::read(node, problems)).unwrap_or_default();
    Some(Config {
        file: problems.file().to_path_buf(),
        policy: policy?,
        listeners: listeners?,
        apis: apis?,
        jobs,
        keys: keys?,
        tenant: tenant?,
        audit_dir: audit_dir?,
        admin_socket,
        ops,
        log,
        limits,
        timeouts,
        warnings: Vec::new(),
    })
}

fn tenant_name(node: &Node, problems: &mut Problems) -> Option<Tenant> {
    let name = text(node, "tenant", problems)?;
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.len() > 64 || !name.bytes().all(sound) {
        let remedy = "use up to 64 of letters, digits, -, _ and .";
        problems.error(node.at, format!("`{name}` cannot be a tenant"), remedy);
        return None;
    }
    Some(Tenant::new(name))
}

fn audit_dir(node: &Node, problems: &mut Problems) -> Option<PathBuf> {
    let mut fields = Fields::of(node, "audit", problems)?;
    fields.later(&["sinks", "signing_key"]);
    let dir = fields.required("dir", "add dir: audit", problems);
    fields.finish(problems);
    FileRef::plain(dir?, "dir", problems).map(FileRef::into_path)
}

fn admin_section(node: &Node, problems: &mut Problems) -> (Option<PathBuf>, Option<SocketAddr>) {
    let Some(mut fields) = Fields::of(node, "admin", problems) else { return (None, None) };
    let socket = fields.optional("socket");
    let ops = fields.optional("ops");
    fields.finish(problems);
    let socket = socket.and_then(|node| FileRef::plain(node, "socket", problems));
    let ops = ops.and_then(|node| {
        let address = listener::address(node, "ops", problems)?;
        if !address.ip().is_loopback() {
            let message = "health and metrics can be read by everybody who reaches this address";
            problems.warning(
                node.at,
                message,
                "bind it to 127.0.0.1 unless something else scrapes it",
            );
        }
        Some(address)
    });
    (socket.map(FileRef::into_path), ops)
}

fn log_level(node: &Node, problems: &mut Problems) -> Option<LogLevel> {
    let mut fields = Fields::of(node, "log", problems)?;
    fields.later(&["file", "format"]);
    let level = fields.required("level", "add level: info", problems);
    fields.finish(problems);
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    word(level?, "level", &levels, &[], problems)
}
