//! What is known of an exchange while it goes on, and its entries in the audit log.
//!
//! An exchange that touched protected values waits until its entry is durable; one that touched
//! none is noted, and nobody waits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;

use super::{Sidecar, revision::Served};
use crate::{
    audit::{Action, Counts, Event, Fate, Outcome, Phase, Receipt, Subject, Who},
    auth::Caller,
    base::{
        digest::Digest,
        ident::{FunctionName, RequestId},
        refusal::{Code, Refusal},
    },
    model::Operation,
    seal::Tally,
};

/// Leave to release an answer. Only a [`Record`] gives it.
#[derive(Debug)]
#[must_use]
pub enum Cleared {
    /// Its entry is on the disk.
    Recorded(Receipt),
    /// It touched nothing protected; its entry follows when the log gets to it.
    Untouched,
}

/// What is known of an exchange so far.
#[derive(Clone)]
pub struct Record {
    id: RequestId,
    started: Instant,
    api: Option<Arc<Served>>,
    who: Option<Who>,
    action: Option<Action>,
    policy: Digest,
    upstream: Option<(StatusCode, Duration)>,
    intended: bool,
}

impl Record {
    /// The beginning of an exchange.
    pub fn begin(sidecar: &Sidecar) -> Self {
        Self {
            id: RequestId::random(),
            started: sidecar.clock.instant(),
            api: None,
            who: None,
            action: None,
            policy: Digest([0; 32]),
            upstream: None,
            intended: false,
        }
    }

    /// The id of the exchange.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The API, once it is known.
    pub fn api(&self) -> Option<&Arc<Served>> {
        self.api.as_ref()
    }

    /// The request goes to this API, under this policy.
    pub fn addressed(&mut self, api: &Arc<Served>, policy: Digest) {
        self.action = Some(Action { api: api.name.clone(), subject: None });
        self.api = Some(api.clone());
        self.policy = policy;
    }

    /// The caller is known.
    pub fn identified(&mut self, caller: &Caller) {
        tracing::trace!(request = %self.id, caller = %caller.name(), "identified");
        self.who = Some(Who { name: caller.name().clone(), via: caller.via().as_str() });
    }

    /// The request is classified; `declares` says whether the policy names a function.
    pub fn classified(
        &mut self,
        operation: &Operation,
        declares: impl FnOnce(&FunctionName) -> bool,
    ) {
        tracing::trace!(request = %self.id, verb = operation.verb.as_str(), "classified");
        if let Some(action) = &mut self.action {
            action.subject = Some((operation.verb, Subject::of(&operation.target, declares)));
        }
    }

    /// The database API has answered.
    pub fn answered(&mut self, status: StatusCode, took: Duration) {
        tracing::trace!(request = %self.id, status = status.as_u16(), "answered upstream");
        self.upstream = Some((status, took));
    }

    /// A protected write is about to leave. Nothing is forwarded without the receipt.
    pub async fn intend(&mut self, sidecar: &Sidecar, tally: &Tally) -> Result<Receipt, Refusal> {
        let event = self.event(sidecar, Phase::Intent, Outcome::Pending, tally);
        let receipt = sidecar
            .audit
            .record(event)
            .await
            .map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))?;
        self.intended = true;
        Ok(receipt)
    }

    /// The whole answer is at hand. Nothing protected is released before this returns.
    pub async fn conclude(&self, sidecar: &Sidecar, tally: &Tally) -> Result<Cleared, Refusal> {
        let phase = if self.intended { Phase::Outcome } else { Phase::Whole };
        let cleared = self.settle(sidecar, phase, tally).await?;
        self.count(sidecar, tally);
        Ok(cleared)
    }

    /// The answer is long, and its first window is about to leave.
    pub async fn open(&self, sidecar: &Sidecar, tally: &Tally) -> Result<Cleared, Refusal> {
        let phase = if self.intended { Phase::Outcome } else { Phase::Opening };
        self.settle(sidecar, phase, tally).await
    }

    /// The end of a long answer. `false` if it could not be recorded: then the answer may not end
    /// as if it were whole.
    pub async fn close(&self, sidecar: &Sidecar, tally: &Tally, refusal: Option<&Refusal>) -> bool {
        self.count(sidecar, tally);
        let outcome = match refusal {
            None => self.outcome(),
            Some(refusal) => self.refusal(refusal),
        };
        let event = self.event(sidecar, Phase::Closing, outcome, tally);
        sidecar.audit.record(event).await.is_ok()
    }

    /// The exchange ends early. Nobody waits: a refusal releases nothing.
    pub fn refused(&self, sidecar: &Sidecar, refusal: &Refusal) {
        let outcome = self.refusal(refusal);
        let tally =
            Tally { key_states: refusal.key_state.into_iter().collect(), ..Tally::default() };
        let event = self.event(sidecar, Phase::Refused, outcome, &tally);
        sidecar.audit.note(event);
        sidecar.metrics.exchange(&self.action, "refused", self.overhead(sidecar), self.upstream);
    }

    async fn settle(
        &self,
        sidecar: &Sidecar,
        phase: Phase,
        tally: &Tally,
    ) -> Result<Cleared, Refusal> {
        let event = self.event(sidecar, phase, self.outcome(), tally);
        if tally.is_empty() && !self.intended && phase != Phase::Opening {
            sidecar.audit.note(event);
            return Ok(Cleared::Untouched);
        }
        let code = match self.intended {
            true => Code::OutcomeUnrecorded,
            false => Code::AuditUnavailable,
        };
        match sidecar.audit.record(event).await {
            Ok(receipt) => Ok(Cleared::Recorded(receipt)),
            Err(error) => Err(Refusal::new(code).because(error)),
        }
    }

    fn count(&self, sidecar: &Sidecar, tally: &Tally) {
        let counts = counts(tally);
        tracing::debug!(
            request = %self.id,
            caller = self.who.as_ref().map(|who| who.name.as_str()),
            status = self.upstream.map(|(status, _)| status.as_u16()),
            sealed = counts.total(Fate::Sealed),
            opened = counts.total(Fate::Opened),
            masked = counts.total(Fate::Masked),
            overhead_us = u64::try_from(self.overhead(sidecar).as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        sidecar.metrics.values(&counts);
        self.note_unknown(sidecar, tally);
        if let Some(api) = &self.api {
            let seen = tally.clear.iter();
            seen.for_each(|(field, count)| {
                sidecar.metrics.plaintext_seen(&api.name, field, *count)
            });
        }
        sidecar.metrics.exchange(&self.action, "answered", self.overhead(sidecar), self.upstream);
    }

    /// Counts fields that the policy does not list, and says once for each entity that there are
    /// some. Their names came from the caller and are not told.
    fn note_unknown(&self, sidecar: &Sidecar, tally: &Tally) {
        let Some(api) = self.api.as_ref().filter(|_| !tally.unknown.is_empty()) else { return };
        for (entity, count) in &tally.unknown {
            sidecar.metrics.unknown_fields(&api.name, *count);
            if api.is_first_unknown(entity) {
                let (api, entity) = (api.name.as_str(), entity.as_str());
                tracing::warn!(request = %self.id, api, entity, "fields that the policy does not list");
            }
        }
    }

    /// What the exchange took, less what the database API took of it.
    fn overhead(&self, sidecar: &Sidecar) -> Duration {
        let upstream = self.upstream.map_or(Duration::ZERO, |(_, took)| took);
        (sidecar.clock.instant() - self.started).saturating_sub(upstream)
    }

    fn outcome(&self) -> Outcome {
        match self.upstream {
            Some((status, _)) => Outcome::Answered(status.as_u16()),
            None => Outcome::Pending,
        }
    }

    fn refusal(&self, refusal: &Refusal) -> Outcome {
        match self.upstream {
            Some((status, _)) => Outcome::Withheld(status.as_u16(), refusal.code),
            None => Outcome::Refused(refusal.code),
        }
    }

    fn event(&self, sidecar: &Sidecar, phase: Phase, outcome: Outcome, tally: &Tally) -> Event {
        Event {
            request: self.id,
            phase,
            who: self.who.clone(),
            action: self.action.clone(),
            outcome,
            counts: counts(tally),
            policy: self.policy,
            latency: sidecar.clock.instant() - self.started,
        }
    }
}

/// What the passes counted, in the words of the log. A literal of a filter was sealed too.
fn counts(tally: &Tally) -> Counts {
    let mut counts = Counts {
        strays_passed: tally.strays_passed,
        kids: tally.kids.clone(),
        key_states: tally.key_states.clone(),
        ..Counts::default()
    };
    for (fate, by_class) in [
        (Fate::Sealed, &tally.sealed),
        (Fate::Sealed, &tally.filtered),
        (Fate::Opened, &tally.opened),
        (Fate::Masked, &tally.masked),
        (Fate::Withheld, &tally.withheld),
        (Fate::PutBack, &tally.put_back),
        (Fate::Failed, &tally.marked),
        (Fate::Plain, &tally.plain),
    ] {
        counts.add(fate, by_class);
    }
    counts
}
