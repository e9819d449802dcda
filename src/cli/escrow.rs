//! `labseal keys escrow`: the root key in the hands of several people, and the drill that shows that
//! they could bring it back.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::bail;
use serde_json::{Value, json};

use crate::{
    app::custody,
    base::clock::{Clock as _, SystemClock, rfc3339},
    config::Config,
    crypto::Quorum,
    keys::{
        escrow::{Bundle, Share, Standing, join},
        harden::harden,
        private,
    },
};

use super::check::Unusable;

/// Share the root key among custodians, and bring it back
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Share the root key anew: one file for each custodian, and a bundle
    ///
    /// Any of the shares, as many as --needed says, give the root key back together with the bundle;
    /// fewer say nothing of it. Give each custodian one share and keep none. The bundle is no secret: keep a copy
    /// wherever backups are. Shares of an earlier escrow stay good until their bundle is destroyed.
    Create(Create),
    /// The drill: bring the root key back in memory, compare it with the key store, record the outcome
    ///
    /// Changes nothing. Writes a record with date, user, share numbers and outcome, and no secrets. Exits
    /// with 1 if the root key does not come back, or is no longer the one in force.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    common: Common,
    /// How many shares it takes
    #[arg(long, value_name = "M")]
    needed: u8,
    /// How many shares there are
    #[arg(long, value_name = "N")]
    shares: u8,
    /// The folder for the files, which must not be there yet
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Verify {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    files: Files,
    /// The folder for the record; where the bundle is, if not given
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// The bundle
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// The share files, as many as are needed
    #[arg(value_name = "SHARE", required = true)]
    shares: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    for missing in harden() {
        anstream::eprintln!("warning: {missing}");
    }
    match args.command {
        Command::Create(args) => create(&args),
        Command::Verify(args) => verify(&args),
    }
}

fn load(common: &Common) -> anyhow::Result<Config> {
    Ok(Config::load(&common.config).map_err(Unusable)?)
}

fn create(args: &Create) -> anyhow::Result<ExitCode> {
    let quorum = Quorum::new(args.needed, args.shares)?;
    let keys = custody::open_keys(&load(&args.common)?, Arc::new(SystemClock))?;
    let (bundle, shares) = keys.escrow(quorum)?;
    // The bundle first: shares without one give nothing back.
    let file = bundle.create(&args.out)?;
    let files = shares.iter().map(|share| share.create(&args.out));
    let files: Vec<PathBuf> = files.collect::<Result<_, _>>()?;
    let subject = bundle.subject();
    if args.common.json {
        let object = json!({
            "escrow": subject.escrow,
            "tenant": subject.tenant,
            "root_name": bundle.root_name(),
            "needed": subject.needed,
            "bundle": file,
            "shares": files,
        });
        anstream::println!("{object}");
        return Ok(ExitCode::SUCCESS);
    }
    let list: String = files.iter().map(|file| format!("  {}\n", file.display())).collect();
    anstream::println!(
        "Escrow {} of the root key of tenant {}: any {} of {} shares give it back.

No secret. Keep copies where backups are, and one with each custodian:
  {}

One for each custodian, who locks it away. Delete them here:
{list}
Whoever has {} of the shares, the bundle and the key store can open everything.
Next: a drill with shares from their custodians, labseal keys escrow verify",
        subject.escrow,
        subject.tenant,
        subject.needed,
        subject.shares,
        file.display(),
        subject.needed,
    );
    Ok(ExitCode::SUCCESS)
}

fn verify(args: &Verify) -> anyhow::Result<ExitCode> {
    let config = load(&args.common)?;
    let bundle = Bundle::read(&args.files.bundle)?;
    let outcome = drill(&config, &bundle, &args.files);
    let beside = args.files.bundle.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = args.record.as_deref().or(beside).unwrap_or(Path::new("."));
    let record = record(&bundle, &outcome);
    let file = folder.join(format!("labseal-drill-{}.json", stamp(&record)));
    let mut text = serde_json::to_vec_pretty(&record)?;
    text.push(b'\n');
    private::create(&file, &text)?;
    let drill = outcome?;
    let standing = drill.standing;
    if args.common.json {
        let mut object = record;
        object["record"] = json!(file);
        anstream::println!("{object}");
    } else {
        anstream::println!(
            "Shares {} of escrow {} gave the root key back; the canary opened.",
            list(&drill.shares),
            bundle.subject().escrow,
        );
        anstream::println!("Recorded in {}", file.display());
    }
    match standing {
        Standing::Current => {
            if !args.common.json {
                anstream::println!("The last entry of the key log is authenticated under it.");
            }
            Ok(ExitCode::SUCCESS)
        }
        Standing::Foreign => bail!("the root key in escrow is not of this key store"),
        Standing::Stale => bail!(
            "the root key in escrow was replaced by a later one: it opens nothing that is stored now; \
             make another escrow with `labseal keys escrow create`"
        ),
    }
}

/// What a drill found, if the root key came back.
struct Drill {
    shares: Vec<u8>,
    standing: Standing,
    /// The last entry of the key log.
    epoch: Option<u64>,
}

fn drill(config: &Config, bundle: &Bundle, files: &Files) -> anyhow::Result<Drill> {
    let shares: Vec<Share> =
        files.shares.iter().map(|path| Share::read(path)).collect::<Result<_, _>>()?;
    let numbers = shares.iter().map(Share::number).collect();
    let joined = join(bundle, shares)?;
    let records = custody::store_address(config)?.open()?.load(0)?;
    let standing = joined.standing(&records);
    Ok(Drill { shares: numbers, standing, epoch: records.last().map(|last| last.epoch) })
}

/// Who did what, and how it ended. Shares are named by number.
fn record(bundle: &Bundle, outcome: &anyhow::Result<Drill>) -> Value {
    let user = nix::unistd::getuid();
    let name = nix::unistd::User::from_uid(user).ok().flatten().map(|user| user.name);
    let mut record = json!({
        "v": 1,
        "time": rfc3339(SystemClock.wall()),
        "user": {"uid": user.as_raw(), "name": name},
        "escrow": bundle.subject().escrow,
        "instance": bundle.subject().instance,
        "tenant": bundle.subject().tenant,
        "root_name": bundle.root_name(),
    });
    match outcome {
        Ok(drill) => {
            record["result"] = drill.standing.as_str().into();
            record["shares"] = drill.shares.clone().into();
            record["epoch"] = drill.epoch.into();
        }
        Err(error) => {
            record["result"] = "failed".into();
            record["reason"] = format!("{error:#}").into();
        }
    }
    record
}

/// The time of a record as part of a file's name.
fn stamp(record: &Value) -> String {
    let time = record["time"].as_str().unwrap_or_default();
    time.chars().filter(|c| c.is_ascii_alphanumeric()).collect()
}

fn list(numbers: &[u8]) -> String {
    numbers.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}
