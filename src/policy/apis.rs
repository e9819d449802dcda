//! The section `apis:`: which values of which API are of which class.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    base::ident::{ApiName, EntityName, FunctionName},
    model::{FieldRef, Surface, Unknown},
};

use super::{
    classes::Classes,
    diagnostic::{Place, Problems},
    document::{Fields, Node, list, reader::pairs, text},
    entities::{self, bare_name},
    grants::Grants,
    plan::{BindRule, Class},
    records::Binds,
    routes,
};

/// What is declared of one API. Answers with a plan in `decide`.
#[derive(Debug)]
pub struct ApiPolicy {
    pub(super) name: ApiName,
    pub(super) dialect: String,
    pub(super) dialect_line: usize,
    pub(super) surface: Surface,
    /// The protected fields.
    pub(super) fields: HashMap<FieldRef, Field>,
    /// Bare names of the protected fields, in lower case: a view may repeat the column.
    pub(super) protected_names: HashSet<String>,
    pub(super) exceptions: Exceptions,
    /// How records are told apart to which values are bound.
    pub(super) binds: Arc<HashMap<EntityName, BindRule>>,
    pub(super) grants: Arc<Grants>,
}

/// A protected field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) class: Arc<Class>,
    pub(super) unique: bool,
    pub(super) line: usize,
    /// Whether its values are bound to their record.
    pub(super) is_bound: bool,
}

/// What passes although it is not declared.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    pub(super) entities: HashSet<EntityName>,
    pub(super) functions: HashSet<FunctionName>,
}

/// Declared fields in file order, while an API is being read.
#[derive(Default)]
pub(super) struct Declared {
    pub(super) fields: Vec<(FieldRef, Field)>,
    pub(super) binds: Binds,
}

impl ApiPolicy {
    /// The name in both files.
    pub fn name(&self) -> &ApiName {
        &self.name
    }

    /// The word after `dialect:`. Whether there is such a dialect is for whoever builds it to say.
    pub fn dialect(&self) -> &str {
        &self.dialect
    }

    /// Where that word stands.
    pub fn dialect_line(&self) -> usize {
        self.dialect_line
    }

    /// What is declared, in the words of a dialect.
    pub fn surface(&self) -> &Surface {
        &self.surface
    }

    /// Whether the policy names this function, so that its name may be recorded: any other name is
    /// whatever the caller made it.
    pub fn names_function(&self, function: &FunctionName) -> bool {
        self.exceptions.functions.contains(function)
    }

    /// Whether nothing is declared, so that everything passes.
    pub fn is_open(&self) -> bool {
        self.surface.entities.is_empty() && self.surface.routes.is_empty()
    }
}

/// Reads the section.
pub(super) fn read(
    node: &Node,
    classes: &Classes,
    grants: &Arc<Grants>,
    problems: &mut Problems,
) -> Vec<ApiPolicy> {
    let mut apis: Vec<ApiPolicy> = Vec::new();
    for item in list(node, "apis", problems).unwrap_or_default() {
        let Some(api) = api(item, classes, grants, problems) else { continue };
        if apis.iter().any(|other| other.name == api.name) {
            let message = format!("two APIs are named `{}`", api.name);
            problems.error(item.at, message, "give each a name of its own");
        }
        apis.push(api);
    }
    apis
}

const LATER: &[&str] = &[
    "elements",
    "functions",
    "masked_writeback",
    "migration",
    "on_unsupported",
    "schema_snapshot",
    "version",
];

fn api(
    node: &Node,
    classes: &Classes,
    grants: &Arc<Grants>,
    problems: &mut Problems,
) -> Option<ApiPolicy> {
    let mut fields = Fields::of(node, "an API", problems)?;
    fields.later(LATER);
    let name = fields.required("name", "add the name that the configuration uses", problems);
    let name = name.and_then(|node| text(node, "name", problems));
    let dialect = fields.required("dialect", "add dialect: postgrest or dialect: json", problems);
    let schemas = fields.optional("schemas");
    let undeclared = fields.optional("undeclared");
    let unknown_fields = fields.optional("unknown_fields");
    let entities = fields.optional("entities");
    let routes = fields.optional("routes");
    fields.finish(problems);

    let unknown = unknown_fields.and_then(|node| entities::unknown(node, problems));
    let unknown = unknown.unwrap_or(Unknown::Pass);
    if let (Some(_), Some(routes)) = (entities, routes) {
        let message = "an API has either entities or routes";
        problems.error(routes.at, message, "declare the routes as an API of their own");
    }
    if let (Some(_), Some(schemas)) = (routes, schemas) {
        problems.error(schemas.at, "an API with routes has no schemas", "leave schemas out");
    }
    let mut declared = Declared::default();
    let mut surface = Surface::default();
    let mut exceptions = Exceptions::default();
    if let Some(node) = routes {
        surface.routes = routes::read(node, classes, unknown, &mut declared, problems);
        if let Some(node) = undeclared {
            // Which routes are meant would have to be spelled as routes are.
            let remedy = "declare the route with open: true and why:";
            problems.error(node.at, "an API with routes has no undeclared:", remedy);
        }
    } else {
        let excepted = undeclared.map(|node| excepted(node, problems)).unwrap_or_default();
        let pairs = entities.and_then(|node| pairs(node, "entities", problems)).unwrap_or_default();
        let named: Vec<_> = pairs.iter().map(|(key, _)| (key.text.as_str(), key.at)).collect();
        surface.schemas = schema_list(schemas, &named, problems);
        let place =
            |name, at, problems: &mut Problems| qualify(name, at, &surface.schemas, problems);
        for (key, node) in pairs {
            let Some(name) = place(&key.text, key.at, problems) else { continue };
            let name = EntityName::new(name);
            if surface.entities.iter().any(|other| other.name == name) {
                problems.error(key.at, format!("`{name}` is declared twice"), "keep one");
            }
            let entity = entities::entity(&name, node, classes, unknown, &mut declared, problems);
            surface.entities.push(entity);
        }
        for (name, at) in excepted.entities {
            let Some(qualified) = place(name, at, problems) else { continue };
            let qualified = EntityName::new(qualified);
            if surface.entities.iter().any(|entity| entity.name == qualified) {
                let message = format!("`{name}` is declared, so it cannot be undeclared");
                problems.error(at, message, "leave it out of one of the two");
            }
            exceptions.entities.insert(qualified);
        }
        for (name, at) in excepted.functions {
            exceptions.functions.extend(place(name, at, problems).map(FunctionName::new));
        }
    }
    let protected_names =
        declared.fields.iter().map(|(field, _)| bare_name(&field.field)).collect();
    let dialect_node = dialect?;
    Some(ApiPolicy {
        name: ApiName::new(name?),
        dialect: text(dialect_node, "dialect", problems)?.to_owned(),
        dialect_line: dialect_node.at.line,
        surface,
        fields: declared.fields.into_iter().collect(),
        protected_names,
        exceptions,
        binds: Arc::new(declared.binds),
        grants: grants.clone(),
    })
}

/// The names under `undeclared:`, as they stand.
#[derive(Default)]
struct Excepted<'a> {
    entities: Vec<(&'a str, Place)>,
    functions: Vec<(&'a str, Place)>,
}

fn excepted<'a>(node: &'a Node, problems: &mut Problems) -> Excepted<'a> {
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
fn schema_list(
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
fn qualify(name: &str, at: Place, schemas: &[String], problems: &mut Problems) -> Option<String> {
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
