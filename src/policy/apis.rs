//! The section `apis:`: which values of which API are of which class.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    base::ident::{ApiName, ClassId, EntityName, FieldName, FunctionName},
    model::{Described, FieldRef, FunctionDecl, Surface, Unknown},
};

use super::{
    classes::Classes,
    diagnostic::Problems,
    document::{Fields, Node, list, reader::pairs, text, truth},
    entities::{self, bare_name},
    functions::{self, Argument},
    grants::Grants,
    migration::{self, Migration},
    names::{excepted, qualify, schema_list},
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
    /// The primary keys, where the policy says them.
    pub(super) keys: HashMap<EntityName, Vec<FieldName>>,
    /// Classes of which some field may hold values in clear.
    pub(super) mixed: HashSet<ClassId>,
    pub(super) grants: Arc<Grants>,
    pub(super) upgrades: Upgrades,
}

/// What becomes of a request to turn its connection into something else (WebSocket).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrades {
    /// It is refused, or the wish left out where nothing is declared.
    #[default]
    Refused,
    /// It is let through: what follows is not read, sealed or opened.
    Tunnel,
}

/// A protected field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) class: Arc<Class>,
    pub(super) unique: bool,
    /// What a function does with it, if it is an argument of one.
    pub(super) argument: Option<Argument>,
    pub(super) line: usize,
    /// Whether its values are bound to their record.
    pub(super) is_bound: bool,
    /// Whether values in clear may stand in it.
    pub(super) migration: Migration,
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
    pub(super) keys: HashMap<EntityName, Vec<FieldName>>,
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
        self.exceptions.functions.contains(function) || self.function(function).is_some()
    }

    /// What is to be said of the protected fields where the API describes itself.
    pub fn described(&self) -> Vec<Described> {
        let described = |(field, is): (&FieldRef, &Field)| {
            let (mode, ty) = (is.class.params.mode, is.class.params.ty);
            Described { field: field.clone(), mode, ty }
        };
        self.fields.iter().map(described).collect()
    }

    /// A declared function.
    pub(super) fn function(&self, name: &FunctionName) -> Option<&FunctionDecl> {
        self.surface.functions.iter().find(|function| function.name == *name)
    }

    /// Whether connections may be upgraded.
    pub fn upgrades(&self) -> Upgrades {
        self.upgrades
    }

    /// Whether nothing is declared, so that everything passes.
    pub fn is_open(&self) -> bool {
        let Surface { schemas: _, entities, functions, routes } = &self.surface;
        entities.is_empty() && functions.is_empty() && routes.is_empty()
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

const LATER: &[&str] =
    &["elements", "masked_writeback", "migration", "on_unsupported", "schema_snapshot", "version"];

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
    let upgrades = fields.optional("upgrades");
    let entities = fields.optional("entities");
    let functions = fields.optional("functions");
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
    if let (Some(_), Some(functions)) = (routes, functions) {
        let message = "an API with routes has no functions";
        problems.error(functions.at, message, "declare the route of the function");
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
        let entities =
            entities.and_then(|node| pairs(node, "entities", problems)).unwrap_or_default();
        let functions =
            functions.and_then(|node| pairs(node, "functions", problems)).unwrap_or_default();
        let named = entities.iter().chain(functions).map(|(key, _)| (key.text.as_str(), key.at));
        surface.schemas = schema_list(schemas, &named.collect::<Vec<_>>(), problems);
        let mut place =
            |name: &str, at, problems: &mut Problems| qualify(name, at, &surface.schemas, problems);
        for (key, node) in entities {
            let Some(name) = place(&key.text, key.at, problems) else { continue };
            let name = EntityName::new(name);
            if surface.entities.iter().any(|other| other.name == name) {
                problems.error(key.at, format!("`{name}` is declared twice"), "keep one");
            }
            let entity = entities::entity(&name, node, classes, unknown, &mut declared, problems);
            surface.entities.push(entity);
        }
        for (key, node) in functions {
            let Some(name) = place(&key.text, key.at, problems) else { continue };
            let name = FunctionName::new(name);
            if surface.functions.iter().any(|other| other.name == name) {
                problems.error(key.at, format!("`{name}` is declared twice"), "keep one");
            }
            let read = functions::read(name, node, classes, &mut declared, &mut place, problems);
            let Some((function, returns_at)) = read else { continue };
            if let (Some(entity), Some(at)) = (&function.returns, returns_at)
                && !surface.entities.iter().any(|declared| declared.name == *entity)
            {
                let message = format!("`{entity}` is not declared");
                problems.error(at, message, "declare it under entities:, or leave returns out");
            }
            surface.functions.push(function);
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
            let Some(qualified) = place(name, at, problems).map(FunctionName::new) else {
                continue;
            };
            if surface.functions.iter().any(|function| function.name == qualified) {
                let message = format!("`{name}` is declared, so it cannot be undeclared");
                problems.error(at, message, "leave it out of one of the two");
            }
            exceptions.functions.insert(qualified);
        }
    }
    // What a function calls its arguments is no name that a view would repeat.
    let columns = declared.fields.iter().filter(|(_, field)| field.argument.is_none());
    let protected_names = columns.map(|(field, _)| bare_name(&field.field)).collect();
    let mixed = migration::classes(declared.fields.iter().map(|(_, field)| field));
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
        keys: declared.keys,
        mixed,
        grants: grants.clone(),
        upgrades: upgrades.map(|node| upgraded(node, problems)).unwrap_or_default(),
    })
}

/// `{tunnel: true, why: …}`.
fn upgraded(node: &Node, problems: &mut Problems) -> Upgrades {
    let Some(mut fields) = Fields::of(node, "upgrades", problems) else { return Upgrades::Refused };
    let tunnel = fields.required("tunnel", "write tunnel: true, or leave upgrades out", problems);
    if let Some(why) = fields.required("why", "say why nothing protected is sent there", problems) {
        text(why, "why", problems);
    }
    fields.finish(problems);
    match tunnel.and_then(|node| truth(node, "tunnel", problems)) {
        Some(true) => Upgrades::Tunnel,
        Some(false) | None => Upgrades::Refused,
    }
}
