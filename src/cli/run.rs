//! `labseal run`: serves until it is told to stop.
//!
//! SIGHUP reloads the policy, all or nothing. SIGTERM and SIGINT drain: readiness turns off, nothing
//! new is accepted, exchanges in flight are finished. A second one ends the process at once.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    app::{self, App},
    config::{Config, LogLevel},
};

use super::check::Unusable;

/// How long threads that may not end are waited for when everything else has.
const GRACE: Duration = Duration::from_secs(1);

/// Serve.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How much to log to standard error, as JSON lines, whatever log.level says: error, warn, info,
    /// debug, trace or off
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LevelFilter>,
    /// How long to wait for the provider of the root key while it is out of reach, as 30s, 5m or 0s;
    /// without this, until it is back. What it refuses (a wrong PIN, a missing right) is never waited out
    #[arg(long, value_name = "TIME", value_parser = super::keys::wait)]
    wait_for_keys: Option<Duration>,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config).map_err(Unusable)?;
    app::log_to_stderr(args.log_level.unwrap_or_else(|| level(config.log)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(config, args.wait_for_keys));
    // A module of a token that never answers has a thread of this runtime.
    runtime.shutdown_timeout(GRACE);
    served?;
    Ok(ExitCode::SUCCESS)
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Warn => LevelFilter::WARN,
    }
}

async fn serve(config: Config, wait: Option<Duration>) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = tokio::select! {
        running = App::start(config, wait) => running?,
        () = either(&mut terminate, &mut interrupt) => {
            tracing::info!("stopped before it had started");
            return Ok(());
        }
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => running.reload().await,
            () = either(&mut terminate, &mut interrupt) => break,
        }
    }
    tokio::select! {
        () = running.stop() => {}
        () = either(&mut terminate, &mut interrupt) => tracing::warn!("stopped without draining"),
    }
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
