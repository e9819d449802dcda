//! Functions of an API: which of their arguments are of which class, and whose records they return.
//!
//! # Why
//! An argument that is not listed is refused, whatever `unknown_fields:` says: a function may do
//! anything with it, and an overload of another signature is another function. (2026-11)

use crate::{
    base::{
        class::Mode,
        ident::{EntityName, FieldName, FunctionName},
    },
    model::{FieldRef, FunctionDecl},
};

use super::{
    apis::{Declared, Field},
    classes::Classes,
    diagnostic::{Place, Problems},
    document::{Fields, Node, reader::pairs, text, word},
    entities::plain,
    migration::Migration,
};

/// What a function does with an argument, and so which grant its caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// Either, for all the policy says: both grants are needed.
    Either,
    /// It is stored: `write` is needed.
    Stored,
    /// It is compared with what is stored: `filter` is needed.
    Tested,
}

/// Reads one function. `entities` are those of the API; `place` qualifies a name.
pub(super) fn read(
    name: FunctionName,
    node: &Node,
    classes: &Classes,
    declared: &mut Declared,
    place: &mut impl FnMut(&str, Place, &mut Problems) -> Option<String>,
    problems: &mut Problems,
) -> Option<(FunctionDecl, Option<Place>)> {
    let mut fields = Fields::of(node, "a function", problems)?;
    let arguments = fields.optional("args");
    let returns = fields.optional("returns");
    let why = fields.optional("why");
    fields.finish(problems);
    if let Some(why) = why {
        text(why, "why", problems);
    }
    if arguments.is_none() && why.is_none() {
        let remedy = "add args:, or why: it takes no arguments";
        problems.error(node.at, "a function lacks `args`", remedy);
    }
    let owner = FunctionDecl::arguments_of(&name);
    let (mut protected, mut plain) = (Vec::new(), Vec::new());
    let pairs = arguments.and_then(|node| pairs(node, "args", problems)).unwrap_or_default();
    for (key, node) in pairs {
        if key.text.trim().is_empty() {
            problems.error(key.at, "an argument needs a name", "name it in the function");
            continue;
        }
        let read = argument(node, key.at, classes, problems);
        let argument = FieldName::new(key.text.as_str());
        // After a problem nothing is made of the policy, so that it does not matter here.
        let Some(field) = read else {
            plain.push(argument);
            continue;
        };
        protected.push(argument.clone());
        declared.fields.push((FieldRef { entity: owner.clone(), field: argument }, field));
    }
    let at = returns.map(|node| node.at);
    let returns = returns.and_then(|node| {
        let name = text(node, "returns", problems)?;
        place(name, node.at, problems).map(EntityName::new)
    });
    Some((FunctionDecl { name, arguments: protected, plain, returns }, at))
}

/// Reads `{class: …, use: …}`. `None` for a plain argument as well as after a problem.
fn argument(node: &Node, at: Place, classes: &Classes, problems: &mut Problems) -> Option<Field> {
    let mut fields = Fields::of(node, "an argument", problems)?;
    let (class, mode) = (fields.optional("class"), fields.optional("mode"));
    let (used, why) = (fields.optional("use"), fields.optional("why"));
    fields.finish(problems);
    let words = [("store", Argument::Stored), ("test", Argument::Tested)];
    let used_as = match used {
        Some(node) => word(node, "use", &words, &[], problems),
        None => Some(Argument::Either),
    };
    let Some(class) = class else {
        plain(at, mode, why, "an argument", problems);
        return None;
    };
    if let Some(node) = mode {
        problems.error(node.at, "the class of an argument says its mode", "leave mode out");
    }
    if let Some(node) = why {
        problems.error(node.at, "why is for plain arguments", "leave it out");
    }
    let class = classes.named(class, problems)?;
    let argument = used_as?;
    if let (Argument::Tested, Some(node), true) =
        (argument, used, class.params.mode != Mode::Deterministic)
    {
        let mode = class.params.mode.as_str();
        let message =
            format!("a {mode} class cannot be tested by a function: each stored form differs");
        problems.error(node.at, message, "use a deterministic class");
    }
    let (line, migration) = (at.line, Migration::Sealed);
    let argument = Some(argument);
    Some(Field { class, unique: false, argument, line, is_bound: false, migration })
}
