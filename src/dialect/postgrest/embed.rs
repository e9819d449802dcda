//! Embedded relations: which entity a name in a path means, and where selected columns come back.

use std::collections::BTreeMap;

use super::{
    bind,
    cursor::Name,
    declared::{Declared, Entity},
    select::{Item, Spread},
};
use crate::model::{FieldRef, Node};

/// The entity that an embed path leads to, starting among the items of a selection.
///
/// A path may name an embed by its alias or by its relation. Where several fit, they must agree.
pub(super) fn resolve<'a>(
    declared: &'a Declared,
    schema: &str,
    items: &[Item],
    path: &[Name],
) -> Option<&'a Entity> {
    let mut found = Vec::new();
    candidates(declared, schema, items, path, &mut found);
    let first = found.first().copied().flatten()?;
    found.iter().all(|other| *other == Some(first)).then_some(first)
}

fn candidates<'a>(
    declared: &'a Declared,
    schema: &str,
    items: &[Item],
    path: &[Name],
    found: &mut Vec<Option<&'a Entity>>,
) {
    let Some((first, rest)) = path.split_first() else { return };
    for item in items {
        let Item::Embed { alias, relation, items, .. } = item else { continue };
        if relation.text != first.text && alias.as_ref() != Some(&first.text) {
            continue;
        }
        match rest {
            [] => found.push(declared.entity(schema, &relation.text)),
            _ => candidates(declared, schema, items, rest, found),
        }
    }
}

/// Adds a member, unless its key is that of a field already: an alias cannot take a field's place.
fn add(found: &mut BTreeMap<String, Node<FieldRef>>, key: String, node: Node<FieldRef>) {
    if found.get(&key).is_none_or(|there| there.field.is_none()) {
        found.insert(key, node);
    }
}

/// The members of an answer's record.
pub(super) fn members(
    declared: &Declared,
    schema: &str,
    items: &[Item],
    entity: Option<&Entity>,
) -> BTreeMap<String, Node<FieldRef>> {
    let mut found = BTreeMap::new();
    for item in items {
        match item {
            Item::All(_) => found.extend(entity.map(Entity::members).unwrap_or_default()),
            Item::Column { alias, field, aggregate: None, .. } => {
                let column = &field.column.text;
                let Some(leaf) = entity.and_then(|entity| entity.field(column)) else { continue };
                let key = field.json.as_ref().and_then(|json| json.key.as_ref()).unwrap_or(column);
                found.insert(alias.as_ref().unwrap_or(key).clone(), Node::leaf(leaf));
            }
            Item::Column { aggregate: Some(_), .. } | Item::Count => {}
            Item::Embed { alias, relation, spread, items, .. } => {
                let related = declared.entity(schema, &relation.text);
                let inner = members(declared, schema, items, related);
                if inner.is_empty() {
                    continue;
                }
                match spread {
                    Spread::Spread => {
                        inner.into_iter().for_each(|(key, node)| add(&mut found, key, node))
                    }
                    Spread::Nested => {
                        let key = alias.as_ref().unwrap_or(&relation.text).clone();
                        let mut node = one_or_many(inner, Unit::Part);
                        bind::attach(&mut node, related, items);
                        add(&mut found, key, node);
                    }
                }
            }
        }
    }
    found
}

/// What the objects of a tree are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Part of a record.
    Part,
    /// Records.
    Record,
}

/// A node that is an object of these members, or an array of such objects.
pub(super) fn one_or_many(members: BTreeMap<String, Node<FieldRef>>, unit: Unit) -> Node<FieldRef> {
    if members.is_empty() {
        return Node::default();
    }
    let one = Node { members, record: unit == Unit::Record, ..Node::default() };
    Node { elements: Some(Box::new(one.clone())), ..one }
}

/// Whether a selection is grouped: an aggregate at its own level, or spread into it.
pub(super) fn is_grouped(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Column { aggregate: Some(_), .. } | Item::Count => true,
        Item::Embed { spread: Spread::Spread, items, .. } => is_grouped(items),
        Item::All(_) | Item::Column { .. } | Item::Embed { .. } => false,
    })
}
