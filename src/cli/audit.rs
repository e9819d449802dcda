//! `labseal audit verify` and `labseal audit show`: prove the audit log, and read it.
//!
//! Neither needs a key, and both work while the log is being written.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::{
    app::jobs,
    audit::{self, Fate, Report, VerifyError},
    config::Config,
};

use super::check::Unusable;

/// Verify or show the audit log
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the last entries as a table; proves nothing
    Show(Show),
    /// Walk the whole chain and name the first line that is edited, reordered, missing or cut off
    ///
    /// Exits with 0 if the log is sound, also while it is being written, and with 1 if it is not.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The log of jobs that the command line carried out, in the folder next to it
    #[arg(long)]
    jobs: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How many entries
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// Print the entries as they stand, one JSON object a line
    #[arg(long)]
    json: bool,
    /// The log of jobs that the command line carried out, in the folder next to it
    #[arg(long)]
    jobs: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let file = match &args.command {
        Command::Show(show) => &show.config,
        Command::Verify(verify) => &verify.config,
    };
    let config = Config::load(file).map_err(Unusable)?;
    let folder = |jobs| if jobs { jobs::audit_dir(&config) } else { config.audit_dir.clone() };
    match args.command {
        Command::Show(show) => self::show(&folder(show.jobs), &show),
        Command::Verify(verify) => self::verify(&folder(verify.jobs), &verify),
    }
}

fn verify(folder: &Path, args: &Verify) -> anyhow::Result<ExitCode> {
    match audit::verify(folder) {
        Ok(report) if args.json => anstream::println!("{}", sound(&report)),
        Ok(report) => describe(folder, &report),
        Err(error) if args.json => {
            anstream::println!("{}", broken(&error));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(folder: &Path, report: &Report) {
    let none = || "none".to_owned();
    anstream::println!("sound: {}", folder.display());
    anstream::println!("  files       {}", report.files);
    anstream::println!("  entries     {}", report.entries);
    anstream::println!("  first       {}", report.first.clone().unwrap_or_else(none));
    anstream::println!("  last        {}", report.last.clone().unwrap_or_else(none));
    anstream::println!("  head        {} {}", report.head.seq, report.head.hash);
    anstream::println!("  checkpoint  {}", report.checkpoint);
    if report.unfinished > 0 {
        anstream::println!(
            "  {} bytes of an unfinished line at the end: being written, or left by a crash; \
             nobody was told that it is recorded",
            report.unfinished
        );
    }
}

fn sound(report: &Report) -> Value {
    json!({
        "sound": true,
        "files": report.files,
        "entries": report.entries,
        "first": report.first,
        "last": report.last,
        "head": {"seq": report.head.seq, "hash": report.head.hash.to_string()},
        "checkpoint": report.checkpoint,
        "unfinished_bytes": report.unfinished,
    })
}

fn broken(error: &VerifyError) -> Value {
    let (file, line) = match error {
        VerifyError::Absent(path) | VerifyError::Gone(path) => (path, None),
        VerifyError::Broken { file, line, .. } | VerifyError::Cut { file, line, .. } => {
            (file, Some(*line))
        }
        VerifyError::Io { path, .. } => (path, None),
    };
    json!({"sound": false, "file": file, "line": line, "reason": error.to_string()})
}

fn show(folder: &Path, args: &Show) -> anyhow::Result<ExitCode> {
    let entries = audit::read::last(folder, args.last)
        .with_context(|| format!("the audit log in {} cannot be read", folder.display()))?;
    if args.json {
        entries.iter().for_each(|entry| anstream::println!("{entry}"));
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["#", "time", "caller", "what", "outcome", "values", "µs", "request"]);
    for entry in &entries {
        table.add_row(row(entry));
    }
    anstream::println!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn row(entry: &Value) -> [String; 8] {
    let text = |key: &str| match &entry[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let words = |keys: &[&str]| {
        let words = keys.iter().map(|key| text(key)).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    };
    let what = match entry["kind"].as_str() {
        Some("exchange") => words(&["verb", "entity", "function"]),
        _ => words(&["kind", "milestone", "count", "bytes"]),
    };
    let phase = text("phase");
    let outcome = match phase.as_str() {
        "whole" | "refused" => words(&["status", "refusal"]),
        _ => words(&["phase", "status", "refusal"]),
    };
    let caller = words(&["caller"]);
    [
        text("seq"),
        text("time"),
        caller,
        what,
        outcome,
        values(&entry["classes"]),
        text("micros"),
        text("request"),
    ]
}

/// `mrn: 3 opened; name: 3 masked`.
fn values(classes: &Value) -> String {
    let of_class = |(class, counts): (&String, &Value)| {
        let count = |fate: &Fate| Some((counts[fate.as_str()].as_u64()?, fate.as_str()));
        let counts = Fate::ALL.iter().filter_map(count);
        let counts: Vec<_> = counts.map(|(count, fate)| format!("{count} {fate}")).collect();
        format!("{class}: {}", counts.join(", "))
    };
    let classes = classes.as_object().into_iter().flatten();
    classes.map(of_class).collect::<Vec<_>>().join("; ")
}
