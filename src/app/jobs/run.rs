//! The life of a job: describe, sweep, and a scan that says whether it is done.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::bail;

use crate::{
    audit::{Counts, Outcome, Phase},
    base::ident::RequestId,
    config::Config,
    model::Verb,
    policy::Policy,
    proxy::revision::Revision,
    seal::stored::Aim,
};

use super::{
    Tools,
    documents::Documents,
    pace::Pace,
    place::{Checkpoint, Files, Request, State, Wanted},
    progress::{Census, Progress},
    sweep::Work,
    target::{self, Only, Target},
    worker::Worker,
};

/// How often everything is gone through before what is left is reported: each time, what was sealed
/// meanwhile under an older version is found.
const PASSES: u32 = 5;

/// How often a paused job asks whether it may go on.
const ASK: Duration = Duration::from_millis(250);

/// What carries out jobs.
pub struct Engine {
    /// Keys, log and time.
    pub tools: Tools,
    /// How the APIs are reached.
    pub config: Arc<Config>,
    /// What is declared of them.
    pub revision: Arc<Revision>,
    /// Who watches.
    pub progress: Arc<Progress>,
}

/// How a job ended.
pub struct Report {
    /// What the last scan counted.
    pub census: Census,
    /// Values that are not as the job would have them.
    pub left: u64,
}

/// What is done with each page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Look,
    Write,
}

/// A job under way, where one is kept.
struct Kept<'a> {
    files: &'a Files,
    request: &'a Request,
    checkpoint: Checkpoint,
    since: Instant,
    /// Records that were read before this process.
    before: u64,
}

impl Engine {
    /// Counts every stored value.
    pub async fn census(&self, only: &Only) -> anyhow::Result<Census> {
        let targets = self.describe(Aim::Count, only).await?;
        self.look(&targets, Aim::Count, &mut None).await
    }

    /// Goes through everything as the job would, and writes nothing. The values that would move are
    /// counted as moved.
    pub async fn rehearse(&self, aim: Aim, only: &Only) -> anyhow::Result<Census> {
        let targets = self.describe(aim, only).await?;
        self.look(&targets, aim, &mut None).await
    }

    /// Carries out a job, from its checkpoint on if it has one.
    pub async fn carry_out(&self, files: &Files, request: &Request) -> anyhow::Result<Report> {
        let checkpoint = files.checkpoint(request)?;
        let mut checkpoint = checkpoint.unwrap_or_else(|| Checkpoint::new(&request.id));
        checkpoint.said = None;
        let progress = &self.progress;
        for (counter, count) in [
            (&progress.read, checkpoint.read),
            (&progress.written, checkpoint.written),
            (&progress.moved, checkpoint.moved),
            (&progress.conflicts, checkpoint.conflicts),
            (&progress.failed, checkpoint.failed),
        ] {
            counter.store(count, Ordering::Relaxed);
        }
        let (since, before) = (self.tools.clock.instant(), checkpoint.read);
        let mut kept = Some(Kept { files, request, checkpoint, since, before });
        let (aim, only) = (request.aim(), request.only());
        let targets = self.describe(aim, &only).await?;
        kept.iter_mut().for_each(|kept| kept.since = self.tools.clock.instant());
        loop {
            let before = Progress::of(&progress.moved);
            self.sweep(&targets, aim, &mut kept).await?;
            let census = self.look(&targets, Aim::Count, &mut kept).await?;
            let left = census.left(aim, &self.tools.keys.snapshot());
            let Some(kept) = &mut kept else { bail!("the job is kept nowhere") };
            let checkpoint = &mut kept.checkpoint;
            checkpoint.passes += 1;
            checkpoint.left = Some(left);
            let is_stuck = Progress::of(&progress.moved) == before && checkpoint.passes > 1;
            if left == 0 || is_stuck || checkpoint.passes >= PASSES {
                checkpoint.state = if left == 0 { State::Done } else { State::Failed };
                checkpoint.said = (left > 0).then(|| "values are left that do not move".to_owned());
                self.reached(kept)?;
                return Ok(Report { census, left });
            }
            checkpoint.finished.clear();
            checkpoint.at = None;
            progress.read.store(0, Ordering::Relaxed);
            (kept.since, kept.before) = (self.tools.clock.instant(), 0);
            self.reached(kept)?;
        }
    }

    fn policy(&self) -> &Policy {
        &self.revision.policy
    }

    async fn describe(&self, aim: Aim, only: &Only) -> anyhow::Result<Vec<Target>> {
        let targets = target::describe(&self.config, self.policy(), aim, only).await?;
        let entities = targets.iter().flat_map(|target| &target.entities);
        let records = entities.map(|entity| entity.records).sum();
        self.progress.records.store(records, Ordering::Relaxed);
        Ok(targets)
    }

    /// Moves what has to move.
    async fn sweep(
        &self,
        targets: &[Target],
        aim: Aim,
        kept: &mut Option<Kept<'_>>,
    ) -> anyhow::Result<()> {
        for target in targets {
            let rate = kept.as_ref().and_then(|kept| kept.request.rate);
            let clock = self.tools.clock.clone();
            let pace = Arc::new(Pace::new(target.caller.concurrency, rate, clock));
            for worker in self.workers(target, aim, &pace) {
                let name = (target.name.to_string(), worker.entity().to_string());
                let is_finished =
                    kept.as_ref().is_some_and(|kept| kept.checkpoint.finished.contains(&name));
                if is_finished {
                    continue;
                }
                self.walk(&worker, (Mode::Write, aim), kept, &mut Census::default()).await?;
                if let Some(kept) = kept {
                    kept.checkpoint.finished.push(name);
                    kept.checkpoint.at = None;
                    self.reached(kept)?;
                }
            }
        }
        Ok(())
    }

    /// Counts everything.
    async fn look(
        &self,
        targets: &[Target],
        aim: Aim,
        kept: &mut Option<Kept<'_>>,
    ) -> anyhow::Result<Census> {
        let mut census = Census::default();
        for target in targets {
            let pace = Arc::new(Pace::new(1, None, self.tools.clock.clone()));
            for entity in &target.entities {
                census.open(&target.name, &entity.name, &entity.layout);
            }
            for worker in self.workers(target, aim, &pace) {
                self.walk(&worker, (Mode::Look, aim), kept, &mut census).await?;
            }
        }
        Ok(census)
    }

    fn workers(&self, target: &Target, aim: Aim, pace: &Arc<Pace>) -> Vec<Worker> {
        let tables = target.entities.iter().map(|entity| {
            Worker::Table(Arc::new(Work {
                tools: self.tools.clone(),
                api: target.name.clone(),
                caller: target.caller.clone(),
                entity: entity.clone(),
                aim,
                pace: pace.clone(),
                progress: self.progress.clone(),
                page: target.caller.page.into(),
            }))
        });
        let classes = self.policy().classes().iter();
        let classes = classes.map(|class| (class.params.id.clone(), class.name.clone()));
        let classes = Arc::new(classes.collect());
        let lists = target.lists.iter().map(|(entity, walk)| {
            Worker::Documents(Arc::new(Documents {
                tools: self.tools.clone(),
                api: target.name.clone(),
                entity: entity.clone(),
                caller: target.caller.clone(),
                walk: walk.clone(),
                aim,
                pace: pace.clone(),
                progress: self.progress.clone(),
                classes: Arc::clone(&classes),
                is_proven: false.into(),
            }))
        });
        tables.chain(lists).collect()
    }

    /// Goes through one entity. While a page is written, the next one is asked for.
    async fn walk(
        &self,
        worker: &Worker,
        (mode, aim): (Mode, Aim),
        kept: &mut Option<Kept<'_>>,
        census: &mut Census,
    ) -> anyhow::Result<()> {
        let mut counts = Counts::default();
        let mut page = worker.fetch(resumes_at(worker, mode, kept).as_deref()).await?;
        loop {
            if let Some(kept) = kept {
                self.may_go_on(kept).await?;
            }
            let keys = self.tools.keys.clone();
            tokio::task::spawn_blocking(move || keys.refresh()).await??;
            let (judged, after) = worker.read(page).await?;
            let next = after.clone().map(|after| {
                let worker = worker.clone();
                tokio::spawn(async move { worker.fetch(Some(&after)).await })
            });
            let records = judged.records();
            worker.count(&judged, census, &mut counts);
            match mode {
                Mode::Look if kept.is_some() => {}
                Mode::Look => {
                    Progress::add(&self.progress.read, records);
                    if aim != Aim::Count {
                        Progress::add(&self.progress.moved, judged.would_move());
                    }
                }
                Mode::Write => {
                    worker.write(judged).await?;
                    Progress::add(&self.progress.read, records);
                    if let (Some(kept), Some(after)) = (&mut *kept, after) {
                        let (api, entity) = (worker.api().to_string(), worker.entity().to_string());
                        kept.checkpoint.at = Some((api, entity, after));
                        let took = self.tools.clock.instant() - kept.since;
                        let read = Progress::of(&self.progress.read).saturating_sub(kept.before);
                        let rate = read as f64 / took.as_secs_f64().max(0.001);
                        kept.checkpoint.rate = rate as u64;
                        self.reached(kept)?;
                    }
                }
            }
            let Some(next) = next else { break };
            page = next.await??;
        }
        let place = (worker.api(), worker.entity(), Verb::Read);
        let whole = (RequestId::random(), Phase::Whole);
        let _receipt = self.tools.record(whole, place, Outcome::Answered(200), counts).await?;
        Ok(())
    }

    /// Waits for as long as the job is to pause.
    async fn may_go_on(&self, kept: &mut Kept<'_>) -> anyhow::Result<()> {
        loop {
            match kept.files.request()? {
                Some(asked) if asked.id == kept.request.id => match asked.wanted {
                    Wanted::Run if kept.checkpoint.state == State::Paused => {
                        kept.checkpoint.state = State::Running;
                        kept.since = self.tools.clock.instant();
                        kept.before = Progress::of(&self.progress.read);
                        return self.reached(kept);
                    }
                    Wanted::Run => return Ok(()),
                    Wanted::Pause if kept.checkpoint.state != State::Paused => {
                        kept.checkpoint.state = State::Paused;
                        self.reached(kept)?;
                    }
                    Wanted::Pause => {}
                },
                Some(_) | None => bail!("another job was asked for in place of this one"),
            }
            tokio::time::sleep(ASK).await;
        }
    }

    /// Says how far the job is.
    fn reached(&self, kept: &mut Kept<'_>) -> anyhow::Result<()> {
        let (progress, checkpoint) = (&self.progress, &mut kept.checkpoint);
        checkpoint.records = Progress::of(&progress.records);
        checkpoint.read = Progress::of(&progress.read);
        checkpoint.written = Progress::of(&progress.written);
        checkpoint.moved = Progress::of(&progress.moved);
        checkpoint.conflicts = Progress::of(&progress.conflicts);
        checkpoint.failed = Progress::of(&progress.failed);
        let millis = self.tools.clock.wall().as_millis();
        checkpoint.updated = u64::try_from(millis).unwrap_or(u64::MAX);
        kept.files.reached(checkpoint)
    }
}

/// Where the job was, if it was at this entity.
fn resumes_at(worker: &Worker, mode: Mode, kept: &Option<Kept<'_>>) -> Option<Vec<String>> {
    let at = kept.as_ref()?.checkpoint.at.as_ref()?;
    let is_here = mode == Mode::Write
        && at.0 == worker.api().as_str()
        && at.1 == worker.entity().as_str()
        && worker.takes(&at.2);
    is_here.then(|| at.2.clone())
}
