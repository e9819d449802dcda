//! The decision about one operation: [`ApiPolicy::plan`].
//!
//! Reads from top to bottom as the tenets of the design do: may this target be addressed at all; may
//! each use of a column in the head be answered, and asked by this caller; may the answer be read.
//! Whether a value may be written is known only when the body is seen, so it goes into the plan.

use std::collections::BTreeMap;

use crate::{
    auth::Caller,
    base::{
        class::{Mode, ValueType},
        ident::{EntityName, FieldName},
        near,
        refusal::{Code, Refusal},
    },
    model::{
        BodyForm, EntityDecl, FieldRef, Filter, FunctionDecl, Node, Operation, Target, Test,
        Unknown, Use, UseKind, Verb,
    },
};

use super::{
    apis::{ApiPolicy, Field},
    entities::bare_name,
    functions::Argument,
    grants::Granted,
    plan::{
        AnswerPlan, ClassRights, FilterRule, Guard, Made, OpenRule, Plan, RequestPlan, Right,
        SealRule, Sort, Write,
    },
};

/// How a target stands to the policy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is declared.
    Declared,
    /// It is listed under `undeclared:`.
    Excepted,
    /// It is a function listed there, so that its arguments have nothing to do with columns.
    ExceptedFunction,
    /// It is a route that the policy opens.
    Open,
    /// It is neither.
    Unknown,
}

impl ApiPolicy {
    /// What may happen. A refusal names the field, the operator and the policy line that decided.
    pub fn plan(&self, operation: &Operation, caller: &Caller) -> Result<Plan, Refusal> {
        let granted = self.grants.of(caller.name());
        // What is not decided below is nothing that may be sent, and nothing that is opened.
        let mut plan = Plan {
            request: RequestPlan::Nothing,
            filters: vec![None; operation.uses.len()],
            answer: AnswerPlan::Scan(Node::default()),
            rights: granted.rights.clone(),
            binds: self.binds.clone(),
            head_key: None,
            unknown: BTreeMap::new(),
            formats: operation.formats,
            hides_errors: false,
            made: Made,
        };
        if self.is_open() {
            (plan.request, plan.answer) = (RequestPlan::Pass, AnswerPlan::Pass);
            return Ok(plan);
        }
        let standing = self.address(operation)?;
        if standing == Standing::Open {
            // Envelopes are refused there as everywhere: what is opened is what passes, not who
            // gets something of ours opened by having it stored elsewhere.
            (plan.request, plan.answer) = (RequestPlan::Scan(Node::default()), AnswerPlan::Pass);
            return Ok(plan);
        }
        for (one, filter) in operation.uses.iter().zip(&mut plan.filters) {
            self.judge_unlisted(one, &mut plan.unknown)?;
            *filter = self.judge_use(one, operation.verb, standing, granted)?;
        }
        self.judge_elsewhere(operation, standing, granted)?;
        plan.hides_errors = self.hides_clear(granted);
        let answer = operation
            .answer
            .filter_map(&mut |field, is_cast| self.open_rule(field, is_cast, granted))?;
        plan.answer = AnswerPlan::Scan(answer);
        plan.request = match (&operation.body, operation.verb) {
            (BodyForm::Opaque, Verb::Delete | Verb::Describe | Verb::Read) => RequestPlan::Nothing,
            // A declared function takes what is listed.
            (BodyForm::Opaque, Verb::Call) if standing == Standing::Declared => {
                RequestPlan::Nothing
            }
            (BodyForm::Opaque, Verb::Call | Verb::Create | Verb::Replace | Verb::Update) => {
                RequestPlan::Scan(Node::default())
            }
            (BodyForm::Records(records), _) => RequestPlan::Scan(
                records.filter_map(&mut |field, _| self.seal_rule(field, operation, granted))?,
            ),
        };
        plan.head_key = operation.head_key().cloned();
        Ok(plan)
    }

    /// Refuses or counts what the head says of a field that the policy does not list: a test of it
    /// carries a value up as a body does.
    fn judge_unlisted(
        &self,
        one: &Use,
        unknown: &mut BTreeMap<EntityName, u64>,
    ) -> Result<(), Refusal> {
        let word = match &one.kind {
            UseKind::Column => "columns",
            UseKind::Conflict => "on_conflict",
            UseKind::Filter(Filter { test: Test::IsNull, .. })
            | UseKind::Embed
            | UseKind::Key
            | UseKind::Order { .. }
            | UseKind::Text
            | UseKind::Transform(_)
            | UseKind::Zone => return Ok(()),
            UseKind::Filter(filter) => filter.operator,
        };
        if self.lists_argument(one) == Some(false) {
            let function = one.entity.as_ref().map(EntityName::as_str).unwrap_or_default();
            return Err(Refusal::new(Code::UnknownField).on(function).by(word));
        }
        let listed = |entity: &&EntityDecl| {
            entity.fields.contains(&one.column) || entity.rest.plain.contains(&one.column)
        };
        let entity =
            self.surface.entities.iter().find(|entity| Some(&entity.name) == one.entity.as_ref());
        let Some(entity) = entity.filter(|entity| !listed(entity)) else { return Ok(()) };
        match entity.rest.unknown {
            Unknown::Deny => Err(Refusal::new(Code::UnknownField).on(&entity.name).by(word)),
            Unknown::Pass => Ok(()),
            Unknown::Warn => {
                *unknown.entry(entity.name.clone()).or_default() += 1;
                Ok(())
            }
        }
    }

    /// Whether an argument of a function is listed, or nearly; `None` if it is none.
    fn lists_argument(&self, one: &Use) -> Option<bool> {
        let is_own = |f: &&FunctionDecl| Some(FunctionDecl::arguments_of(&f.name)) == one.entity;
        let function = self.surface.functions.iter().find(is_own)?;
        let is_near = |name: &FieldName| near::is_near(name.as_str(), one.column.as_str());
        Some(function.plain.contains(&one.column) || function.arguments.iter().any(is_near))
    }

    /// Refuses what could carry values past the policy: writes to what is not declared, and calls.
    fn address(&self, operation: &Operation) -> Result<Standing, Refusal> {
        let standing = match &operation.target {
            Target::Entity(name) if self.declares(name) => Standing::Declared,
            Target::Entity(name) | Target::Undeclared(name) => {
                if self.exceptions.entities.contains(name) {
                    Standing::Excepted
                } else {
                    Standing::Unknown
                }
            }
            Target::Function(name) if self.function(name).is_some() => Standing::Declared,
            Target::Function(name) if self.exceptions.functions.contains(name) => {
                Standing::ExceptedFunction
            }
            Target::Function(_) => return Err(Code::UndeclaredFunction.into()),
            Target::Open(name) if self.opens(name) => Standing::Open,
            Target::Open(_) => Standing::Unknown,
            Target::Service => Standing::Unknown,
        };
        if standing == Standing::Unknown && operation.verb.writes() {
            return Err(Code::UndeclaredEntity.into());
        }
        Ok(standing)
    }

    fn declares(&self, name: &EntityName) -> bool {
        self.surface.entities.iter().any(|entity| entity.name == *name)
            || self.surface.routes.iter().any(|route| route.pattern == *name)
            || self.surface.functions.iter().any(|f| FunctionDecl::arguments_of(&f.name) == *name)
    }

    fn opens(&self, name: &EntityName) -> bool {
        self.surface.routes.iter().any(|route| route.is_open && route.pattern == *name)
    }

    fn judge_use(
        &self,
        one: &Use,
        verb: Verb,
        standing: Standing,
        granted: &Granted,
    ) -> Result<Option<FilterRule>, Refusal> {
        if matches!(one.kind, UseKind::Zone) {
            // Also where no field is declared: what is found there is opened by its class.
            let is_timed = |field: &Field| field.class.params.ty == ValueType::TimestampTz;
            return match self.fields.values().any(is_timed) {
                true => Err(Refusal::new(Code::UnsupportedHeader).by("Prefer: timezone")),
                false => Ok(None),
            };
        }
        let Some(entity) = one.entity.as_ref().filter(|entity| self.declares(entity)) else {
            return self
                .judge_undeclared(one, standing == Standing::ExceptedFunction)
                .map(|()| None);
        };
        let field_ref = FieldRef { entity: entity.clone(), field: one.column.clone() };
        let Some(field) = self.fields.get(&field_ref) else {
            let near = |other: &FieldRef| {
                other.entity == *entity && near::is_near(other.field.as_str(), one.column.as_str())
            };
            return match self.fields.keys().any(near) {
                true => Err(Code::NearName.into()),
                false => Ok(None),
            };
        };
        let class = &field.class;
        let line = granted.line(&class.params.id);
        let refused = |code, word| Refusal::new(code).on(&field_ref).by(word);
        let unsupported = |code, word| Err(refused(code, word).at_line(class.line));
        let rule = || {
            let (holds, line) = (field.holds(), field.line);
            Some(FilterRule { class: class.clone(), field: field_ref.clone(), holds, line })
        };
        let held = rights(field, granted);
        let may_filter = |word| match held.is_some_and(|rights| rights.may_filter) {
            true => Ok(()),
            false => Err(refused(Code::FilterNotGranted, word).at_line(line)),
        };
        self.judge_mixed(one, verb, (&field_ref, field), |code, word| {
            refused(code, word).at_line(field.line)
        })?;
        match &one.kind {
            UseKind::Column => match may_store(field, granted) {
                true => Ok(None),
                false => Err(refused(Code::WriteNotGranted, "columns").at_line(line)),
            },
            UseKind::Conflict => match class.params.mode {
                Mode::Deterministic => may_filter("on_conflict").map(|()| None),
                Mode::Random | Mode::Searchable => {
                    unsupported(Code::UnsupportedConflict, "on_conflict")
                }
            },
            UseKind::Key if self.is_outside_key(&field_ref) => Ok(None),
            UseKind::Key => match class.params.mode {
                Mode::Deterministic => may_filter("resolution").map(|()| None),
                Mode::Random | Mode::Searchable => {
                    unsupported(Code::UnsupportedConflict, "resolution")
                }
            },
            UseKind::Embed => Ok(None),
            // A function gets one of the many texts that a value may be stored as.
            UseKind::Filter(filter) if field.argument.is_some() => match filter.test {
                Test::Equal(_) if class.params.mode == Mode::Deterministic => {
                    match may_store(field, granted) {
                        true => Ok(rule()),
                        false => {
                            Err(refused(Code::FilterNotGranted, filter.operator).at_line(line))
                        }
                    }
                }
                Test::Bound { .. }
                | Test::Equal(_)
                | Test::In(_)
                | Test::IsNull
                | Test::Other
                | Test::Pattern { .. } => unsupported(Code::UnsupportedOperator, filter.operator),
            },
            // Null is never sealed, so whoever can ask the API at all sees where it stands.
            UseKind::Filter(Filter { test: Test::IsNull, .. }) => Ok(None),
            // The server asks for the whole key by equality, and a range is not that.
            UseKind::Filter(filter)
                if verb == Verb::Replace && class.params.mode == Mode::Searchable =>
            {
                unsupported(Code::UnsupportedConflict, filter.operator)
            }
            // A pattern is one of text, and the column that the class stands for takes no other.
            UseKind::Filter(filter)
                if filter.operator.contains("like") && !class.params.ty.is_text() =>
            {
                unsupported(Code::UnsupportedOperator, filter.operator)
            }
            UseKind::Filter(filter) if class.answers(filter) => {
                may_filter(filter.operator).map(|()| rule())
            }
            UseKind::Filter(filter) => unsupported(Code::UnsupportedOperator, filter.operator),
            UseKind::Order { .. } => match (class.sort, held.map(|rights| rights.read)) {
                (Sort::Refused, _) => unsupported(Code::UnsupportedOrder, "order"),
                // An order tells of every value how it compares to its neighbours.
                (Sort::Here { .. }, Some(Right::Clear)) => Ok(rule()),
                (Sort::Here { .. }, _) => Err(refused(Code::ReadNotGranted, "order").at_line(line)),
            },
            // The text of `jsonb` is not the one that was written, and which of the two the column
            // was is not known here.
            UseKind::Text if class.params.ty == ValueType::Json => {
                unsupported(Code::UnsupportedTransform, "cast")
            }
            UseKind::Text => Ok(None),
            UseKind::Transform(word) => unsupported(Code::UnsupportedTransform, word),
            UseKind::Zone => Ok(None),
        }
    }

    /// Whether the policy says the key of the entity, and the field is no part of it.
    pub(super) fn is_outside_key(&self, field: &FieldRef) -> bool {
        self.keys.get(&field.entity).is_some_and(|key| !key.contains(&field.field))
    }

    /// A view may repeat a protected column under its name: testing it would send the value in
    /// clear, and anything else would give a wrong answer.
    fn judge_undeclared(&self, one: &Use, is_argument: bool) -> Result<(), Refusal> {
        let is_value =
            matches!(&one.kind, UseKind::Filter(filter) if filter.operator == "parameter");
        let excepted = match &one.entity {
            Some(entity) => self.exceptions.entities.contains(entity),
            None => is_argument && is_value,
        };
        let protected = || {
            self.protected_names.contains(&one.column.as_str().to_lowercase())
                || self.protected_names.contains(&bare_name(&one.column))
        };
        if excepted || matches!(one.kind, UseKind::Embed) || !protected() {
            return Ok(());
        }
        let changes = |(declared, field): (&FieldRef, &Field)| {
            near::is_near(declared.field.as_str(), one.column.as_str())
                && !field.class.params.ty.casts_to_itself()
        };
        if matches!(one.kind, UseKind::Text) && !self.fields.iter().any(changes) {
            return Ok(());
        }
        let word = match &one.kind {
            UseKind::Column => "columns",
            UseKind::Conflict => "on_conflict",
            UseKind::Embed => "select",
            UseKind::Filter(filter) => filter.operator,
            UseKind::Key => "resolution",
            UseKind::Order { .. } => "order",
            UseKind::Text => "cast",
            UseKind::Transform(word) => word,
            UseKind::Zone => "timezone",
        };
        Err(Refusal::new(Code::UndeclaredFilter).by(word))
    }

    fn open_rule(
        &self,
        field_ref: &FieldRef,
        is_cast: bool,
        granted: &Granted,
    ) -> Result<Option<OpenRule>, Refusal> {
        let Some(field) = self.fields.get(field_ref) else { return Ok(None) };
        let right = rights(field, granted).map_or(Right::Deny, |rights| rights.read);
        if right == Right::Deny {
            let line = granted.line(&field.class.params.id);
            return Err(Refusal::new(Code::ReadNotGranted).on(field_ref).at_line(line));
        }
        let class = field.class.clone();
        let (is_bound, holds) = (field.is_bound, field.holds());
        Ok(Some(OpenRule { class, field: field_ref.clone(), right, is_bound, is_cast, holds }))
    }

    fn seal_rule(
        &self,
        field_ref: &FieldRef,
        operation: &Operation,
        granted: &Granted,
    ) -> Result<Option<SealRule>, Refusal> {
        let Some(field) = self.fields.get(field_ref) else { return Ok(None) };
        self.judge_argument(field, |code, word| {
            Refusal::new(code).on(field_ref).by(word).at_line(field.line)
        })?;
        let rights = rights(field, granted);
        let guard = match rights.map_or(Right::Deny, |rights| rights.read) {
            Right::Clear | Right::Deny => Guard::Plain,
            Right::Masked | Right::Null | Right::Omit => Guard::Unseen,
            Right::Sealed => Guard::PutBack,
        };
        let write = if may_store(field, granted) {
            Write::Allowed
        } else {
            Write::Denied { line: granted.line(&field.class.params.id) }
        };
        Ok(Some(SealRule {
            class: field.class.clone(),
            field: field_ref.clone(),
            guard,
            write,
            required: guard == Guard::Unseen && is_written_whole(operation, field_ref),
            is_bound: field.is_bound,
            holds: field.holds(),
            line: field.line,
        }))
    }
}

/// Whether a record without the field would put a null in its place.
fn is_written_whole(operation: &Operation, field: &FieldRef) -> bool {
    operation.verb == Verb::Replace
        || operation
            .uses
            .iter()
            .any(|one| matches!(one.kind, UseKind::Column) && one.column == field.field)
}

/// Whether the caller may have the value stored; for an argument of a function, whether the caller
/// may have done with it what the function does.
fn may_store(field: &Field, granted: &Granted) -> bool {
    rights(field, granted).is_some_and(|rights| match field.argument {
        None | Some(Argument::Stored) => rights.may_write,
        Some(Argument::Either) => rights.may_write && rights.may_filter,
        Some(Argument::Tested) => rights.may_filter,
    })
}

pub(super) fn rights<'a>(field: &Field, granted: &'a Granted) -> Option<&'a ClassRights> {
    granted.rights.by_class.get(&field.class.params.id)
}
