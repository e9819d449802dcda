//! Jobs on stored values: counting them, bringing them under the active key versions, and putting
//! them back in clear.
//!
//! A job goes to the database API directly, as a caller of its own, and sees envelopes as they are
//! stored. Read [`run`] for the life of a job: it describes the API ([`target`]), walks each entity
//! by its primary key ([`walk`]), has `seal::stored` judge each page, and writes what has to move
//! ([`sweep`]; [`documents`] at a plain JSON API) as fast as the API bears ([`pace`]). [`place`] keeps request and checkpoint in private
//! files next to the key store, where the command line and a running service meet ([`attend`]).
//!
//! # Why
//! - A change is written only if what was read is still stored, so an edit in between is never lost;
//!   who was overtaken reads again. (2026-11)
//! - A job is done when a scan after it counts nothing that is left, never because nothing failed.
//!   (2026-11)
//! - Request and checkpoint are files of this machine, also where the key log is in PostgreSQL: a job
//!   is one process's work, and who pauses it is where it runs. (2026-11)

pub mod attend;
pub mod caller;
pub mod documents;
pub mod pace;
pub mod place;
pub mod progress;
pub mod run;
pub mod sweep;
pub mod target;
pub mod walk;
mod worker;

pub use place::{Checkpoint, Files, Request, State, Wanted};
pub use progress::{Census, Progress, Spot};
pub use run::{Engine, Report};
pub use target::Only;

use std::{path::PathBuf, sync::Arc};

use crate::{
    audit::{Action, Audit, Counts, Event, Outcome, Phase, Receipt, Subject, Who},
    base::{
        clock::Clock,
        digest::Digest,
        ident::{ApiName, CallerName, EntityName, RequestId},
    },
    config::Config,
    keys::Keys,
    model::Verb,
};

/// What every step of a job needs.
#[derive(Clone)]
pub struct Tools {
    /// The key rings.
    pub keys: Keys,
    /// Where it is recorded. Without it nothing can be written.
    pub audit: Option<Audit>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The policy in force.
    pub policy: Digest,
}

/// Where jobs of the command line are recorded: the service may have the log to itself.
pub fn audit_dir(config: &Config) -> PathBuf {
    let mut name = config.audit_dir.as_os_str().to_owned();
    name.push(".jobs");
    PathBuf::from(name)
}

impl Tools {
    /// Records a part of a job, durably, if there is a log.
    async fn record(
        &self,
        (request, phase): (RequestId, Phase),
        (api, entity, verb): (&ApiName, &EntityName, Verb),
        outcome: Outcome,
        counts: Counts,
    ) -> anyhow::Result<Option<Receipt>> {
        let Some(audit) = &self.audit else { return Ok(None) };
        let who = Some(Who { name: CallerName::new("labseal-job"), via: "job" });
        let subject = Some((verb, Subject::Entity(entity.clone())));
        let action = Some(Action { api: api.clone(), subject });
        let (policy, latency) = (self.policy, Default::default());
        let event = Event { request, phase, who, action, outcome, counts, policy, latency };
        Ok(Some(audit.record(event).await?))
    }
}
