//! The section `classes:`: what values are, and how they are stored.

use std::{collections::BTreeSet, sync::Arc};

use crate::base::{
    class::{ClassParams, Mode, ValueType},
    ident::{ClassId, ClassName},
};

use super::{
    diagnostic::{Place, Problems},
    document::{
        Fields, Node,
        reader::{number, pairs, suggest},
        text, truth, word,
    },
    ladder,
    mask::{HIDDEN, Mask},
    plan::{Class, OnIntegrity},
    sort, types,
};

/// Every class of a policy.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// In file order.
    sound: Vec<Arc<Class>>,
    /// Names of those that have problems of their own, so that uses of them are not reported too.
    broken: BTreeSet<String>,
}

impl Classes {
    /// Reads the section.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Self {
        let mut classes = Self::default();
        for (key, node) in pairs(node, "classes", problems).unwrap_or_default() {
            match class(&key.text, key.at, node, problems) {
                Some(class) => {
                    let id = &class.params.id;
                    if let Some(other) = classes.sound.iter().find(|one| one.params.id == *id) {
                        let message = format!("the id `{id}` is taken by class `{}`", other.name);
                        problems.error(key.at, message, "give each class an id of its own");
                    }
                    classes.sound.push(Arc::new(class));
                }
                None => {
                    classes.broken.insert(key.text.clone());
                }
            }
        }
        classes
    }

    /// The sound ones, in file order.
    pub(super) fn sound(&self) -> &[Arc<Class>] {
        &self.sound
    }

    /// The class that `node` names.
    pub(super) fn named(&self, node: &Node, problems: &mut Problems) -> Option<Arc<Class>> {
        let name = text(node, "the class", problems)?;
        self.find(name, node.at, problems)
    }

    /// The class of this name, reported at `at` if there is none.
    pub(super) fn find(
        &self,
        name: &str,
        at: Place,
        problems: &mut Problems,
    ) -> Option<Arc<Class>> {
        let found = self.sound.iter().find(|class| class.name.as_str() == name);
        if found.is_none() && !self.broken.contains(name) {
            let sound = self.sound.iter().map(|class| class.name.as_str());
            let remedy = suggest(name, sound.chain(self.broken.iter().map(String::as_str)));
            problems.error(at, format!("no class is named `{name}`"), remedy);
        }
        found.cloned()
    }
}

fn class(name: &str, at: Place, node: &Node, problems: &mut Problems) -> Option<Class> {
    let before = problems.errors();
    if name.trim().is_empty() || name == "*" {
        problems.error(at, "this cannot be the name of a class", "give it a name");
    }
    let mut fields = Fields::of(node, "a class", problems)?;
    fields.later(LATER);
    let id = fields.required("id", "add a short id, which must never change", problems);
    let id = id.and_then(|node| class_id(node, problems));
    let modes = "add mode: random, deterministic or searchable";
    let mode = fields
        .required("mode", modes, problems)
        .and_then(|node| word(node, "mode", MODES, &["format_preserving"], problems));
    let ty = match fields.optional("type") {
        Some(node) => types::read(node, problems),
        None => Some(ValueType::Text),
    };
    let max_chars = fields.optional("max_chars");
    let ladder = fields.optional("match");
    let equality = fields.optional("equality");
    let range = fields.optional("range");
    let order = fields.optional("order");
    let collation = fields.optional("collation");
    let mask = match fields.optional("mask") {
        Some(node) => mask(node, ty, problems),
        None => Some(Mask::Fixed(HIDDEN.to_owned())),
    };
    let on_integrity = match fields.optional("on_integrity") {
        Some(node) => word(node, "on_integrity", ON_INTEGRITY, &[], problems),
        None => Some(OnIntegrity::Fail),
    };
    fields.finish(problems);
    let (mode, ty) = (mode?, ty?);
    let ty = types::limited(ty, max_chars, problems);
    types::suits(mode, ty, at, problems);
    let equality = ladder::equality(mode, ty, equality, problems);
    let rungs = ladder::rungs(mode, ty, ladder, problems);
    ladder::agrees(&rungs, equality, at, problems);
    let (years, at_most) = ladder::span(ty, &rungs, range, problems);
    let sort = sort::read(ty, order, collation, problems);
    let (id, mask, on_integrity) = (id?, mask?, on_integrity?);
    let params = ClassParams { id, mode, ty, rungs, equality, years };
    let name = ClassName::new(name);
    let line = at.line;
    let class = Class { name, params, at_most, sort, mask, on_integrity, line };
    (problems.errors() == before).then_some(class)
}

const LATER: &[&str] =
    &["fidelity", "format", "hipaa", "masked_writeback", "migration", "pad", "subject"];

const MODES: &[(&str, Mode)] = &[
    ("random", Mode::Random),
    ("deterministic", Mode::Deterministic),
    ("searchable", Mode::Searchable),
];

const ON_INTEGRITY: &[(&str, OnIntegrity)] =
    &[("fail", OnIntegrity::Fail), ("mark", OnIntegrity::Mark)];

fn class_id(node: &Node, problems: &mut Problems) -> Option<ClassId> {
    let id = text(node, "id", problems)?;
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !id.bytes().all(sound) || id.len() > 64 {
        let remedy = "use up to 64 of a-z, 0-9 and -";
        problems.error(node.at, format!("`{id}` cannot be an id"), remedy);
        return None;
    }
    Some(ClassId::new(id))
}

fn mask(node: &Node, ty: Option<ValueType>, problems: &mut Problems) -> Option<Mask> {
    let remedy = "write one of {keep_first: n}, {keep_last: n}, {email: domain}, {date: year}, \
                  {null: true}, {fixed: text}";
    let pairs = pairs(node, "mask", problems)?;
    let [(key, value)] = pairs else {
        problems.error(node.at, "mask must say exactly one thing", remedy);
        return None;
    };
    let mask = match key.text.as_str() {
        "keep_first" => Mask::KeepFirst(count(value, problems)?),
        "keep_last" => Mask::KeepLast(count(value, problems)?),
        "email" => {
            word(value, "email", &[("domain", ())], &[], problems).map(|()| Mask::EmailDomain)?
        }
        "date" => word(value, "date", &[("year", ())], &[], problems).map(|()| Mask::DateYear)?,
        "null" => {
            if truth(value, "null", problems)? {
                Mask::Null
            } else {
                problems.error(value.at, "null: false says nothing", remedy);
                return None;
            }
        }
        "fixed" => Mask::Fixed(text(value, "fixed", problems)?.to_owned()),
        other => {
            let message = format!("mask has no key `{other}`");
            problems.error(key.at, message, remedy);
            return None;
        }
    };
    let ty = ty?;
    let shows_part = match mask {
        Mask::DateYear => !ty.is_calendar() && !ty.is_text(),
        Mask::EmailDomain => !ty.is_text(),
        // A letter of `true` is all of it, and a member of a JSON value may be a third of it.
        Mask::KeepFirst(_) | Mask::KeepLast(_) => {
            matches!(ty, ValueType::Boolean | ValueType::Json)
        }
        Mask::Fixed(_) | Mask::Null => false,
    };
    if shows_part {
        let message = format!("mask {} does not suit type {ty}", key.text);
        problems.error(key.at, message, "use {null: true} or {fixed: text}");
        return None;
    }
    Some(mask)
}

fn count(node: &Node, problems: &mut Problems) -> Option<usize> {
    let count = number(node, "the number of characters", problems)?;
    match usize::try_from(count) {
        Ok(count) if (1..=64).contains(&count) => Some(count),
        _ => {
            problems.error(
                node.at,
                "the number of characters is not from 1 to 64",
                "use a small one",
            );
            None
        }
    }
}
