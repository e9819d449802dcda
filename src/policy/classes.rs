//! The section `classes:`: what values are, and how they are stored.

use std::{collections::BTreeSet, sync::Arc};

use crate::base::{
    class::{ClassParams, Equality, Mode, Rung, ValueType},
    ident::{ClassId, ClassName},
};

use super::{
    diagnostic::{Place, Problems},
    document::{
        Fields, Node, list,
        reader::{not_built, number, pairs, suggest},
        text, truth, word,
    },
    mask::{HIDDEN, Mask},
    plan::{Class, OnIntegrity},
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
        Some(node) => value_type(node, problems),
        None => Some(ValueType::Text),
    };
    let ladder = fields.optional("match");
    let mask = match fields.optional("mask") {
        Some(node) => mask(node, ty, problems),
        None => Some(Mask::Fixed(HIDDEN.to_owned())),
    };
    let on_integrity = match fields.optional("on_integrity") {
        Some(node) => word(node, "on_integrity", ON_INTEGRITY, &[], problems),
        None => Some(OnIntegrity::Fail),
    };
    if let Some(node) = fields.optional("equality") {
        word(node, "equality", &[("exact", ())], &["ci"], problems);
    }
    fields.finish(problems);
    let (mode, ty) = (mode?, ty?);
    let rungs = rungs(mode, ty, ladder, problems);
    suits(mode, ty, at, problems);
    let (id, mask, on_integrity) = (id?, mask?, on_integrity?);
    let params = ClassParams { id, mode, ty, rungs, equality: Equality::Exact };
    let class = Class { name: ClassName::new(name), params, mask, on_integrity, line: at.line };
    (problems.errors() == before).then_some(class)
}

const LATER: &[&str] = &[
    "fidelity",
    "format",
    "hipaa",
    "masked_writeback",
    "max_chars",
    "migration",
    "pad",
    "range",
    "subject",
];

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

fn value_type(node: &Node, problems: &mut Problems) -> Option<ValueType> {
    let name = text(node, "type", problems)?;
    let found = match name {
        "boolean" => Some(ValueType::Boolean),
        "date" => Some(ValueType::Date),
        "integer" => Some(ValueType::Integer),
        "json" => Some(ValueType::Json),
        "text" => Some(ValueType::Text),
        "timestamptz" | "timestamp" | "bytes" | "uuid" => {
            not_built(node.at, &format!("type: {name}"), problems);
            return None;
        }
        _ => name.strip_prefix("numeric(").and_then(numeric),
    };
    if found.is_none() {
        let remedy = "one of: text, integer, boolean, date, json, \"numeric(12,4)\" with at most 1000 \
                      digits";
        problems.error(node.at, format!("type cannot be `{name}`"), remedy);
    }
    found
}

/// `12,4)`, what follows `numeric(`.
fn numeric(rest: &str) -> Option<ValueType> {
    let (precision, scale) = rest.strip_suffix(')')?.split_once(',')?;
    let digits = |text: &str| text.trim().parse::<u16>().ok();
    let (precision, scale) = (digits(precision)?, digits(scale)?);
    let sound = (1..=1000).contains(&precision) && scale <= precision;
    sound.then_some(ValueType::Numeric { precision, scale })
}

/// The token ladder, coarse to fine.
fn rungs(mode: Mode, ty: ValueType, ladder: Option<&Node>, problems: &mut Problems) -> Vec<Rung> {
    let Some(node) = ladder else {
        return if mode == Mode::Searchable { vec![Rung::Eq] } else { Vec::new() };
    };
    if mode != Mode::Searchable {
        let message = format!("match is for searchable classes, and this one is {}", mode.as_str());
        problems.error(node.at, message, "leave match out, or use mode: searchable");
        return Vec::new();
    }
    let words = [("ieq", Rung::Ieq), ("eq", Rung::Eq)];
    let mut rungs = Vec::new();
    for item in list(node, "match", problems).unwrap_or_default() {
        let found = match &item.value {
            super::document::Value::Scalar(scalar) if scalar.text.starts_with("prefix(") => {
                not_built(item.at, &format!("match: {}", scalar.text), problems);
                None
            }
            _ => word(item, "match", &words, &["month", "year"], problems),
        };
        rungs.extend(found);
    }
    if rungs.contains(&Rung::Ieq) && ty != ValueType::Text {
        let message = format!("ieq folds case, which a value of type {ty} has not");
        problems.error(node.at, message, "use match: [eq]");
    }
    if rungs != [Rung::Eq] && rungs != [Rung::Ieq, Rung::Eq] {
        let message = "match must go from coarse to fine and end in eq";
        problems.error(node.at, message, "use match: [eq] or match: [ieq, eq]");
    }
    rungs
}

/// Whether a value of this type can be stored in this mode.
fn suits(mode: Mode, ty: ValueType, at: Place, problems: &mut Problems) {
    if mode == Mode::Random {
        return;
    }
    let mode = mode.as_str();
    match ty {
        ValueType::Json => problems.error(
            at,
            format!("a {mode} class cannot be of type json: one JSON value has many spellings"),
            "use mode: random, or declare the members that are tested as fields of their own",
        ),
        ValueType::Boolean => problems.warning(
            at,
            format!("a {mode} class of type boolean has two stored forms: whoever knows one record knows all"),
            "use mode: random unless equality must be tested",
        ),
        ValueType::Date | ValueType::Integer | ValueType::Numeric { .. } | ValueType::Text => {}
    }
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
        Mask::DateYear => !matches!(ty, ValueType::Date | ValueType::Text),
        Mask::EmailDomain => ty != ValueType::Text,
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
