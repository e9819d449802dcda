//! One list of documents of a plain JSON API: its pages, and each document that has to move, written
//! whole on condition of its entity tag.
//!
//! # Why
//! Many servers give entity tags and take no notice of `If-Match`, so a write would be lost without a
//! word. Before the first one, a read with a tag that cannot be right has to be answered with 412,
//! as RFC 9110 has it for every method. (2026-11)

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::ETAG};
use serde_json::Value;

use crate::{
    audit::{Counts, Fate, Outcome, Phase},
    base::ident::{ApiName, ClassId, ClassName, EntityName, RequestId},
    config::{Walk, jobs::Next},
    model::Verb,
    seal::{
        documents::{self, Document},
        stored::{Aim, Standing},
    },
};

use super::{
    Tools,
    caller::{Ask, Caller, Unanswered, is_busy},
    pace::{Pace, Went},
    progress::Progress,
};

/// How often a document is tried that others keep writing, and how often a page is asked for.
const ATTEMPTS: u32 = 12;

/// Work on one list.
pub struct Documents {
    /// Keys, log and time.
    pub tools: Tools,
    /// Of which API.
    pub api: ApiName,
    /// The list, as the configuration spells it.
    pub entity: EntityName,
    /// The way to it.
    pub caller: Arc<Caller>,
    /// How it is walked.
    pub walk: Walk,
    /// What is to become of its values.
    pub aim: Aim,
    /// How fast it goes.
    pub pace: Arc<Pace>,
    /// Who watches.
    pub progress: Arc<Progress>,
    /// The classes of the policy.
    pub classes: Arc<BTreeMap<ClassId, ClassName>>,
    /// Whether the API is known to keep to conditions.
    pub is_proven: AtomicBool,
}

/// One document of a page.
pub struct Listed {
    /// What names it in the path of the item.
    pub key: String,
    /// How its values stand.
    pub document: Document,
}

impl Documents {
    /// A page: the first one, or the one that the page before named.
    pub async fn fetch(&self, at: Option<&[String]>) -> anyhow::Result<(Bytes, HeaderMap)> {
        let target = at.and_then(|at| at.first()).map_or(self.walk.list.as_str(), String::as_str);
        self.get(target).await?.context("the list is not there")
    }

    /// The documents of a page, and where the next page is.
    pub async fn read(
        &self,
        (page, headers): (Bytes, HeaderMap),
    ) -> anyhow::Result<(Vec<Listed>, Option<Vec<String>>)> {
        let body: Value = serde_json::from_slice(&page).context("the list is no JSON")?;
        let next = self.next(&body, &headers);
        let records = at(&body, &self.walk.records).and_then(Value::as_array);
        let records = records.with_context(|| format!("no list at {}", self.walk.records))?;
        let mut listed = Vec::with_capacity(records.len());
        for record in records {
            let key = match at(record, &self.walk.key) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                _ => bail!("a record of {} has no key at {}", self.entity, self.walk.key),
            };
            let text = serde_json::to_vec(record)?;
            listed.push(Listed { key, document: self.judge(text).await? });
        }
        Ok((listed, next))
    }

    /// Writes what has to move of a page.
    pub async fn write(&self, listed: &[Listed]) -> anyhow::Result<()> {
        for Listed { key, document } in listed {
            if document.changed.is_some() {
                self.settle(key).await?;
            }
        }
        Ok(())
    }

    /// The name of a class; its id if the policy has dropped it.
    pub fn name_of(&self, class: &ClassId) -> ClassName {
        let known = self.classes.get(class).cloned();
        known.unwrap_or_else(|| ClassName::new(class.as_str()))
    }

    /// Reads one document as it is stored now and writes it, until nobody was faster.
    async fn settle(&self, key: &str) -> anyhow::Result<()> {
        let target = self.walk.item.replace("{id}", &encode(key));
        for _ in 0..ATTEMPTS {
            let Some((body, headers)) = self.get(&target).await? else { return Ok(()) };
            let document = self.judge(body.to_vec()).await?;
            let Some(changed) = document.changed else { return Ok(()) };
            let tag = headers.get(ETAG).cloned();
            self.prove(&target, tag.as_ref()).await?;
            let request = RequestId::random();
            let place = (&self.api, &self.entity, Verb::Replace);
            let mut counts = Counts::default();
            let mut by_class = BTreeMap::new();
            for class in &document.moved {
                *by_class.entry(self.name_of(class)).or_default() += 1;
            }
            counts.add(Fate::Opened, &by_class);
            if self.aim == Aim::Reseal {
                counts.add(Fate::Sealed, &by_class);
            }
            let intent = (request, Phase::Intent);
            let recorded =
                self.tools.record(intent, place, Outcome::Pending, counts.clone()).await?;
            let Some(_intent) = recorded else { bail!("nothing is written without an audit log") };
            let turn = self.pace.turn().await;
            let ask = Ask { if_match: tag, body: Some(changed), ..Ask::new(Method::PUT, &target) };
            let status = match self.caller.ask(ask).await {
                Ok(answer) if is_busy(answer.status) => {
                    turn.end(Went::Busy(answer.retry_after));
                    answer.status
                }
                Ok(answer) => {
                    turn.end(Went::Well);
                    answer.status
                }
                Err(Unanswered::Broken) => {
                    drop(turn);
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    StatusCode::GATEWAY_TIMEOUT
                }
                Err(error) => return Err(error).with_context(|| self.entity.to_string()),
            };
            let outcome = (request, Phase::Outcome);
            let said = Outcome::Answered(status.as_u16());
            let _receipt = self.tools.record(outcome, place, said, counts).await?;
            match status {
                status if status.is_success() => {
                    Progress::add(&self.progress.written, 1);
                    Progress::add(&self.progress.moved, document.moved.len() as u64);
                    return Ok(());
                }
                StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
                    Progress::add(&self.progress.conflicts, 1);
                }
                StatusCode::GATEWAY_TIMEOUT => {}
                status if is_busy(status) => {}
                _ => break,
            }
        }
        Progress::add(&self.progress.failed, 1);
        Ok(())
    }

    /// Makes sure that the API refuses a write whose condition does not hold.
    async fn prove(&self, target: &str, tag: Option<&HeaderValue>) -> anyhow::Result<()> {
        if self.walk.is_unsafe || self.is_proven.load(Ordering::Relaxed) {
            return Ok(());
        }
        let wrong = if tag.is_some_and(|tag| tag == "\"1\"") { "\"0\"" } else { "\"1\"" };
        let ask = Ask {
            if_match: Some(HeaderValue::from_static(wrong)),
            ..Ask::new(Method::GET, target)
        };
        let keeps =
            tag.is_some() && self.caller.ask(ask).await?.status == StatusCode::PRECONDITION_FAILED;
        if !keeps {
            bail!(
                "{}: the API gives no ETag, or takes no notice of If-Match, so what others write \
                 meanwhile could be lost: stop all writers and add unsafe_sweep: true under walk:",
                self.entity
            );
        }
        self.is_proven.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn get(&self, target: &str) -> anyhow::Result<Option<(Bytes, HeaderMap)>> {
        let mut wait = Duration::from_millis(200);
        for _ in 0..ATTEMPTS {
            let ask = Ask::new(Method::GET, target);
            match self.caller.ask(ask).await {
                Ok(answer) if answer.status.is_success() => {
                    return Ok(Some((answer.body, answer.headers)));
                }
                Ok(answer) if answer.status == StatusCode::NOT_FOUND => return Ok(None),
                Ok(answer) if !is_busy(answer.status) => {
                    bail!("{}: the API answered {} to a read", self.entity, answer.status)
                }
                Ok(answer) => tokio::time::sleep(answer.retry_after.unwrap_or(wait)).await,
                Err(Unanswered::Broken) => tokio::time::sleep(wait).await,
                Err(error) => return Err(error).with_context(|| self.entity.to_string()),
            }
            wait = (wait * 2).min(Duration::from_secs(10));
        }
        bail!("{}: the API does not answer; start again to go on from here", self.entity)
    }

    async fn judge(&self, text: Vec<u8>) -> anyhow::Result<Document> {
        let (keys, aim) = (self.tools.keys.clone(), self.aim);
        let judged = move || documents::read(&text, aim, &keys.snapshot());
        Ok(tokio::task::spawn_blocking(judged).await??)
    }

    fn next(&self, body: &Value, headers: &HeaderMap) -> Option<Vec<String>> {
        let address = match &self.walk.next {
            Next::Header(name) => headers.get(name)?.to_str().ok()?.to_owned(),
            Next::Link => link(headers)?,
            Next::Member(path) => at(body, path)?.as_str()?.to_owned(),
            Next::Nowhere => return None,
        };
        Some(vec![self.caller.relative(&address)])
    }

    /// Adds what was opened, and what did not open, to what is recorded of a walk.
    pub fn count(&self, listed: &[Listed], counts: &mut Counts) {
        let (mut opened, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for (class, standing) in listed.iter().flat_map(|one| &one.document.found) {
            let by_class = match standing {
                Standing::Sealed(under) => {
                    counts.kids.insert(under.kid);
                    &mut opened
                }
                _ => &mut failed,
            };
            *by_class.entry(self.name_of(class)).or_default() += 1;
        }
        counts.add(Fate::Opened, &opened);
        counts.add(Fate::Failed, &failed);
    }
}

/// The value at `$.a.b`, of which `[*]` at the end is the list itself.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.strip_prefix('$')?;
    let path = path.strip_suffix("[*]").unwrap_or(path);
    path.split('.').filter(|name| !name.is_empty()).try_fold(value, |value, name| value.get(name))
}

/// The address of the next page in `Link` (RFC 8288).
fn link(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(http::header::LINK)?.to_str().ok()?;
    let next =
        text.split(',').find(|part| part.contains("rel=\"next\"") || part.contains("rel=next"))?;
    let (_, rest) = next.split_once('<')?;
    Some(rest.split_once('>')?.0.to_owned())
}

fn encode(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string()
}
