//! `labseal demo`: a made-up lab, and the real sidecar in front of it.
//!
//! The database API is a stand-in ([`api`]), so that nothing has to be installed; the sidecar is the
//! one that `labseal run` starts, with files like those that an operator would write ([`folder`]).
//! Read [`story`] for what is shown. The demo proves nothing about real APIs; the tests do.

mod api;
mod client;
mod data;
mod database;
mod fault;
mod folder;
mod query;
mod schema;
mod screen;
mod sidecar;
mod stage;
mod statement;
mod story;
#[cfg(test)]
mod tests;
mod tree;

use std::process::ExitCode;

use anyhow::Context as _;

use screen::Screen;
use stage::Stage;

/// What `labseal demo` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Tell the story and end: with status 0 if every step showed what it should, else 1
    #[arg(long)]
    pub once: bool,
    /// Port of the sidecar on 127.0.0.1 [default: any free one]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    /// What keys.provider would be, in braces, to see it with a token or AWS KMS instead of a file:
    /// '{kind: pkcs11, module: …, token: …, key: …, pin: "env:PIN"}'
    #[arg(long, value_name = "YAML")]
    pub provider: Option<String>,
}

/// Runs the demo.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(perform(args))
}

async fn perform(args: Args) -> anyhow::Result<ExitCode> {
    let ended = ended()?;
    tokio::pin!(ended);
    let stage = tokio::select! {
        stage = Stage::set(args.port, args.provider.as_deref()) => stage?,
        () = &mut ended => return Ok(ExitCode::FAILURE),
    };
    let mut screen = Screen::default();
    screen.open(&[
        ("made-up lab, database API", format!("http://{}", stage.api.address())),
        ("labseal, in front of it", format!("http://{}", stage.address())),
        ("all files", stage.folder.path().display().to_string()),
    ]);
    let told = tokio::select! {
        told = story::tell(&stage, &mut screen) => told,
        () = &mut ended => return Ok(ExitCode::FAILURE),
    };
    if let Err(error) = told {
        screen.prove(&format!("the story broke off: {error:#}"), false);
    }
    let passed = screen.finish();
    if !args.once {
        invite(&stage, &screen);
        ended.await;
    }
    stage.strike().await;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Resolves when somebody asks the demo to stop.
fn ended() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Says what to try now.
fn invite(stage: &Stage, screen: &Screen) {
    let (labseal, api) = (stage.address(), stage.api.address());
    let folder = &stage.folder;
    let patient = "patients?id=eq.1";
    screen.heading("Try it yourself");
    for (who, key) in [("clinician", &folder.clinician), ("billing", &folder.billing)] {
        screen.say(&format!("as {who}:"));
        screen.whole(&format!("curl -H 'X-Api-Key: {key}' 'http://{labseal}/{patient}'"));
    }
    screen.say("as a stranger, and past labseal, straight at the database API:");
    screen.whole(&format!("curl -i 'http://{labseal}/{patient}'"));
    screen.whole(&format!("curl 'http://{api}/{patient}'"));
    screen.say("as the LIMS, a new patient:");
    screen.whole(&format!(
        "curl -H 'X-Api-Key: {}' -H 'Content-Type: application/json' \\",
        folder.lims
    ));
    screen.whole(&format!(
        "  -d '{{\"mrn\":\"MRN-000-9100\",\"last_name\":\"Example\"}}' 'http://{labseal}/patients'"
    ));
    screen.say("the policy that decides all this:");
    screen.whole(&format!("cat {}", folder.path().join("policy.yaml").display()));
    screen.heading("Press Ctrl-C to stop; all files are then removed.");
}
