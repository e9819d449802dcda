//! `bind:` of an entity or a route: which field tells its records apart, so that a stored value
//! opens in its own record alone.
//!
//! # Why
//! `mode: deterministic` has one envelope for a value wherever it stands, which is what it is for, so
//! its fields are never bound. The collection of a route must be spelled out: the routes of one
//! collection are many, and all must find what one of them stored. (2026-11)

use std::collections::HashMap;

use crate::{
    base::{
        class::Mode,
        ident::{EntityName, FieldName},
    },
    model::{BindDecl, FieldRef},
};

use super::{
    apis::Declared,
    diagnostic::{Place, Problems},
    document::{Fields, Node, text, word, yaml::Value},
    migration::Migration,
    plan::{BindRule, KeyForm, KeyType},
};

/// `bind:` as it stands.
pub(super) struct Bind<'a> {
    key: &'a str,
    collection: Option<&'a str>,
    ty: Option<KeyType>,
    at: Place,
    key_at: Place,
}

/// Reads `bind: column`, or `bind: {key: column, type: text, record: name}`.
pub(super) fn read<'a>(node: &'a Node, problems: &mut Problems) -> Option<Bind<'a>> {
    if matches!(node.value, Value::Scalar(_)) {
        let key = text(node, "bind", problems)?;
        return Some(Bind { key, collection: None, ty: None, at: node.at, key_at: node.at });
    }
    let mut fields = Fields::of(node, "bind", problems)?;
    let key = fields.required("key", "name the field that tells records apart", problems);
    let (collection, ty) = (fields.optional("record"), fields.optional("type"));
    fields.finish(problems);
    let types = [("integer", KeyType::Integer), ("text", KeyType::Text), ("uuid", KeyType::Uuid)];
    let ty = ty.and_then(|node| word(node, "the type of a key", &types, &[], problems));
    let collection = collection.and_then(|node| text(node, "record", problems));
    let key_at = key?.at;
    Some(Bind { key: text(key?, "key", problems)?, collection, ty, at: node.at, key_at })
}

impl Bind<'_> {
    /// The name of the key.
    pub(super) fn key(&self) -> &str {
        self.key
    }

    /// Where the key is named.
    pub(super) fn key_at(&self) -> Place {
        self.key_at
    }

    /// The rule for `entity`, all of whose fields are declared. `collection` is what stands for
    /// `record:` where it is left out.
    pub(super) fn settle(
        &self,
        entity: &EntityName,
        collection: Option<&str>,
        declared: &mut Declared,
        problems: &mut Problems,
    ) -> Option<BindDecl> {
        let Some(collection) = self.collection.or(collection) else {
            let remedy = "add record: with a name that all routes of these records share";
            problems.error(self.at, "bind lacks `record`", remedy);
            return None;
        };
        let key = FieldRef { entity: entity.clone(), field: FieldName::new(self.key) };
        let class = declared.fields.iter().find(|(field, _)| *field == key);
        let is_mixed = class.is_some_and(|(_, field)| field.migration != Migration::Sealed);
        let form = match class.map(|(_, field)| &field.class) {
            Some(class) if class.params.mode != Mode::Deterministic => {
                let mode = class.params.mode.as_str();
                let message = format!("a {mode} field cannot tell records apart");
                problems.error(self.key_at, message, "use a plain or a deterministic field");
                return None;
            }
            Some(_) if self.ty.is_some() => {
                let message = "the class of the key says its type";
                problems.error(self.at, message, "leave type out");
                return None;
            }
            Some(_) if is_mixed => {
                let message = "a key that is in migration does not tell records apart";
                problems.error(self.key_at, message, "seal all of its values first");
                return None;
            }
            Some(class) => KeyForm::Protected(class.clone()),
            None => KeyForm::Plain(self.ty.unwrap_or(KeyType::Text)),
        };
        let mut fields = Vec::new();
        for (field, how) in &mut declared.fields {
            let takes = how.class.params.mode != Mode::Deterministic;
            if field.entity == *entity && takes && !is_parameter(&field.field) {
                how.is_bound = true;
                fields.push(field.field.clone());
            }
        }
        if fields.is_empty() {
            let message = format!("`{entity}` has no field that could be bound to its record");
            problems.error(self.at, message, "leave bind out, or use a random or searchable class");
            return None;
        }
        let rule = BindRule {
            collection: collection.to_owned(),
            field: key.clone(),
            form,
            line: self.at.line,
        };
        if let Some(other) = declared.binds.values().find(|other| {
            other.collection == rule.collection && !same_form(&other.form, &rule.form)
        }) {
            let message =
                format!("the key of `{collection}` is of another type at line {}", other.line);
            problems.error(self.at, message, "give both the same class or type");
        }
        declared.binds.insert(entity.clone(), rule);
        let primary = declared.keys.get(entity);
        let is_primary = primary.is_some_and(|columns| *columns == [key.field.clone()]);
        Some(BindDecl { key: key.field, is_primary, fields })
    }
}

/// What an API declares of records.
pub(super) type Binds = HashMap<EntityName, BindRule>;

fn is_parameter(field: &FieldName) -> bool {
    field.as_str().starts_with("path:") || field.as_str().starts_with("query:")
}

fn same_form(one: &KeyForm, other: &KeyForm) -> bool {
    match (one, other) {
        (KeyForm::Plain(one), KeyForm::Plain(other)) => one == other,
        (KeyForm::Protected(one), KeyForm::Protected(other)) => one.params.id == other.params.id,
        (KeyForm::Plain(_), KeyForm::Protected(_)) | (KeyForm::Protected(_), KeyForm::Plain(_)) => {
            false
        }
    }
}
