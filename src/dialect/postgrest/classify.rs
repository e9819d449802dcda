//! From a request head to an operation. [`walk`](super::walk) finds the uses of columns in it.
//!
//! `classify` takes the operation from here and `readdress` the places, so that the two cannot
//! disagree about what a use is.

use std::collections::BTreeMap;

use http::HeaderName;

use super::{
    accept, bind,
    call::Call,
    declared::{Declared, Entity},
    embed::{self, Unit},
    page,
    target::{self, Resource},
    walk::{Site, Walk},
};
use crate::{
    base::{
        ident::{EntityName, FunctionName},
        refusal::{Code, Refusal},
    },
    dialect::{Head, text::Edit},
    model::{BodyForm, Node, Operation, Page, Target, Verb},
};

pub(super) const ACCEPT_PROFILE: HeaderName = HeaderName::from_static("accept-profile");
const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");

/// A request head, understood.
pub(super) struct Reading {
    pub(super) operation: Operation,
    /// Aligned with the operation's uses.
    pub(super) sites: Vec<Site>,
    /// What is asked of the server beside what the caller asks for.
    pub(super) additions: Vec<Edit>,
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
    walk.everything()?;
    let page = page::page(head.method, head.headers, verb, &walk.parameters, &walk.select);
    let own_keys = page::own_keys(&walk.select, entity);
    if verb == Verb::Create && accept::prefers(head.headers, "resolution=") {
        walk.key(entity, head.target.len())?;
    }
    if accept::is_zoned(head.headers) {
        walk.zone(head.target.len())?;
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
            let key = entity.filter(|_| verb != Verb::Call).map_or(&[][..], |entity| &entity.key);
            let is_headed = verb == Verb::Read || page::is_headed(&walk.select, key);
            readable(answer, head, is_headed)?
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
    let formats = accept::FORMATS;
    let operation = Operation { verb, target, uses, body, answer, formats, page, own_keys };
    Ok(Reading { operation, sites, additions })
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
        formats: accept::FORMATS,
        page: Page::Part(Verb::Describe.as_str()),
        own_keys: BTreeMap::new(),
    }
}

fn readable<F>(answer: Node<F>, head: Head<'_>, is_headed: bool) -> Result<Node<F>, Refusal> {
    if answer.is_empty() {
        return Ok(answer);
    }
    match accept::answer(head.headers) {
        accept::Answer::Json => Ok(answer),
        // The key that was added to a table could not be taken out of it again.
        accept::Answer::Csv if is_headed && answer.records().is_empty() => Ok(answer),
        accept::Answer::Plan => Ok(Node::default()),
        accept::Answer::Csv | accept::Answer::Unreadable => {
            Err(Refusal::new(Code::UnsupportedAnswer).by("accept"))
        }
    }
}
