//! What a policy decides about one operation: a [`Plan`].
//!
//! A plan can be made by `ApiPolicy::plan` alone, and the steps that seal, open and forward ask for
//! it, so no body moves without a decision. It is direction-free data; `seal` carries it out.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    base::{
        class::{ClassParams, Equality, Mode, Rung},
        ident::{ClassId, ClassName, EntityName},
        secret::Plaintext,
    },
    model::{FieldRef, Filter, Formats, Node, Test},
};

use super::mask::Mask;

/// A compiled class.
#[derive(Debug)]
pub struct Class {
    /// Its name in the policy, for messages and metrics.
    pub name: ClassName,
    /// What the cipher needs.
    pub params: ClassParams,
    /// How many years, months and days a test of its dates may become.
    pub at_most: usize,
    /// Whether records are ordered by it after opening.
    pub sort: Sort,
    /// The partial view.
    pub mask: Mask,
    /// What to do with a stored value that does not open.
    pub on_integrity: OnIntegrity,
    /// Where it is declared in the policy file.
    pub line: usize,
}

impl Class {
    /// Whether a test can be answered on how the class is stored, if its literals allow it.
    pub fn answers(&self, filter: &Filter) -> bool {
        let ClassParams { mode, ty, rungs, equality, .. } = &self.params;
        let is_searchable = *mode == Mode::Searchable;
        match &filter.test {
            // Spaces at the end count in a pattern, even in one that is otherwise an equality.
            Test::Equal(_) | Test::In(_) if *equality == Equality::PadSpace => {
                is_searchable && !matches!(filter.operator, "ilike" | "like")
            }
            Test::Equal(_) | Test::In(_) => is_searchable || *mode == Mode::Deterministic,
            Test::IsNull => true,
            Test::Bound { .. } => {
                ty.is_calendar()
                    && rungs.iter().any(|rung| matches!(rung, Rung::Month | Rung::Year))
            }
            Test::Pattern { .. } => {
                is_searchable && ty.is_text() && *equality != Equality::PadSpace
            }
            Test::Other => false,
        }
    }
}

/// Whether records are ordered by a class after opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// So many at most.
    Here {
        /// The most records that an ordered answer holds.
        at_most: usize,
    },
    /// They are not.
    Refused,
}

/// What happens when a declared field holds something that is not a valid envelope of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnIntegrity {
    /// The exchange fails.
    Fail,
    /// A marker text stands in its place, which cannot be written back.
    Mark,
}

/// What a caller gets of a class when reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The value.
    Clear,
    /// Nothing: a request that selects the field is refused.
    Deny,
    /// The mask.
    Masked,
    /// Null.
    Null,
    /// The member is left out.
    Omit,
    /// The envelope itself.
    Sealed,
}

/// What may come in for a field besides plain values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The caller sees the value, or never does: any value of the type is sealed, envelopes of ours
    /// are refused.
    Plain,
    /// The caller reads envelopes: one of this class that opens is stored as it is.
    PutBack,
    /// The caller sees a mask, null or nothing: a mask-shaped value or a null is refused, and so is
    /// a whole record without the field.
    Unseen,
}

/// Whether a value may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It may.
    Allowed,
    /// The request is refused if the field occurs in its body at all, be it with null.
    Denied {
        /// The policy line that decided.
        line: usize,
    },
}

/// What is stored in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Envelopes of its class.
    Envelopes,
    /// Those, and values in clear: the field is in migration.
    Mixed,
}

/// A place in a request body whose value is sealed.
#[derive(Clone, Debug)]
pub struct SealRule {
    /// Under which class.
    pub class: Arc<Class>,
    /// For messages.
    pub field: FieldRef,
    /// What else may stand there.
    pub guard: Guard,
    /// Whether anything may be written there.
    pub write: Write,
    /// Whether a record without it is refused (a whole-record write by a caller who cannot see it).
    pub required: bool,
    /// Whether the value opens in its own record alone.
    pub is_bound: bool,
    /// What is stored there.
    pub holds: Holds,
    /// The policy line of the field.
    pub line: usize,
}

/// A place in an answer whose value is opened.
#[derive(Clone, Debug)]
pub struct OpenRule {
    /// The class its envelope must be of.
    pub class: Arc<Class>,
    /// For messages.
    pub field: FieldRef,
    /// What the caller gets.
    pub right: Right,
    /// Whether the value opens in its own record alone.
    pub is_bound: bool,
    /// Whether the caller gets the text of the value, whatever its type.
    pub is_cast: bool,
    /// What is stored there.
    pub holds: Holds,
}

/// How the records of an entity are told apart, where values are bound to them.
#[derive(Clone, Debug)]
pub struct BindRule {
    /// Names the collection for good: two entities of one collection share records.
    pub collection: String,
    /// The field of the key, for messages.
    pub field: FieldRef,
    /// How the key is spelled.
    pub form: KeyForm,
    /// The policy line of `bind:`.
    pub line: usize,
}

/// How the key of a record is spelled in requests and answers.
#[derive(Clone, Debug)]
pub enum KeyForm {
    /// In clear.
    Plain(KeyType),
    /// As an envelope of this deterministic class.
    Protected(Arc<Class>),
}

/// The type of a key in clear: which spellings are one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// A whole number.
    Integer,
    /// Text, in which every character counts.
    Text,
    /// A UUID in either case.
    Uuid,
}

/// A filter literal that is turned into what is stored.
#[derive(Clone, Debug)]
pub struct FilterRule {
    /// Under which class.
    pub class: Arc<Class>,
    /// For messages.
    pub field: FieldRef,
    /// What is stored there.
    pub holds: Holds,
    /// The policy line of the field.
    pub line: usize,
}

/// What a caller gets of each class, for envelopes found elsewhere in an answer.
#[derive(Debug, Default)]
pub struct Rights {
    /// By class id. What is not listed stays sealed.
    pub by_class: HashMap<ClassId, ClassRights>,
}

/// What a caller may do with a class.
#[derive(Clone, Debug)]
pub struct ClassRights {
    /// The class.
    pub class: Arc<Class>,
    /// What reading gives.
    pub read: Right,
    /// Whether equality may be probed; also whether conflict details may be put back.
    pub may_filter: bool,
    /// Whether values may be written.
    pub may_write: bool,
}

/// What happens to the request body.
#[derive(Debug)]
pub enum RequestPlan {
    /// The operation has no body, so nothing in one would be sealed: any byte is refused.
    Nothing,
    /// An API without entities: every byte passes.
    Pass,
    /// Records of this shape: values are sealed, everything else is searched for strays. An empty tree
    /// seals nothing and takes any content type, but still searches.
    Scan(Node<SealRule>),
}

/// What happens to the answer.
#[derive(Debug)]
pub enum AnswerPlan {
    /// An API without entities, or a route that is open: every byte passes.
    Pass,
    /// Declared places are opened by their rule, envelopes elsewhere by the rights of their class.
    Scan(Node<OpenRule>),
}

/// The decision about one operation.
#[derive(Debug)]
pub struct Plan {
    /// The request body.
    pub request: RequestPlan,
    /// Aligned with `Operation::uses`: how to rewrite the literals of a filter.
    pub filters: Vec<Option<FilterRule>>,
    /// The answer.
    pub answer: AnswerPlan,
    /// The caller's rights on every class of the API, for what is found elsewhere and for echoes.
    pub rights: Arc<Rights>,
    /// How the records of each entity are told apart.
    pub binds: Arc<HashMap<EntityName, BindRule>>,
    /// The key of a record that the head of the request says.
    pub head_key: Option<Plaintext>,
    /// Fields in the head that the policy does not list, by entity, where it says to count them.
    pub unknown: BTreeMap<EntityName, u64>,
    /// What the request body may be written in.
    pub formats: Formats,
    /// Whether an error may repeat values in clear that the caller may not see.
    pub hides_errors: bool,
    /// Keeps other modules from making one.
    pub(super) made: Made,
}

/// Only `policy` can make one.
#[derive(Debug)]
pub(super) struct Made;

impl Plan {
    /// Whether the request body holds, or the head tests, protected values.
    pub fn seals(&self) -> bool {
        let body = match &self.request {
            RequestPlan::Nothing | RequestPlan::Pass => false,
            RequestPlan::Scan(node) => !node.is_empty(),
        };
        body || self.filters.iter().any(Option::is_some)
    }

    /// Whether the answer passes as it is, so that it may have any form.
    pub fn passes_answer(&self) -> bool {
        matches!(self.answer, AnswerPlan::Pass)
    }

    /// Whether the API has no entities, so that nothing is looked at.
    pub fn passes(&self) -> bool {
        let Made = self.made;
        matches!(self.request, RequestPlan::Pass)
    }
}
