//! Calls of declared functions: which parameters are arguments, and which are tests of what comes
//! back.
//!
//! The server takes a parameter of `GET /rpc/f` for a test if its value begins as one, and for an
//! argument otherwise. So a value such as `eq.A1` never reaches an argument, and where no protected
//! column of that name comes back, it is refused: the value would go up in clear.

use http::{HeaderMap, Method};

use super::{
    accept,
    cursor::Field,
    declared::{Declared, Entity, Function},
};
use crate::{
    base::{
        near,
        refusal::{Code, Refusal},
    },
    model::{BodyForm, Node},
};

/// A call of a declared function.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    function: &'a Function,
    by_query: bool,
}

impl<'a> Call<'a> {
    /// A call by this method. Refuses a body that the server would take whole for one argument.
    pub(super) fn new(
        function: &'a Function,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Self, Refusal> {
        if accept::prefers(headers, "params=") {
            return Err(Refusal::new(Code::UnsupportedHeader).by("Prefer: params"));
        }
        Ok(Self { function, by_query: matches!(method.as_str(), "GET" | "HEAD") })
    }

    /// The entity whose fields are the arguments.
    pub(super) fn arguments(&self) -> &'a Entity {
        &self.function.arguments
    }

    /// The entity whose records come back.
    pub(super) fn returned(&self, declared: &'a Declared) -> Option<&'a Entity> {
        let (schema, table) = self.function.returns.as_ref()?;
        declared.entity(schema, table)
    }

    /// What the body holds; opaque if there is to be none.
    pub(super) fn body(&self) -> BodyForm {
        let arguments = &self.function.arguments;
        if self.by_query || (arguments.columns.is_empty() && arguments.rest.plain.is_empty()) {
            return BodyForm::Opaque;
        }
        let record = arguments.record();
        BodyForm::Records(Node { elements: Some(Box::new(record.clone())), ..record })
    }

    /// Whether a parameter that is no test is a protected argument.
    pub(super) fn takes(&self, field: &Field) -> bool {
        let protected = &self.function.arguments.columns;
        self.by_query && field.json.is_none() && protected.contains(&field.column.text)
    }

    /// Whether a test of a column of `entity` looks like an argument that was meant to be protected.
    pub(super) fn could_be_meant(&self, field: &Field, entity: Option<&Entity>) -> bool {
        let column = field.column.text.as_str();
        let comes_back = entity.is_some_and(|entity| entity.columns.contains(column));
        let mut protected = self.function.arguments.columns.iter();
        !comes_back && protected.any(|argument| near::is_near(argument, column))
    }
}
