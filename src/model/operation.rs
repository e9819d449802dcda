//! One request, classified: what it does, to what, and every use of a column that could give a
//! value away or get a wrong answer.

use std::collections::BTreeMap;

use super::{FieldRef, Formats, KeyPlace, Node};
use crate::base::{
    ident::{EntityName, FieldName, FunctionName},
    secret::Plaintext,
};

/// What a request does to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Calls a function.
    Call,
    /// Adds records (an upsert too).
    Create,
    /// Removes records.
    Delete,
    /// Asks about the API itself: its root document, its options.
    Describe,
    /// Reads records.
    Read,
    /// Puts a whole record in place of another.
    Replace,
    /// Changes members of records.
    Update,
}

impl Verb {
    /// Whether the request may change what is stored. A call may.
    pub fn writes(self) -> bool {
        match self {
            Self::Call | Self::Create | Self::Delete | Self::Replace | Self::Update => true,
            Self::Describe | Self::Read => false,
        }
    }

    /// The word for logs and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Describe => "describe",
            Self::Read => "read",
            Self::Replace => "replace",
            Self::Update => "update",
        }
    }
}

/// What a request is addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An entity that the policy declares.
    Entity(EntityName),
    /// A function, declared or not: the policy decides.
    Function(FunctionName),
    /// A route of which the policy says that what is sent there passes untouched.
    Open(EntityName),
    /// The API itself.
    Service,
    /// An entity that the policy does not declare.
    Undeclared(EntityName),
}

/// A test in the head, with its literals in clear.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The operator as the API spells it, from a closed list, for refusals.
    pub operator: &'static str,
    /// What is tested.
    pub test: Test,
}

/// Whether a pattern tells upper from lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Case {
    /// It does.
    Exact,
    /// It does not.
    Folded,
}

/// On which side of a literal a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Greater.
    Above,
    /// Greater or equal.
    AtLeast,
    /// Less or equal.
    AtMost,
    /// Less.
    Below,
}

/// What a filter tests.
#[derive(Clone, Debug)]
pub enum Test {
    /// The field is on one side of the literal.
    Bound {
        /// On which side.
        bound: Bound,
        /// Of what.
        literal: Plaintext,
    },
    /// The field equals the literal. A negation around it does not matter here.
    Equal(Plaintext),
    /// The field equals one of the literals.
    In(Vec<Plaintext>),
    /// The field is null.
    IsNull,
    /// Anything else: regular expressions, full text, containment.
    Other,
    /// The text as a whole is like the pattern.
    Pattern {
        /// In the syntax of `LIKE`: `%` any text, `_` any character, `\` before one of them (or
        /// itself) that stands for itself.
        pattern: Plaintext,
        /// Whether case counts.
        case: Case,
    },
}

/// Which way an order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// Where an order puts nulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nulls {
    /// Before all values.
    First,
    /// After all values.
    Last,
}

/// How a column is used in the head.
#[derive(Clone, Debug)]
pub enum UseKind {
    /// Written in every record, be it in the body or not (`columns`).
    Column,
    /// Decides which of two records is the same (`on_conflict`).
    Conflict,
    /// Asks for records of another entity beside those of the target.
    Embed,
    /// Tests it.
    Filter(Filter),
    /// Decides which of two records is the same, if it is part of the key: the request does not say
    /// what the key is.
    Key,
    /// Orders by it. Terms are in the order of their weight.
    Order {
        /// Which way.
        direction: Direction,
        /// Where nulls go, the API's default spelled out.
        nulls: Nulls,
    },
    /// Casts it to text.
    Text,
    /// Casts, aggregates or reaches into it; the word says which.
    Transform(&'static str),
    /// Spells every point in time in a zone that the request names, whatever its column.
    Zone,
}

/// Whether a use decides for every record of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// A test that every record of the answer must pass: on the target's own entity, beside all other
    /// tests and not negated. A term of the one order of the records themselves.
    Required,
    /// Anything else: inside a tree, negated, of an embed.
    Within,
}

/// One use of one column in the head, in the order of the target's bytes.
#[derive(Clone, Debug)]
pub struct Use {
    /// The entity whose column it is: a declared one, or the target itself. `None` where that cannot
    /// be told, as in an embed of an undeclared entity, and for arguments of a function.
    pub entity: Option<EntityName>,
    /// The column as named in the request.
    pub column: FieldName,
    /// How it is used.
    pub kind: UseKind,
    /// Whether it decides for every record of the answer.
    pub place: Placement,
}

/// How much an answer holds of what the tests let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Page {
    /// Part of it, or something made of it; the word from a closed list says by what.
    Part(&'static str),
    /// As far as the request says, all of it: an array with each record as one element.
    Whole,
}

/// What a request body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// Nothing, or nothing that is a record: whatever arrives is searched for strays only.
    Opaque,
    /// Records of this form. The body must be of this shape, in one of the formats of the operation,
    /// or the request is refused.
    Records(Node<FieldRef>),
}

/// One request, classified.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What it does.
    pub verb: Verb,
    /// To what.
    pub target: Target,
    /// Every use of a column in the head, declared or not.
    pub uses: Vec<Use>,
    /// What the request body holds.
    pub body: BodyForm,
    /// What an answer that succeeds holds. Empty: everything in it is elsewhere.
    pub answer: Node<FieldRef>,
    /// What the request body may be written in.
    pub formats: Formats,
    /// How much of what the tests let through it holds.
    pub page: Page,
    /// The keys under which fields of the target's own records come back, where that is known: as
    /// they are, each at most once.
    pub own_keys: BTreeMap<FieldName, String>,
}

impl Operation {
    /// The key of the record that the request is about, where its head says it.
    pub fn head_key(&self) -> Option<&Plaintext> {
        let request = match &self.body {
            BodyForm::Opaque => Vec::new(),
            BodyForm::Records(node) => node.records(),
        };
        let mut records = request.into_iter().chain(self.answer.records());
        let used = records.find_map(|bound| match &bound.key {
            KeyPlace::Head { used, .. } => Some(*used),
            KeyPlace::Member { .. } | KeyPlace::Nowhere { .. } => None,
        })?;
        match &self.uses.get(used)?.kind {
            UseKind::Filter(Filter { test: Test::Equal(literal), .. }) => Some(literal),
            UseKind::Column
            | UseKind::Conflict
            | UseKind::Embed
            | UseKind::Filter(_)
            | UseKind::Key
            | UseKind::Order { .. }
            | UseKind::Text
            | UseKind::Transform(_)
            | UseKind::Zone => None,
        }
    }

    /// A request to an API of which nothing is declared, so that nobody looks at it.
    pub fn unexamined() -> Self {
        Self {
            verb: Verb::Describe,
            target: Target::Service,
            uses: Vec::new(),
            body: BodyForm::Opaque,
            answer: Node::default(),
            formats: Formats::JSON,
            page: Page::Part("unexamined"),
            own_keys: BTreeMap::new(),
        }
    }
}
