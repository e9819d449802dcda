//! The request in nobody's words: what a dialect says about a request, and what a policy decides on.
//!
//! A dialect reads a request head and makes an [`Operation`]; the policy reads the operation and
//! knows nothing of the wire. Both speak of places with [`FieldRef`] and of the form of bodies with
//! [`shape::Node`]. Nothing here parses, decides or seals.

pub mod format;
pub mod operation;
pub mod replacement;
pub mod shape;
pub mod surface;

pub use format::{Cells, Format, Formats};
pub use operation::{
    BodyForm, Bound, Case, Direction, Filter, Nulls, Operation, Page, Placement, Target, Test, Use,
    UseKind, Verb,
};
pub use replacement::{Alternative, Literal, Replacement, Sameness, Unlike};
pub use shape::{BoundRecord, KeyPlace, Node, Origin, Others};
pub use surface::{
    BindDecl, Described, EntityDecl, FunctionDecl, Rest, RouteDecl, Surface, Unknown,
};

use std::fmt;

use crate::base::ident::{EntityName, FieldName};

/// A declared field of a declared entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldRef {
    /// The entity.
    pub entity: EntityName,
    /// The place in its records.
    pub field: FieldName,
}

impl fmt::Display for FieldRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entity, self.field)
    }
}
