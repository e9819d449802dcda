//! What the log says. No field here can hold a value, a name that a request made up, or a target.
//!
//! Every text is a name from the policy or the configuration, or a word from a closed list; the
//! rest is numbers, kids and digests. Read [`super::line`] for how an entry is spelled.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    base::{
        digest::Digest,
        ident::{ApiName, CallerName, ClassName, EntityName, FunctionName, Kid, RequestId},
        refusal::Code,
    },
    model::{Target, Verb},
};

/// One entry of the log.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An exchange, or a part of one.
    Exchange(Box<Event>),
    /// A turn in the life of the service.
    Service(Notice),
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Self::Exchange(Box::new(event))
    }
}

impl From<Notice> for Entry {
    fn from(notice: Notice) -> Self {
        Self::Service(notice)
    }
}

/// One exchange, or its beginning, or its end.
#[derive(Clone, Debug)]
pub struct Event {
    /// Ties the entries of one exchange together, and to the log and to our error answers.
    pub request: RequestId,
    /// Which part of the exchange this is.
    pub phase: Phase,
    /// Who asked; `None` where the exchange ended before that was known.
    pub who: Option<Who>,
    /// What was asked for; `None` where the exchange ended before that was known.
    pub action: Option<Action>,
    /// The status that the database API answered with, or the reason why we refused.
    pub outcome: Outcome,
    /// What was done to values.
    pub counts: Counts,
    /// The policy that decided.
    pub policy: Digest,
    /// From the first byte of the request to this entry.
    pub latency: Duration,
}

/// Which part of an exchange an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The end of an answer that was streamed.
    Closing,
    /// A protected write is about to be forwarded.
    Intent,
    /// The beginning of an answer that is streamed, before its first window.
    Opening,
    /// What became of a protected write.
    Outcome,
    /// The exchange ended early.
    Refused,
    /// All of an exchange.
    Whole,
}

impl Phase {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closing => "closing",
            Self::Intent => "intent",
            Self::Opening => "opening",
            Self::Outcome => "outcome",
            Self::Refused => "refused",
            Self::Whole => "whole",
        }
    }
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The name under `callers:`, or `anonymous`.
    pub name: CallerName,
    /// The word for how the caller was recognised, from a closed list.
    pub via: &'static str,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Of which API.
    pub api: ApiName,
    /// Of what in it; `None` where the request could not be classified.
    pub subject: Option<(Verb, Subject)>,
}

/// What a request was addressed to, without any name that the policy does not declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A declared entity.
    Entity(EntityName),
    /// A declared function.
    Function(FunctionName),
    /// A route that the policy opens, so that nothing in it was looked at.
    OpenRoute(EntityName),
    /// The API itself.
    Service,
    /// An entity that the policy does not declare. Its name came from the request and stays out.
    UndeclaredEntity,
    /// A function that the policy does not declare. Its name came from the request and stays out.
    UndeclaredFunction,
}

impl Subject {
    /// The subject of a classified request; `declares` says whether the policy names a function.
    pub fn of(target: &Target, declares: impl FnOnce(&FunctionName) -> bool) -> Self {
        match target {
            Target::Entity(name) => Self::Entity(name.clone()),
            Target::Function(name) if declares(name) => Self::Function(name.clone()),
            Target::Function(_) => Self::UndeclaredFunction,
            Target::Open(name) => Self::OpenRoute(name.clone()),
            Target::Service => Self::Service,
            Target::Undeclared(_) => Self::UndeclaredEntity,
        }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The database API answered, with this status.
    Answered(u16),
    /// Not known yet: an intent.
    Pending,
    /// We refused.
    Refused(Code),
    /// We refused what the database API had answered with this status.
    Withheld(u16, Code),
}

/// What was done to values: counts, never values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By class.
    pub classes: BTreeMap<ClassName, ClassCounts>,
    /// Envelope-shaped texts that did not open and passed unchanged.
    pub strays_passed: u64,
    /// The kids of every envelope that was made or opened.
    pub kids: BTreeSet<Kid>,
    /// The states of keys that kept values from being opened.
    pub key_states: BTreeSet<&'static str>,
}

impl Counts {
    /// Adds what a transformation counted for one fate.
    pub fn add(&mut self, fate: Fate, by_class: &BTreeMap<ClassName, u64>) {
        for (class, count) in by_class.iter().filter(|(_, count)| **count > 0) {
            *self.classes.entry(class.clone()).or_default().of_mut(fate) += count;
        }
    }

    /// Whether no protected value was touched: then nobody waits for the entry.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// All values of one fate.
    pub fn total(&self, fate: Fate) -> u64 {
        self.classes.values().map(|counts| counts.of(fate)).sum()
    }
}

/// What can become of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It failed its integrity check.
    Failed,
    /// Its mask was shown.
    Masked,
    /// It was shown.
    Opened,
    /// It was not sealed yet; what was shown of it is counted too.
    Plain,
    /// Its own envelope was stored again.
    PutBack,
    /// It was sealed, in a body or in a filter.
    Sealed,
    /// Null or nothing was shown.
    Withheld,
}

impl Fate {
    /// Every fate, in the order of the log.
    pub const ALL: [Self; 7] = [
        Self::Sealed,
        Self::Opened,
        Self::Masked,
        Self::Withheld,
        Self::PutBack,
        Self::Failed,
        Self::Plain,
    ];

    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Masked => "masked",
            Self::Opened => "opened",
            Self::Plain => "plain",
            Self::PutBack => "put_back",
            Self::Sealed => "sealed",
            Self::Withheld => "withheld",
        }
    }
}

/// The counts of one class, one for each [`Fate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// [`Fate::Failed`].
    pub failed: u64,
    /// [`Fate::Masked`].
    pub masked: u64,
    /// [`Fate::Opened`].
    pub opened: u64,
    /// [`Fate::Plain`].
    pub plain: u64,
    /// [`Fate::PutBack`].
    pub put_back: u64,
    /// [`Fate::Sealed`].
    pub sealed: u64,
    /// [`Fate::Withheld`].
    pub withheld: u64,
}

impl ClassCounts {
    /// The count of one fate.
    pub fn of(&self, fate: Fate) -> u64 {
        match fate {
            Fate::Failed => self.failed,
            Fate::Masked => self.masked,
            Fate::Opened => self.opened,
            Fate::Plain => self.plain,
            Fate::PutBack => self.put_back,
            Fate::Sealed => self.sealed,
            Fate::Withheld => self.withheld,
        }
    }

    fn of_mut(&mut self, fate: Fate) -> &mut u64 {
        match fate {
            Fate::Failed => &mut self.failed,
            Fate::Masked => &mut self.masked,
            Fate::Opened => &mut self.opened,
            Fate::Plain => &mut self.plain,
            Fate::PutBack => &mut self.put_back,
            Fate::Sealed => &mut self.sealed,
            Fate::Withheld => &mut self.withheld,
        }
    }
}

/// A turn in the life of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Which.
    pub milestone: Milestone,
    /// The policy in force afterwards.
    pub policy: Digest,
}

/// An entry of the key log that the service has come to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its number.
    pub epoch: u64,
    /// What it did, a word of the key log.
    pub op: &'static str,
    /// The ring and version that it was about.
    pub version: Option<(&'static str, u32)>,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// The key log has grown.
    KeyLog(KeyEntry),
    /// A reload was asked for and refused; the old policy stays in force.
    ReloadRefused,
    /// Another policy came into force.
    Reloaded,
    /// The service takes requests.
    Started,
    /// The service has drained.
    Stopped,
}

impl Milestone {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyLog(_) => "key_log",
            Self::ReloadRefused => "reload_refused",
            Self::Reloaded => "reloaded",
            Self::Started => "started",
            Self::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_only_the_request_knows_stays_out() {
        let made_up = FunctionName::new("public.svensson");
        let subject = Subject::of(&Target::Function(made_up.clone()), |_| false);
        assert_eq!(subject, Subject::UndeclaredFunction);
        assert_eq!(Subject::of(&Target::Function(made_up.clone()), |_| true), {
            Subject::Function(made_up)
        });
        let table = Target::Undeclared(EntityName::new("public.svensson"));
        assert_eq!(Subject::of(&table, |_| true), Subject::UndeclaredEntity);
    }

    #[test]
    fn counts_of_several_passes_add_up() {
        let mrn = ClassName::new("mrn");
        let one = BTreeMap::from([(mrn.clone(), 2), (ClassName::new("name"), 0)]);
        let mut counts = Counts::default();
        counts.add(Fate::Opened, &one);
        counts.add(Fate::Opened, &one);
        counts.add(Fate::Sealed, &one);
        assert_eq!(counts.classes.len(), 1);
        assert_eq!(counts.classes[&mrn].opened, 4);
        assert_eq!(counts.total(Fate::Sealed), 2);
    }
}
