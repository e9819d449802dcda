//! `labseal keys census`, and what every job on stored values shares: how it is opened, watched and
//! reported.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    app::{
        self, custody,
        jobs::{self, Census, Engine, Only, Progress, Tools},
    },
    audit::{Audit, AuditError},
    base::clock::SystemClock,
    cli::check::Unusable,
    config::Config,
    keys::{Snapshot, Under},
    seal::stored::Standing,
};

/// Count stored values by key version.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    part: Part,
}

/// Where the files are, and how to print.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which values.
#[derive(Debug, clap::Args)]
pub struct Part {
    /// Only this API
    #[arg(long, value_name = "API")]
    api: Option<String>,
    /// Only this entity: schema.table
    #[arg(long, value_name = "ENTITY")]
    entity: Option<String>,
    /// Only this field
    #[arg(long, value_name = "FIELD", requires = "entity")]
    field: Option<String>,
}

impl Part {
    /// The same in the words of a job.
    pub fn only(&self) -> Only {
        let (api, entity, field) = (self.api.clone(), self.entity.clone(), self.field.clone());
        Only { api, entity, field }
    }
}

/// Whether a command writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It counts.
    Reads,
    /// It needs a log of its own, and the classes of the policy on record.
    Writes,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = Arc::new(Config::load(&args.source.config).map_err(Unusable)?);
    let engine = open(&config, Access::Reads)?;
    let only = args.part.only();
    let census = watched(&engine, "counting", engine.census(&only))?;
    print(&census, &engine.tools.keys.snapshot(), args.source.json);
    close(&engine)?;
    Ok(ExitCode::SUCCESS)
}

/// What carries out a job of the command line.
pub fn open(config: &Arc<Config>, access: Access) -> anyhow::Result<Engine> {
    let clock = Arc::new(SystemClock);
    let revision = Arc::new(app::load_policy(config)?);
    let keys = custody::open_keys(config, clock.clone())?;
    if access == Access::Writes {
        // Who seals is a replica: rotations wait for it, and what it seals is counted.
        keys.join(custody::membership(config))?;
        keys.register(&app::class_params(&revision.policy))?;
    }
    let audit = match Audit::open(&jobs::audit_dir(config), clock.clone()) {
        // A job is under way, which does not keep others from counting.
        Err(AuditError::InUse(_)) if access == Access::Reads => None,
        opened => Some(opened?),
    };
    let policy = revision.policy.digest();
    let (config, progress) = (config.clone(), Arc::new(Progress::default()));
    Ok(Engine { tools: Tools { keys, audit, clock, policy }, config, revision, progress })
}

/// Writes out what was recorded, and has nobody wait for this process any more.
pub fn close(engine: &Engine) -> anyhow::Result<()> {
    engine.tools.audit.iter().for_each(Audit::close);
    Ok(engine.tools.keys.leave()?)
}

/// Runs a job, shows on a terminal how far it is, and says in the key store that it is there.
pub fn watched<T>(
    engine: &Engine,
    what: &'static str,
    job: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let bar = ProgressBar::new(0).with_message(what);
    let shape = "{msg} {wide_bar} {human_pos}/{human_len} records, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(shape)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (progress, keys) = (&engine.progress, &engine.tools.keys);
    let show = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let keys = keys.clone();
            // If it fails for long nothing is sealed any more, which the job says.
            let _ = tokio::task::spawn_blocking(move || keys.tick()).await;
            bar.set_length(Progress::of(&progress.records));
            bar.set_position(Progress::of(&progress.read));
        }
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = job => Some(outcome),
            () = show => None,
        }
    });
    bar.finish_and_clear();
    outcome.unwrap_or_else(|| Err(anyhow::anyhow!("the job was given up")))
}

/// Prints a census.
pub fn print(census: &Census, keys: &Snapshot, json: bool) {
    if json {
        anstream::println!("{}", as_json(census, keys));
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["entity", "field", "class", "stands", "kid", "values"]);
    for (spot, tally) in &census.spots {
        let place = [spot.entity.to_string(), spot.field.to_string(), spot.class.to_string()];
        if tally.by_standing.is_empty() {
            let [entity, field, class] = &place;
            table.add_row([entity, field, class, "no values", "", "0"]);
        }
        for (standing, count) in &tally.by_standing {
            let kid = under(standing).map(|under| under.kid.to_string()).unwrap_or_default();
            let [entity, field, class] = &place;
            table.add_row([
                entity,
                field,
                class,
                &stands(standing, keys),
                &kid,
                &count.to_string(),
            ]);
        }
    }
    if let Some(column) = table.column_mut(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    anstream::println!("{table}");
}

/// The same for programs.
pub fn as_json(census: &Census, keys: &Snapshot) -> Value {
    let values = |(standing, count): (&Standing, &u64)| {
        let under = under(standing);
        json!({
            "stands": word(standing),
            "ring": under.map(|under| under.ring.as_str()),
            "version": under.map(|under| under.version),
            "index_version": under.and_then(|under| under.tokens),
            "kid": under.map(|under| under.kid.to_string()),
            "active": under.map(|under| keys.is_current(under)),
            "count": count,
        })
    };
    let fields = census.spots.iter().map(|(spot, tally)| {
        json!({
            "api": spot.api.as_str(),
            "entity": spot.entity.as_str(),
            "field": spot.field.as_str(),
            "class": spot.class.as_str(),
            "values": tally.by_standing.iter().map(values).collect::<Vec<_>>(),
        })
    });
    json!({"fields": fields.collect::<Vec<_>>()})
}

fn under(standing: &Standing) -> Option<&Under> {
    match standing {
        Standing::Broken(under) => under.as_ref(),
        Standing::Sealed(under) => Some(under),
        Standing::Plain | Standing::Unfit | Standing::Unknown => None,
    }
}

fn word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Broken(_) => "broken",
        Standing::Plain => "plaintext",
        Standing::Sealed(_) => "sealed",
        Standing::Unfit => "unfit_plaintext",
        Standing::Unknown => "unknown_key",
    }
}

fn stands(standing: &Standing, keys: &Snapshot) -> String {
    let Some(under) = under(standing) else { return word(standing).replace('_', " ") };
    let active = if keys.is_current(under) { ", active" } else { "" };
    let tokens = under.tokens.map(|version| format!(", index {version}")).unwrap_or_default();
    format!("{} under {} {}{tokens}{active}", word(standing), under.ring, under.version)
}
