//! `labseal keys escrow`: the root key in the hands of several people, and the drill that shows that
//! they could bring it back.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{
    app::custody::{self, Asking},
    base::clock::{Clock as _, SystemClock, rfc3339},
    config::Config,
    crypto::Quorum,
    keys::{
        escrow::{Bundle, EscrowError, Joined, Share, Standing, join, restore},
        file::FileProvider,
        harden::harden,
        private,
    },
};

use super::Source;

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
    /// Bring the root key back on a new machine, under a new passphrase
    ///
    /// Restore configuration, policy and key store from their backups first, without the root key file; the
    /// passphrase is taken from where the configuration says, or asked for, twice. Makes a root key file, which
    /// must not be there yet, and enters it into the key store. Values open as before.
    Restore(Restore),
    /// The drill: bring the root key back in memory, compare it with the key store, record the outcome
    ///
    /// Changes nothing. Writes a record with date, user, share numbers and outcome, and no secrets. Exits
    /// with 1 if the root key does not come back, or is no longer the one in force.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    source: Source,
    /// How many shares it takes
    #[arg(long, value_name = "M")]
    needed: u8,
    /// How many shares there are
    #[arg(long, value_name = "N")]
    shares: u8,
    /// The folder for the files, made if it is not there; none of them is overwritten
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Restore {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct Verify {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    files: Files,
    /// The folder for the record; where the bundle is, if not given
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,
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

impl Files {
    /// The numbers of the shares, and what they give.
    fn join(&self, bundle: &Bundle) -> Result<(Vec<u8>, Joined), EscrowError> {
        let shares: Vec<Share> =
            self.shares.iter().map(|path| Share::read(path)).collect::<Result<_, _>>()?;
        let numbers = shares.iter().map(Share::number).collect();
        Ok((numbers, join(bundle, shares)?))
    }
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    for missing in harden() {
        anstream::eprintln!("warning: {missing}");
    }
    match args.command {
        Command::Create(args) => create(&args),
        Command::Restore(args) => bring_back(&args),
        Command::Verify(args) => verify(&args),
    }
}

fn create(args: &Create) -> anyhow::Result<ExitCode> {
    let quorum = Quorum::new(args.needed, args.shares)?;
    let keys = args.source.keys()?;
    let (bundle, shares) = keys.escrow(quorum)?;
    let mut folder = fs::DirBuilder::new();
    folder
        .recursive(true)
        .mode(0o700)
        .create(&args.out)
        .with_context(|| format!("{} cannot be made", args.out.display()))?;
    // The bundle first: shares without one give nothing back.
    let file = bundle.create(&args.out)?;
    let files = shares.iter().map(|share| share.create(&args.out));
    let files: Vec<PathBuf> = files.collect::<Result<_, _>>()?;
    let subject = bundle.subject();
    if args.source.json {
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
    let config = args.source.config()?;
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
    if args.source.json {
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
    judge(drill.standing)?;
    if !args.source.json {
        anstream::println!("The last entry of the key log is authenticated under it.");
    }
    Ok(ExitCode::SUCCESS)
}

fn judge(standing: Standing) -> anyhow::Result<()> {
    match standing {
        Standing::Current => Ok(()),
        Standing::Foreign => bail!("the root key in escrow is not of this key store"),
        Standing::Stale => bail!(
            "the root key in escrow was replaced by a later one: it opens nothing that is stored now; \
             take a later escrow, or make one with `labseal keys escrow create`"
        ),
    }
}

fn bring_back(args: &Restore) -> anyhow::Result<ExitCode> {
    let config = args.source.config()?;
    let bundle = Bundle::read(&args.files.bundle)?;
    let (_, joined) = args.files.join(&bundle)?;
    let address = custody::store_address(&config)?;
    let mut store = address.open().context(
        "the root key alone opens nothing: restore the key store from its backup, then run this again",
    )?;
    judge(joined.standing(&store.load(0)?))?;
    drop(store);
    let provider = custody::provider(&config, Asking::Twice)?;
    let clock = Arc::new(SystemClock);
    let slot = restore(&joined, &address, provider.as_ref(), &config.tenant, clock)?;
    let file = config.keys.provider.path();
    let recovery = file.map(FileProvider::recovery_path);
    if args.source.json {
        let object = json!({"escrow": bundle.subject().escrow, "root_key": file, "recovery": recovery,
            "slot": slot});
        anstream::println!("{object}");
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!("The root key of tenant {} is back, wrapped anew as {slot}.", config.tenant);
    if let (Some(file), Some(recovery)) = (file, recovery) {
        anstream::println!(
            "  {}   root key; back it up with the key store
  {}   recovery passphrase: move it to a safe now",
            file.display(),
            recovery.display(),
        );
    }
    anstream::println!(
        "
Earlier wrapping keys still unwrap it. If one of them, or a share, may be in wrong hands, replace the root key
and make another escrow. Next: labseal run --config {}",
        config.file.display(),
    );
    Ok(ExitCode::SUCCESS)
}

/// What a drill found, if the root key came back.
struct Drill {
    shares: Vec<u8>,
    standing: Standing,
    /// The last entry of the key log.
    epoch: Option<u64>,
}

fn drill(config: &Config, bundle: &Bundle, files: &Files) -> anyhow::Result<Drill> {
    let (shares, joined) = files.join(bundle)?;
    let records = custody::store_address(config)?.open()?.load(0)?;
    let standing = joined.standing(&records);
    Ok(Drill { shares, standing, epoch: records.last().map(|last| last.epoch) })
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
