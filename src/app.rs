//! The composition root: from the configuration to a running sidecar, and from one policy to the
//! next.
//!
//! Everything that can fail at start fails before a listener is bound, and a reload builds all of
//! the new revision before it replaces the old one.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use tracing_subscriber::{Layer as _, filter::LevelFilter, filter::Targets, layer::SubscriberExt as _};

use crate::{
    audit::{Audit, Milestone, Notice},
    base::clock::{Clock, SystemClock},
    config::{self, Config},
    dialect::{DIALECTS, Dialect},
    keys::Keys,
    policy::{Diagnostic, Policy},
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

/// How often the key store is asked for newer entries: a rotation is in use within this.
const KEY_POLL: Duration = Duration::from_millis(250);

/// Starts the sidecar.
pub struct App;

/// A sidecar that serves.
pub struct Running {
    sidecar: Arc<Sidecar>,
    readiness: Arc<Readiness>,
    config: Config,
    addresses: Vec<(String, Option<SocketAddr>)>,
    ops: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    background: Vec<JoinHandle<()>>,
}

impl App {
    /// Opens keys and log, builds the policy, binds the listeners, and serves.
    pub async fn start(config: Config) -> anyhow::Result<Running> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let warnings = harden();
        let revision = load_policy(&config).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let keys = open_keys(&config, clock.clone()).await?;
        keys.register(&revision.policy.class_params())?;
        let audit = Audit::open(&config.audit.dir, clock.clone())?;
        let metrics = Metrics::new();
        metrics.policy(revision.policy.digest());
        let digest = revision.policy.digest();
        let sidecar = Arc::new(Sidecar {
            revision: ArcSwap::from_pointee(revision),
            keys,
            audit,
            metrics,
            clock,
            limits: limits(&config),
        });
        let readiness = Arc::new(Readiness { warnings, ..Readiness::default() });

        let mut bound = Vec::new();
        for section in &config.listeners {
            bound.push(bind(section, &config).await?);
        }
        let (stop, stopped) = watch::channel(false);
        let mut background = vec![tokio::spawn(follow_keys(sidecar.clone(), readiness.clone()))];
        let mut ops_address = None;
        if let Some(address) = config.admin.ops {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address} (admin.ops)"))?;
            ops_address = Some(listener.local_addr()?);
            background.push(tokio::spawn(ops::serve(listener, sidecar.clone(), readiness.clone())));
        }
        if let Some(path) = &config.admin.socket {
            let listener = ops::bind_unix(path, 0o600)
                .with_context(|| format!("cannot listen on {} (admin.socket)", path.display()))?;
            let task = ops::serve_unix(listener, sidecar.clone(), readiness.clone());
            background.push(tokio::spawn(task));
        }
        let addresses = bound.iter().map(|l| (l.name.clone(), l.socket.address())).collect();
        let mut listeners = JoinSet::new();
        for listener in bound {
            tracing::info!(listener = listener.name, address = ?listener.socket.address(), "serving");
            listeners.spawn(proxy::accept::serve(listener, sidecar.clone(), stopped.clone()));
        }
        sidecar.audit.note(Notice { milestone: Milestone::Started, policy: digest });
        Ok(Running {
            sidecar,
            readiness,
            config,
            addresses,
            ops: ops_address,
            stop,
            listeners,
            background,
        })
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
            Ok(()) => Milestone::Reloaded,
            Err(error) => {
                tracing::error!(error = %format!("{error:#}"), "the policy was not reloaded");
                Milestone::ReloadRefused
            }
        };
        let digest = self.sidecar.revision.load().policy.digest();
        let reloaded = milestone == Milestone::Reloaded;
        self.sidecar.metrics.reloaded(reloaded, digest);
        if reloaded {
            tracing::info!(policy = %digest, "the policy was reloaded");
        }
        self.sidecar.audit.note(Notice { milestone, policy: digest });
    }

    async fn replace_policy(&self) -> anyhow::Result<()> {
        let config = self.config.clone();
        let revision = tokio::task::spawn_blocking(move || load_policy(&config))
            .await?
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let (keys, params) = (self.sidecar.keys.clone(), revision.policy.class_params());
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
        let policy = self.sidecar.revision.load().policy.digest();
        let notice = Notice { milestone: Milestone::Stopped, policy };
        if self.sidecar.audit.record(notice).await.is_err() {
            tracing::error!("the audit log could not be closed in order");
        }
        self.sidecar.audit.close();
        tracing::info!("stopped");
    }
}

/// Asks the key store for newer entries, for ever.
async fn follow_keys(sidecar: Arc<Sidecar>, readiness: Arc<Readiness>) {
    loop {
        tokio::time::sleep(KEY_POLL).await;
        let keys = sidecar.keys.clone();
        let outcome = tokio::task::spawn_blocking(move || keys.refresh()).await;
        let stale = !matches!(outcome, Ok(Ok(_)));
        if stale != readiness.keys_stale.swap(stale, Ordering::AcqRel) {
            match stale {
                true => tracing::error!("the key store cannot be read"),
                false => tracing::info!("the key store can be read again"),
            }
        }
        if let Ok(Ok(true)) = outcome {
            tracing::info!(epoch = sidecar.keys.snapshot().epoch(), "newer keys are in use");
        }
    }
}

/// JSON lines on standard error. Other crates are held to warnings whatever the level: at lower
/// levels some of them print header fields.
pub fn log_to_stderr(level: LevelFilter) {
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("labseal", level);
    let layer = tracing_subscriber::fmt::layer().json().with_writer(io::stderr).with_filter(filter);
    // A second call finds the first subscriber in place, which is as good.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
}
