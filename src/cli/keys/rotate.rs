//! `labseal keys rotate`.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{Source, by_class, lines, wait};
use crate::{
    app::custody::{self, Asking},
    base::clock::SystemClock,
    keys::{Keys, KeysError, Ring, State, Status, provider::Provider},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// What to replace: the key of the data ring, or the root key, under which everything is wrapped
    /// anew; `index` is refused, with the reason
    #[arg(value_enum, default_value_t = What::Data)]
    what: What,
    /// How long to wait for live replicas
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = wait)]
    wait: Duration,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    Data,
    Index,
    Root,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.source.config()?;
    let provider = custody::provider(&config, Asking::Once)?;
    let keys = custody::open_keys_by(&config, provider.as_ref(), Arc::new(SystemClock))?;
    match (args.what, args.dry_run) {
        (What::Index, _) => Err(KeysError::IndexRotation.into()),
        (What::Data, true) => {
            foresee_data(&keys.status()?, args.source.json);
            Ok(())
        }
        (What::Data, false) => data(&keys, args),
        (What::Root, true) => {
            foresee_root(&keys.status()?, provider.as_ref(), args.source.json);
            Ok(())
        }
        (What::Root, false) => root(&keys, provider.as_ref(), args),
    }
}

fn data(keys: &Keys, args: &Args) -> anyhow::Result<()> {
    let rotated = keys.rotate_watched(Ring::Data, args.wait, &|_| ())?;
    if args.source.json {
        let object = json!({
            "ring": rotated.ring.as_str(),
            "version": rotated.version,
            "kids": by_class(&rotated.kids),
            "epoch": rotated.epoch,
            "in_use": rotated.in_use,
        });
        anstream::println!("{object}");
        return Ok(());
    }
    anstream::println!("Version {} of the {} ring is active.", rotated.version, rotated.ring);
    if !rotated.kids.is_empty() {
        anstream::println!("{}", lines(&rotated.kids));
    }
    if !rotated.in_use {
        anstream::println!("Not every live replica seals with it yet; see labseal keys status.");
    }
    anstream::println!("Values sealed before still open. Back up the key store now.");
    Ok(())
}

fn root(keys: &Keys, provider: &dyn Provider, args: &Args) -> anyhow::Result<()> {
    let rotated = keys.rotate_root(provider, args.wait)?;
    if args.source.json {
        let object = json!({
            "root": rotated.generation,
            "epoch": rotated.epoch,
            "provider": provider.kind(),
        });
        anstream::println!("{object}");
        return Ok(());
    }
    anstream::println!(
        "Root key {} is in force, wrapped by {}; every key is wrapped under it, and no other root key \
         is needed.",
        rotated.generation,
        provider.kind()
    );
    anstream::println!(
        "Back up the key store now. Older copies of it open with the provider's key as before: destroy \
         them if that key, or the old root key, may be in wrong hands."
    );
    Ok(())
}

fn foresee_data(status: &Status, json: bool) {
    let last = status.versions.iter().rfind(|version| version.ring == Ring::Data);
    let next = match last {
        Some(last) if last.state == State::PreActive => last.version,
        Some(last) => last.version.saturating_add(1),
        None => 1,
    };
    tell(status, json, "data", next, &format!("Version {next} of the data ring would be active"));
}

fn foresee_root(status: &Status, provider: &dyn Provider, json: bool) {
    let next = status.root.0.saturating_add(1);
    let words = match status.handover {
        true => "The root key that was brought in before would be settled".to_owned(),
        false => format!(
            "Root key {next} would be in force, wrapped by {} alone ({} wrapped root keys would go)",
            provider.kind(),
            status.slots.len()
        ),
    };
    tell(status, json, "root", next, &words);
}

fn tell(status: &Status, json: bool, what: &str, next: u32, words: &str) {
    let live = status.replicas.iter().filter(|replica| replica.is_live());
    let live: Vec<_> = live.map(ToString::to_string).collect();
    if json {
        let object = json!({"dry_run": true, "what": what, "next": next, "waits_for": live});
        anstream::println!("{object}");
        return;
    }
    anstream::println!("{words}, once {} live replicas have acknowledged it.", live.len());
    live.iter().for_each(|replica| anstream::println!("  {replica}"));
    anstream::println!("Nothing was done.");
}
