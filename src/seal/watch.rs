//! Carries out on opened values what [`Refine`] says: which records stay, and in which order.
//!
//! It sees the values of a record one by one as they are opened, and is asked at the record's end.
//! What was dropped was opened all the same, and is counted as such.

use std::cmp::Ordering;

use super::{
    compare::compare,
    refine::{Check, Condition, Otherwise, Refine, Term},
    tree::Tree,
    visit::{Act, Stop},
};
use crate::{
    base::{
        class::Equality,
        refusal::{Code, Refusal},
    },
    crypto::{Typed, normal},
    model::{Bound, Direction, Nulls},
    policy::plan::OpenRule,
};

/// How many records an answer holds after it was refined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refined {
    /// Records that stayed.
    pub kept: u64,
    /// Records that were left out.
    pub dropped: u64,
}

/// What is done with the values of one place.
#[derive(Clone, Copy)]
enum Part {
    Check(usize),
    Term(usize),
}

/// The state of refining an answer.
#[derive(Default)]
pub(super) struct Watch {
    refine: Refine,
    /// By rule: what its value is looked at for.
    by_rule: Vec<Vec<Part>>,
    /// The checks that saw their value in this record, and those that did not hold, as bits.
    seen: u64,
    failed: u64,
    /// The values of this record by which it is ordered.
    values: Vec<Option<Typed>>,
    /// Those of the records that stayed, in the order of the answer.
    ordered: Vec<Vec<Option<Typed>>>,
    has_head_gone: bool,
    pub refined: Refined,
}

impl Watch {
    /// Finds the places in the tree of an answer. Fails if one that is needed is not there.
    pub fn new(refine: &Refine, tree: &Tree<OpenRule>) -> Result<Self, Refusal> {
        let mut by_rule = vec![Vec::new(); tree.rules().len()];
        let mut place = |key: &str, part: Part| {
            let root = tree.node(tree.root());
            let records = root.elements.map(|elements| tree.node(elements));
            // A single object is a record too.
            let rules: Vec<_> = [Some(root), records]
                .into_iter()
                .flatten()
                .filter_map(|node| tree.node(node.member(key.as_bytes())?.1).rule)
                .collect();
            for rule in &rules {
                // Invariant: a tree gives out indices of its rules.
                by_rule[*rule as usize].push(part);
            }
            !rules.is_empty()
        };
        let mut kept = Refine { checks: Vec::new(), order: refine.order.clone() };
        for check in &refine.checks {
            if place(&check.key, Part::Check(kept.checks.len())) {
                kept.checks.push(check.clone());
            } else if check.otherwise == Otherwise::Drop {
                return Err(Refusal::new(Code::Internal).on(&check.field));
            }
        }
        for (number, term) in refine.order.iter().enumerate() {
            if !place(&term.key, Part::Term(number)) {
                return Err(Refusal::new(Code::Internal).on(&term.field));
            }
        }
        if kept.checks.len() > u64::BITS as usize {
            return Err(Code::Internal.into());
        }
        Ok(Self { values: vec![None; kept.order.len()], refine: kept, by_rule, ..Self::default() })
    }

    /// Whether nothing is looked at.
    pub fn is_idle(&self) -> bool {
        self.refine.is_empty()
    }

    /// Whether records are ordered, so that none goes out before the last has come.
    pub fn orders(&self) -> bool {
        !self.refine.order.is_empty()
    }

    /// Whether the value of a rule is looked at.
    pub fn looks_at(&self, rule: u32) -> bool {
        self.by_rule.get(rule as usize).is_some_and(|parts| !parts.is_empty())
    }

    /// The head of the answer goes out: it says how many records there are, unless it is known that
    /// some will be left out.
    /// Gives whether it is.
    pub fn settle(&mut self) -> bool {
        let are_dropped = self.refine.needs_whole() || self.refined.dropped > 0;
        self.has_head_gone = !are_dropped;
        are_dropped
    }

    /// A value of the current record; `None` is null.
    pub fn see(&mut self, rule: u32, value: Option<&Typed>) {
        let Some(parts) = self.by_rule.get(rule as usize) else { return };
        for part in parts {
            match *part {
                Part::Check(number) => {
                    let check = self.refine.checks.get(number);
                    let holds = check.zip(value).is_some_and(|(check, value)| check.holds(value));
                    self.seen |= 1 << number;
                    self.failed |= u64::from(!holds) << number;
                }
                Part::Term(number) => {
                    if let Some(place) = self.values.get_mut(number) {
                        *place = value.cloned();
                    }
                }
            }
        }
    }

    /// The record has ended: whether it stays.
    pub fn record(&mut self) -> Result<Act, Stop> {
        let (seen, failed) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.failed));
        let values = vec![None; self.values.len()];
        let values = std::mem::replace(&mut self.values, values);
        let mut act = Act::Keep;
        let mut broken = None;
        for (number, check) in self.refine.checks.iter().enumerate() {
            if seen & 1 << number == 0 {
                let refusal = Refusal::new(Code::UpstreamUnreadable).on(&check.field);
                return Err(refusal.into());
            }
            if failed & 1 << number == 0 {
                continue;
            }
            match check.otherwise {
                Otherwise::Drop => act = Act::Drop,
                Otherwise::DropEarly if !self.has_head_gone => act = Act::Drop,
                Otherwise::DropEarly | Otherwise::Fail => broken = broken.or(Some(check)),
            }
        }
        // A record that is left out anyway breaks nothing.
        match (act, broken) {
            (Act::Drop, _) => self.refined.dropped += 1,
            (_, Some(check)) => {
                return Err(Refusal::new(Code::Collision).on(&check.field).into());
            }
            _ => self.keep(values)?,
        }
        Ok(act)
    }

    fn keep(&mut self, values: Vec<Option<Typed>>) -> Result<(), Stop> {
        self.refined.kept += 1;
        if !self.orders() {
            return Ok(());
        }
        self.ordered.push(values);
        match self.refine.order.iter().find(|term| self.ordered.len() > term.at_most) {
            Some(term) => Err(Refusal::new(Code::TooManyRecords).on(&term.field).into()),
            None => Ok(()),
        }
    }

    /// For each place of the ordered answer, which of the records as they came stands there.
    pub fn permutation(&self) -> Result<Vec<usize>, Refusal> {
        let mut order: Vec<usize> = (0..self.ordered.len()).collect();
        let mut has_failed = false;
        order.sort_by(|one, other| {
            let (Some(one), Some(other)) = (self.ordered.get(*one), self.ordered.get(*other))
            else {
                return Ordering::Equal;
            };
            self.refine
                .order
                .iter()
                .zip(one.iter().zip(other))
                .map(|(term, (one, other))| {
                    term.compare(one.as_ref(), other.as_ref()).unwrap_or_else(|| {
                        has_failed = true;
                        Ordering::Equal
                    })
                })
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        if has_failed { Err(Code::Integrity.into()) } else { Ok(order) }
    }
}

impl Check {
    fn holds(&self, value: &Typed) -> bool {
        match &self.condition {
            Condition::Bound { bound, literal } => compare(self.class.params.ty, value, literal)
                .is_some_and(|side| match bound {
                    Bound::Above => side.is_gt(),
                    Bound::AtLeast => side.is_ge(),
                    Bound::AtMost => side.is_le(),
                    Bound::Below => side.is_lt(),
                }),
            Condition::Like(pattern) => pattern.fits(value),
            Condition::OneOf { rung, forms } => {
                // The most frequent case, without a copy of the value.
                if self.class.params.equality == Equality::Exact && !value.value.is_empty() {
                    return forms.iter().any(|form| form.expose() == value.value.expose());
                }
                let form = normal::forms(&[*rung], self.class.params.equality, value).pop();
                form.is_some_and(|form| forms.iter().any(|one| one.expose() == form.expose()))
            }
        }
    }
}

impl Term {
    fn compare(&self, one: Option<&Typed>, other: Option<&Typed>) -> Option<Ordering> {
        let nulls = match self.nulls {
            Nulls::First => Ordering::Less,
            Nulls::Last => Ordering::Greater,
        };
        match (one, other) {
            (None, None) => Some(Ordering::Equal),
            (None, Some(_)) => Some(nulls),
            (Some(_), None) => Some(nulls.reverse()),
            (Some(one), Some(other)) => {
                let ordering = compare(self.class.params.ty, one, other)?;
                Some(match self.direction {
                    Direction::Ascending => ordering,
                    Direction::Descending => ordering.reverse(),
                })
            }
        }
    }
}
