//! What is still to be done with the records of an answer once they are opened.
//!
//! A test that lies between two rungs of the token ladder is asked upstream by the coarser one and
//! carried out here on the opened values; an order by a sealed field is carried out here alone.
//! Neither may change what a page or a count holds, so both are for whole lists only. An equality
//! test is exact but for collisions of tokens; where its values are opened anyway they are compared.

use std::sync::Arc;

use crate::{
    base::{
        class::Rung,
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    crypto::Typed,
    model::{Bound, Case, Direction, FieldRef, Nulls, Operation, Page, Placement, Use},
    policy::plan::{Class, FilterRule},
};

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
    /// For messages.
    pub operator: &'static str,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// On one side of another value, as the type of the class compares.
    Bound { bound: Bound, literal: Typed },
    /// Like a pattern of SQL.
    Like { pattern: Plaintext, case: Case },
    /// Of one of these normal forms on a rung.
    OneOf { rung: Rung, forms: Vec<Plaintext> },
}

/// What becomes of a record that does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// It is left out: the request asked for no more than the tests say.
    Drop,
    /// It is left out, but there should have been none; once the head of the answer has gone, the
    /// answer fails.
    DropEarly,
    /// The answer fails, since it would be wrong without the record too.
    Fail,
}

/// A term of an order.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// The key of the value in each record.
    pub key: String,
    pub class: Arc<Class>,
    pub direction: Direction,
    pub nulls: Nulls,
}

impl Refine {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.order.is_empty()
    }

    /// Adds a test that the literals upstream only approximate: every record that passes it is in the
    /// answer, others may be. Refused unless the answer is a whole list with the field in it.
    pub(super) fn approximate(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        one: &Use,
        operator: &'static str,
        condition: Condition,
    ) -> Result<(), Refusal> {
        let refused = |code, word| Refusal::new(code).on(&rule.field).at_line(rule.line).by(word);
        if one.place != Placement::Required {
            return Err(refused(Code::UnsupportedOperator, operator));
        }
        if let Page::Part(word) = op.page {
            return Err(refused(Code::NotWhole, word));
        }
        let Some(key) = op.own_keys.get(&rule.field.field) else {
            return Err(refused(Code::NotSelected, operator));
        };
        self.checks.push(Check {
            key: key.clone(),
            field: rule.field.clone(),
            class: rule.class.clone(),
            condition,
            otherwise: Otherwise::Drop,
            operator,
        });
        Ok(())
    }
}
