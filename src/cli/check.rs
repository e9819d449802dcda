//! `labseal check`: every problem of both files, and what the database will tell.
//!
//! [`examine`] is the whole of it; printing is apart, so that `run` and tests ask the same question.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use serde_json::{Value, json};

use super::live::{self, Live};
use crate::{
    app::{self, custody},
    base::{
        clock::{Clock as _, SystemClock},
        day::Day,
    },
    config::Config,
    keys::KeysError,
    policy::{Diagnostic, Policy, Severity, leakage::Leak},
};

/// Check configuration and policy, and say what would leak
///
/// Exits with 0 if labseal can run with these files, and with --live with what is behind it, warnings
/// included; with 1 if it cannot, or if a migration was to end before today, and with 2 on wrong usage.
/// Classes are compared with those that the key log registers, if the keys can be opened without a
/// question; else a warning says why not.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Say what stored values tell whoever holds the database, class by class
    #[arg(long)]
    leakage: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    live: live::Look,
}

/// What is to be said of both files.
#[derive(Debug)]
pub struct Findings {
    /// Every problem and warning.
    pub diagnostics: Vec<Diagnostic>,
    /// The configuration, if it can be read by itself.
    pub config: Option<Config>,
    /// The policy, if it can be read by itself.
    pub policy: Option<Policy>,
    /// Whether all that is wrong is that a migration was to have ended: then labseal still runs.
    pub is_late: bool,
}

impl Findings {
    /// Whether labseal should run with these files.
    pub fn is_usable(&self) -> bool {
        !has_errors(&self.diagnostics)
    }
}

fn has_errors(found: &[Diagnostic]) -> bool {
    found.iter().any(|one| one.severity == Severity::Error)
}

/// Reads both files, each by itself and against the other, builds the dialects, and compares the
/// classes with the register.
pub fn examine(config: &Path) -> Findings {
    let config = match Config::load(config) {
        Ok(config) => config,
        Err(diagnostics) => {
            return Findings { diagnostics, config: None, policy: None, is_late: false };
        }
    };
    let mut diagnostics = config.warnings().to_vec();
    diagnostics.extend(config.absent());
    let mut late = Vec::new();
    let policy = match Policy::load(config.policy.path()) {
        Ok((policy, warnings)) => {
            diagnostics.extend(warnings);
            diagnostics.extend(config.compare(&policy));
            late.extend(policy.overdue(Day::of(SystemClock.wall())));
            diagnostics.extend(app::build_dialects(&policy).err().unwrap_or_default());
            diagnostics.extend(registered(&config, &policy));
            Some(policy)
        }
        Err(problems) => {
            diagnostics.extend(problems);
            None
        }
    };
    let is_late = !has_errors(&diagnostics) && has_errors(&late);
    diagnostics.extend(late);
    Findings { diagnostics, config: Some(config), policy, is_late }
}

/// What the register of the key log has against the policy.
fn registered(config: &Config, policy: &Policy) -> Option<Diagnostic> {
    let found = |file: &Path, line, severity, message, remedy: &str| {
        let (file, remedy) = (file.to_owned(), remedy.to_owned());
        Some(Diagnostic { file, line, column: 1, severity, message, remedy })
    };
    let unread = |error: anyhow::Error| {
        let message = format!("classes were not compared with the key log: {error:#}");
        let remedy =
            "run this where and as labseal runs, after init; run refuses a class that differs";
        found(&config.file, 1, Severity::Warning, message, remedy)
    };
    let keys = match custody::open_keys_unasked(config, Arc::new(SystemClock)) {
        Ok(keys) => keys,
        Err(error) => return unread(error),
    };
    match keys.compare(&app::class_params(policy)) {
        Ok(()) => None,
        Err(ref error @ KeysError::ClassDiffers { ref class, .. }) => {
            let mut declared = policy.classes().iter();
            let line = declared.find(|one| one.params.id == *class).map_or(1, |one| one.line);
            let remedy =
                "give the class its registered parameters back, or declare one with a new id";
            found(policy.file(), line, Severity::Error, error.to_string(), remedy)
        }
        Err(error) => unread(error.into()),
    }
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(misuse) = args.live.misused() {
        anstream::eprintln!("error: {misuse}");
        return Ok(ExitCode::from(2));
    }
    let findings = examine(&args.config);
    if let (Some(policy), true) = (&findings.policy, args.live.wants_sql()) {
        anstream::print!("{}", live::sql(policy));
        return Ok(ExitCode::SUCCESS);
    }
    let live = look(&args.live, &findings)?;
    let is_usable = findings.is_usable() && live.as_ref().is_none_or(Live::is_usable);
    let leaks = match &findings.policy {
        Some(policy) if args.leakage => policy.leakage(),
        Some(_) | None => Vec::new(),
    };
    if args.json {
        let diagnostics: Vec<_> = findings.diagnostics.iter().map(diagnostic_json).collect();
        let leakage: Vec<_> = leaks.iter().map(leak_json).collect();
        let mut object = json!({"usable": is_usable, "diagnostics": diagnostics});
        if args.leakage {
            object["leakage"] = Value::Array(leakage);
        }
        if let (Some(live), Some(policy)) = (&live, &findings.policy) {
            object["live"] = live::as_json(live, &live::sql(policy));
        }
        anstream::println!("{object}");
    } else {
        print(&findings.diagnostics);
        leaks.iter().for_each(print_leak);
        let warnings = findings.diagnostics.len();
        match (findings.is_usable(), warnings) {
            (true, 0) => anstream::println!("both files can be used"),
            (true, 1) => anstream::println!("both files can be used, with 1 warning"),
            (true, _) => anstream::println!("both files can be used, with {warnings} warnings"),
            (false, _) if findings.is_late => {
                anstream::println!("a migration was to have ended; labseal runs, and warns");
            }
            (false, _) => anstream::println!("labseal cannot run with these files"),
        }
        live.iter().for_each(live::print);
    }
    Ok(if is_usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks at what is behind labseal, if that is wanted and the files say what there is.
fn look(args: &live::Look, findings: &Findings) -> anyhow::Result<Option<Live>> {
    match (&findings.config, &findings.policy) {
        (Some(config), Some(policy)) if args.is_wanted() => args.ask(config, policy).map(Some),
        (Some(_) | None, Some(_) | None) => Ok(None),
    }
}

/// Files that a command cannot use, with everything that is wrong with them.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.0.iter().map(spelled).collect::<Vec<_>>().join("\n"))]
pub struct Unusable(pub Vec<Diagnostic>);

fn print(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        anstream::println!("{}", spelled(diagnostic));
    }
}

/// As [`Diagnostic`] spells itself, with colour for the word; `anstream` takes it out where the
/// output is not a terminal.
fn spelled(diagnostic: &Diagnostic) -> String {
    let Diagnostic { file, line, column, severity, message, remedy } = diagnostic;
    let colour = match severity {
        Severity::Error => anstyle::AnsiColor::Red,
        Severity::Warning => anstyle::AnsiColor::Yellow,
    };
    let style = colour.on_default().bold();
    let (file, word) = (file.display(), severity.as_str());
    format!("{file}:{line}:{column}: {style}{word}{style:#}: {message}\n  {remedy}")
}

fn print_leak(leak: &Leak) {
    let bold = anstyle::Style::new().bold();
    let (class, mode) = (&leak.class, leak.mode.as_str());
    anstream::println!("{bold}{class}{bold:#} ({mode}): {}", leak.fields.join(", "));
    for told in &leak.tells {
        anstream::println!("  tells {told}");
    }
}

fn diagnostic_json(diagnostic: &Diagnostic) -> Value {
    let Diagnostic { file, line, column, severity, message, remedy } = diagnostic;
    json!({
        "file": file.display().to_string(),
        "line": line,
        "column": column,
        "severity": severity.as_str(),
        "message": message,
        "remedy": remedy,
    })
}

fn leak_json(leak: &Leak) -> Value {
    json!({
        "class": leak.class,
        "mode": leak.mode.as_str(),
        "fields": leak.fields,
        "tells": leak.tells,
    })
}
