//! `labseal keys`: what there is, and rotation. Both work while `labseal run` is live.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::{
    app::custody,
    base::{
        clock::{SystemClock, rfc3339},
        ident::{ClassId, Kid},
    },
    config::Config,
    keys::{KeyVersion, Keys, Ring, Rotated},
};

use super::{check::Unusable, escrow};

/// List, rotate and escrow keys
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Share the root key among custodians, and bring it back
    Escrow(escrow::Args),
    /// Show every key version, its state, and the kid of each class under it
    List(Source),
    /// Make a new key version and seal with it from now on; values sealed before still open
    ///
    /// Asks nothing, touches no data, and works while `labseal run` is live, which uses the new key
    /// within a second. Back up the key store afterwards.
    Rotate(Rotate),
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

#[derive(Debug, clap::Args)]
struct Rotate {
    #[command(flatten)]
    source: Source,
    /// Which ring: `data`; `index` is refused, with the reason
    #[arg(long, value_enum, default_value_t = Which::Data)]
    ring: Which,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Which {
    Data,
    Index,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let open = |source: &Source| {
        let config = Config::load(&source.config).map_err(Unusable)?;
        custody::open_keys(&config, Arc::new(SystemClock))
    };
    match args.command {
        Command::Escrow(args) => return escrow::run(args),
        Command::List(source) => list(&open(&source)?.describe()?, source.json),
        Command::Rotate(Rotate { ring, source }) => {
            let ring = match ring {
                Which::Data => Ring::Data,
                Which::Index => Ring::Index,
            };
            rotated(&rotate(&open(&source)?, ring)?, source.json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn rotate(keys: &Keys, ring: Ring) -> anyhow::Result<Rotated> {
    Ok(keys.rotate(ring)?)
}

fn list(versions: &[KeyVersion], json: bool) {
    if json {
        let versions: Vec<Value> = versions
            .iter()
            .map(|version| {
                json!({
                    "ring": version.ring.as_str(),
                    "version": version.version,
                    "state": version.state.as_str(),
                    "created": rfc3339(version.created),
                    "kids": by_class(&version.kids),
                })
            })
            .collect();
        anstream::println!("{}", Value::from(versions));
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["ring", "version", "state", "created", "kids"]);
    for version in versions {
        table.add_row([
            version.ring.to_string(),
            version.version.to_string(),
            version.state.as_str().to_owned(),
            rfc3339(version.created),
            lines(&version.kids),
        ]);
    }
    anstream::println!("{table}");
}

fn rotated(rotated: &Rotated, json: bool) {
    if json {
        let object = json!({
            "ring": rotated.ring.as_str(),
            "version": rotated.version,
            "kids": by_class(&rotated.kids),
        });
        anstream::println!("{object}");
        return;
    }
    anstream::println!("Version {} of the {} ring is active.", rotated.version, rotated.ring);
    if !rotated.kids.is_empty() {
        anstream::println!("{}", lines(&rotated.kids));
    }
    anstream::println!("Values sealed before still open. Back up the key store now.");
}

fn by_class(kids: &[(ClassId, Kid)]) -> Value {
    kids.iter().map(|(class, kid)| (class.to_string(), Value::from(kid.to_string()))).collect()
}

fn lines(kids: &[(ClassId, Kid)]) -> String {
    kids.iter().map(|(class, kid)| format!("{kid} {class}")).collect::<Vec<_>>().join("\n")
}
