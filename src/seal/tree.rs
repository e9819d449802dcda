//! The compiled form of a body's shape: a [`Node`] laid flat, with keys that are quickly told apart
//! from the many keys that nothing is declared of.

use std::collections::BTreeSet;

use super::visit::Stop;
use crate::{
    base::near,
    model::{BoundRecord, KeyPlace, Node, Origin, Others, Unknown},
};

/// Index of the node that describes nothing: everything under it is elsewhere.
pub(super) const ELSEWHERE: u32 = 0;

/// A tree of nodes with the rules at its leaves.
#[derive(Debug)]
pub(super) struct Tree<R> {
    nodes: Vec<Flat>,
    rules: Vec<R>,
    others: Vec<Closed>,
    bounds: Vec<BoundRecord>,
    root: u32,
}

/// What is said of the members of an object that no field is declared for.
#[derive(Debug)]
pub(super) struct Closed {
    /// Whose policy it is, and what becomes of what is not listed.
    pub said: Others,
    /// The members that are listed, as bytes.
    plain: BTreeSet<Box<[u8]>>,
}

impl Closed {
    /// Whether the member is listed.
    pub fn lists(&self, key: &[u8]) -> bool {
        self.plain.contains(key)
    }
}

/// One node, laid flat.
#[derive(Debug, Default)]
pub(super) struct Flat {
    /// The rule of the whole value.
    pub rule: Option<u32>,
    /// Members, sorted by key.
    members: Vec<Member>,
    /// One bit for what each key here looks like: most foreign keys miss all.
    filter: [u64; 4],
    /// The node of each element, if it is an array.
    pub elements: Option<u32>,
    /// Whether an object here ends a window.
    pub record: bool,
    /// Members that may not be missing, with the rule that says so.
    pub required: Vec<(u32, u32)>,
    /// What is said of other members.
    pub others: Option<u32>,
    /// That an object here is a record to which values are bound.
    pub bound: Option<u32>,
    /// Whether the value is ours, so that the caller does not get it.
    pub is_added: bool,
    /// The rule of a value that may not be lost, and would be if null stood here.
    pub lost: Option<u32>,
    /// The same, if a list stood here.
    pub lost_in_list: Option<u32>,
    /// How many members are told apart, further ones of one name counted.
    pub places: usize,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A declared member, by its place among them and its node.
    Member { place: u32, child: u32 },
    /// None, but some server may take it for one.
    Near,
    /// Nothing that is declared.
    Otherwise,
}

impl From<(u32, u32)> for Named {
    fn from((place, child): (u32, u32)) -> Self {
        Self::Member { place, child }
    }
}

/// What a body says of what it leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// It stays as it was, but for what is in lists: a list is put in place of another.
    Keeps,
    /// It is gone. Whether a list still holds what it held cannot be told from one body.
    Loses,
}

#[derive(Debug)]
struct Member {
    key: Box<[u8]>,
    node: u32,
    /// Place and node of further members of this name, in the order in which they come.
    again: Vec<(u32, u32)>,
}

impl Flat {
    /// Place and node of a member, by its unescaped key.
    #[inline]
    pub fn member(&self, key: &[u8]) -> Option<(u32, u32)> {
        let (word, bit) = look_of(key);
        if self.filter.get(word).is_none_or(|word| word & bit == 0) {
            return None;
        }
        let place = self.members.binary_search_by(|member| member.key.as_ref().cmp(key)).ok()?;
        let member = self.members.get(place)?;
        Some((place as u32, member.node))
    }

    /// Which of the members of one name comes next: the first of those that was not seen, or the last.
    #[inline]
    pub fn next_of(&self, (place, node): (u32, u32), is_seen: impl Fn(u32) -> bool) -> (u32, u32) {
        let again = self.members.get(place as usize).map_or(&[][..], |member| &member.again);
        let mut all = again.iter().copied();
        let mut next = (place, node);
        while is_seen(next.0) {
            let Some(other) = all.next() else { break };
            next = other;
        }
        next
    }

    /// Whether some server may take `name` for a declared one that it is not.
    fn is_near(&self, name: &str) -> bool {
        self.members.iter().any(|member| {
            std::str::from_utf8(&member.key).is_ok_and(|declared| near::is_near(declared, name))
        })
    }

    /// Fails if a member is missing that may not be.
    pub fn demand(&self, is_seen: impl Fn(u32) -> bool) -> Result<(), Stop> {
        match self.required.iter().find(|(place, _)| !is_seen(*place)) {
            Some((_, rule)) => Err(Stop::Missing(*rule)),
            None => Ok(()),
        }
    }

    /// How many members are declared.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Whether this kind of container is one in which the declared fields can be found.
    pub fn admits(&self, is_array: bool) -> bool {
        if is_array { self.elements.is_some() } else { self.has_members() }
    }

    /// Whether a value here must be an object or an array, so that what is under it can be found.
    pub fn is_container(&self) -> bool {
        self.rule.is_none() && (self.has_members() || self.elements.is_some())
    }

    /// Whether an object is expected here.
    fn has_members(&self) -> bool {
        !self.members.is_empty() || self.others.is_some()
    }
}

/// Length, first and last byte of a key, as a place in a filter.
#[inline]
fn look_of(key: &[u8]) -> (usize, u64) {
    let (Some(first), Some(last)) = (key.first(), key.last()) else { return (0, 1) };
    let look = key.len() * 29 + usize::from(*first) * 7 + usize::from(*last) * 13;
    (look >> 6 & 3, 1 << (look & 63))
}

impl<R: Clone> Tree<R> {
    /// Lays `node` flat. `is_required` says whether the member that holds a rule may not be missing.
    pub fn new(node: &Node<R>, absence: Absence, is_required: impl Fn(&R) -> bool) -> Self {
        let mut tree = Self {
            nodes: vec![Flat::default()],
            rules: Vec::new(),
            others: Vec::new(),
            bounds: Vec::new(),
            root: ELSEWHERE,
        };
        (tree.root, _) = tree.lay(node, absence, &is_required);
        tree
    }

    /// Returns the node's index, and a rule under it that may not be missing.
    fn lay(
        &mut self,
        node: &Node<R>,
        absence: Absence,
        is_required: &impl Fn(&R) -> bool,
    ) -> (u32, Option<u32>) {
        if node.is_empty() {
            return (ELSEWHERE, None);
        }
        let mut flat = Flat { record: node.record, ..Flat::default() };
        let mut needs = None;
        if let Some(rule) = &node.field {
            let index = self.rules.len() as u32;
            needs = is_required(rule).then_some(index);
            self.rules.push(rule.clone());
            flat.rule = Some(index);
        }
        // What is only counted asks nothing of the form of a value.
        if let Some(others) = &node.others
            && (others.unknown == Unknown::Deny || !node.members.is_empty())
        {
            let plain = others.plain.iter().map(|key| key.as_bytes().into()).collect();
            flat.others = Some(self.others.len() as u32);
            self.others.push(Closed { said: (**others).clone(), plain });
        }
        if let Some(bound) = &node.bound {
            flat.bound = Some(self.bounds.len() as u32);
            self.bounds.push((**bound).clone());
            if let KeyPlace::Member { name, origin: Origin::Added } = &bound.key {
                self.nodes.push(Flat { is_added: true, ..Flat::default() });
                let node = self.nodes.len() as u32 - 1;
                flat.members.push(Member { key: name.as_bytes().into(), node, again: Vec::new() });
            }
        }
        for (key, first) in &node.members {
            let (child, needed) = self.lay(first, absence, is_required);
            if let (Some(rule), Absence::Loses) = (needed, absence) {
                flat.required.push((child, rule));
            }
            needs = needs.or(needed);
            let chain = std::iter::successors(first.again.as_deref(), |node| node.again.as_deref());
            let again = chain.map(|node| (0, self.lay(node, absence, is_required).0)).collect();
            flat.members.push(Member { key: key.as_bytes().into(), node: child, again });
        }
        flat.members.sort_by(|one, other| one.key.cmp(&other.key));
        flat.places = flat.members.len();
        for member in &mut flat.members {
            for (place, _) in &mut member.again {
                *place = flat.places as u32;
                flat.places += 1;
            }
            let (word, bit) = look_of(&member.key);
            // Invariant: a place in a filter is below its length.
            flat.filter[word] |= bit;
        }
        // So far they name the node; what is looked for is its place among the members.
        for (node, _) in &mut flat.required {
            let place = flat.members.iter().position(|member| member.node == *node);
            *node = place.unwrap_or_default() as u32;
        }
        if let Some(child) = &node.elements {
            let (element, needed) = self.lay(child, Absence::Loses, is_required);
            flat.elements = Some(element);
            if absence == Absence::Keeps {
                flat.lost_in_list = needed;
                needs = needs.or(needed);
            }
        }
        flat.lost = needs;
        self.nodes.push(flat);
        ((self.nodes.len() - 1) as u32, needs)
    }
}

impl<R> Tree<R> {
    /// The node of the whole body.
    pub fn root(&self) -> u32 {
        self.root
    }

    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.root == ELSEWHERE
    }

    /// A node. An index that no node has is elsewhere.
    #[inline]
    pub fn node(&self, index: u32) -> &Flat {
        // Invariant: node 0 is made by `new`, and nothing removes nodes.
        self.nodes.get(index as usize).unwrap_or(&self.nodes[0])
    }

    /// What is said of a member that is not declared, if it is not on the list of the node either.
    pub fn unlisted(&self, node: &Flat, key: &[u8]) -> Option<&Closed> {
        let closed = self.others.get(node.others? as usize)?;
        (!closed.lists(key)).then_some(closed)
    }

    /// A record to which values are bound.
    pub fn bound(&self, index: u32) -> Option<&BoundRecord> {
        self.bounds.get(index as usize)
    }

    /// What a key of an object is, where one that is nearly declared is not let through. A key of
    /// several words may be a path, and is near whatever is declared anywhere.
    pub fn named(&self, node: &Flat, key: &[u8]) -> Named {
        if let Some(member) = node.member(key) {
            return member.into();
        }
        let Ok(name) = std::str::from_utf8(key) else { return Named::Otherwise };
        let is_near = node.is_near(name) || near::hides(name, |word| self.is_near_any(word));
        if is_near { Named::Near } else { Named::Otherwise }
    }

    /// What the name of a field of a flat record (a column, the field of a form) is: one that is
    /// near a declared place is, wherever that place is.
    pub fn field(&self, name: &str) -> Named {
        match self.named(self.node(self.root), name.as_bytes()) {
            Named::Otherwise if self.is_near_any(name) => Named::Near,
            named => named,
        }
    }

    fn is_near_any(&self, name: &str) -> bool {
        self.nodes.iter().any(|node| node.is_near(name))
    }

    /// Every rule at a node and under it.
    pub fn rules_under(&self, node: u32) -> Vec<u32> {
        let flat = self.node(node);
        let again = flat.members.iter().flat_map(|member| &member.again).map(|(_, node)| *node);
        let below = flat.members.iter().map(|member| member.node).chain(again).chain(flat.elements);
        let inner = below.filter(|node| *node != ELSEWHERE).flat_map(|node| self.rules_under(node));
        flat.rule.into_iter().chain(inner).collect()
    }

    /// The rules, by index.
    pub fn rules(&self) -> &[R] {
        &self.rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_leaf_makes_every_member_on_its_way_required() {
        let mut inner = Node::default();
        inner.members.insert("b".into(), Node::leaf(true));
        let mut node = Node { record: true, ..Node::default() };
        node.members.insert("a".into(), inner);
        node.members.insert("c".into(), Node::leaf(false));
        let tree = Tree::new(&node, Absence::Loses, |required| *required);
        let root = tree.node(tree.root());
        assert_eq!(root.required, [(0, 0)]);
        let (place, a) = root.member(b"a").unwrap();
        assert_eq!(place, 0);
        assert!(tree.node(a).is_container());
        assert_eq!(tree.node(a).required.len(), 1);
        assert!(root.member(b"b").is_none() && root.member(b"").is_none());
    }

    #[test]
    fn a_name_that_hides_a_declared_one_is_found() {
        let mut node = Node::default();
        node.members.insert("mrn".into(), Node::leaf(1));
        let mut contact = Node::default();
        contact.members.insert("name".into(), Node::leaf(2));
        node.members.insert("contact".into(), contact);
        let tree = Tree::new(&node, Absence::Loses, |_| false);
        let near =
            ["MRN", "\u{feff}mrn", " 'mrn'", "id;mrn;x", "a\tmrn", "contact.name", "{'mrn':1}"];
        for name in near.into_iter().chain(["contact[0]", "p[NAME]", "name", "<mrn>x", "mrn[]"]) {
            assert_eq!(tree.field(name), Named::Near, "{name}");
        }
        for name in ["", "mrn_source", "surname", "id", ";;", "mrns"] {
            assert_eq!(tree.field(name), Named::Otherwise, "{name}");
        }
    }

    #[test]
    fn a_key_is_near_what_its_object_declares_and_a_path_near_what_is_declared_anywhere() {
        let mut node = Node::default();
        node.members.insert("mrn".into(), Node::leaf(1));
        let mut contact = Node::default();
        contact.members.insert("name".into(), Node::leaf(2));
        node.members.insert("contact".into(), contact);
        let tree = Tree::new(&node, Absence::Loses, |_| false);
        let root = tree.node(tree.root());
        for key in ["MRN", "'mrn'", "m\u{200b}rn", "mrn::text", "people.mrn", "contact.name"] {
            assert_eq!(tree.named(root, key.as_bytes()), Named::Near, "{key}");
        }
        for key in ["name", "NAME", "ward.code", "mrn_source"] {
            assert_eq!(tree.named(root, key.as_bytes()), Named::Otherwise, "{key}");
        }
    }

    #[test]
    fn an_empty_node_is_elsewhere() {
        let tree = Tree::new(&Node::<u8>::default(), Absence::Loses, |_| false);
        assert!(tree.is_empty());
    }
}
