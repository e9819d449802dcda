//! What a policy expects of the columns of a database, for whoever compares the two.

use std::sync::Arc;

use crate::{
    base::ident::{EntityName, FieldName},
    model::FieldRef,
};

use super::{
    apis::ApiPolicy,
    migration::Migration,
    plan::{BindRule, Class},
};

/// A protected column.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// The entity.
    pub entity: &'a EntityName,
    /// The column in it.
    pub name: &'a FieldName,
    /// What its values are.
    pub class: &'a Arc<Class>,
    /// Whether the policy says that it has a unique index.
    pub is_unique: bool,
    /// Whether some caller may test its values.
    pub is_tested: bool,
    /// Whether its values open in their own record alone.
    pub is_bound: bool,
    /// Whether values in clear may stand in it.
    pub migration: Migration,
    /// Where it is declared.
    pub line: usize,
}

impl Column<'_> {
    /// Whether values in clear that stand in it are to be sealed where they are.
    pub fn accepts_plaintext(&self) -> bool {
        matches!(self.migration, Migration::Dual { .. })
    }
}

impl ApiPolicy {
    /// The protected columns of the declared entities, in the order of the file.
    pub fn columns(&self) -> Vec<Column<'_>> {
        let of = |entity, name| {
            let reference = FieldRef { entity: Clone::clone(entity), field: Clone::clone(name) };
            self.fields.get(&reference).map(|field| Column {
                entity,
                name,
                class: &field.class,
                is_unique: field.unique,
                is_tested: self.grants.someone_filters(&field.class.params.id),
                is_bound: field.is_bound,
                migration: field.migration,
                line: field.line,
            })
        };
        let entities = self.surface.entities.iter();
        let fields = entities.flat_map(|decl| decl.fields.iter().map(|name| (&decl.name, name)));
        fields.filter_map(|(entity, name)| of(entity, name)).collect()
    }

    /// How the records of an entity are told apart, if values are bound to them.
    pub fn bind_rule(&self, entity: &EntityName) -> Option<&BindRule> {
        self.binds.get(entity)
    }

    /// The columns of the primary key, where the policy says them.
    pub fn primary_key(&self, entity: &EntityName) -> Option<&[FieldName]> {
        self.keys.get(entity).map(Vec::as_slice)
    }
}
