//! What a policy declares of one API, in the words a dialect needs to find it again.

use super::FieldRef;
use crate::base::{
    class::{Mode, ValueType},
    ident::{EntityName, FieldName, FunctionName},
};

/// A declared entity and its declared fields, protected or plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityDecl {
    /// Fully qualified.
    pub name: EntityName,
    /// The protected fields.
    pub fields: Vec<FieldName>,
}

/// A declared route of a plain JSON API. Its entity is its `match:` text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteDecl {
    /// `METHOD /path/{parameter}`.
    pub pattern: EntityName,
    /// Protected path parameters, by the name between the braces.
    pub path: Vec<String>,
    /// Protected query parameters.
    pub query: Vec<String>,
    /// Protected places in bodies, as JSONPath.
    pub fields: Vec<FieldName>,
    /// Protected fields of forms in request bodies.
    pub form: Vec<String>,
}

/// A declared function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionDecl {
    /// Fully qualified.
    pub name: FunctionName,
    /// The protected arguments.
    pub arguments: Vec<FieldName>,
    /// The declared entity whose records it returns.
    pub returns: Option<EntityName>,
}

impl FunctionDecl {
    /// The entity that the arguments of a function are fields of.
    pub fn arguments_of(function: &FunctionName) -> EntityName {
        EntityName::new(format!("{function}()"))
    }
}

/// What is to be said of a protected field where an API describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The field, or an argument of a function.
    pub field: FieldRef,
    /// How it is stored.
    pub mode: Mode,
    /// What it takes and gives.
    pub ty: ValueType,
}

/// Everything declared of one API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// Database schemas that the API exposes; the first is the default.
    pub schemas: Vec<String>,
    /// Declared entities.
    pub entities: Vec<EntityDecl>,
    /// Declared functions.
    pub functions: Vec<FunctionDecl>,
    /// Declared routes.
    pub routes: Vec<RouteDecl>,
}
