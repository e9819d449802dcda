//! `labseal keys`: what there is, rotation, what is done to one version, and what is stored under
//! each. All of it works while `labseal run` is live.

pub mod census;
mod escrow;
mod migrate;
pub mod reseal;
mod rotate;
mod status;
mod turn;

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::{
    app::custody,
    base::{
        clock::SystemClock,
        ident::{ClassId, Kid},
    },
    config::Config,
    keys::{Keys, Ring, life::Turn},
};

use super::check::Unusable;

/// Show, rotate and escrow keys, and count and move what is stored under each
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Count stored values by key version, by a scan of the database API
    ///
    /// Every value is opened, and none is shown. Values in clear, broken ones, and those under
    /// unknown keys are counted apart.
    Census(census::Args),
    /// Mark a version that others may have: it seals no more, and opens so that its values can be
    /// sealed anew
    ///
    /// Cannot be taken back. The version that seals is refused: rotate first.
    Compromise(turn::Args),
    /// Share the root key among custodians, and bring it back
    Escrow(escrow::Args),
    /// Show every key version, its state, and the kid of each class under it
    List(Source),
    /// Have the root key wrapped by another provider, while everything runs
    ///
    /// In three steps: this command, which has the root key wrapped by the provider of `--to` as well;
    /// a restart of each replica with that configuration, at leisure; and this command with `--finish`,
    /// which removes the other wrappings. No key changes, and no data is touched.
    MigrateProvider(migrate::Args),
    /// Bring stored values under the active key versions, while everything is live
    #[command(subcommand)]
    Reseal(reseal::Command),
    /// End a suspension
    Resume(turn::Args),
    /// Make a new key and use it from now on; values sealed before still open
    ///
    /// Asks nothing, touches no data, and works while `labseal run` is live: the key comes into use
    /// when every live replica has acknowledged it. If one does not in time it is named, the key is left
    /// pre-active, and the next `rotate` goes on from there. Back up the key store afterwards.
    Rotate(rotate::Args),
    /// Show rings, versions, root key, providers and replicas
    Status(Source),
    /// Open nothing under a version until `resume`
    ///
    /// The version that seals is refused: rotate first.
    Suspend(turn::Args),
}

#[derive(Debug, clap::Args)]
struct Source {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Source {
    fn config(&self) -> Result<Config, Unusable> {
        Config::load(&self.config).map_err(Unusable)
    }

    fn keys(&self) -> anyhow::Result<Keys> {
        custody::open_keys(&self.config()?, Arc::new(SystemClock))
    }
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Census(args) => return census::run(args),
        Command::Compromise(args) => turn::run(&args, Turn::Compromise)?,
        Command::Escrow(args) => return escrow::run(args),
        Command::List(source) => status::list(&source.keys()?.describe()?, source.json),
        Command::MigrateProvider(args) => migrate::run(&args)?,
        Command::Reseal(command) => return reseal::run(command),
        Command::Resume(args) => turn::run(&args, Turn::Resume)?,
        Command::Rotate(args) => rotate::run(&args)?,
        Command::Status(source) => status::status(&source.keys()?.status()?, source.json),
        Command::Suspend(args) => turn::run(&args, Turn::Suspend)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Which {
    Data,
    Index,
}

impl Which {
    fn ring(self) -> Ring {
        match self {
            Self::Data => Ring::Data,
            Self::Index => Ring::Index,
        }
    }
}

/// Asks whether to go on, or takes `--yes`. Nobody to ask is a no.
fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("{question}\nthere is no terminal to ask on; repeat the command with --yes");
    }
    anstream::eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("no answer")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was done"),
    }
}

/// `30s`, `5m`: how long to wait.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("write a whole number and s, m or h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write a whole number and s, m or h")?;
    Ok(Duration::from_secs(number.saturating_mul(unit).min(86_400)))
}

fn by_class(kids: &[(ClassId, Kid)]) -> Value {
    kids.iter().map(|(class, kid)| (class.to_string(), Value::from(kid.to_string()))).collect()
}

fn lines(kids: &[(ClassId, Kid)]) -> String {
    kids.iter().map(|(class, kid)| format!("{kid} {class}")).collect::<Vec<_>>().join("\n")
}
