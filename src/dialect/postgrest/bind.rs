//! Records to which values are bound: where their key stands in bodies and answers, and what is asked
//! of the server so that it stands there.
//!
//! A selection that leaves the key out gets it under a name of ours, in front, and the caller does not
//! see it. What a write says of the key is followed only where it can mean one record.

use std::collections::BTreeSet;

use http::HeaderMap;

use super::{
    accept,
    declared::{Declared, Entity},
    filter::{Form, Sense},
    query,
    select::{Cast, Item, Spread},
    walk::Site,
};
use crate::{
    base::refusal::{Code, Refusal},
    dialect::text::Edit,
    model::{
        BindDecl, BoundRecord, FieldRef, Filter, KeyPlace, Node, Origin, Test, Use, UseKind, Verb,
    },
};

/// What the key is called where the caller did not ask for it.
const ADDED: &str = "labseal_key";

/// The body of a write: what its records hold, and which record each of them is.
pub(super) fn body(
    entity: &Entity,
    verb: Verb,
    headers: &HeaderMap,
    uses: &[Use],
    sites: &[Site],
) -> Result<Node<FieldRef>, Refusal> {
    let mut record = entity.record();
    if let Some(bind) = &entity.bind {
        let key = written_key(entity, bind, verb, headers, uses, sites)?;
        record.bound = Some(Box::new(BoundRecord { entity: entity.name.clone(), key }));
    }
    Ok(Node { elements: Some(Box::new(record.clone())), ..record })
}

/// Where a write says which record it is about.
fn written_key(
    entity: &Entity,
    bind: &BindDecl,
    verb: Verb,
    headers: &HeaderMap,
    uses: &[Use],
    sites: &[Site],
) -> Result<KeyPlace, Refusal> {
    let name = bind.key.as_str().to_owned();
    let is_own = |one: &Use| one.entity.as_ref() == Some(&entity.name);
    let named = |kind: fn(&UseKind) -> bool| {
        uses.iter().filter(move |one| is_own(one) && kind(&one.kind)).map(|one| &one.column)
    };
    let columns: Vec<_> = named(|kind| matches!(kind, UseKind::Column)).collect();
    let refused = |word| {
        let field = FieldRef { entity: entity.name.clone(), field: bind.key.clone() };
        Err(Refusal::new(Code::RecordKeyChanged).on(field).by(word))
    };
    if verb == Verb::Create {
        // A record that is found by anything but the key would get another key, and keep values
        // that are bound to the one it had.
        let conflict: Vec<_> = named(|kind| matches!(kind, UseKind::Conflict)).collect();
        let by_key = conflict == [&bind.key] || (conflict.is_empty() && bind.is_primary);
        if accept::merges_duplicates(headers) && !by_key {
            return refused("on_conflict");
        }
        // The server takes from a record the columns that are listed, and no others.
        return Ok(match columns.is_empty() || columns.contains(&&bind.key) {
            true => KeyPlace::Member { name, origin: Origin::Asked },
            false => KeyPlace::Nowhere { member: None },
        });
    }
    if columns.contains(&&bind.key) {
        return refused("columns");
    }
    let tests: Vec<_> = uses
        .iter()
        .zip(sites)
        .enumerate()
        .filter(|(_, (one, site))| is_own(one) && one.column == bind.key && decides(site))
        .filter_map(|(used, (one, _))| match &one.kind {
            UseKind::Filter(Filter { operator: "eq", test: Test::Equal(literal) }) => {
                Some((used, literal))
            }
            UseKind::Filter(_)
            | UseKind::Column
            | UseKind::Conflict
            | UseKind::Embed
            | UseKind::Key
            | UseKind::Order { .. }
            | UseKind::Text
            | UseKind::Transform(_)
            | UseKind::Zone => None,
        })
        .collect();
    Ok(match tests.split_first() {
        Some(((used, literal), rest)) if rest.iter().all(|(_, other)| other.is(literal)) => {
            KeyPlace::Head { used: *used, member: Some(name) }
        }
        _ => KeyPlace::Nowhere { member: Some(name) },
    })
}

/// Whether every record that is written passes the test: it stands alone, and is not negated.
fn decides(site: &Site) -> bool {
    match site {
        Site::Parameter { embed, test, .. } => {
            embed.is_empty()
                && !test.negated
                && test.sense == Sense::Matching
                && matches!(test.form, Form::Single(_))
        }
        Site::Argument { .. } | Site::Fixed | Site::Term { .. } | Site::Tree { .. } => false,
    }
}

/// Says of an answer's records where their key stands, if bound values are selected.
pub(super) fn attach(node: &mut Node<FieldRef>, entity: Option<&Entity>, items: &[Item]) {
    let Some(entity) = entity else { return };
    let Some((name, origin)) = selected_key(entity, items) else { return };
    let key = KeyPlace::Member { name, origin };
    let bound = Box::new(BoundRecord { entity: entity.name.clone(), key });
    if let Some(element) = &mut node.elements {
        element.bound = Some(bound.clone());
    }
    node.bound = Some(bound);
}

/// Refuses an answer with bound values that stand beside the key of another record, or of none.
pub(super) fn has_its_keys(declared: &Declared, node: &Node<FieldRef>) -> Result<(), Refusal> {
    let chain = |first| std::iter::successors(Some(first), |node: &&Node<_>| node.again.as_deref());
    for child in node.members.values().flat_map(chain) {
        if let Some(field) = &child.field
            && declared.bind_of(field).is_some()
            && node.bound.as_ref().is_none_or(|bound| bound.entity != field.entity)
        {
            return Err(Refusal::new(Code::UnsupportedProjection).on(field).by("spread"));
        }
        has_its_keys(declared, child)?;
    }
    node.elements.as_ref().map_or(Ok(()), |element| has_its_keys(declared, element))
}

/// What is put into a selection so that every record with bound values has its key.
pub(super) fn additions(
    declared: &Declared,
    schema: &str,
    target: &str,
    items: &[Item],
    entity: Option<&Entity>,
) -> Result<Vec<Edit>, Refusal> {
    let mut places = Vec::new();
    missing(declared, schema, items, entity, 0, &mut places);
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let params = query::params(target)?;
    let select = params.iter().find(|param| param.name.text() == "select");
    // Without a selection everything is selected, and the key with it.
    let value = select.and_then(|param| param.value.as_ref()).ok_or(Code::Internal)?;
    let edit = |(at, text)| {
        let at = value.raw(&(at..at)).start;
        (at..at, text)
    };
    Ok(places.into_iter().map(edit).collect())
}

fn missing(
    declared: &Declared,
    schema: &str,
    items: &[Item],
    entity: Option<&Entity>,
    at: usize,
    places: &mut Vec<(usize, String)>,
) {
    if let Some(entity) = entity
        && let Some(bind) = &entity.bind
        && let Some((name, Origin::Added)) = selected_key(entity, items)
    {
        places.push((at, format!("{name}:{},", spelled(bind.key.as_str()))));
    }
    for item in items {
        if let Item::Embed { relation, items, inside, .. } = item {
            let inner = declared.entity(schema, &relation.text);
            missing(declared, schema, items, inner, *inside, places);
        }
    }
}

/// A column as a selection names it, percent-encoded where it must be.
fn spelled(column: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if column.chars().all(plain) {
        return column.to_owned();
    }
    let quoted = format!("\"{}\"", column.replace('\\', "\\\\").replace('"', "\\\""));
    percent_encoding::utf8_percent_encode(&quoted, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Under which name the key of a record comes back, if it is needed: bound values are selected.
fn selected_key(entity: &Entity, items: &[Item]) -> Option<(String, Origin)> {
    let bind = entity.bind.as_ref()?;
    let is_bound = |column: &str| bind.fields.iter().any(|field| field.as_str() == column);
    let needs = items.iter().any(|item| match item {
        Item::All(_) => true,
        Item::Column { field, aggregate: None, .. } => is_bound(&field.column.text),
        Item::Column { aggregate: Some(_), .. } | Item::Count | Item::Embed { .. } => false,
    });
    if !needs {
        return None;
    }
    let key = bind.key.as_str();
    // A name that is given twice may be that of another column.
    let mut names = BTreeSet::new();
    let mut twice = BTreeSet::new();
    let mut asked = None;
    for item in items {
        let name = match item {
            Item::All(_) => {
                asked = asked.or(Some(key.to_owned()));
                key
            }
            Item::Column { alias, field, cast, aggregate } => {
                let inner = field.json.as_ref().and_then(|json| json.key.as_ref());
                let name = alias.as_ref().or(inner).unwrap_or(&field.column.text);
                let is_key = field.column.text == key && field.json.is_none();
                if is_key && *cast != Cast::Other && aggregate.is_none() {
                    asked = Some(name.clone());
                }
                aggregate.filter(|_| alias.is_none()).unwrap_or(name)
            }
            Item::Count => "count",
            Item::Embed { spread: Spread::Spread, items, relation, .. } => {
                // What is spread goes by names that are its own affair.
                items.iter().for_each(|item| {
                    if let Item::Column { alias, field, .. } = item {
                        twice.insert(alias.as_ref().unwrap_or(&field.column.text).as_str());
                    }
                });
                &relation.text
            }
            Item::Embed { alias, relation, .. } => alias.as_ref().unwrap_or(&relation.text),
        };
        if !names.insert(name) {
            twice.insert(name);
        }
    }
    match asked {
        Some(name) if !twice.contains(name.as_str()) => Some((name, Origin::Asked)),
        _ => {
            let numbered = (2..).map(|n| format!("{ADDED}_{n}"));
            let mut free = std::iter::once(ADDED.to_owned()).chain(numbered);
            let free =
                free.find(|name| !names.contains(name.as_str()) && !twice.contains(name.as_str()))?;
            Some((free, Origin::Added))
        }
    }
}
