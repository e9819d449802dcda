//! What is refused while a field may hold values in clear, since the answer would be wrong or would
//! show them to a caller who may not see them.
//!
//! # Why
//! Reads of what is not declared pass otherwise, because envelopes are all that could be there. While
//! a field holds values in clear, a view or a function may repeat them, and so may the text of an
//! error: a caller who does not read all of these classes in clear gets neither. (2026-11)

use crate::{
    base::refusal::{Code, Refusal},
    model::{FieldRef, Filter, Operation, Target, Test, Use, UseKind, Verb},
};

use super::{
    apis::{ApiPolicy, Field},
    decide::{Standing, rights},
    functions::Argument,
    grants::Granted,
    migration::Migration,
    plan::{Holds, Right},
};

const ONE_FORM: &str = "it compares with one stored form, and a field of the class has two";

impl Field {
    /// What its stored values are.
    pub(super) fn holds(&self) -> Holds {
        match self.migration {
            Migration::Dual { .. } | Migration::PlaintextOk { .. } => Holds::Mixed,
            Migration::Sealed => Holds::Envelopes,
        }
    }
}

impl ApiPolicy {
    /// Refuses what cannot be decided on values of two forms. `refused` names field and line.
    pub(super) fn judge_mixed(
        &self,
        one: &Use,
        verb: Verb,
        (name, field): (&FieldRef, &Field),
        refused: impl Fn(Code, &'static str) -> Refusal,
    ) -> Result<(), Refusal> {
        let is_mixed = field.holds() == Holds::Mixed;
        match &one.kind {
            // The unique index does not see that two forms are one value.
            UseKind::Conflict if is_mixed => Err(refused(Code::MixedKey, "on_conflict")),
            UseKind::Key if is_mixed && !self.is_outside_key(name) => {
                Err(refused(Code::MixedKey, "resolution"))
            }
            UseKind::Filter(filter) if is_mixed && verb == Verb::Replace => {
                Err(refused(Code::MixedKey, filter.operator))
            }
            UseKind::Filter(Filter { operator, test: Test::Equal(_) | Test::In(_) })
                if (self.tests_mixed(field) || *operator == "parameter")
                    && self.mixed.contains(&field.class.params.id) =>
            {
                Err(refused(Code::MixedTest, operator).reason(ONE_FORM))
            }
            UseKind::Column
            | UseKind::Conflict
            | UseKind::Embed
            | UseKind::Filter(_)
            | UseKind::Key
            | UseKind::Order { .. }
            | UseKind::Text
            | UseKind::Transform(_)
            | UseKind::Zone => Ok(()),
        }
    }

    /// Refuses an argument in a body that a function compares with values of two forms.
    pub(super) fn judge_argument(
        &self,
        field: &Field,
        refused: impl Fn(Code, &'static str) -> Refusal,
    ) -> Result<(), Refusal> {
        match self.tests_mixed(field) && self.mixed.contains(&field.class.params.id) {
            true => Err(refused(Code::MixedTest, "argument").reason(ONE_FORM)),
            false => Ok(()),
        }
    }

    fn tests_mixed(&self, field: &Field) -> bool {
        match field.argument {
            None | Some(Argument::Stored) => false,
            Some(Argument::Either | Argument::Tested) => true,
        }
    }

    /// Whether values in clear may stand where the caller may not see them.
    pub(super) fn hides_clear(&self, granted: &Granted) -> bool {
        self.hidden(granted).is_some()
    }

    /// Refuses an answer in which values could stand that nobody declares, if some may be in clear
    /// and the caller may not see them.
    pub(super) fn judge_elsewhere(
        &self,
        operation: &Operation,
        standing: Standing,
        granted: &Granted,
    ) -> Result<(), Refusal> {
        let (Some((field, line)), true) =
            (self.hidden(granted), self.answers_elsewhere(operation, standing))
        else {
            return Ok(());
        };
        Err(Refusal::new(Code::MixedElsewhere).on(field).at_line(line))
    }

    fn answers_elsewhere(&self, operation: &Operation, standing: Standing) -> bool {
        let embeds = operation.uses.iter().any(|one| {
            let is_excepted =
                one.entity.as_ref().is_some_and(|entity| self.exceptions.entities.contains(entity));
            matches!(one.kind, UseKind::Embed) && !is_excepted
        });
        let is_unknown = match (&operation.target, standing) {
            (Target::Function(name), Standing::Declared) => {
                self.function(name).is_none_or(|function| function.returns.is_none())
            }
            (_, Standing::Unknown) => operation.verb == Verb::Read,
            (_, Standing::Declared | Standing::Excepted | Standing::ExceptedFunction)
            | (_, Standing::Open) => false,
        };
        embeds || is_unknown
    }

    /// A field that may hold values in clear, of a class that the caller may not read so.
    fn hidden(&self, granted: &Granted) -> Option<(&FieldRef, usize)> {
        if self.mixed.is_empty() {
            return None;
        }
        let hidden = self.fields.iter().filter(|(_, field)| {
            let read = rights(field, granted).map_or(Right::Deny, |rights| rights.read);
            field.holds() == Holds::Mixed && read != Right::Clear
        });
        hidden.map(|(name, field)| (name, field.line)).min_by_key(|(_, line)| *line)
    }
}
