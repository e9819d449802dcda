//! `labseal keys reseal`: bring stored values under the active key versions.
//!
//! `start` works in the foreground to its end, or leaves the job to a running service (`--detach`).
//! `pause`, `resume` and `status` speak to either through the files of `app::jobs::place`.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{
    app::jobs::{Checkpoint, Files, Progress, Report, Request, State, Wanted},
    base::clock::{Clock as _, SystemClock},
    cli::check::Unusable,
    config::Config,
    seal::stored::Aim,
};

use super::census::{self, Access, Part, Source};

/// What to do with the job.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Have the job wait; it keeps its place
    Pause(Source),
    /// Have a job that waits go on
    Resume(Source),
    /// Seal anew what is not under the active versions; go on with a job that was cut short
    ///
    /// Opens each value and writes it again, only if it is still what was read. Ends with a scan, and
    /// with 0 only if that counts nothing that is left. Values in clear of a field in migration
    /// (state: dual) are sealed, too.
    Start(Start),
    /// Say how far the job is
    Status(Source),
}

/// Start or go on.
#[derive(Debug, clap::Args)]
pub struct Start {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    part: Part,
    /// Leave the job to `labseal run` with the same configuration, which goes on after a restart
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// Go through everything and write nothing; say how many values would move
    #[arg(long)]
    dry_run: bool,
    /// Write at most so many records in a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Give up an unfinished job for other values
    #[arg(long)]
    anew: bool,
}

/// Runs the command.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let source = match &command {
        Command::Pause(source) | Command::Resume(source) | Command::Status(source) => source,
        Command::Start(start) => &start.source,
    };
    let config = Arc::new(Config::load(&source.config).map_err(Unusable)?);
    let files = Files::of(&config)?;
    match command {
        Command::Pause(source) => want(&files, Wanted::Pause, source.json),
        Command::Resume(source) => want(&files, Wanted::Run, source.json),
        Command::Start(Start { dry_run: true, source, part, .. }) => {
            let engine = census::open(&config, Access::Reads)?;
            let only = part.only();
            let looking = engine.rehearse(Aim::Reseal, &only);
            let census = census::watched(&engine, "looking", looking)?;
            let would = Progress::of(&engine.progress.moved);
            let keys = engine.tools.keys.snapshot();
            match source.json {
                true => {
                    let counted = census::as_json(&census, &keys);
                    anstream::println!("{}", json!({"would_move": would, "census": counted}));
                }
                false => {
                    census::print(&census, &keys, false);
                    anstream::println!("{would} values would be sealed anew. Nothing was written.");
                }
            }
            census::close(&engine)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Start(start) => {
            let request = Request::new(Aim::Reseal, &start.part.only(), start.rate, start.detach);
            let request = asked(&files, request, start.anew)?;
            if start.detach {
                files.ask(&request)?;
                if start.source.json {
                    return status(&files, true);
                }
                anstream::println!(
                    "labseal run takes the job up within a second. Watch it with: labseal keys \
                     reseal status --config {}",
                    config.file.display()
                );
                return Ok(ExitCode::SUCCESS);
            }
            carry_out(&config, &files, &request, start.source.json)
        }
        Command::Status(source) => status(&files, source.json),
    }
}

/// The request to go on with: the unfinished one, if it is for the same values.
pub fn asked(files: &Files, request: Request, anew: bool) -> anyhow::Result<Request> {
    let Some(before) = files.request()? else { return Ok(request) };
    let state = files.checkpoint(&before)?.unwrap_or_else(|| Checkpoint::new(&before.id)).state;
    if state.is_final() {
        return Ok(request);
    }
    if before.is_for(&request) {
        return Ok(Request { id: before.id, ..request });
    }
    if !anew {
        bail!(
            "a job for other values is unfinished: see labseal keys reseal status, finish it, or give \
             it up with --anew"
        );
    }
    Ok(request)
}

/// Carries out a job in the foreground.
pub fn carry_out(
    config: &Arc<Config>,
    files: &Files,
    request: &Request,
    json: bool,
) -> anyhow::Result<ExitCode> {
    // Whoever asks how the job stands has it for a moment.
    let Some(_held) = files.take()? else {
        bail!("another process carries out a job: see labseal keys reseal status");
    };
    files.ask(request)?;
    let engine = census::open(config, Access::Writes)?;
    let job = engine.carry_out(files, request);
    let report = census::watched(&engine, "moving", job);
    let closed = census::close(&engine);
    let Report { census, left } = report?;
    closed?;
    let keys = engine.tools.keys.snapshot();
    let of = Progress::of;
    let progress = &engine.progress;
    let (moved, conflicts) = (of(&progress.moved), of(&progress.conflicts));
    let failed = of(&progress.failed);
    match json {
        true => anstream::println!(
            "{}",
            json!({
                "left": left,
                "moved": moved,
                "conflicts": conflicts,
                "failed": failed,
                "census": census::as_json(&census, &keys),
            })
        ),
        false => {
            census::print(&census, &keys, false);
            anstream::println!(
                "{moved} values were written, {conflicts} records were read again since somebody else \
                 wrote them, {failed} were refused by the API."
            );
        }
    }
    if left > 0 {
        let blocked = match of(&progress.blocked) {
            0 => String::new(),
            blocked => format!(
                " Values in clear, or in JSON columns, of a view cannot be written under a condition \
                 ({blocked} were met): name the table in the policy."
            ),
        };
        bail!(
            "{left} values are left: the table above says which. Broken ones open with no key; what \
             the API refused is written by hand, or by granting UPDATE.{blocked}"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn want(files: &Files, wanted: Wanted, json: bool) -> anyhow::Result<ExitCode> {
    let none = "there is no job; begin one with labseal keys reseal start";
    let request = files.request()?.context(none)?;
    files.ask(&Request { wanted, ..request.clone() })?;
    if wanted == Wanted::Run && !request.detached && files.hold()?.is_some() {
        bail!("the process that carried it out has ended: go on with labseal keys reseal start");
    }
    status(files, json)
}

fn status(files: &Files, json: bool) -> anyhow::Result<ExitCode> {
    let Some(request) = files.request()? else {
        match json {
            true => anstream::println!("{}", json!({"state": "none"})),
            false => anstream::println!("There is no job."),
        }
        return Ok(ExitCode::SUCCESS);
    };
    let checkpoint = files.checkpoint(&request)?;
    let has_begun = checkpoint.is_some();
    let at = checkpoint.unwrap_or_else(|| Checkpoint::new(&request.id));
    let is_held = files.hold()?.is_none();
    let state = match (at.state, request.wanted, is_held) {
        (state, _, _) if state.is_final() => state.as_str(),
        (_, Wanted::Pause, _) | (State::Paused, ..) => State::Paused.as_str(),
        (_, _, true) => State::Running.as_str(),
        (_, _, false) if !has_begun => "waiting",
        (_, _, false) => "interrupted",
    };
    let left = at.records.saturating_sub(at.read);
    let eta = (at.rate > 0 && is_held).then(|| left / at.rate);
    if json {
        anstream::println!(
            "{}",
            json!({
                "state": state,
                "aim": if request.aim() == Aim::Unseal { "unseal" } else { "reseal" },
                "detached": request.detached,
                "pass": at.passes + 1,
                "entity": at.at.as_ref().map(|(_, entity, _)| entity),
                "records": at.records,
                "read": at.read,
                "written": at.written,
                "moved": at.moved,
                "conflicts": at.conflicts,
                "failed": at.failed,
                "records_per_second": at.rate,
                "eta_seconds": eta,
                "left": at.left,
                "said": at.said,
                "updated": at.updated,
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    let now = u64::try_from(SystemClock.wall().as_millis()).unwrap_or(u64::MAX);
    let lines: [(&str, Value); 10] = [
        ("state", state.into()),
        ("pass", (at.passes + 1).into()),
        ("records", format!("{} of {}", at.read, at.records).into()),
        ("written", at.written.into()),
        ("values moved", at.moved.into()),
        ("overtaken", at.conflicts.into()),
        ("refused", at.failed.into()),
        ("pace", format!("{} records/s", at.rate).into()),
        ("left", at.left.map_or("not counted yet".into(), Value::from)),
        ("last step", format!("{} s ago", now.saturating_sub(at.updated) / 1000).into()),
    ];
    for (name, value) in lines {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        anstream::println!("{name:<14}{value}");
    }
    if let Some(eta) = eta {
        anstream::println!("{:<14}{eta} s", "to go");
    }
    if let Some(said) = at.said {
        anstream::println!("{:<14}{said}", "said");
    }
    if state == "interrupted" {
        anstream::println!("Go on with: labseal keys reseal start");
    }
    Ok(ExitCode::SUCCESS)
}
