//! How much of what its tests let through a request asks for, and under which keys it comes back.
//!
//! What is filtered or ordered after opening is right for whole lists alone, so everything that could
//! make an answer something else is found here.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, header::RANGE};

use super::{
    accept,
    declared::Entity,
    embed,
    query::{Meaning, Param},
    select::{Cast, Item, Spread},
};
use crate::{
    base::ident::FieldName,
    model::{Page, Verb},
};

/// Whether the answer will be an array of all records that the tests let through.
pub(super) fn page(
    method: &Method,
    headers: &HeaderMap,
    verb: Verb,
    parameters: &[(Param, Meaning)],
    select: &[Item],
) -> Page {
    let named = |word: &&str| parameters.iter().any(|(param, _)| param.name.text() == *word);
    if verb != Verb::Read {
        return Page::Part(verb.as_str());
    }
    if *method != Method::GET {
        return Page::Part("HEAD");
    }
    if let Some(word) = ["limit", "offset"].into_iter().find(named) {
        return Page::Part(word);
    }
    if headers.contains_key(RANGE) {
        return Page::Part("Range");
    }
    if embed::is_grouped(select) {
        return Page::Part("aggregate");
    }
    if accept::counts(headers) {
        return Page::Part("Prefer: count");
    }
    if !accept::is_plain_array(headers) {
        return Page::Part("Accept");
    }
    Page::Whole
}

/// Whether the header of CSV names its cells where a write or a function answers: the server writes
/// the columns that it returns there, each once and sorted by name, and the cells as they were
/// selected. Those of a write have the primary key among them.
pub(super) fn is_headed(items: &[Item], key: &[FieldName]) -> bool {
    if let [Item::All(_)] = items {
        return true;
    }
    let name = |item: &Item| match item {
        Item::Column { alias: None, field, aggregate: None, .. } if field.json.is_none() => {
            Some(field.column.text.clone())
        }
        Item::All(_) | Item::Column { .. } | Item::Count | Item::Embed { .. } => None,
    };
    let names: Option<Vec<_>> = items.iter().map(name).collect();
    let has =
        |names: &[String], column: &FieldName| names.iter().any(|name| name == column.as_str());
    names.is_some_and(|names| {
        names.is_sorted_by(|one, next| one < next) && key.iter().all(|column| has(&names, column))
    })
}

/// The keys under which protected columns of the target come back, each at most once in a record.
pub(super) fn own_keys(items: &[Item], entity: Option<&Entity>) -> BTreeMap<FieldName, String> {
    let (Some(entity), Some(keys)) = (entity, keys(items)) else { return BTreeMap::new() };
    let has_all = items.iter().any(|item| matches!(item, Item::All(_)));
    let is_sole = |key: &str, times| keys.iter().filter(|other| **other == key).count() == times;
    let mut found = BTreeMap::new();
    for column in &entity.columns {
        let selected = items.iter().find_map(|item| match item {
            Item::Column { alias, field, cast: Cast::None | Cast::Text, aggregate: None }
                if field.json.is_none() && field.column.text == *column =>
            {
                let key = alias.as_ref().unwrap_or(column);
                // Under `*` any other key may be that of a column, which is not known here.
                (!has_all && is_sole(key, 1)).then(|| key.clone())
            }
            _ => None,
        });
        let under_all = (has_all && is_sole(column, 0)).then(|| column.clone());
        if let Some(key) = under_all.or(selected) {
            found.insert(FieldName::new(column.as_str()), key);
        }
    }
    found
}

/// The keys that are named. `None` if there are others that are not known.
fn keys(items: &[Item]) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    for item in items {
        match item {
            Item::All(_) => {}
            Item::Column { alias, field, aggregate, .. } => {
                let json = field.json.as_ref().and_then(|json| json.key.as_deref());
                let named = aggregate.or(json).unwrap_or(&field.column.text);
                found.push(alias.as_deref().unwrap_or(named));
            }
            Item::Count => found.push("count"),
            Item::Embed { alias, relation, spread: Spread::Nested, .. } => {
                found.push(alias.as_ref().unwrap_or(&relation.text));
            }
            Item::Embed { spread: Spread::Spread, items, .. } => {
                if items.iter().any(|item| matches!(item, Item::All(_))) {
                    return None;
                }
                found.extend(keys(items)?);
            }
        }
    }
    Some(found)
}
