//! The API's description of itself: what it says of a protected column is made true again.
//!
//! The database has a text column where a value is sealed, and so the server's OpenAPI 2.0 document
//! says text. Clients that are generated from it, and people, should read what the column takes and
//! gives: the type that the class says, and that it is sealed. All other bytes stay as they are.

use std::{collections::BTreeMap, ops::Range};

use serde_json::value::{RawValue, to_raw_value};

use crate::{
    base::class::ValueType,
    dialect::text::{self, Edit},
    model::Described,
};

/// The document with what is said of the fields of one schema. `None` if it is not such a document.
pub(super) fn annotate(document: &str, schema: &str, fields: &[Described]) -> Option<String> {
    let root: BTreeMap<String, &RawValue> = serde_json::from_str(document).ok()?;
    let part = |name| root.get(name).and_then(|part| members(part)).unwrap_or_default();
    let (definitions, parameters, paths) = (part("definitions"), part("parameters"), part("paths"));
    let mut edits: Vec<Edit> = Vec::new();
    for described in fields {
        let entity = described.field.entity.as_str();
        let Some(name) = entity.strip_prefix(schema).and_then(|name| name.strip_prefix('.')) else {
            continue;
        };
        let column = described.field.field.as_str();
        match name.strip_suffix("()") {
            Some(function) => {
                let path = format!("/rpc/{function}");
                let by_query = paths.get(&path).and_then(|path| at(path, &["get", "parameters"]));
                let query = by_query.into_iter().flat_map(elements).filter(|parameter| {
                    let name = at(parameter, &["name"]).and_then(string);
                    name.as_deref() == Some(column)
                });
                let by_body = paths.get(&path).and_then(|path| at(path, &["post", "parameters"]));
                let body = by_body
                    .into_iter()
                    .flat_map(elements)
                    .filter_map(|parameter| at(parameter, &["schema", "properties", column]));
                for found in query.chain(body) {
                    edits.push((place(document, found)?, spelled(found, described, Kind::Value)?));
                }
            }
            None => {
                let filter = format!("rowFilter.{name}.{column}");
                let column =
                    definitions.get(name).and_then(|table| at(table, &["properties", column]));
                let filter = parameters.get(&filter).copied();
                for (found, kind) in [(column, Kind::Value), (filter, Kind::Filter)] {
                    let Some(found) = found else { continue };
                    edits.push((place(document, found)?, spelled(found, described, kind)?));
                }
            }
        }
    }
    edits.sort_by_key(|(place, _)| place.start);
    text::splice(document, &edits)
}

/// What an object of the document describes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A test, which is text whatever is tested.
    Filter,
    /// A value.
    Value,
}

/// One object of the document, with the members that speak of the type and with a line of its own.
fn spelled(found: &RawValue, described: &Described, kind: Kind) -> Option<String> {
    let mut members = in_order(found)?;
    let description = members.iter().find(|(key, _)| key == "description");
    let before = match description.and_then(|(_, value)| string(value)) {
        Some(text) => format!("{text}\n\n"),
        None => String::new(),
    };
    let (format, json_type, limit) = words(described.ty);
    let said = format!("{before}Sealed by labseal, {}.", described.mode.as_str());
    let raw = |text: &str| to_raw_value(text).ok();
    set(&mut members, "description", raw(&said));
    set(&mut members, "format", raw(format));
    if kind == Kind::Value {
        set(&mut members, "maxLength", limit.and_then(|limit| to_raw_value(&limit).ok()));
        set(&mut members, "type", json_type.and_then(raw));
    }
    let spelled: Option<Vec<_>> = members
        .iter()
        .map(|(key, value)| Some(format!("{}:{}", serde_json::to_string(key).ok()?, value.get())))
        .collect();
    Some(format!("{{{}}}", spelled?.join(",")))
}

/// Replaces a member in its place, takes it away, or adds it among the others, which the server
/// sorts.
fn set(members: &mut Vec<(String, Box<RawValue>)>, key: &str, value: Option<Box<RawValue>>) {
    let there = members.iter().position(|(known, _)| known == key);
    match (there, value) {
        (Some(place), None) => drop(members.remove(place)),
        (Some(place), Some(value)) => {
            members.splice(place..=place, [(key.to_owned(), value)]).for_each(drop)
        }
        (None, Some(value)) => {
            let after = members.iter().position(|(known, _)| known.as_str() > key);
            members.insert(after.unwrap_or(members.len()), (key.to_owned(), value));
        }
        (None, None) => {}
    }
}

/// Format, type and length as the server words them for a column of this type.
fn words(ty: ValueType) -> (&'static str, Option<&'static str>, Option<u32>) {
    match ty {
        ValueType::BigInt => ("bigint", Some("integer"), None),
        ValueType::Boolean => ("boolean", Some("boolean"), None),
        ValueType::Date => ("date", Some("string"), None),
        ValueType::Decimal | ValueType::Numeric { .. } => ("numeric", Some("number"), None),
        ValueType::Integer => ("integer", Some("integer"), None),
        ValueType::Json => ("json", None, None),
        ValueType::SmallInt => ("smallint", Some("integer"), None),
        ValueType::Text => ("text", Some("string"), None),
        ValueType::Timestamp => ("timestamp without time zone", Some("string"), None),
        ValueType::TimestampTz => ("timestamp with time zone", Some("string"), None),
        ValueType::Uuid => ("uuid", Some("string"), None),
        ValueType::VarChar(limit) => ("character varying", Some("string"), Some(limit)),
    }
}

/// The value at the end of a path of keys.
fn at<'a>(from: &'a RawValue, path: &[&str]) -> Option<&'a RawValue> {
    path.iter().try_fold(from, |value, key| members(value)?.remove(*key))
}

fn members(value: &RawValue) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// The members of an object as they stand in it.
fn in_order(object: &RawValue) -> Option<Vec<(String, Box<RawValue>)>> {
    let mut found: Vec<_> = members(object)?.into_iter().collect();
    found.sort_by_key(|(_, value)| value.get().as_ptr());
    Some(found.into_iter().map(|(key, value)| (key, value.to_owned())).collect())
}

fn elements(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_default()
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// Where a part of the document stands in it.
fn place(document: &str, part: &RawValue) -> Option<Range<usize>> {
    let start = (part.get().as_ptr() as usize).checked_sub(document.as_ptr() as usize)?;
    Some(start..start + part.get().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{
            class::Mode,
            ident::{EntityName, FieldName},
        },
        model::FieldRef,
    };

    fn of(entity: &str, field: &str, ty: ValueType) -> Described {
        let (entity, field) = (EntityName::new(entity), FieldName::new(field));
        Described { field: FieldRef { entity, field }, mode: Mode::Random, ty }
    }

    #[test]
    fn only_what_is_said_of_protected_columns_changes() {
        let document = r#"{ "x": [1.0],
            "definitions":{"p":{"properties":{"id":{"format":"text","type":"string"},
                "a":{"default":"\u0078","description":"Note\n","format":"text","maxLength":900,"type":"string"},
                "b":{"format":"text","type":"string"}}},"q":{"properties":{"a":{"format":"text"}}}},
            "parameters":{"rowFilter.p.a":{"name":"a","format":"text","in":"query","type":"string"}} }"#;
        let fields = [
            of("lab.p", "b", ValueType::Json),
            of("lab.p", "a", ValueType::VarChar(20)),
            of("lab.p", "gone", ValueType::Text),
            of("other.q", "a", ValueType::Date),
        ];
        let expected = document
            .replace(
                r#"{"default":"\u0078","description":"Note\n","format":"text","maxLength":900,"type":"string"}"#,
                r#"{"default":"\u0078","description":"Note\n\n\nSealed by labseal, random.","format":"character varying","maxLength":20,"type":"string"}"#,
            )
            .replace(
                r#""b":{"format":"text","type":"string"}"#,
                r#""b":{"description":"Sealed by labseal, random.","format":"json"}"#,
            )
            .replace(
                r#"{"name":"a","format":"text","in":"query","type":"string"}"#,
                r#"{"description":"Sealed by labseal, random.","name":"a","format":"character varying","in":"query","type":"string"}"#,
            );
        assert_eq!(annotate(document, "lab", &fields).unwrap(), expected);
        assert_eq!(annotate("[1]", "lab", &fields), None);
        assert_eq!(annotate("{}", "lab", &fields).unwrap(), "{}");
    }
}
