//! What a body is, as far as it decides how it is read.

use crate::model::{
    Node,
    format::{Cells, Format},
};

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Anything else.
    Bytes,
    /// Rows under a header.
    Csv(Cells),
    /// JSON in UTF-8.
    Json,
    /// A list of changes to a document.
    JsonPatch,
    /// JSON texts behind record separators.
    JsonSequence,
    /// Part of a document; null removes.
    MergePatch,
    /// The fields of a form as parts between lines of this boundary.
    Multipart(Boundary),
    /// One JSON text on each line.
    Ndjson,
    /// The fields of a form as `name=value`.
    Urlencoded,
}

impl Form {
    /// The format, if it is one in which declared values can be found.
    pub fn format(self) -> Option<Format> {
        match self {
            Self::Bytes => None,
            Self::Csv(_) => Some(Format::Csv),
            Self::Json => Some(Format::Json),
            Self::JsonPatch => Some(Format::JsonPatch),
            Self::JsonSequence => Some(Format::JsonSequence),
            Self::MergePatch => Some(Format::MergePatch),
            Self::Multipart(_) => Some(Format::Multipart),
            Self::Ndjson => Some(Format::Ndjson),
            Self::Urlencoded => Some(Format::Urlencoded),
        }
    }
}

/// Longest boundary (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 70;

/// What stands between the parts of a multipart body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    text: [u8; MAX_BOUNDARY],
    length: usize,
}

impl Boundary {
    /// Reads a boundary. `None` if RFC 2046 does not allow it.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(b);
        let is_sound = !text.ends_with(' ') && text.bytes().all(|byte| allowed(&byte));
        let mut boundary = Self { text: [0; MAX_BOUNDARY], length: text.len() };
        let room = boundary.text.get_mut(..text.len()).filter(|room| !room.is_empty())?;
        room.copy_from_slice(text.as_bytes());
        is_sound.then_some(boundary)
    }

    /// Its characters.
    pub(super) fn bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

/// What a record is, in a format that is a list of records by nature: the elements of the declared
/// list, or the declared object. Where both are declared, whatever either says is protected.
pub(super) fn record<R: Clone>(body: &Node<R>) -> Node<R> {
    match &body.elements {
        None => body.clone(),
        Some(element) => {
            let own = Node { elements: None, ..body.clone() };
            merged(element, &own)
        }
    }
}

/// As [`record`], for a format whose records have named texts and nothing below them. `None` if no
/// declared field is one.
pub(super) fn flat_record<R: Clone>(body: &Node<R>) -> Option<Node<R>> {
    let record = record(body);
    let has_leaf = record.members.values().any(|member| member.field.is_some());
    (record.field.is_none() && has_leaf).then_some(record)
}

fn merged<R: Clone>(one: &Node<R>, other: &Node<R>) -> Node<R> {
    let mut sum = one.clone();
    sum.record |= other.record;
    sum.field = sum.field.or_else(|| other.field.clone());
    sum.others = sum.others.or_else(|| other.others.clone());
    sum.bound = sum.bound.or_else(|| other.bound.clone());
    sum.again = sum.again.or_else(|| other.again.clone());
    for (key, theirs) in &other.members {
        let node = match sum.members.get(key) {
            Some(own) => merged(own, theirs),
            None => theirs.clone(),
        };
        sum.members.insert(key.clone(), node);
    }
    sum.elements = match (sum.elements.take(), &other.elements) {
        (Some(own), Some(theirs)) => Some(Box::new(merged(&own, theirs))),
        (own, theirs) => own.or_else(|| theirs.clone()),
    };
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_what_rfc_2046_allows() {
        assert_eq!(Boundary::parse("a b'()+_,-./:=?9").unwrap().bytes(), b"a b'()+_,-./:=?9");
        assert!(Boundary::parse(&"x".repeat(70)).is_some());
        for bad in ["", "a ", "a\"b", "a;b", "a\r\nb", "é", &"x".repeat(71)] {
            assert!(Boundary::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_record_is_an_element_and_what_the_body_itself_may_be() {
        let member = |key: &str, node| {
            let mut node_of = Node::default();
            node_of.members.insert(key.to_owned(), node);
            node_of
        };
        let list = Node {
            elements: Some(Box::new(member("a", Node::leaf(1)))),
            ..member("b", Node::leaf(2))
        };
        assert_eq!(record(&list).fields(), [&1, &2]);
        assert!(flat_record(&list).is_some());
        assert!(flat_record(&member("data", member("a", Node::leaf(1)))).is_none());
        assert!(flat_record(&Node::leaf(1)).is_none());
    }
}
