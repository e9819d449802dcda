//! One entity: its pages in the order of its key, and the change of each record that needs one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::task::JoinSet;

use crate::{
    audit::{Counts, Fate, Outcome, Phase},
    base::ident::{ApiName, RequestId},
    keys::SealError,
    model::Verb,
    seal::stored::{self, Aim, Row, Standing, StoredError},
};

use super::{
    Tools,
    caller::{Ask, Caller, Unanswered, is_busy},
    pace::{Pace, Went},
    progress::Progress,
    target::Entity,
    walk,
};

/// How often a record is tried that others keep writing, or that the API does not answer for.
const ATTEMPTS: u32 = 16;
/// How often a page is asked for.
const ASKED: u32 = 12;
/// So many refusals before anything was written are no accident.
const REFUSALS: u64 = 20;

/// Work on one entity.
pub struct Work {
    /// Keys, log and time.
    pub tools: Tools,
    /// Of which API.
    pub api: ApiName,
    /// The way to it.
    pub caller: Arc<Caller>,
    /// Which entity.
    pub entity: Entity,
    /// What is to become of its values.
    pub aim: Aim,
    /// How fast it goes.
    pub pace: Arc<Pace>,
    /// Who watches.
    pub progress: Arc<Progress>,
    /// Records that are asked for at a time.
    pub page: AtomicUsize,
}

/// What became of one record.
enum Fared {
    Failed(Option<StatusCode>),
    Moved(u64),
    /// It has gone, or somebody else wrote it as it should be.
    Settled,
}

impl Work {
    /// The records after a key, as the API answers them.
    pub async fn fetch(&self, after: Option<&[String]>) -> anyhow::Result<Bytes> {
        let Entity { name, table, layout, .. } = &self.entity;
        let mut wait = Duration::from_millis(200);
        for _ in 0..ASKED {
            let limit = self.page.load(Ordering::Relaxed);
            let target = walk::page(table, layout, after, limit);
            let schema = &table.schema;
            let ask = Ask { schema: Some(schema), ..Ask::new(Method::GET, &target) };
            match self.caller.ask(ask).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer.body),
                Ok(answer) if is_busy(answer.status) => {
                    tokio::time::sleep(answer.retry_after.unwrap_or(wait)).await;
                }
                Ok(answer) if is_broken(answer.status) => tokio::time::sleep(wait).await,
                Ok(answer) => bail!("{name}: the API answered {} to a read", answer.status),
                Err(Unanswered::TooLong) if limit > 1 => {
                    self.page.store(limit / 2, Ordering::Relaxed);
                    continue;
                }
                Err(Unanswered::Broken) => tokio::time::sleep(wait).await,
                Err(error) => return Err(error).with_context(|| name.to_string()),
            }
            wait = (wait * 2).min(Duration::from_secs(10));
        }
        bail!("{name}: the API does not answer; start again to go on from here")
    }

    /// Judges a page with the newest keys.
    pub async fn read(&self, page: Bytes) -> anyhow::Result<Vec<Row>> {
        let (layout, keys, aim) = (self.entity.layout.clone(), self.tools.keys.clone(), self.aim);
        let read = tokio::task::spawn_blocking(move || {
            let rows = patiently(|| stored::read(&page, &layout, aim, &keys.snapshot()))?;
            let is_strange =
                |row: &Row| row.found.iter().any(|(_, standing)| *standing == Standing::Unknown);
            // A key that this process has not heard of yet.
            if rows.iter().any(is_strange) && keys.refresh()? {
                return Ok(stored::read(&page, &layout, aim, &keys.snapshot())?);
            }
            anyhow::Ok(rows)
        });
        read.await?.with_context(|| self.entity.name.to_string())
    }

    /// Writes what has to move of a page. The intent is on the disk before the first change.
    pub async fn write(self: &Arc<Self>, rows: Vec<Row>) -> anyhow::Result<()> {
        let blocked: usize = rows.iter().map(|row| row.blocked).sum();
        Progress::add(&self.progress.blocked, blocked as u64);
        let changing: Vec<Row> = rows.into_iter().filter(|row| row.change.is_some()).collect();
        if changing.is_empty() {
            return Ok(());
        }
        let request = RequestId::random();
        let place = (&self.api, &self.entity.name, Verb::Update);
        let counts = self.counts(&changing);
        let intent = (request, Phase::Intent);
        let recorded = self.tools.record(intent, place, Outcome::Pending, counts.clone()).await?;
        let Some(_intent) = recorded else { bail!("nothing is written without an audit log") };
        let mut tasks = JoinSet::new();
        let mut fared = Vec::with_capacity(changing.len());
        for row in changing {
            // No more tasks than could have a turn.
            if tasks.len() >= self.caller.concurrency {
                fared.extend(tasks.join_next().await);
            }
            tasks.spawn(self.clone().settle(row));
        }
        while let Some(one) = tasks.join_next().await {
            fared.push(one);
        }
        let mut refused = None;
        for one in fared {
            match one?? {
                Fared::Failed(status) => {
                    Progress::add(&self.progress.failed, 1);
                    refused = Some(status.unwrap_or(StatusCode::BAD_GATEWAY));
                }
                Fared::Moved(values) => {
                    Progress::add(&self.progress.written, 1);
                    Progress::add(&self.progress.moved, values);
                }
                Fared::Settled => {}
            }
        }
        self.progress.allowed.store(self.pace.allowed() as u64, Ordering::Relaxed);
        let outcome = Outcome::Answered(refused.unwrap_or(StatusCode::NO_CONTENT).as_u16());
        let _receipt = self.tools.record((request, Phase::Outcome), place, outcome, counts).await?;
        self.judge_refusals(refused)
    }

    /// Ends the job where the API takes nothing at all.
    fn judge_refusals(&self, refused: Option<StatusCode>) -> anyhow::Result<()> {
        let written = Progress::of(&self.progress.written);
        match refused {
            Some(status) if written == 0 && Progress::of(&self.progress.failed) >= REFUSALS => {
                bail!(
                    "{}: the API answered {status} to every change: grant SELECT and UPDATE to the \
                     caller of jobs:, and leave out what cannot be written with --entity",
                    self.entity.name
                )
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Changes one record, reading it again where somebody else was faster.
    async fn settle(self: Arc<Self>, row: Row) -> anyhow::Result<Fared> {
        let Entity { table, layout, .. } = &self.entity;
        let Row { key, change: Some(mut change), .. } = row else { return Ok(Fared::Settled) };
        let mut tried = 0;
        while tried < ATTEMPTS {
            let target = walk::change(table, layout, &key, &change);
            let ask = Ask {
                schema: Some(&table.schema),
                prefer: Some("return=minimal,count=exact"),
                body: Some(change.body.clone()),
                ..Ask::new(Method::PATCH, &target)
            };
            let turn = self.pace.turn().await;
            match self.caller.ask(ask).await {
                Ok(answer) if is_busy(answer.status) => {
                    turn.end(Went::Busy(answer.retry_after));
                    continue;
                }
                Ok(answer) if is_broken(answer.status) => {
                    drop(turn);
                    tokio::time::sleep(Duration::from_millis(100) * 2_u32.pow(tried.min(6))).await;
                }
                Ok(answer) => {
                    turn.end(Went::Well);
                    match (answer.status.is_success(), answer.total) {
                        (true, Some(1)) => return Ok(Fared::Moved(change.places.len() as u64)),
                        (true, Some(0)) => Progress::add(&self.progress.conflicts, 1),
                        // More than one record has this key, or nobody says how many.
                        (true, _) => return Ok(Fared::Failed(None)),
                        (false, _) => return Ok(Fared::Failed(Some(answer.status))),
                    }
                }
                // Whether it was written shows when it is read again.
                Err(Unanswered::Broken) => {
                    drop(turn);
                    tokio::time::sleep(Duration::from_millis(100) * 2_u32.pow(tried.min(6))).await;
                }
                Err(_) => return Ok(Fared::Failed(None)),
            }
            tried += 1;
            match self.again(&key).await? {
                Some(Row { change: Some(newer), .. }) => change = newer,
                Some(_) | None => return Ok(Fared::Settled),
            }
        }
        Ok(Fared::Failed(None))
    }

    /// One record as it is stored now.
    async fn again(&self, key: &[String]) -> anyhow::Result<Option<Row>> {
        let Entity { name, table, layout, .. } = &self.entity;
        let target = walk::item(table, layout, key);
        for tried in 0..ASKED {
            let schema = &table.schema;
            let ask = Ask { schema: Some(schema), ..Ask::new(Method::GET, &target) };
            match self.caller.ask(ask).await {
                Ok(answer) if answer.status.is_success() => {
                    return Ok(self.read(answer.body).await?.into_iter().next());
                }
                Ok(answer) if !is_busy(answer.status) && !is_broken(answer.status) => {
                    bail!("{name}: the API answered {} to a read", answer.status)
                }
                Ok(_) | Err(Unanswered::Broken) => {}
                Err(error) => return Err(error).with_context(|| name.to_string()),
            }
            tokio::time::sleep(Duration::from_millis(100) * 2_u32.pow(tried.min(6))).await;
        }
        bail!("{name}: the API does not answer; start again to go on from here")
    }

    /// Adds what was opened, and what did not open, to what is recorded of a walk.
    pub fn count(&self, rows: &[Row], counts: &mut Counts) {
        let (mut opened, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for (at, standing) in rows.iter().flat_map(|row| &row.found) {
            let Some(class) = stored::class_of(&self.entity.layout, *at) else { continue };
            let by_class = match standing {
                Standing::Sealed(under) => {
                    counts.kids.insert(under.kid);
                    &mut opened
                }
                Standing::Broken(_) => &mut failed,
                Standing::Plain | Standing::Unfit | Standing::Unknown => continue,
            };
            *by_class.entry(class.clone()).or_default() += 1;
        }
        counts.add(Fate::Opened, &opened);
        counts.add(Fate::Failed, &failed);
    }

    /// What is about to be done to values.
    fn counts(&self, rows: &[Row]) -> Counts {
        let mut opened = BTreeMap::new();
        let mut sealed = BTreeMap::new();
        let mut counts = Counts::default();
        for row in rows {
            for at in row.change.iter().flat_map(|change| &change.places) {
                let Some(class) = stored::class_of(&self.entity.layout, *at) else { continue };
                let standing = row.found.iter().find(|(place, _)| place == at);
                if let Some((_, Standing::Sealed(under))) = standing {
                    *opened.entry(class.clone()).or_default() += 1;
                    counts.kids.insert(under.kid);
                }
                if self.aim == Aim::Reseal {
                    *sealed.entry(class.clone()).or_default() += 1;
                }
            }
        }
        counts.add(Fate::Opened, &opened);
        counts.add(Fate::Sealed, &sealed);
        counts
    }
}

/// Whether what is between us and the database gave up: PostgREST itself, for want of a connection.
fn is_broken(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
}

/// Tries again for a moment where the keys cannot be used just then: a replica counts what it seals
/// ahead, and asks the key store for more. Blocks.
fn patiently<T>(mut read: impl FnMut() -> Result<T, StoredError>) -> Result<T, StoredError> {
    for _ in 0..20 {
        match read() {
            Err(StoredError::Seal(SealError::Stale | SealError::Uncounted)) => {
                std::thread::sleep(Duration::from_millis(100));
            }
            outcome => return outcome,
        }
    }
    read()
}
