//! `migration:` of a field: whether values that were stored before there was labseal may still stand
//! in it, and until when.
//!
//! # Why
//! After the date `labseal check` fails, so that no policy goes out that still allows plaintext by
//! oversight. A sidecar that runs, starts or reloads goes on and warns (log, readiness, metrics): if
//! it refused what it served an hour before, a lab would stand still by a date alone, and nothing
//! would be safer, since the plaintext is in the database either way. (2026-11)
//!
//! Functions and the parameters of routes compare what they are given with one stored form, so they
//! are not asked while any field of their class in the same API holds two. (2026-11)

use std::collections::HashSet;

use crate::{
    base::{
        class::Mode,
        day::Day,
        ident::{ApiName, ClassId},
    },
    model::FieldRef,
};

use super::{
    Policy,
    apis::{ApiPolicy, Field},
    diagnostic::{Diagnostic, Place, Problems, Severity},
    document::{Fields, Node, text, word},
};

/// How many days before its end a migration is warned of.
const NOTICE: i64 = 30;

/// What a field may hold beside envelopes of its class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Migration {
    /// Values in clear, which are being sealed now.
    Dual {
        /// The last day on which they may be there.
        until: Day,
    },
    /// Values in clear.
    PlaintextOk {
        /// The last day on which they may be there.
        until: Day,
    },
    /// Nothing.
    #[default]
    Sealed,
}

impl Migration {
    /// The last day on which values in clear may be there; `None` if none may.
    pub fn until(self) -> Option<Day> {
        match self {
            Self::Dual { until } | Self::PlaintextOk { until } => Some(until),
            Self::Sealed => None,
        }
    }

    /// The word of the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dual { .. } => "dual",
            Self::PlaintextOk { .. } => "plaintext_ok",
            Self::Sealed => "sealed",
        }
    }
}

/// A field that may hold values in clear.
#[derive(Clone, Debug)]
pub struct Migrating {
    /// Of which API.
    pub api: ApiName,
    /// Which.
    pub field: FieldRef,
    /// What it is declared as.
    pub migration: Migration,
    /// The last day of it.
    pub until: Day,
    /// Where it is declared.
    pub line: usize,
}

impl Policy {
    /// Every field that may hold values in clear, in the order of the file.
    pub fn migrating(&self) -> Vec<Migrating> {
        let mut found: Vec<_> = self.apis().iter().flat_map(ApiPolicy::migrating).collect();
        found.sort_by(|one, other| (one.line, &one.field).cmp(&(other.line, &other.field)));
        found
    }

    /// What is to be said of them on a day: an error after the last one, a warning shortly before.
    pub fn overdue(&self, today: Day) -> Vec<Diagnostic> {
        let say = |one: Migrating| {
            let Migrating { field, migration, until, line, .. } = one;
            let left = today.days_until(until);
            let word = migration.as_str();
            let (severity, message) = match left {
                ..0 => {
                    (Severity::Error, format!("`{field}` was to be {word} until {until} at most"))
                }
                0..=NOTICE => {
                    (Severity::Warning, format!("`{field}` may be {word} for {left} more days"))
                }
                _ => return None,
            };
            let remedy = "seal what is left and write state: sealed, or give it another date";
            let (file, remedy) = (self.file().to_path_buf(), remedy.to_owned());
            Some(Diagnostic { file, line, column: 1, severity, message, remedy })
        };
        self.migrating().into_iter().filter_map(say).collect()
    }
}

impl ApiPolicy {
    /// Its fields that may hold values in clear.
    fn migrating(&self) -> impl Iterator<Item = Migrating> {
        self.fields.iter().filter_map(|(field, is)| {
            let (until, migration, line) = (is.migration.until()?, is.migration, is.line);
            let (api, field) = (self.name.clone(), field.clone());
            Some(Migrating { api, field, migration, until, line })
        })
    }

    /// What the policy says of one field; `Sealed` too where it says nothing of it.
    pub fn migration(&self, field: &FieldRef) -> Migration {
        self.fields.get(field).map(|field| field.migration).unwrap_or_default()
    }
}

/// The classes of which some field may hold values in clear.
pub(super) fn classes<'a>(fields: impl Iterator<Item = &'a Field>) -> HashSet<ClassId> {
    let mixed = fields.filter(|field| field.migration != Migration::Sealed);
    mixed.map(|field| field.class.params.id.clone()).collect()
}

/// The words after `state:`.
#[derive(Clone, Copy)]
enum State {
    Dual,
    PlaintextOk,
    Sealed,
}

/// Reads `{state: …, until: …}`. `None` after a problem.
pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Migration> {
    let mut fields = Fields::of(node, "migration", problems)?;
    let remedy = "write state: plaintext_ok, dual or sealed";
    let state = fields.required("state", remedy, problems);
    let until = fields.optional("until");
    fields.finish(problems);
    let day = until.and_then(|node| day(node, problems));
    let words =
        [("dual", State::Dual), ("plaintext_ok", State::PlaintextOk), ("sealed", State::Sealed)];
    let state =
        state.and_then(|node| word(node, "the state of a migration", &words, &[], problems));
    match (state?, until) {
        (State::Sealed, Some(until)) => {
            problems.error(until.at, "what is sealed has no end", "leave until out");
            None
        }
        (State::Sealed, None) => Some(Migration::Sealed),
        (State::Dual | State::PlaintextOk, None) => {
            let remedy = "add until: 2026-12-31, the last day on which plaintext may be there";
            problems.error(node.at, "migration lacks `until`", remedy);
            None
        }
        (State::Dual, Some(_)) => Some(Migration::Dual { until: day? }),
        (State::PlaintextOk, Some(_)) => Some(Migration::PlaintextOk { until: day? }),
    }
}

fn day(node: &Node, problems: &mut Problems) -> Option<Day> {
    let found = text(node, "until", problems)?.parse();
    if found.is_err() {
        problems.error(node.at, "until is not a day", "write it as 2026-12-31");
    }
    found.ok()
}

/// Warns of what a unique index cannot keep while a field is in migration.
pub(super) fn warn_of_unique(at: Place, field: &Field, problems: &mut Problems) {
    let is_mixed = field.migration != Migration::Sealed;
    if field.unique && is_mixed && field.class.params.mode == Mode::Deterministic {
        let message = "a unique index does not see that a plaintext value and its envelope are one";
        let remedy = "see the table in docs/policy.md: who adds a record checks that it is new, \
                      until all values are sealed";
        problems.warning(at, message, remedy);
    }
}
