//! Embedded relations: which entity a name in a path means, and where selected columns come back.

use std::collections::BTreeMap;

use super::{
    bind,
    cursor::Name,
    declared::{Declared, Entity},
    select::{Cast, Item, Spread},
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

/// The members of an answer's record. Where several have one name, they come in the order in which the
/// server answers them: columns as they are selected, then what is embedded.
pub(super) fn members(
    declared: &Declared,
    schema: &str,
    items: &[Item],
    entity: Option<&Entity>,
) -> BTreeMap<String, Node<FieldRef>> {
    let mut found = Found::default();
    found.collect(declared, schema, items, entity);
    found.settled()
}

/// The members of each name, in the order in which they are answered.
#[derive(Default)]
struct Found(BTreeMap<String, Vec<Node<FieldRef>>>);

impl Found {
    fn collect(
        &mut self,
        declared: &Declared,
        schema: &str,
        items: &[Item],
        entity: Option<&Entity>,
    ) {
        for item in items {
            match item {
                Item::All(_) => {
                    let members = entity.map(Entity::members).unwrap_or_default();
                    members.into_iter().for_each(|(key, node)| self.add(key, node));
                }
                Item::Column { alias, field, cast, aggregate: None } => {
                    let column = &field.column.text;
                    let leaf = entity.and_then(|entity| entity.field(column));
                    let key =
                        field.json.as_ref().and_then(|json| json.key.as_ref()).unwrap_or(column);
                    let mut node = leaf.map(Node::leaf).unwrap_or_default();
                    node.is_cast = !node.is_empty() && *cast == Cast::Text;
                    self.add(alias.as_ref().unwrap_or(key).clone(), node);
                }
                Item::Column { alias, aggregate: Some(word), .. } => {
                    self.add(alias.clone().unwrap_or_else(|| (*word).to_owned()), Node::default());
                }
                Item::Count | Item::Embed { .. } => {}
            }
        }
        for item in items {
            let Item::Embed { alias, relation, spread, items, .. } = item else { continue };
            let related = declared.entity(schema, &relation.text);
            match spread {
                Spread::Spread => self.collect(declared, schema, items, related),
                Spread::Nested => {
                    let inner = members(declared, schema, items, related);
                    let mut node = one_or_many(inner, Unit::Part);
                    if !node.is_empty() {
                        bind::attach(&mut node, related, items);
                    }
                    self.add(alias.as_ref().unwrap_or(&relation.text).clone(), node);
                }
            }
        }
    }

    fn add(&mut self, key: String, node: Node<FieldRef>) {
        self.0.entry(key).or_default().push(node);
    }

    fn settled(self) -> BTreeMap<String, Node<FieldRef>> {
        let protects =
            |(_, nodes): &(String, Vec<Node<FieldRef>>)| !nodes.iter().all(Node::is_empty);
        let chained = |(key, nodes): (String, Vec<Node<FieldRef>>)| {
            let chain = nodes.into_iter().rev().reduce(|after, node| {
                let again = Some(Box::new(after));
                Node { again, ..node }
            });
            (key, chain.unwrap_or_default())
        };
        self.0.into_iter().filter(protects).map(chained).collect()
    }
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
