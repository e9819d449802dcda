//! Entities and fields: the leaves of `apis:`.

use crate::{
    base::{
        class::Mode,
        ident::{EntityName, FieldName},
    },
    model::{EntityDecl, FieldRef, Rest, Unknown},
};

use super::{
    apis::{Declared, Field},
    classes::Classes,
    diagnostic::{Place, Problems},
    document::{
        Fields, Node, list,
        reader::{not_built, pairs},
        text, truth, word,
    },
    migration, records,
};

/// Reads one entity. `unknown` is what its API says of fields that are not listed.
pub(super) fn entity(
    name: &EntityName,
    node: &Node,
    classes: &Classes,
    unknown: Unknown,
    declared: &mut Declared,
    problems: &mut Problems,
) -> EntityDecl {
    let mut entity = EntityDecl {
        name: name.clone(),
        fields: Vec::new(),
        rest: Rest::default(),
        bind: None,
        key: Vec::new(),
    };
    let Some(mut fields) = Fields::of(node, "an entity", problems) else { return entity };
    fields.later(&["masked_writeback", "migration"]);
    let key = fields.optional("key");
    let (bind, open) = (fields.optional("bind"), fields.optional("open"));
    let unknown_fields = fields.optional("unknown_fields");
    let columns = match open {
        Some(open) => {
            let remedy = "list it under undeclared: {entities: […], why: …} instead";
            problems.error(open.at, "an entity cannot be open", remedy);
            fields.optional("why");
            fields.optional("fields")
        }
        None => fields.required("fields", "list the fields, or leave the entity out", problems),
    };
    fields.finish(problems);
    if let Some(node) = key {
        let columns = list(node, "key", problems).unwrap_or_default();
        if columns.is_empty() {
            problems.error(node.at, "key names no column", "name those of the primary key");
        }
        let named = |node| text(node, "a column of the key", problems).map(FieldName::new);
        entity.key = columns.iter().filter_map(named).collect();
        declared.keys.insert(name.clone(), entity.key.clone());
    }
    for (key, node) in columns.and_then(|node| pairs(node, "fields", problems)).unwrap_or_default()
    {
        if key.text.contains("->") {
            not_built(key.at, &key.text, problems);
            continue;
        }
        if key.text.trim().is_empty() {
            problems.error(key.at, "a field needs a name", "write the name of the column");
            continue;
        }
        let column = FieldName::new(key.text.as_str());
        match field(node, key.at, classes, problems) {
            Some(Reading::Protected(field)) => {
                entity.fields.push(column.clone());
                declared.fields.push((FieldRef { entity: name.clone(), field: column }, field));
            }
            Some(Reading::Plain) => entity.rest.plain.push(column),
            None => {}
        }
    }
    entity.rest.unknown =
        unknown_fields.and_then(|node| self::unknown(node, problems)).unwrap_or(unknown);
    entity.bind = bind
        .and_then(|node| records::read(node, problems))
        .and_then(|bind| bind.settle(name, Some(name.as_str()), declared, problems));
    if let Some(bind) = &entity.bind
        && !entity.fields.contains(&bind.key)
        && !entity.rest.plain.contains(&bind.key)
    {
        // Whoever names the key has said why it is there.
        entity.rest.plain.push(bind.key.clone());
    }
    entity
}

/// `pass`, `warn` or `deny`.
pub(super) fn unknown(node: &Node, problems: &mut Problems) -> Option<Unknown> {
    let words = [("deny", Unknown::Deny), ("pass", Unknown::Pass), ("warn", Unknown::Warn)];
    word(node, "unknown_fields:", &words, &[], problems)
}

/// What a field was declared as.
pub(super) enum Reading {
    /// In need of no protection.
    Plain,
    /// Of a class.
    Protected(Field),
}

/// Reads `{class: …}` or `{mode: plain, why: …}`.
pub(super) fn field(
    node: &Node,
    at: Place,
    classes: &Classes,
    problems: &mut Problems,
) -> Option<Reading> {
    let mut fields = Fields::of(node, "a field", problems)?;
    fields.later(&["bind", "equality", "masked_writeback", "subject"]);
    let class = fields.optional("class");
    let migration = fields.optional("migration");
    let mode = fields.optional("mode");
    let unique = fields.optional("unique");
    let why = fields.optional("why");
    fields.finish(problems);
    let is_unique = unique.and_then(|node| truth(node, "unique", problems)).unwrap_or_default();
    match (class, mode) {
        (Some(class), None) => {
            if let Some(why) = why {
                problems.error(why.at, "why is for plain fields", "leave it out");
            }
            let class = classes.named(class, problems)?;
            if let (true, Some(node)) = (is_unique, unique)
                && class.params.mode != Mode::Deterministic
            {
                let mode = class.params.mode.as_str();
                let message =
                    format!("a {mode} class cannot be unique: equal values are stored differently");
                problems.error(node.at, message, "use a deterministic class");
            }
            let migration = migration.and_then(|node| migration::read(node, problems));
            let field = Field {
                class,
                unique: is_unique,
                argument: None,
                line: at.line,
                is_bound: false,
                migration: migration.unwrap_or_default(),
            };
            migration::warn_of_unique(at, &field, problems);
            Some(Reading::Protected(field))
        }
        (None, mode @ Some(_)) => {
            if let Some(migration) = migration {
                problems.error(
                    migration.at,
                    "a plain field is never sealed",
                    "leave migration out",
                );
            }
            plain(at, mode, why, "a field", problems);
            Some(Reading::Plain)
        }
        (Some(_), Some(mode)) => {
            problems.error(mode.at, "the class of a field says its mode", "leave mode out");
            None
        }
        (None, None) => {
            plain(at, None, why, "a field", problems);
            None
        }
    }
}

/// Checks `{mode: plain, why: …}` of `what`.
pub(super) fn plain(
    at: Place,
    mode: Option<&Node>,
    why: Option<&Node>,
    what: &str,
    problems: &mut Problems,
) {
    let Some(mode) = mode else {
        let remedy = "write {class: …}, or {mode: plain, why: …}";
        problems.error(at, format!("{what} lacks `class`"), remedy);
        return;
    };
    let of = what.replacen("an ", "", 1).replacen("a ", "", 1);
    let (words, later) = ([("plain", ())], ["format_preserving"]);
    word(mode, &format!("the mode of {what}"), &words, &later, problems);
    match why {
        Some(why) => drop(text(why, "why", problems)),
        None => {
            let message = format!("a plain {of} lacks `why`");
            problems.error(at, message, "say why it needs no protection");
        }
    }
}

/// What a column that repeats this field elsewhere would be called, in lower case.
pub(super) fn bare_name(field: &FieldName) -> String {
    let name = field.as_str();
    let places = ["form:", "path:", "query:"];
    let name = places.iter().find_map(|place| name.strip_prefix(place)).unwrap_or(name);
    let name = name.trim_end_matches("[*]");
    let name = name.rsplit(['.', '>', ':']).next().unwrap_or(name);
    name.trim_matches(['\'', '"', '[', ']']).to_lowercase()
}
