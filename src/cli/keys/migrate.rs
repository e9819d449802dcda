//! `labseal keys migrate-provider`: from one provider to another, in steps between which everything runs.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{Source, confirm};
use crate::{
    app::custody::{self, Asking},
    base::clock::SystemClock,
    cli::check::Unusable,
    config::Config,
    keys::{
        Keys, conformance,
        provider::{Provider, ProviderError},
        slot::Slot,
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// A configuration that differs in keys.provider; with `--finish` it may be left out if it has taken
    /// the place of the one in use
    #[arg(long, value_name = "FILE", required_unless_present = "finish")]
    to: Option<PathBuf>,
    /// Remove every wrapping but that of the new provider
    #[arg(long)]
    finish: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What a step has done, or would do.
struct Step {
    added: Option<String>,
    removed: Vec<String>,
    slots: Vec<String>,
    replicas: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.source.config()?;
    let to = match &args.to {
        Some(file) => Config::load(file).map_err(Unusable)?,
        None => args.source.config()?,
    };
    is_of_the_same_keys(&config, &to)?;
    let new = custody::provider(&to, Asking::Twice)?;
    match args.finish {
        true => finish(args, &to, new.as_ref()),
        false => begin(args, &config, &to, new.as_ref()),
    }
}

/// Two configurations that differ in more than the provider would wrap one root key and use another.
fn is_of_the_same_keys(one: &Config, other: &Config) -> anyhow::Result<()> {
    if one.tenant != other.tenant {
        bail!("the tenants differ: {} and {}; only keys.provider may", one.tenant, other.tenant);
    }
    let [a, b] = [one, other].map(|config| custody::store_address(config).map(|a| a.to_string()));
    let (a, b) = (a?, b?);
    let is_same = |a: &str, b: &str| match (a.strip_prefix("sqlite:"), b.strip_prefix("sqlite:")) {
        (Some(a), Some(b)) => std::fs::canonicalize(a).ok() == std::fs::canonicalize(b).ok(),
        _ => a == b,
    };
    if !is_same(&a, &b) {
        bail!("keys.store differs: {a} and {b}; only keys.provider may");
    }
    Ok(())
}

fn begin(args: &Args, config: &Config, to: &Config, new: &dyn Provider) -> anyhow::Result<()> {
    let old = custody::provider(config, Asking::Once)?;
    let keys = custody::open_keys_by(config, old.as_ref(), Arc::new(SystemClock))?;
    let slots = keys.slots()?;
    if args.dry_run {
        let known = new.key().is_ok_and(|key| {
            slots.iter().any(|slot| slot.kind() == new.kind() && slot.key() == key)
        });
        let added = (!known).then(|| named(new.kind(), new.key().ok().as_deref()));
        let slots = slots.iter().map(said).collect();
        let step = Step { added, removed: Vec::new(), slots, replicas: live(&keys)? };
        return tell(&step, args, to);
    }
    match new.create() {
        // Made before: by a step that was cut short, or by its owner.
        Ok(()) | Err(ProviderError::Exists { .. }) => {}
        Err(error) => return Err(error).context("the new provider has no wrapping key"),
    }
    conformance::prove(new).context("the new provider")?;
    let mut added = None;
    if !slots.iter().try_fold(false, |found, slot| slot.is_of(new).map(|is| found || is))? {
        if slots.is_empty() {
            // A store of format 1, whose provider kept the root key: from now on there are slots.
            keys.add_slot(old.as_ref())?;
        }
        keys.add_slot(new)?;
        added = Some(named(new.kind(), Some(&new.key()?)));
    }
    // Whoever starts next may know the new provider alone.
    custody::open_keys_by(to, new, Arc::new(SystemClock))
        .context("the root key does not come back from the new provider; nothing was removed")?;
    let slots = keys.slots()?.iter().map(said).collect();
    tell(&Step { added, removed: Vec::new(), slots, replicas: live(&keys)? }, args, to)
}

fn finish(args: &Args, to: &Config, new: &dyn Provider) -> anyhow::Result<()> {
    // By the new provider: what it cannot open is not finished.
    let keys = custody::open_keys_by(to, new, Arc::new(SystemClock))
        .context("the root key cannot be had from the new provider; nothing was removed")?;
    conformance::prove(new).context("the new provider; nothing was removed")?;
    let mut old = Vec::new();
    for slot in keys.slots()? {
        if !slot.is_of(new)? {
            old.push(slot);
        }
    }
    let replicas = live(&keys)?;
    let removed: Vec<_> = old.iter().map(said).collect();
    if !args.dry_run && !old.is_empty() {
        let question = format!(
            "The root key will not be wrapped any more by {}. A replica that is configured so cannot start \
             any more.{}",
            removed.join(" and "),
            match replicas.as_slice() {
                [] => String::new(),
                live => format!(
                    " These live now; each must have been started with the new configuration: {}.",
                    live.join(", ")
                ),
            }
        );
        confirm(&question, args.yes)?;
        for slot in &old {
            keys.remove_slot(&slot.name())?;
        }
    }
    let slots = keys.slots()?.iter().map(said).collect();
    tell(&Step { added: None, removed, slots, replicas }, args, to)
}

fn said(slot: &Slot) -> String {
    named(slot.kind(), Some(slot.key()))
}

fn named(kind: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("{kind} key {key}"),
        None => format!("{kind} key (not made yet)"),
    }
}

fn live(keys: &Keys) -> anyhow::Result<Vec<String>> {
    let replicas = keys.status()?.replicas;
    let live = replicas.iter().filter(|replica| replica.age < replica.lease);
    Ok(live.map(ToString::to_string).collect())
}

fn tell(step: &Step, args: &Args, to: &Config) -> anyhow::Result<()> {
    let Step { added, removed, slots, replicas } = step;
    if args.source.json {
        let object = json!({
            "added": added,
            "removed": removed,
            "slots": slots,
            "replicas": replicas,
            "dry_run": args.dry_run,
        });
        anstream::println!("{object}");
        return Ok(());
    }
    let is = if args.dry_run { "would be" } else { "is" };
    if let Some(added) = added {
        anstream::println!("The root key {is} wrapped by {added} as well.");
    }
    for removed in removed {
        let is = if args.dry_run { "would be no longer" } else { "is no longer" };
        anstream::println!("The root key {is} wrapped by {removed}.");
    }
    if added.is_none() && removed.is_empty() {
        anstream::println!(
            "There is nothing to do. The root key is wrapped by {}.",
            slots.join(" and ")
        );
    }
    let file = to.file.display();
    if args.dry_run {
        anstream::println!("Nothing was done.");
    } else if !args.finish {
        anstream::println!(
            "Back up the key store, start each replica again with {file}, then run:
  labseal keys migrate-provider --config {file} --finish"
        );
        if !replicas.is_empty() {
            anstream::println!("Live now: {}", replicas.join(", "));
        }
    } else if !removed.is_empty() {
        anstream::println!(
            "Back up the key store. Backups from before still need the old wrapping key: keep it as long \
             as them."
        );
    }
    Ok(())
}
