//! The names of entities and functions: which schemas an API has, what a name without one means, and
//! which names pass undeclared.

use std::collections::BTreeSet;

use super::{
    diagnostic::{Place, Problems},
    document::{Fields, Node, list, text},
};

/// The names under `undeclared:`, as they stand.
#[derive(Default)]
pub(super) struct Excepted<'a> {
    pub(super) entities: Vec<(&'a str, Place)>,
    pub(super) functions: Vec<(&'a str, Place)>,
}

/// Reads `undeclared:`.
pub(super) fn excepted<'a>(node: &'a Node, problems: &mut Problems) -> Excepted<'a> {
    let Some(mut fields) = Fields::of(node, "undeclared", problems) else {
        return Excepted::default();
    };
    let (entities, functions) = (fields.optional("entities"), fields.optional("functions"));
    if let Some(why) = fields.required("why", "say why nothing protected passes there", problems) {
        text(why, "why", problems);
    }
    fields.finish(problems);
    let mut names = |node: Option<&'a Node>, what| {
        let items = node.and_then(|node| list(node, what, problems)).unwrap_or_default();
        let named = |item: &'a Node| text(item, "a name", problems).map(|name| (name, item.at));
        items.iter().filter_map(named).collect()
    };
    Excepted { entities: names(entities, "entities"), functions: names(functions, "functions") }
}

/// `schemas:` as written, or the one schema that all entities share.
pub(super) fn schema_list(
    node: Option<&Node>,
    entities: &[(&str, Place)],
    problems: &mut Problems,
) -> Vec<String> {
    if let Some(node) = node {
        let items = list(node, "schemas", problems).unwrap_or_default();
        if items.is_empty() {
            problems.error(node.at, "schemas names none", "name those that the API exposes");
        }
        let named = |item| text(item, "a schema", problems).map(str::to_owned);
        return items.iter().filter_map(named).collect();
    }
    let shared: BTreeSet<_> = entities
        .iter()
        .map(|(name, _)| name.split_once('.').map_or("public", |(schema, _)| schema))
        .collect();
    if let (true, Some((_, at))) = (shared.len() > 1, entities.first()) {
        let message = "the entities are in several schemas";
        problems.error(*at, message, "add schemas: as the API has them, the default first");
    }
    shared.first().map(|schema| vec![(*schema).to_owned()]).unwrap_or_default()
}

/// `table` or `schema.table` as `schema.table`.
pub(super) fn qualify(
    name: &str,
    at: Place,
    schemas: &[String],
    problems: &mut Problems,
) -> Option<String> {
    let (schema, table) = match name.split_once('.') {
        Some((schema, table)) => (schema, table),
        None => (schemas.first().map_or("public", String::as_str), name),
    };
    if schema.is_empty() || table.is_empty() || table.contains(['.', '/', ' ']) {
        problems.error(at, format!("`{name}` is not a name"), "write schema.table");
        return None;
    }
    if !schemas.is_empty() && !schemas.iter().any(|known| known == schema) {
        let message = format!("`{schema}` is not one of the schemas of the API");
        problems.error(at, message, "add it under schemas:");
        return None;
    }
    Some(format!("{schema}.{table}"))
}
