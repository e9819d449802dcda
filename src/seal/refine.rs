//! What is still to be done with the records of an answer once they are opened.
//!
//! A test that lies between two rungs of the token ladder is asked upstream by the coarser one and
//! carried out here on the opened values; an order by a sealed field is carried out here alone.
//! Neither may change what a page or a count holds, so both are for whole lists only. A test that the
//! tokens answer is exact but for collisions; where its values are opened anyway they are tested
//! again. `watch` carries out what is written down here.

use std::sync::Arc;

use super::compare::Pattern;
use crate::{
    base::{
        class::Rung,
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    crypto::Typed,
    model::{Bound, Direction, FieldRef, Nulls, Operation, Page, Placement, Target, Use, UseKind},
    policy::plan::{Class, FilterRule, Sort},
};

/// The most tests of one request that are carried out on opened values.
const MAX_CHECKS: usize = 64;

/// What is still to be done with the records of an answer.
#[derive(Clone, Debug, Default)]
pub struct Refine {
    pub(super) checks: Vec<Check>,
    /// By what the records are ordered, the weightiest first.
    pub(super) order: Vec<Term>,
}

/// A test of an opened value.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// The key of the value in each record.
    pub key: String,
    /// For messages.
    pub field: FieldRef,
    pub class: Arc<Class>,
    pub condition: Condition,
    pub otherwise: Otherwise,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// On one side of another value, as the type of the class compares.
    Bound { bound: Bound, literal: Typed },
    /// Like a pattern.
    Like(Pattern),
    /// Of one of these normal forms on a rung.
    OneOf { rung: Rung, forms: Vec<Plaintext> },
}

/// What becomes of a record that does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// It is left out: what was asked upstream finds more than the test.
    Drop,
    /// It is left out, but there should have been none: once the head of the answer has gone and has
    /// said how many there are, the answer fails.
    DropEarly,
    /// The answer fails, since it would be wrong without the record too.
    Fail,
}

/// A term of an order.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// The key of the value in each record.
    pub key: String,
    /// For messages.
    pub field: FieldRef,
    pub class: Arc<Class>,
    pub direction: Direction,
    pub nulls: Nulls,
    /// How many records are ordered at most.
    pub at_most: usize,
}

impl Refine {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.order.is_empty()
    }

    /// Whether the answer is right only if it holds every record that the request upstream finds.
    pub fn needs_whole(&self) -> bool {
        !self.order.is_empty() || self.checks.iter().any(|check| check.otherwise == Otherwise::Drop)
    }

    /// Adds a test that the literals upstream only approximate: every record that passes it is in the
    /// answer, others may be. Refused unless the answer is a whole list with the field in it.
    pub(super) fn approximate(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        one: &Use,
        condition: Condition,
        reason: &'static str,
    ) -> Result<(), Refusal> {
        let refused = |code| Refusal::new(code).on(&rule.field).at_line(rule.line);
        if one.place != Placement::Required || !is_own(op, rule) {
            return Err(refused(Code::UnsupportedOperator).reason(reason));
        }
        let key = whole_list_key(op, &rule.field).map_err(|r| r.at_line(rule.line))?;
        self.check(key, rule, condition, Otherwise::Drop)
    }

    /// Adds a test that tokens answer, so that what collides is found where it is seen. Tests that
    /// stand within others cannot be tested again, and after a write it is too late.
    pub(super) fn again(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        one: &Use,
        condition: Condition,
    ) -> Result<(), Refusal> {
        let Some(key) = op.own_keys.get(&rule.field.field) else { return Ok(()) };
        let is_read = op.verb == crate::model::Verb::Read;
        if !is_read || one.place != Placement::Required || !is_own(op, rule) {
            return Ok(());
        }
        let otherwise = match op.page {
            Page::Whole => Otherwise::DropEarly,
            Page::Part(_) => Otherwise::Fail,
        };
        self.check(key, rule, condition, otherwise)
    }

    fn check(
        &mut self,
        key: &str,
        rule: &FilterRule,
        condition: Condition,
        otherwise: Otherwise,
    ) -> Result<(), Refusal> {
        if self.checks.len() >= MAX_CHECKS {
            let refusal = Refusal::new(Code::UnsupportedOperator).on(&rule.field);
            return Err(refusal.reason("too many tests of sealed fields in one request"));
        }
        let (key, field, class) = (key.to_owned(), rule.field.clone(), rule.class.clone());
        self.checks.push(Check { key, field, class, condition, otherwise });
        Ok(())
    }

    /// Adds a term of the order: `number` counts all uses of the request. Terms that the API carries
    /// out may follow, since what is ordered here keeps their order among equals; none may stand
    /// before.
    pub(super) fn order_by(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        number: usize,
    ) -> Result<(), Refusal> {
        let refused = |code| Refusal::new(code).on(&rule.field).by("order").at_line(rule.line);
        let one = op.uses.get(number).ok_or(Code::Internal)?;
        let (UseKind::Order { direction, nulls }, Sort::Here { at_most }) =
            (&one.kind, rule.class.sort)
        else {
            return Err(refused(Code::UnsupportedOrder));
        };
        if one.place != Placement::Required || !is_own(op, rule) {
            let reason = "only the records themselves are ordered here, by one order=";
            return Err(refused(Code::UnsupportedOrder).reason(reason));
        }
        let before = op.uses.iter().take(number);
        let orders = before.filter(|other| matches!(other.kind, UseKind::Order { .. }));
        if orders.filter(|other| other.place == Placement::Required).count() != self.order.len() {
            let reason = "a term that the API carries out stands before it";
            return Err(refused(Code::UnsupportedOrder).reason(reason));
        }
        let key = whole_list_key(op, &rule.field).map_err(|r| r.at_line(rule.line))?;
        self.order.push(Term {
            key: key.to_owned(),
            field: rule.field.clone(),
            class: rule.class.clone(),
            direction: *direction,
            nulls: *nulls,
            at_most,
        });
        Ok(())
    }
}

/// Whether a rule is about the records of the answer themselves.
fn is_own(op: &Operation, rule: &FilterRule) -> bool {
    matches!(&op.target, Target::Entity(name) if *name == rule.field.entity)
}

/// The key of a field in each record of a whole list.
fn whole_list_key<'a>(op: &'a Operation, field: &FieldRef) -> Result<&'a str, Refusal> {
    if let Page::Part(word) = op.page {
        return Err(Refusal::new(Code::NotWhole).on(field).reason(word));
    }
    let key = op.own_keys.get(&field.field).map(String::as_str);
    key.ok_or_else(|| Refusal::new(Code::NotSelected).on(field))
}
