//! The form of a body: a tree that says what stands where.
//!
//! One node describes one JSON value. It says what the value is as a whole ([`Node::field`]), what
//! its members are if it is an object, and what its elements are if it is an array; a node may say
//! several of these, because an API may answer an object or an array of them. What no node
//! describes is *elsewhere*.

use std::collections::BTreeMap;

/// What one JSON value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<F> {
    /// The whole value is this field, whatever its JSON type.
    pub field: Option<F>,
    /// If it is an object: its members by unescaped key. Other members are elsewhere.
    pub members: BTreeMap<String, Node<F>>,
    /// If it is an array: what each element is.
    pub elements: Option<Box<Node<F>>>,
    /// Whether an object here is a record: the unit that is held whole, and that a window ends after.
    pub record: bool,
}

impl<F> Default for Node<F> {
    fn default() -> Self {
        Self { field: None, members: BTreeMap::new(), elements: None, record: false }
    }
}

impl<F> Node<F> {
    /// A value that is a field as a whole.
    pub fn leaf(field: F) -> Self {
        Self { field: Some(field), ..Self::default() }
    }

    /// Whether nothing under here is a field: the value and all below it are elsewhere.
    pub fn is_empty(&self) -> bool {
        self.field.is_none() && self.members.is_empty() && self.elements.is_none()
    }

    /// The same tree with other leaves. A leaf for which `f` gives `None` becomes elsewhere, and
    /// branches without leaves fall away.
    pub fn filter_map<G, E>(
        &self,
        f: &mut impl FnMut(&F) -> Result<Option<G>, E>,
    ) -> Result<Node<G>, E> {
        let field = match &self.field {
            Some(field) => f(field)?,
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
        Ok(Node { field, members, elements, record: self.record })
    }

    /// Every field under here, in the order of the keys.
    pub fn fields(&self) -> Vec<&F> {
        let mut found: Vec<&F> = self.field.iter().collect();
        found.extend(self.members.values().flat_map(Self::fields));
        found.extend(self.elements.iter().flat_map(|node| node.fields()));
        found
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
        let kept = tree.filter_map::<u8, ()>(&mut |leaf| Ok((*leaf == 1).then_some(9))).unwrap();
        assert_eq!(kept.fields(), [&9]);
        let none = tree.filter_map::<u8, ()>(&mut |_| Ok(None)).unwrap();
        assert!(none.is_empty());
    }
}
