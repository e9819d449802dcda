//! What a policy declares of one API, in the words a dialect needs to find it again.

use super::FieldRef;
use crate::base::{
    class::{Mode, ValueType},
    ident::{EntityName, FieldName, FunctionName},
};

/// What becomes of a field in a request that the policy does not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// The request is refused.
    Deny,
    /// It passes.
    #[default]
    Pass,
    /// It passes and is counted.
    Warn,
}

/// What the records of an entity hold besides its protected fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// The fields that the policy says need no protection.
    pub plain: Vec<FieldName>,
    /// What becomes of any other.
    pub unknown: Unknown,
}

/// That values of an entity are bound to their record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindDecl {
    /// The field that tells records apart.
    pub key: FieldName,
    /// Whether the key is the whole primary key, as far as the policy says.
    pub is_primary: bool,
    /// The fields that are bound.
    pub fields: Vec<FieldName>,
}

/// A declared entity and its declared fields, protected or plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityDecl {
    /// Fully qualified.
    pub name: EntityName,
    /// The protected fields.
    pub fields: Vec<FieldName>,
    /// What else its records hold.
    pub rest: Rest,
    /// Whether values open in their own record alone.
    pub bind: Option<BindDecl>,
    /// The columns of the primary key, if the policy names them.
    pub key: Vec<FieldName>,
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
    /// What else request bodies hold.
    pub rest: Rest,
    /// Whether values open in their own record alone.
    pub bind: Option<BindDecl>,
    /// Whether what is sent there passes untouched.
    pub is_open: bool,
    /// Protected fields of forms in request bodies.
    pub form: Vec<String>,
    /// Query parameters whose values may be the names of protected fields.
    pub may_name: Vec<String>,
}

/// A declared function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionDecl {
    /// Fully qualified.
    pub name: FunctionName,
    /// The protected arguments.
    pub arguments: Vec<FieldName>,
    /// The arguments that the policy says need no protection. It takes no others.
    pub plain: Vec<FieldName>,
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
