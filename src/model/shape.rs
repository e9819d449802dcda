//! The form of a body: a tree that says what stands where.
//!
//! One node describes one JSON value. It says what the value is as a whole ([`Node::field`]), what
//! its members are if it is an object, and what its elements are if it is an array; a node may say
//! several of these, because an API may answer an object or an array of them. What no node
//! describes is *elsewhere*.

use std::collections::{BTreeMap, BTreeSet};

use super::surface::Unknown;
use crate::base::ident::EntityName;

/// What one JSON value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<F> {
    /// The whole value is this field, whatever its JSON type.
    pub field: Option<F>,
    /// Whether the field is answered as its text: a string, whatever its type.
    pub is_cast: bool,
    /// If it is an object: its members by unescaped key. Other members are elsewhere.
    pub members: BTreeMap<String, Node<F>>,
    /// If it is an array: what each element is.
    pub elements: Option<Box<Node<F>>>,
    /// Whether an object here is a record: the unit that is held whole, and that a window ends after.
    pub record: bool,
    /// What is said of other members, if it is an object in a request.
    pub others: Option<Box<Others>>,
    /// Whether values of an object here, and of all under it, are bound to a record.
    pub bound: Option<Box<BoundRecord>>,
    /// What the next member of the same name is: some APIs answer a column and a relation, or several
    /// columns, under one name.
    pub again: Option<Box<Node<F>>>,
}

/// What is said of members that no field is declared for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Others {
    /// Whose policy it is, for messages.
    pub entity: EntityName,
    /// Those that are declared plain, by unescaped key.
    pub plain: BTreeSet<String>,
    /// What becomes of the rest.
    pub unknown: Unknown,
}

/// That an object is a record to which values are bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundRecord {
    /// Whose record.
    pub entity: EntityName,
    /// Where its key is said.
    pub key: KeyPlace,
}

/// Where the key of a record is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// It is the literal of this use in the head. If the record has a member of this name, it says
    /// the same.
    Head {
        /// Index among the uses of the operation.
        used: usize,
        /// The member that may repeat it.
        member: Option<String>,
    },
    /// It is a member of the record.
    Member {
        /// The unescaped name.
        name: String,
        /// Who asked for it.
        origin: Origin,
    },
    /// Nothing says it. A record may not have a member of this name, since that would change it.
    Nowhere {
        /// The member that would change it.
        member: Option<String>,
    },
}

/// Who asked for a member of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We did: the caller does not get it.
    Added,
    /// The caller did.
    Asked,
}

impl BoundRecord {
    /// The member of the record that says, repeats or would change the key.
    pub fn member(&self) -> Option<&str> {
        match &self.key {
            KeyPlace::Head { member, .. } | KeyPlace::Nowhere { member } => member.as_deref(),
            KeyPlace::Member { name, .. } => Some(name),
        }
    }
}

impl<F> Default for Node<F> {
    fn default() -> Self {
        Self {
            field: None,
            is_cast: false,
            members: BTreeMap::new(),
            elements: None,
            record: false,
            others: None,
            bound: None,
            again: None,
        }
    }
}

impl<F> Node<F> {
    /// A value that is a field as a whole.
    pub fn leaf(field: F) -> Self {
        Self { field: Some(field), ..Self::default() }
    }

    /// Whether nothing under here is a field or a closed list of members: the value and all below
    /// it are elsewhere.
    pub fn is_empty(&self) -> bool {
        let is_closed = self.others.as_ref().is_some_and(|others| others.unknown == Unknown::Deny);
        let is_leaf = self.members.is_empty() && self.elements.is_none() && self.again.is_none();
        self.field.is_none() && is_leaf && !is_closed
    }

    /// The same tree with other leaves. `f` is told of each whether it is cast; one for which it gives
    /// `None` becomes elsewhere, and branches without leaves fall away.
    pub fn filter_map<G, E>(
        &self,
        f: &mut impl FnMut(&F, bool) -> Result<Option<G>, E>,
    ) -> Result<Node<G>, E> {
        let field = match &self.field {
            Some(field) => f(field, self.is_cast)?,
            None => None,
        };
        let mut members = BTreeMap::new();
        for (key, node) in &self.members {
            let node = node.filter_map(f)?;
            if !node.is_empty() {
                members.insert(key.clone(), node);
            }
        }
        let elements = match &self.elements {
            Some(node) => Some(node.filter_map(f)?).filter(|node| !node.is_empty()).map(Box::new),
            None => None,
        };
        let again = match &self.again {
            Some(node) => Some(Box::new(node.filter_map(f)?)),
            None => None,
        };
        let (is_cast, record) = (self.is_cast, self.record);
        let (others, bound) = (self.others.clone(), self.bound.clone());
        Ok(Node { field, is_cast, members, elements, record, others, bound, again })
    }

    /// Every record to which values are bound, this one first.
    pub fn records(&self) -> Vec<&BoundRecord> {
        let mut found: Vec<&BoundRecord> = self.bound.as_deref().into_iter().collect();
        found.extend(self.members.values().flat_map(Self::records));
        found.extend(self.elements.iter().chain(&self.again).flat_map(|node| node.records()));
        found
    }

    /// Every field under here, in the order of the keys.
    pub fn fields(&self) -> Vec<&F> {
        let mut found: Vec<&F> = self.field.iter().collect();
        found.extend(self.members.values().flat_map(Self::fields));
        found.extend(self.elements.iter().chain(&self.again).flat_map(|node| node.fields()));
        found
    }
}

impl<F: Clone> Node<F> {
    /// The same tree for an answer, in which any member may stand beside the declared ones.
    pub fn without_others(&self) -> Self {
        let strip = |node: &Self| Some(node.without_others()).filter(|node| !node.is_empty());
        let members = self.members.iter();
        Self {
            members: members.filter_map(|(key, n)| Some((key.clone(), strip(n)?))).collect(),
            elements: self.elements.as_deref().and_then(strip).map(Box::new),
            field: self.field.clone(),
            is_cast: self.is_cast,
            record: self.record,
            others: None,
            bound: self.bound.clone(),
            again: self.again.as_deref().map(|node| Box::new(node.without_others())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_whose_leaves_are_dropped_fall_away() {
        let mut record = Node { record: true, ..Node::default() };
        record.members.insert("mrn".into(), Node::leaf(1));
        record.members.insert("note".into(), Node::leaf(2));
        let tree = Node { elements: Some(Box::new(record)), ..Node::default() };
        let kept = tree.filter_map::<u8, ()>(&mut |leaf, _| Ok((*leaf == 1).then_some(9))).unwrap();
        assert_eq!(kept.fields(), [&9]);
        let none = tree.filter_map::<u8, ()>(&mut |_, _| Ok(None)).unwrap();
        assert!(none.is_empty());
    }
}
