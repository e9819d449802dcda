//! The sidecar of the demo: the one that `labseal run` starts, and beside it a handle on the keys such
//! as `labseal init`, `labseal keys rotate` and `labseal inspect` use.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use crate::{
    app::{
        App, Running,
        custody::{self, Asking},
    },
    audit,
    base::clock::SystemClock,
    config::Config,
    crypto::envelope,
    keys::{Keys, Ring},
};

/// A running sidecar, and its key custodian.
pub struct Sidecar {
    running: Running,
    address: SocketAddr,
    custodian: Keys,
    audit: PathBuf,
}

impl Sidecar {
    /// Creates the keys and starts.
    pub async fn start(file: &Path) -> anyhow::Result<Self> {
        let config = Config::load(file).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        })?;
        let audit = config.audit_dir.clone();
        let (custodian, config) = spawn_blocking(move || {
            let address = custody::store_address(&config)?;
            let provider = custody::provider(&config, Asking::Once)?;
            let clock = Arc::new(SystemClock);
            let keys = Keys::create(&address, provider.as_ref(), &config.tenant, clock)?;
            anyhow::Ok((keys, config))
        })
        .await??;
        let running = App::start(config, None).await?;
        let address = running.addresses().iter().find_map(|(_, address)| *address);
        let address = address.context("the sidecar does not listen")?;
        Ok(Self { running, address, custodian, audit })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Which key a stored text is sealed under.
    pub async fn key_of(&self, stored: &str) -> anyhow::Result<String> {
        let kid = envelope::parse(stored.as_bytes())?.kid();
        let keys = self.custodian.clone();
        spawn_blocking(move || {
            keys.refresh()?;
            let (ring, version) = keys.snapshot().version_of(kid).context("an unknown key")?;
            Ok(format!("{ring} key version {version} (kid {kid})"))
        })
        .await?
    }

    /// Rotates the keys that values are sealed under; the running sidecar is not told.
    pub async fn rotate(&self) -> anyhow::Result<()> {
        let keys = self.custodian.clone();
        spawn_blocking(move || keys.rotate(Ring::Data)).await??;
        Ok(())
    }

    /// Verifies the audit log while it is being written, and sums up what is in it.
    pub async fn verify_audit(&self) -> anyhow::Result<String> {
        let folder = self.audit.clone();
        let report = spawn_blocking(move || audit::verify(&folder)).await??;
        Ok(format!("sound: {} entries in {} file(s)", report.entries, report.files))
    }

    /// Finishes what is in flight, and stops.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}
