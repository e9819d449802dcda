//! What a policy expects of the columns of a database, for whoever compares the two.

use crate::{
    base::ident::{EntityName, FieldName},
    model::FieldRef,
};

use super::{apis::ApiPolicy, plan::Class};

/// A protected column.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// The entity.
    pub entity: &'a EntityName,
    /// The column in it.
    pub name: &'a FieldName,
    /// What its values are.
    pub class: &'a Class,
    /// Whether the policy says that it has a unique index.
    pub is_unique: bool,
    /// Whether some caller may test its values.
    pub is_tested: bool,
    /// Where it is declared.
    pub line: usize,
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
                line: field.line,
            })
        };
        let entities = self.surface.entities.iter();
        let fields = entities.flat_map(|decl| decl.fields.iter().map(|name| (&decl.name, name)));
        fields.filter_map(|(entity, name)| of(entity, name)).collect()
    }
}
