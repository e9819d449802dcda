//! From a request head to an operation, with the places in the target where its uses are spelled.
//!
//! `classify` takes the operation from here and `readdress` the places, so that the two cannot
//! disagree about what a use is.

use std::ops::Range;

use http::HeaderName;

use super::{
    accept, bind,
    call::Call,
    cursor::{Field, Name},
    declared::{Declared, Entity},
    embed::{self, Unit},
    filter::{Expr, Form, Sense},
    query::{self, Meaning, Param},
    select::{self, Cast, Item, Spread},
    target::{self, Resource},
};
use crate::{
    base::{
        ident::{EntityName, FieldName, FunctionName},
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    dialect::{
        Head,
        text::{Decoded, Edit},
    },
    model::{BodyForm, Filter, Node, Operation, Target, Test, Use, UseKind, Verb},
};

const ACCEPT_PROFILE: HeaderName = HeaderName::from_static("accept-profile");
const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");

/// A request head, understood.
pub(super) struct Reading {
    pub(super) operation: Operation,
    /// Aligned with the operation's uses.
    pub(super) sites: Vec<Site>,
    /// What is asked of the server beside what the caller asks for.
    pub(super) additions: Vec<Edit>,
}

/// Where a use is spelled. All ranges are of the raw target.
pub(super) enum Site {
    /// An argument of a function, as a parameter.
    Argument { whole: Range<usize>, value: Range<usize> },
    /// Nothing there can be replaced.
    Fixed,
    /// A test as a parameter of its own.
    Parameter { whole: Range<usize>, embed: Range<usize>, test: TestSite },
    /// A test inside a logic tree.
    Tree { whole: Range<usize>, test: TestSite },
}

/// The parts of a test.
pub(super) struct TestSite {
    pub(super) column: Range<usize>,
    /// From `not.` to the end of the value.
    pub(super) expr: Range<usize>,
    pub(super) form: Form,
    pub(super) sense: Sense,
    /// Whether `not.` stands before it.
    pub(super) negated: bool,
}

/// Reads a head.
pub(super) fn read(declared: &Declared, head: Head<'_>) -> Result<Reading, Refusal> {
    let resource = target::resource(head.target)?;
    let verb = target::verb(head.method, &resource)?;
    let profile = match head.method.as_str() {
        "DELETE" | "PATCH" | "POST" | "PUT" => CONTENT_PROFILE,
        _ => ACCEPT_PROFILE,
    };
    let schema = declared.schema(accept::profile(head.headers, &profile)?);
    let call = match (&resource, schema) {
        (Resource::Function(name), Some(schema)) => declared.function(schema, name),
        _ => None,
    };
    let call = call.map(|function| Call::new(function, head.method, head.headers)).transpose()?;
    let entity = match (&resource, schema) {
        (Resource::Table(table), Some(schema)) => declared.entity(schema, table),
        _ => call.and_then(|call| call.returned(declared)),
    };
    let target = address(&resource, schema, entity);
    if head.method.as_str() == "OPTIONS" {
        return Ok(Reading {
            operation: describe(target),
            sites: Vec::new(),
            additions: Vec::new(),
        });
    }

    // Columns of an undeclared target are told from those of an undeclared embed: an exception in
    // the policy is for the one, and not for the other.
    let undeclared = match &target {
        Target::Undeclared(name) => Some(Entity::undeclared(name.clone())),
        Target::Entity(_) | Target::Function(_) | Target::Open(_) | Target::Service => None,
    };
    let own = entity.or(undeclared.as_ref());
    let mut walk = Walk::new(declared, schema, own, head.target)?;
    walk.call = call;
    let conflicts = walk.parameters.iter().any(|(_, m)| matches!(m, Meaning::Conflict(_)));
    walk.everything()?;
    if verb == Verb::Create && !conflicts && accept::prefers(head.headers, "resolution=") {
        // The server then decides by the primary key, which is not told here.
        for column in entity.iter().flat_map(|entity| &entity.columns) {
            walk.push(head.target.len(), entity, column, UseKind::Key, Site::Fixed)?;
        }
    }
    let (uses, sites) = walk.in_byte_order();

    let answers_records = match verb {
        Verb::Read => true,
        Verb::Create | Verb::Delete | Verb::Replace | Verb::Update => {
            accept::wants_representation(head.headers)
        }
        Verb::Call => entity.is_some(),
        Verb::Describe => false,
    };
    let answer = match (schema, answers_records) {
        (Some(schema), true) => {
            let members = embed::members(declared, schema, &walk.select, entity);
            let mut answer = embed::one_or_many(members, Unit::Record);
            bind::attach(&mut answer, entity, &walk.select);
            bind::has_its_keys(declared, &answer)?;
            readable(answer, head)?
        }
        _ => Node::default(),
    };
    let additions = match schema {
        Some(schema) if !answer.records().is_empty() => {
            bind::additions(declared, schema, head.target, &walk.select, entity)?
        }
        _ => Vec::new(),
    };
    let body = match (verb, entity) {
        (Verb::Create | Verb::Replace | Verb::Update, Some(entity))
            if entity.has_say_in_bodies() =>
        {
            BodyForm::Records(bind::body(entity, verb, head.headers, &uses, &sites)?)
        }
        _ => call.map_or(BodyForm::Opaque, |call| call.body()),
    };
    Ok(Reading { operation: Operation { verb, target, uses, body, answer }, sites, additions })
}

fn address(resource: &Resource, schema: Option<&str>, entity: Option<&Entity>) -> Target {
    // A schema that the policy does not list has no name here, so that no exception can match it.
    let qualified = |name: &str| format!("{}.{name}", schema.unwrap_or("(other schema)"));
    match (resource, entity) {
        (Resource::Table(_), Some(entity)) => Target::Entity(entity.name.clone()),
        (Resource::Table(table), None) => Target::Undeclared(EntityName::new(qualified(table))),
        (Resource::Function(name), _) => Target::Function(FunctionName::new(qualified(name))),
        (Resource::Root, _) => Target::Service,
    }
}

fn describe(target: Target) -> Operation {
    Operation {
        verb: Verb::Describe,
        target,
        uses: Vec::new(),
        body: BodyForm::Opaque,
        answer: Node::default(),
    }
}

fn readable<F>(answer: Node<F>, head: Head<'_>) -> Result<Node<F>, Refusal> {
    if answer.is_empty() {
        return Ok(answer);
    }
    match accept::answer(head.headers) {
        accept::Answer::Json => Ok(answer),
        accept::Answer::Plan => Ok(Node::default()),
        accept::Answer::Unreadable => Err(Refusal::new(Code::UnsupportedAnswer).by("accept")),
    }
}

/// Collects uses from the parameters of a target.
struct Walk<'a> {
    declared: &'a Declared,
    schema: Option<&'a str>,
    entity: Option<&'a Entity>,
    call: Option<Call<'a>>,
    parameters: Vec<(Param, Meaning)>,
    /// The selection, which embed paths refer to.
    select: Vec<Item>,
    found: Vec<(usize, Use, Site)>,
}

impl<'a> Walk<'a> {
    fn new(
        declared: &'a Declared,
        schema: Option<&'a str>,
        entity: Option<&'a Entity>,
        target: &str,
    ) -> Result<Self, Refusal> {
        let mut parameters = Vec::new();
        let mut once = Vec::new();
        for param in query::params(target)? {
            // The server follows the first of several; a reader of its logs may think otherwise.
            if let Some(word) = ["select", "columns", "on_conflict"]
                .into_iter()
                .find(|word| *word == param.name.text())
            {
                if once.contains(&word) {
                    return Err(Refusal::new(Code::MalformedTarget).by(word));
                }
                once.push(word);
            }
            let meaning = param.meaning()?;
            parameters.push((param, meaning));
        }
        let select = parameters.iter_mut().find_map(|(_, meaning)| match meaning {
            Meaning::Select(items) => Some(std::mem::take(items)),
            _ => None,
        });
        let select = select.unwrap_or_else(select::everything);
        Ok(Self { declared, schema, entity, call: None, parameters, select, found: Vec::new() })
    }

    fn everything(&mut self) -> Result<(), Refusal> {
        let parameters = std::mem::take(&mut self.parameters);
        let select = std::mem::take(&mut self.select);
        for (param, meaning) in &parameters {
            match meaning {
                Meaning::Harmless => {}
                Meaning::Columns(columns) => {
                    let entity = self.call.map_or(self.entity, |call| Some(call.arguments()));
                    for column in columns {
                        self.fixed(param, entity, column, UseKind::Column)?;
                    }
                }
                Meaning::Conflict(columns) => {
                    for column in columns {
                        self.fixed(param, self.entity, column, UseKind::Conflict)?;
                    }
                }
                Meaning::Logic { embed, tests } => {
                    let entity = self.entity_at(&select, embed);
                    let Some(value) = &param.value else { continue };
                    for test in tests {
                        let entity = self.meant(embed, &test.field, entity);
                        let site = |parts| Site::Tree { whole: value.raw(&test.span), test: parts };
                        self.test(value, value, entity, &test.field, &test.expr, site)?;
                    }
                }
                Meaning::Order { embed, terms } => {
                    for term in terms {
                        let mut path = embed.clone();
                        path.extend(term.relation.clone());
                        let entity = self.entity_at(&select, &path);
                        let kind = match term.field.json {
                            Some(_) => UseKind::Transform("json path"),
                            None => UseKind::Order,
                        };
                        self.fixed(param, entity, &term.field.column, kind)?;
                    }
                }
                Meaning::Select(_) => {
                    self.selected(param, self.entity, &select, embed::is_grouped(&select))?;
                }
                Meaning::Test { embed, field, expr } => {
                    let Some(value) = &param.value else { continue };
                    let entity = self.entity_at(&select, embed);
                    let entity = self.meant(embed, field, entity);
                    let column = param.name.raw(&field.column.span);
                    let site = |parts| Site::Parameter {
                        whole: param.span.clone(),
                        embed: param.span.start..column.start,
                        test: parts,
                    };
                    self.test(&param.name, value, entity, field, expr, site)?;
                }
                Meaning::Value(field) => self.value(param, field)?,
            }
        }
        self.select = select;
        Ok(())
    }

    fn entity_at(&self, select: &[Item], path: &[Name]) -> Option<&'a Entity> {
        match (path, self.schema) {
            ([], _) => self.entity,
            (_, Some(schema)) => embed::resolve(self.declared, schema, select, path),
            (_, None) => None,
        }
    }

    /// The entity of a test; the arguments of a function if it could be meant for one of them.
    fn meant(
        &self,
        embed: &[Name],
        field: &Field,
        entity: Option<&'a Entity>,
    ) -> Option<&'a Entity> {
        match self.call {
            Some(call) if embed.is_empty() && call.could_be_meant(field, entity) => {
                Some(call.arguments())
            }
            _ => entity,
        }
    }

    /// A name with a value that is no test.
    fn value(&mut self, param: &Param, field: &Field) -> Result<(), Refusal> {
        let entity = self.call.map_or(self.entity, |call| Some(call.arguments()));
        let at = param.name.raw(&field.column.span).start;
        let (operator, test, site) = match (&param.value, self.call) {
            (Some(value), Some(call)) if call.takes(field) => {
                let place = value.raw(&(0..value.text().len()));
                let site = Site::Argument { whole: param.span.clone(), value: place };
                ("argument", Test::Equal(Plaintext::from(value.text())), site)
            }
            _ => ("parameter", Test::Other, Site::Fixed),
        };
        let kind = UseKind::Filter(Filter { operator, test });
        self.push(at, entity, &field.column.text, kind, site)
    }

    fn push(
        &mut self,
        at: usize,
        entity: Option<&Entity>,
        column: &str,
        kind: UseKind,
        site: Site,
    ) -> Result<(), Refusal> {
        if self.declared.could_be_cut_to_protected(column) {
            return Err(Refusal::new(Code::MalformedTarget).by("column name"));
        }
        let entity = entity.map(|entity| entity.name.clone());
        self.found.push((at, Use { entity, column: FieldName::new(column), kind }, site));
        Ok(())
    }

    /// A use in the value of a parameter, with nothing to replace.
    fn fixed(
        &mut self,
        param: &Param,
        entity: Option<&Entity>,
        column: &Name,
        kind: UseKind,
    ) -> Result<(), Refusal> {
        match &param.value {
            Some(value) => self.fixed_in(value, entity, column, kind),
            None => Ok(()),
        }
    }

    fn fixed_in(
        &mut self,
        text: &Decoded,
        entity: Option<&Entity>,
        column: &Name,
        kind: UseKind,
    ) -> Result<(), Refusal> {
        self.push(text.raw(&column.span).start, entity, &column.text, kind, Site::Fixed)
    }

    /// A test, whose column is spelled in `names` and whose expression in `values`.
    fn test(
        &mut self,
        names: &Decoded,
        values: &Decoded,
        entity: Option<&Entity>,
        field: &Field,
        expr: &Expr,
        site: impl FnOnce(TestSite) -> Site,
    ) -> Result<(), Refusal> {
        let column = names.raw(&field.column.span);
        let at = column.start;
        if field.json.is_some() {
            let kind = UseKind::Transform("json path");
            return self.push(at, entity, &field.column.text, kind, Site::Fixed);
        }
        let raw = |span: &Range<usize>| values.raw(span);
        let form = match &expr.form {
            Form::List(spans) => Form::List(spans.iter().map(raw).collect()),
            Form::Respelled(count) => Form::Respelled(*count),
            Form::Single(span) => Form::Single(raw(span)),
        };
        let span = values.raw(&expr.span);
        let parts = TestSite { column, expr: span, form, sense: expr.sense, negated: expr.negated };
        // An argument is no column, so nothing that stands here could be answered.
        let is_argument = self
            .call
            .is_some_and(|call| entity.is_some_and(|entity| entity.name == call.arguments().name));
        let test = if is_argument { Test::Other } else { expr.test.clone() };
        let kind = UseKind::Filter(Filter { operator: expr.operator, test });
        self.push(at, entity, &field.column.text, kind, site(parts))
    }

    /// Uses in a selection: casts, paths, aggregates and what is grouped by.
    fn selected(
        &mut self,
        param: &Param,
        entity: Option<&'a Entity>,
        items: &[Item],
        grouped: bool,
    ) -> Result<(), Refusal> {
        let Some(value) = &param.value else { return Ok(()) };
        for item in items {
            match item {
                Item::All(at) => {
                    let at = value.raw(&(*at..*at)).start;
                    for column in entity.filter(|_| grouped).iter().flat_map(|e| &e.columns) {
                        let kind = UseKind::Transform("group by");
                        self.push(at, entity, column, kind, Site::Fixed)?;
                    }
                }
                Item::Column { field, cast, aggregate, .. } => {
                    let mut words = Vec::new();
                    words.extend(field.json.as_ref().map(|_| "json path"));
                    words.extend((*cast == Cast::Other).then_some("cast"));
                    words.extend(aggregate.filter(|word| *word != "count"));
                    words.extend((grouped && aggregate.is_none()).then_some("group by"));
                    for word in words {
                        let kind = UseKind::Transform(word);
                        self.fixed_in(value, entity, &field.column, kind)?;
                    }
                }
                Item::Count => {}
                Item::Embed { relation, spread, items, .. } => {
                    let inner = self.schema.and_then(|s| self.declared.entity(s, &relation.text));
                    let grouped = match spread {
                        Spread::Nested => embed::is_grouped(items),
                        Spread::Spread => grouped || embed::is_grouped(items),
                    };
                    self.selected(param, inner, items, grouped)?;
                }
            }
        }
        Ok(())
    }

    fn in_byte_order(&mut self) -> (Vec<Use>, Vec<Site>) {
        let mut found = std::mem::take(&mut self.found);
        found.sort_by_key(|(at, ..)| *at);
        found.into_iter().map(|(_, found, site)| (found, site)).unzip()
    }
}
