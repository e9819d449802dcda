//! The form of a route's bodies: where the declared places are, what may stand beside them, and to
//! which record they are bound.

use std::collections::BTreeSet;

use super::path::{self, Step};
use crate::{
    base::ident::{EntityName, FieldName},
    model::{BindDecl, BoundRecord, FieldRef, KeyPlace, Node, Origin, Others, RouteDecl, Unknown},
};

/// What is wrong with a declared place.
pub(super) struct Misplaced {
    /// The place.
    pub(super) at: String,
    /// What is wrong with it.
    pub(super) problem: String,
}

/// The bodies of a route.
#[derive(Default)]
pub(super) struct Bodies {
    /// Of an answer: what JSON has, and any member beside it.
    pub(super) answer: Node<FieldRef>,
    /// Of a request: also the fields of forms, and what is said of other members.
    pub(super) request: Node<FieldRef>,
}

/// The bodies of a route.
pub(super) fn bodies(declared: &RouteDecl) -> Result<Bodies, Vec<Misplaced>> {
    let mut request = Node::default();
    let mut wrong = Vec::new();
    let mut note = |field: &str, placed: Result<(), String>| {
        if let Err(problem) = placed {
            wrong.push(Misplaced { at: field.to_owned(), problem });
        }
    };
    for field in &declared.fields {
        let place = FieldRef { entity: declared.pattern.clone(), field: field.clone() };
        let placed = path::parse(field.as_str())
            .map_err(|error| error.to_string())
            .and_then(|steps| insert(&mut request, &steps, place));
        note(field.as_str(), placed);
    }
    let mut answer = request.clone();
    // A form is one record, so that the same names may stand in an object.
    if !declared.form.is_empty() && (request.field.is_some() || request.elements.is_some()) {
        let problem = "form: is for a body that is one object; give the list a route of its own";
        note("form:", Err(problem.to_owned()));
    }
    for name in &declared.form {
        let field = FieldName::new(format!("form:{name}"));
        let place = FieldRef { entity: declared.pattern.clone(), field };
        if request.members.insert(name.clone(), Node::leaf(place)).is_some() {
            note("form:", Err(format!("it names {name}, which fields: has as $.{name}")));
        }
        request.record = true;
    }
    for field in &declared.rest.plain {
        note(field.as_str(), close_around(&mut request, field, declared));
    }
    if declared.rest.unknown != Unknown::Pass {
        close(&mut request, declared);
    }
    if let Some(bind) = &declared.bind {
        for body in [&mut answer, &mut request] {
            match parameter(bind) {
                Some(_) => bind_whole(body, &declared.pattern),
                // All fields may be in forms, which no answer is.
                None if body.is_empty() => {}
                None => note(bind.key.as_str(), bind_member(body, bind, &declared.pattern)),
            }
        }
    }
    settle_records(&mut answer);
    settle_records(&mut request);
    if wrong.is_empty() { Ok(Bodies { answer, request }) } else { Err(wrong) }
}

/// The parameter of the path that is the key of the record, if it is there.
pub(super) fn parameter(bind: &BindDecl) -> Option<&str> {
    bind.key.as_str().strip_prefix("path:")
}

/// Puts a field into the tree.
fn insert(root: &mut Node<FieldRef>, steps: &[Step], field: FieldRef) -> Result<(), String> {
    let mut node = root;
    // The object that holds the field, within its innermost collection: the record.
    let collection = steps.iter().rposition(|step| *step == Step::Elements).map_or(0, |at| at + 1);
    for (at, step) in steps.iter().enumerate() {
        if node.field.is_some() {
            return Err("it lies within another field of this route".into());
        }
        node.record |= at == collection;
        node = match step {
            Step::Elements => node.elements.get_or_insert_with(Box::default),
            Step::Member(name) => node.members.entry(name.clone()).or_default(),
        };
    }
    if !node.is_empty() {
        return Err("it is, or holds, another field of this route".into());
    }
    node.field = Some(field);
    Ok(())
}

/// The node that a path leads to, made where there is none.
fn descend<'n>(
    root: &'n mut Node<FieldRef>,
    steps: &[Step],
) -> Result<&'n mut Node<FieldRef>, String> {
    let mut node = root;
    for step in steps {
        if node.field.is_some() {
            return Err("it lies within another field of this route".into());
        }
        node = match step {
            Step::Elements => node.elements.get_or_insert_with(Box::default),
            Step::Member(name) => node.members.entry(name.clone()).or_default(),
        };
    }
    Ok(node)
}

/// Notes a plain field at the object that it is a member of. Without a word about other fields it
/// makes no difference, and the objects on its way need not be there.
fn close_around(
    root: &mut Node<FieldRef>,
    field: &FieldName,
    declared: &RouteDecl,
) -> Result<(), String> {
    let steps = path::parse(field.as_str()).map_err(|error| error.to_string())?;
    // Of a plain list, the list is plain.
    let end = steps.iter().rposition(|step| *step != Step::Elements).map_or(0, |at| at + 1);
    let steps = steps.get(..end).unwrap_or_default();
    let Some((Step::Member(name), parent)) = steps.split_last() else { return Ok(()) };
    if declared.rest.unknown == Unknown::Pass {
        return Ok(());
    }
    let node = descend(root, parent)?;
    if node.members.get(name).is_some_and(|there| there.field.is_some()) {
        return Err("it is another field of this route too".into());
    }
    others_of(node, declared).plain.insert(name.clone());
    Ok(())
}

/// Says of every object on the way to a declared field what becomes of other members.
fn close(node: &mut Node<FieldRef>, declared: &RouteDecl) {
    let is_object = !node.members.is_empty() || node.others.is_some();
    if node.field.is_none() && (is_object || node.elements.is_none()) {
        let inner: Vec<_> = node.members.keys().cloned().collect();
        others_of(node, declared).plain.extend(inner);
    }
    node.members.values_mut().filter(|child| child.field.is_none()).for_each(|child| {
        close(child, declared);
    });
    if let Some(element) = &mut node.elements {
        close(element, declared);
    }
}

fn others_of<'n>(node: &'n mut Node<FieldRef>, declared: &RouteDecl) -> &'n mut Others {
    node.others.get_or_insert_with(|| {
        Box::new(Others {
            entity: declared.pattern.clone(),
            plain: BTreeSet::new(),
            unknown: declared.rest.unknown,
        })
    })
}

/// Binds every value of the body to the record that the head names.
fn bind_whole(root: &mut Node<FieldRef>, entity: &EntityName) {
    let key = KeyPlace::Nowhere { member: None };
    let bound = Box::new(BoundRecord { entity: entity.clone(), key });
    // An answer may be the record, or a list with the record in it.
    if let Some(element) = &mut root.elements {
        element.bound = Some(bound.clone());
    }
    root.bound = Some(bound);
}

/// Binds the values of each object that holds the key to it.
fn bind_member(
    root: &mut Node<FieldRef>,
    bind: &BindDecl,
    entity: &EntityName,
) -> Result<(), String> {
    let steps = path::parse(bind.key.as_str()).map_err(|error| error.to_string())?;
    let Some((Step::Member(name), parent)) = steps.split_last() else {
        return Err("the key is a member of the record: $.name or $.list[*].name".into());
    };
    for field in &bind.fields {
        let within = match field.as_str().starts_with("form:") {
            true => parent.is_empty(),
            false => path::parse(field.as_str()).is_ok_and(|steps| steps.starts_with(parent)),
        };
        if !within {
            return Err(format!("{field} lies outside of the record that has this key"));
        }
    }
    let node = descend(root, parent)?;
    if node.is_empty() {
        return Err("no field of the record has a class".into());
    }
    let key = KeyPlace::Member { name: name.clone(), origin: Origin::Asked };
    node.bound = Some(Box::new(BoundRecord { entity: entity.clone(), key }));
    node.record = true;
    Ok(())
}

/// Records do not nest: where a collection lies within an object that holds fields too, its elements
/// are the records, so that a long list never has to be held whole.
fn settle_records(node: &mut Node<FieldRef>) -> bool {
    let mut inner = false;
    for child in node.members.values_mut() {
        inner |= settle_records(child);
    }
    if let Some(element) = &mut node.elements {
        inner |= settle_records(element);
    }
    // A record that has its own key is held whole whatever is in it.
    node.record &= !inner || is_keyed(node);
    node.record || inner
}

fn is_keyed(node: &Node<FieldRef>) -> bool {
    node.bound.as_ref().is_some_and(|bound| bound.member().is_some())
}
