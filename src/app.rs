//! The composition root: from the configuration to a running sidecar, and from one policy to the
//! next.
//!
//! Everything that can fail at start fails before a listener is bound, and a reload builds all of
//! the new revision before it replaces the old one.

pub mod custody;
pub mod jobs;
mod keeping;
mod starting;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use rustls::ClientConfig;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use tracing_subscriber::{
    Layer as _, filter::LevelFilter, filter::Targets, layer::SubscriberExt as _,
};

use crate::{
    audit::{Audit, Milestone, Notice},
    base::{
        class::ClassParams,
        clock::{Clock, SystemClock},
        day::Day,
    },
    config::{self, Bind, Config},
    dialect::{DIALECTS, Dialect},
    keys::{self, provider::Provider},
    policy::{Diagnostic, Policy, diagnostic::Severity},
    proxy::{
        self, Limits, Sidecar,
        accept::{Gate, Listener, Socket},
        metrics::Metrics,
        ops::{self, Readiness},
        revision::Revision,
        tls,
        upstream::{Upstream, UpstreamLimits},
    },
};

use custody::Asking;

/// Starts the sidecar.
pub struct App;

/// A sidecar that serves.
pub struct Running {
    sidecar: Arc<Sidecar>,
    readiness: Arc<Readiness>,
    config: Arc<Config>,
    addresses: Vec<(String, Option<SocketAddr>)>,
    ops: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    background: Vec<JoinHandle<()>>,
}

impl App {
    /// Builds the policy, opens keys and log, binds the listeners, and serves. Waits for the provider
    /// of the root key while it is out of reach, for ever unless there is a limit.
    pub async fn start(config: Config, wait: Option<Duration>) -> anyhow::Result<Running> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let warnings: Vec<_> = keys::harden::harden().iter().map(ToString::to_string).collect();
        for warning in &warnings {
            tracing::warn!(warning, "memory is not fully protected");
        }
        let config = Arc::new(config);
        let (revision, provider) = {
            let config = config.clone();
            tokio::task::spawn_blocking(move || prepare(&config)).await??
        };
        let ops = bind_ops(&config).await?;
        let (state, stated) = watch::channel("waiting for the keys".to_owned());
        let keys = tokio::select! {
            keys = starting::open_keys(&config, provider, clock.clone(), wait, &state) => keys?,
            () = ops::starting(ops.sockets(), &stated) => bail!("the ops endpoints ended"),
        };
        let keys = {
            let (config, params) = (config.clone(), class_params(&revision.policy));
            tokio::task::spawn_blocking(move || {
                keys.join(custody::membership(&config))?;
                keys.register(&params)?;
                anyhow::Ok(keys)
            })
            .await??
        };
        let audit = Audit::open(&config.audit_dir, clock.clone())?;
        let metrics = Metrics::new();
        let digest = revision.policy.digest();
        metrics.policy_in_force(digest, &revision.policy.migrating());
        metrics.key_epoch(keys.snapshot().epoch());
        let limits = limits(&config);
        let revision = ArcSwap::from_pointee(revision);
        let sidecar = Arc::new(Sidecar { revision, keys, audit, metrics, clock, limits });
        let readiness = Arc::new(Readiness { warnings, ..Readiness::default() });

        let mut bound = Vec::new();
        for section in &config.listeners {
            bound.push(bind(section, &config).await?);
        }
        let (ops, mut background) = ops.serve(&sidecar, &readiness);
        background.push(tokio::spawn(keeping::follow(sidecar.clone(), readiness.clone())));
        background.push(tokio::spawn(keeping::rotate(sidecar.clone())));
        background.push(tokio::spawn(jobs::attend::attend(sidecar.clone(), config.clone())));
        let addresses = bound.iter().map(|l| (l.name.clone(), l.socket.address())).collect();
        let (stop, stopped) = watch::channel(false);
        let places = Arc::new(Semaphore::new(config.limits.connections));
        let mut listeners = JoinSet::new();
        for listener in bound {
            let address = listener.socket.address();
            let address = address.map_or("unix".to_owned(), |address| address.to_string());
            tracing::info!(listener = listener.name, address, "serving");
            listeners.spawn(proxy::accept::serve(
                listener,
                sidecar.clone(),
                places.clone(),
                stopped.clone(),
            ));
        }
        sidecar.audit.note(Notice { milestone: Milestone::Started, policy: digest });
        Ok(Running { sidecar, readiness, config, addresses, ops, stop, listeners, background })
    }
}

/// What needs the disk, and perhaps somebody at the terminal: the policy with its dialects, and the
/// provider, which is not asked yet.
fn prepare(config: &Config) -> anyhow::Result<(Revision, Arc<dyn Provider>)> {
    let missing = config.absent();
    if !missing.is_empty() {
        bail!(spelled(&missing));
    }
    let revision = load_policy(config)?;
    Ok((revision, custody::provider(config, Asking::Once)?.into()))
}

/// Reads and compiles the policy, and builds a dialect for each of its APIs.
pub fn load_policy(config: &Config) -> anyhow::Result<Revision> {
    let (policy, warnings) =
        Policy::load(config.policy.path()).map_err(|found| anyhow!(spelled(&found)))?;
    let compared = config.compare(&policy);
    if compared.iter().any(|found| found.severity == Severity::Error) {
        bail!(spelled(&compared));
    }
    for warning in warnings.iter().chain(&compared) {
        tracing::warn!("{warning}");
    }
    // Told louder, but no reason to stand still: see `policy::migration`.
    for found in policy.overdue(Day::of(SystemClock.wall())) {
        match found.severity {
            Severity::Error => tracing::error!("{found}"),
            Severity::Warning => tracing::warn!("{found}"),
        }
    }
    let dialects = build_dialects(&policy).map_err(|found| anyhow!(spelled(&found)))?;
    Ok(Revision::new(policy, dialects))
}

/// A dialect for each API of the policy, in its order; or what each of them cannot serve.
pub fn build_dialects(policy: &Policy) -> Result<Vec<Box<dyn Dialect>>, Vec<Diagnostic>> {
    let mut built = Vec::new();
    let mut found = Vec::new();
    for api in policy.apis() {
        let mut problem = |message, remedy| {
            found.push(Diagnostic {
                file: policy.file().to_owned(),
                line: api.dialect_line(),
                column: 1,
                severity: Severity::Error,
                message,
                remedy,
            });
        };
        let Some((_, build)) = DIALECTS.iter().find(|(name, _)| *name == api.dialect()) else {
            let known: Vec<_> = DIALECTS.iter().map(|(name, _)| *name).collect();
            let message = format!("`{}` is not a dialect", api.dialect());
            problem(message, format!("use one of: {}", known.join(", ")));
            continue;
        };
        match build(api.surface()) {
            Ok(dialect) => built.push(dialect),
            Err(errors) => errors
                .into_iter()
                .for_each(|error| problem(format!("{}: {}", api.name(), error.at), error.problem)),
        }
    }
    if found.is_empty() { Ok(built) } else { Err(found) }
}

/// What the key log registers of each class.
pub fn class_params(policy: &Policy) -> Vec<ClassParams> {
    policy.classes().iter().map(|class| class.params.clone()).collect()
}

fn spelled(found: &[Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn limits(config: &Config) -> Limits {
    Limits {
        head: config.timeouts.head,
        head_bytes: config.limits.head_bytes,
        body_idle: config.timeouts.body_idle,
        drain: config.timeouts.drain,
        body_bytes: config.limits.body_bytes as u64,
    }
}

async fn bind(section: &config::Listener, config: &Config) -> anyhow::Result<Listener> {
    let socket = match &section.bind {
        Bind::Tcp(address) => {
            let listener = TcpListener::bind(address).await;
            Socket::Tcp(listener.with_context(|| format!("cannot listen on {address}"))?)
        }
        // Who may connect is decided by the folder and by the callers' rules, as with TCP.
        Bind::Unix(path) => Socket::Unix(
            ops::bind_unix(path, 0o666)
                .with_context(|| format!("cannot listen on {}", path.display()))?,
        ),
    };
    let tls = match &section.tls {
        None => None,
        Some(files) => {
            let identity = tls::Identity {
                cert: files.cert.path().to_owned(),
                key: files.key.path().to_owned(),
            };
            let client_ca = files.client_ca.as_ref().map(|file| file.path().to_owned());
            let server = tls::server(&identity, client_ca.as_ref())
                .with_context(|| format!("TLS of listener {}", section.name))?;
            Some(TlsAcceptor::from(Arc::new(server)))
        }
    };
    let mut gates = Vec::new();
    for api in config.apis.iter().filter(|api| api.listener == section.name) {
        gates.push(gate(api, config).with_context(|| format!("upstream of {}", api.name))?);
    }
    gates.sort_by_key(|gate| std::cmp::Reverse(gate.prefix.len()));
    Ok(Listener { name: section.name.clone(), socket, tls, gates: gates.into() })
}

/// TLS toward a server. Without a section nobody is trusted.
fn client_tls(section: Option<&config::UpstreamTls>) -> Result<ClientConfig, tls::TlsError> {
    let trust = section.map(|tls| tls.ca.path().to_owned());
    let identity = section.and_then(|tls| tls.identity.as_ref());
    let identity = identity.map(|(cert, key)| tls::Identity {
        cert: cert.path().to_owned(),
        key: key.path().to_owned(),
    });
    tls::client(trust.as_ref(), identity.as_ref())
}

fn gate(api: &config::Api, config: &Config) -> anyhow::Result<Gate> {
    Ok(Gate {
        name: api.name.clone(),
        prefix: api.path_prefix.trim_end_matches('/').to_owned(),
        upstream: upstream(api, config)?,
    })
}

/// The way to a database API, with TLS and limits as configured.
pub fn upstream(api: &config::Api, config: &Config) -> anyhow::Result<Upstream> {
    let client = client_tls(api.upstream.tls.as_ref())?;
    let limits = UpstreamLimits {
        connect: config.timeouts.connect,
        answer: config.timeouts.upstream,
        head_bytes: config.limits.head_bytes,
    };
    Ok(Upstream::new(api.upstream.url.clone(), client, limits))
}

/// The sockets of the ops endpoints, bound.
struct Ops {
    tcp: Option<Socket>,
    unix: Option<Socket>,
}

async fn bind_ops(config: &Config) -> anyhow::Result<Ops> {
    let tcp = match config.ops {
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            let listener =
                listener.with_context(|| format!("cannot listen on {address} (admin.ops)"))?;
            Some(Socket::Tcp(listener))
        }
        None => None,
    };
    let unix = match &config.admin_socket {
        Some(path) => {
            let listener = ops::bind_unix(path, 0o600)
                .with_context(|| format!("cannot listen on {} (admin.socket)", path.display()))?;
            Some(Socket::Unix(listener))
        }
        None => None,
    };
    Ok(Ops { tcp, unix })
}

impl Ops {
    fn sockets(&self) -> [Option<&Socket>; 2] {
        [self.tcp.as_ref(), self.unix.as_ref()]
    }

    /// Serves from now on what a started sidecar says. The address of the one that has one.
    fn serve(
        self,
        sidecar: &Arc<Sidecar>,
        readiness: &Arc<Readiness>,
    ) -> (Option<SocketAddr>, Vec<JoinHandle<()>>) {
        let address = self.tcp.as_ref().and_then(Socket::address);
        let sockets = self.tcp.into_iter().chain(self.unix);
        let serve = |socket| tokio::spawn(ops::serve(socket, sidecar.clone(), readiness.clone()));
        (address, sockets.map(serve).collect())
    }
}

impl Running {
    /// The listeners by name, with the address each is bound to; a Unix listener has none.
    pub fn addresses(&self) -> &[(String, Option<SocketAddr>)] {
        &self.addresses
    }

    /// The address of the ops endpoints.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops
    }

    /// Reads the policy again. If anything is wrong with it, the old one stays in force.
    pub async fn reload(&self) {
        let milestone = match self.replace_policy().await {
            Ok(()) => {
                tracing::info!("the policy was reloaded");
                Milestone::Reloaded
            }
            Err(error) => {
                tracing::error!(error = %format!("{error:#}"), "the policy was not reloaded");
                Milestone::ReloadRefused
            }
        };
        let revision = self.sidecar.revision.load();
        let digest = revision.policy.digest();
        let reloaded = milestone == Milestone::Reloaded;
        match reloaded {
            true => {
                self.sidecar.metrics.policy_in_force(digest, &revision.policy.migrating());
            }
            false => self.sidecar.metrics.policy_refused(),
        }
        self.sidecar.audit.note(Notice { milestone, policy: digest });
    }

    async fn replace_policy(&self) -> anyhow::Result<()> {
        let config = self.config.clone();
        let revision = tokio::task::spawn_blocking(move || load_policy(&config)).await??;
        let (keys, params) = (self.sidecar.keys.clone(), class_params(&revision.policy));
        // Classes are on record before the first value is sealed under them.
        tokio::task::spawn_blocking(move || keys.register(&params)).await??;
        self.sidecar.revision.store(Arc::new(revision));
        Ok(())
    }

    /// Drains and stops.
    pub async fn stop(mut self) {
        self.readiness.draining.store(true, Ordering::Release);
        let _ = self.stop.send(true);
        while self.listeners.join_next().await.is_some() {}
        for task in &self.background {
            task.abort();
        }
        let keys = self.sidecar.keys.clone();
        if !matches!(tokio::task::spawn_blocking(move || keys.leave()).await, Ok(Ok(()))) {
            tracing::warn!(
                "the key store was not told that this replica stops; others wait for it"
            );
        }
        let policy = self.sidecar.revision.load().policy.digest();
        let notice = Notice { milestone: Milestone::Stopped, policy };
        if self.sidecar.audit.record(notice).await.is_err() {
            tracing::error!("the audit log could not be closed in order");
        }
        self.sidecar.audit.close();
        tracing::info!("stopped");
    }
}

/// JSON lines on standard error. Other crates are held to warnings whatever the level: at lower
/// levels some of them print header fields.
pub fn log_to_stderr(level: LevelFilter) {
    let filter =
        Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("labseal", level);
    let layer = tracing_subscriber::fmt::layer().json().with_writer(io::stderr).with_filter(filter);
    // A second call finds the first subscriber in place, which is as good.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
}
