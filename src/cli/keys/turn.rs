//! What is done to one version: suspend, resume, compromise.

use std::time::Duration;

use serde_json::json;

use super::{Source, Which, confirm, wait};
use crate::{
    base::clock::rfc3339,
    keys::{Turned, life::Turn},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// The number of the version, as `labseal keys status` shows it
    version: u32,
    /// Of which ring
    #[arg(long, value_enum, default_value_t = Which::Data)]
    ring: Which,
    /// How long to wait until every live replica goes by it
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = wait)]
    wait: Duration,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, turn: Turn) -> anyhow::Result<()> {
    let keys = args.source.keys()?;
    let (ring, version) = (args.ring.ring(), args.version);
    let foreseen = keys.foresee(ring, version, turn)?;
    if args.dry_run {
        tell(&foreseen, args.source.json, "would be", true);
        return Ok(());
    }
    let question = match turn {
        Turn::Compromise => Some(format!(
            "Version {version} of the {ring} ring will be marked compromised for good."
        )),
        Turn::Suspend => Some(format!(
            "Nothing under version {version} of the {ring} ring will open until it is resumed."
        )),
        _ => None,
    };
    if let Some(question) = question {
        confirm(&question, args.yes)?;
    }
    tell(&keys.turn(ring, version, turn, args.wait)?, args.source.json, "is", false);
    Ok(())
}

fn tell(change: &Turned, json: bool, is: &str, dry_run: bool) {
    let Turned { ring, version, from, to, due, epoch, in_force } = change;
    if json {
        let object = json!({
            "ring": ring.as_str(),
            "version": version,
            "from": from.as_str(),
            "state": to.as_str(),
            "due": due.map(rfc3339),
            "epoch": epoch,
            "in_force": in_force,
            "dry_run": dry_run,
        });
        anstream::println!("{object}");
        return;
    }
    anstream::println!("Version {version} of the {ring} ring {is} {to}; it was {from}.");
    if dry_run {
        anstream::println!("Nothing was done.");
    } else if !in_force {
        anstream::println!("Not every live replica goes by it yet; see labseal keys status.");
    }
}
