//! What a pass did, in counts: for audit and metrics. Nothing here can hold a value.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    base::ident::{ClassName, EntityName, Kid},
    model::FieldRef,
};

/// Counts of one direction of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Values sealed, by class.
    pub sealed: BTreeMap<ClassName, u64>,
    /// Values given out in clear, by class.
    pub opened: BTreeMap<ClassName, u64>,
    /// Values given out masked, by class.
    pub masked: BTreeMap<ClassName, u64>,
    /// Values withheld (null, left out, or as the envelope), by class.
    pub withheld: BTreeMap<ClassName, u64>,
    /// Envelopes stored unchanged by a caller who may not open them, by class.
    pub put_back: BTreeMap<ClassName, u64>,
    /// Literals of filters that were replaced, by class.
    pub filtered: BTreeMap<ClassName, u64>,
    /// Declared values in whose place the marker of a failed integrity check stands, by class.
    pub marked: BTreeMap<ClassName, u64>,
    /// Values of answers that were not sealed yet, by class; they are counted as shown too.
    pub plain: BTreeMap<ClassName, u64>,
    /// The same by field.
    pub clear: BTreeMap<FieldRef, u64>,
    /// Envelopes elsewhere in an answer that did not open, or whose class the caller may not read.
    pub strays_passed: u64,
    /// Fields of requests that the policy does not list, by entity, where it says to count them.
    pub unknown: BTreeMap<EntityName, u64>,
    /// Every key version and class that was used.
    pub kids: BTreeSet<Kid>,
    /// The states of keys that kept values from being opened.
    pub key_states: BTreeSet<&'static str>,
}

impl Tally {
    /// Adds what another pass of the same exchange did.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.sealed, &other.sealed),
            (&mut self.opened, &other.opened),
            (&mut self.masked, &other.masked),
            (&mut self.withheld, &other.withheld),
            (&mut self.put_back, &other.put_back),
            (&mut self.filtered, &other.filtered),
            (&mut self.marked, &other.marked),
            (&mut self.plain, &other.plain),
        ];
        for (sum, more) in pairs {
            for (class, count) in more {
                *sum.entry(class.clone()).or_default() += count;
            }
        }
        for (entity, count) in &other.unknown {
            *self.unknown.entry(entity.clone()).or_default() += count;
        }
        for (field, count) in &other.clear {
            *self.clear.entry(field.clone()).or_default() += count;
        }
        self.strays_passed += other.strays_passed;
        self.kids.extend(&other.kids);
        self.key_states.extend(&other.key_states);
    }

    /// Whether no protected value was sealed, opened, shown or tested.
    pub fn is_empty(&self) -> bool {
        let Self { sealed, opened, masked, withheld, put_back, filtered, marked, .. } = self;
        [sealed, opened, masked, withheld, put_back, filtered, marked]
            .iter()
            .all(|counts| counts.is_empty())
    }
}

/// Counts one value of a class.
pub(super) fn count(counts: &mut BTreeMap<ClassName, u64>, class: &ClassName) {
    match counts.get_mut(class) {
        Some(count) => *count += 1,
        None => {
            counts.insert(class.clone(), 1);
        }
    }
}
