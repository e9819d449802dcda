//! The service's side: it carries out what was asked for with `--detach`, one job at a time, and
//! goes on with it after a restart.

use std::{sync::Arc, time::Duration};

use crate::{config::Config, proxy::Sidecar};

use super::{
    Checkpoint, Engine, Files, Progress, Tools,
    place::{Request, State, Wanted},
};

/// How often it is asked whether there is something to do.
const LOOK: Duration = Duration::from_millis(500);
/// How long is waited after a job could not go on.
const RETRY: Duration = Duration::from_secs(20);

/// Carries out jobs, for ever.
pub async fn attend(sidecar: Arc<Sidecar>, config: Arc<Config>) {
    let files = match Files::of(&config) {
        Ok(files) => files,
        Err(error) => return tracing::warn!(error = %format!("{error:#}"), "no jobs are taken"),
    };
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = look(&sidecar, &config, &files).await {
            let said = format!("{error:#}");
            tracing::error!(error = said, "a job cannot go on, and is tried again");
            sidecar.metrics.job().at_rest();
            if let Ok(Some(request)) = files.request()
                && let Ok(checkpoint) = files.checkpoint(&request)
            {
                let checkpoint = checkpoint.unwrap_or_else(|| Checkpoint::new(&request.id));
                // What cannot be stored is in the log.
                let _ = files.reached(&Checkpoint { said: Some(said), ..checkpoint });
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn look(sidecar: &Arc<Sidecar>, config: &Arc<Config>, files: &Files) -> anyhow::Result<()> {
    let files_too = files.clone();
    let asked = tokio::task::spawn_blocking(move || files_too.request()).await??;
    let Some(request) = asked.filter(|request| request.detached && request.wanted == Wanted::Run)
    else {
        return Ok(());
    };
    let state = files.checkpoint(&request)?.map_or(State::Running, |checkpoint| checkpoint.state);
    if state.is_final() {
        return Ok(());
    }
    let Some(_held) = files.hold()? else { return Ok(()) };
    carry_out(sidecar, config, files, &request).await
}

async fn carry_out(
    sidecar: &Arc<Sidecar>,
    config: &Arc<Config>,
    files: &Files,
    request: &Request,
) -> anyhow::Result<()> {
    let revision = sidecar.revision.load_full();
    let tools = Tools {
        keys: sidecar.keys.clone(),
        audit: Some(sidecar.audit.clone()),
        clock: sidecar.clock.clone(),
        policy: revision.policy.digest(),
    };
    let progress = Arc::new(Progress::default());
    let engine = Engine { tools, config: config.clone(), revision, progress: progress.clone() };
    tracing::info!(job = request.id, "a job on stored values begins, or goes on");
    let show = async {
        loop {
            tokio::time::sleep(LOOK).await;
            shown(sidecar, &progress);
        }
    };
    let report = tokio::select! {
        report = engine.carry_out(files, request) => report?,
        () = show => return Ok(()),
    };
    shown(sidecar, &progress);
    sidecar.metrics.job().at_rest();
    match report.left {
        0 => tracing::info!(job = request.id, "a job is done: a scan counted nothing left"),
        left => tracing::error!(job = request.id, left, "a job ended, and values are left"),
    }
    Ok(())
}

fn shown(sidecar: &Sidecar, progress: &Progress) {
    let of = Progress::of;
    sidecar.metrics.job().stands(
        (of(&progress.records), of(&progress.read)),
        (of(&progress.written), of(&progress.moved)),
        (of(&progress.conflicts), of(&progress.failed)),
        of(&progress.allowed),
    );
}
