//! What a policy declares of one API, in the words a dialect needs to find it again.

use crate::base::ident::{EntityName, FieldName};

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
}

/// Everything declared of one API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// Database schemas that the API exposes; the first is the default.
    pub schemas: Vec<String>,
    /// Declared entities.
    pub entities: Vec<EntityDecl>,
    /// Declared routes.
    pub routes: Vec<RouteDecl>,
}
