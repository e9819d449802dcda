//! What the policy declares, ready to be looked up by schema and table.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    base::{
        ident::{EntityName, FieldName},
        near,
    },
    dialect::SurfaceError,
    model::{BindDecl, FieldRef, FunctionDecl, Node, Others, Rest, Surface, Unknown},
};

/// A declared entity.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entity {
    pub(super) name: EntityName,
    /// Its protected columns.
    pub(super) columns: BTreeSet<String>,
    /// What else its records hold.
    pub(super) rest: Rest,
    /// Whether values are bound to their record.
    pub(super) bind: Option<BindDecl>,
    /// The columns of the primary key, where they are known.
    pub(super) key: Vec<FieldName>,
}

impl Entity {
    /// One of which the policy says nothing.
    pub(super) fn undeclared(name: EntityName) -> Self {
        Self { name, columns: BTreeSet::new(), rest: Rest::default(), bind: None, key: Vec::new() }
    }

    /// Members of a record of which anything is listed, and what becomes of others.
    pub(super) fn record(&self) -> Node<FieldRef> {
        let mut record = Node { members: self.members(), record: true, ..Node::default() };
        if self.rest.unknown != Unknown::Pass {
            let plain = self.rest.plain.iter().map(|field| field.as_str().to_owned()).collect();
            let (entity, unknown) = (self.name.clone(), self.rest.unknown);
            record.others = Some(Box::new(Others { entity, plain, unknown }));
        }
        record
    }

    /// Whether a body must be read to be judged.
    pub(super) fn has_say_in_bodies(&self) -> bool {
        !self.columns.is_empty() || self.rest.unknown == Unknown::Deny
    }

    /// The column as a declared field, if it is one.
    pub(super) fn field(&self, column: &str) -> Option<FieldRef> {
        self.columns
            .contains(column)
            .then(|| FieldRef { entity: self.name.clone(), field: FieldName::new(column) })
    }

    /// Members of a record with every protected column under its own name.
    pub(super) fn members(&self) -> BTreeMap<String, Node<FieldRef>> {
        let leaf = |column: &String| Some((column.clone(), Node::leaf(self.field(column)?)));
        self.columns.iter().filter_map(leaf).collect()
    }
}

/// A declared function.
#[derive(Debug)]
pub(super) struct Function {
    /// What its arguments are fields of.
    pub(super) arguments: Entity,
    /// Schema and table whose records it returns.
    pub(super) returns: Option<(String, String)>,
}

/// Everything declared of one API.
#[derive(Debug)]
pub(super) struct Declared {
    /// The first is the default.
    schemas: Vec<String>,
    entities: BTreeMap<(String, String), Entity>,
    functions: BTreeMap<(String, String), Function>,
    /// The names of all protected columns and arguments.
    columns: BTreeSet<String>,
}

impl Declared {
    /// Checks that every entity is a table of an exposed schema.
    pub(super) fn new(surface: &Surface) -> Result<Self, Vec<SurfaceError>> {
        let mut errors = Vec::new();
        let mut wrong = |at: &str, problem: &str| {
            errors.push(SurfaceError { at: at.to_owned(), problem: problem.to_owned() });
        };
        for route in &surface.routes {
            wrong(route.pattern.as_str(), "this dialect has no routes; declare it under entities:");
        }
        for schema in surface.schemas.iter().filter(|s| s.is_empty() || s.contains('.')) {
            wrong(schema, "a schema is a name without dots");
        }
        let mut entities = BTreeMap::new();
        let mut schemas = surface.schemas.clone();
        for entity in &surface.entities {
            let name = entity.name.as_str();
            let Some((schema, table)) = name
                .split_once('.')
                .filter(|(schema, table)| !schema.is_empty() && !table.is_empty())
            else {
                wrong(name, "write it as schema.table");
                continue;
            };
            if surface.schemas.is_empty() && schemas.is_empty() {
                schemas.push(schema.to_owned());
            }
            if !schemas.iter().any(|exposed| exposed == schema) {
                wrong(
                    name,
                    "its schema is not listed under schemas:, where the first is the default",
                );
            }
            let columns = entity.fields.iter().map(|field| field.as_str().to_owned()).collect();
            let declared = Entity {
                name: entity.name.clone(),
                columns,
                rest: entity.rest.clone(),
                bind: entity.bind.clone(),
                key: entity.key.clone(),
            };
            if entities.insert((schema.to_owned(), table.to_owned()), declared).is_some() {
                wrong(name, "it is declared twice");
            }
        }
        for function in &surface.functions {
            let name = function.name.as_str();
            if !parts(name).is_some_and(|(schema, _)| {
                schemas.contains(&schema) || (schemas.is_empty() && schema == "public")
            }) {
                wrong(name, "write it as schema.function, of a schema under schemas:");
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if schemas.is_empty() {
            schemas.push("public".to_owned());
        }
        let mut functions = BTreeMap::new();
        for FunctionDecl { name, arguments, plain, returns } in &surface.functions {
            let columns = arguments.iter().map(|field| field.as_str().to_owned()).collect();
            let rest = Rest { plain: plain.clone(), unknown: Unknown::Deny };
            let arguments =
                Entity { columns, rest, ..Entity::undeclared(FunctionDecl::arguments_of(name)) };
            let returns = returns.as_ref().and_then(|entity| parts(entity.as_str()));
            if let Some(name) = parts(name.as_str()) {
                functions.insert(name, Function { arguments, returns });
            }
        }
        let arguments = functions.values().map(|function: &Function| &function.arguments);
        let columns = entities.values().chain(arguments).flat_map(|e: &Entity| &e.columns);
        let columns = columns.cloned().collect();
        Ok(Self { schemas, entities, functions, columns })
    }

    /// The schema a request is about, or `None` if the policy knows nothing of it.
    pub(super) fn schema<'a>(&'a self, profile: Option<&str>) -> Option<&'a str> {
        match profile {
            None => self.schemas.first().map(String::as_str),
            Some(name) => self.schemas.iter().find(|schema| *schema == name).map(String::as_str),
        }
    }

    /// A declared table.
    pub(super) fn entity(&self, schema: &str, table: &str) -> Option<&Entity> {
        self.entities.get(&(schema.to_owned(), table.to_owned()))
    }

    /// What a field is bound to, if it is: the declaration of its entity.
    pub(super) fn bind_of(&self, field: &FieldRef) -> Option<&BindDecl> {
        let entity = self.entities.values().find(|entity| entity.name == field.entity)?;
        entity.bind.as_ref().filter(|bind| bind.fields.contains(&field.field))
    }

    /// A declared function.
    pub(super) fn function(&self, schema: &str, name: &str) -> Option<&Function> {
        self.functions.get(&(schema.to_owned(), name.to_owned()))
    }

    /// Whether some server may take the name for that of a protected column or argument.
    pub(super) fn protects(&self, column: &str) -> bool {
        self.columns.iter().any(|protected| near::is_near(protected, column))
    }

    /// Whether a server that knows fewer letters than we do could read a protected column where we
    /// read `name`, because it stops at the first one it does not know.
    pub(super) fn could_be_cut_to_protected(&self, name: &str) -> bool {
        !name.is_ascii()
            && self.columns.iter().any(|column| {
                name.strip_prefix(column.as_str())
                    .and_then(|rest| rest.chars().next())
                    .is_some_and(|next| !next.is_ascii())
            })
    }
}

/// Schema and name of what is fully qualified.
fn parts(name: &str) -> Option<(String, String)> {
    name.split_once('.').map(|(schema, name)| (schema.to_owned(), name.to_owned()))
}
