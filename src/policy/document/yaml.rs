//! YAML 1.2 text to nodes with places. Knows nothing of policies.
//!
//! Only what a reviewed file needs: one document, no anchors, aliases or tags, no key twice. Scalars
//! follow the core schema (YAML 1.2.2 §10.3), so `NO` is a text and not a truth value.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use crate::policy::diagnostic::{Place, Problems};

/// Larger files are refused.
pub const MAX_BYTES: usize = 1 << 20;
/// Deeper files are refused.
pub const MAX_DEPTH: usize = 24;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: Place,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Pairs in the order of the file; no key occurs twice.
    Map(Vec<(Key, Node)>),
    /// A scalar.
    Scalar(Scalar),
    /// Values in the order of the file.
    Sequence(Vec<Node>),
}

/// The key of a pair. Always read as text.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where it begins.
    pub at: Place,
    /// Its text.
    pub text: String,
}

/// A scalar and whether it was quoted.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// Its text.
    pub text: String,
    /// A quoted scalar is a text whatever it looks like.
    pub quoted: bool,
}

/// What a scalar means in the core schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// `true` or `false`.
    Boolean(bool),
    /// `null`, `~` or nothing.
    Null,
    /// A number of any kind.
    Number,
    /// Anything else, and anything quoted.
    Text,
}

impl Scalar {
    /// What it means.
    pub fn meaning(&self) -> Meaning {
        if self.quoted {
            return Meaning::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Boolean(true),
            "false" | "False" | "FALSE" => Meaning::Boolean(false),
            text if is_number(text) => Meaning::Number,
            _ => Meaning::Text,
        }
    }
}

impl Node {
    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Map(_) => "a mapping",
            Value::Sequence(_) => "a list",
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Boolean(_) => "a truth value",
                Meaning::Null => "nothing",
                Meaning::Number => "a number",
                Meaning::Text => "a text",
            },
        }
    }
}

/// Reads one document. `None` after a problem that leaves nothing to look at.
pub fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    let start = Place { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        problems.error(
            start,
            "the file is larger than 1 MiB",
            "split it, or check that it is the right file",
        );
        return None;
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let message = format!("this is not YAML: {}", error.info());
                problems.error(place(*error.marker()), message, "check indentation and quotes");
                return None;
            }
        };
        if let Err(Stop) = builder.event(event, place(span.start), problems) {
            return None;
        }
    }
    if builder.root.is_none() {
        problems.error(start, "the file is empty", "begin with apiVersion: labseal/v1");
    }
    builder.root
}

/// A problem after which the rest of the events make no sense.
struct Stop;

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

/// A collection that has begun and not ended.
struct Open {
    at: Place,
    kind: OpenKind,
}

enum OpenKind {
    Map { pairs: Vec<(Key, Node)>, key: Option<Key> },
    Sequence(Vec<Node>),
}

impl Builder {
    fn event(&mut self, event: Event<'_>, at: Place, problems: &mut Problems) -> Result<(), Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    problems.error(at, "the file holds several documents", "keep one");
                    return Err(Stop);
                }
                Ok(())
            }
            Event::Alias(_) => {
                problems.error(at, "aliases are not read", "write the value out");
                Err(Stop)
            }
            Event::Scalar(text, style, anchor, tag) => {
                plain(at, anchor, tag.is_some(), problems);
                let quoted = !matches!(style, ScalarStyle::Plain);
                let scalar = Scalar { text: text.into_owned(), quoted };
                self.place(Node { at, value: Value::Scalar(scalar) }, problems)
            }
            Event::SequenceStart(anchor, tag) => {
                plain(at, anchor, tag.is_some(), problems);
                self.begin(at, OpenKind::Sequence(Vec::new()), problems)
            }
            Event::MappingStart(anchor, tag) => {
                plain(at, anchor, tag.is_some(), problems);
                self.begin(at, OpenKind::Map { pairs: Vec::new(), key: None }, problems)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Err(Stop) };
                let value = match open.kind {
                    OpenKind::Map { pairs, .. } => Value::Map(pairs),
                    OpenKind::Sequence(items) => Value::Sequence(items),
                };
                self.place(Node { at: open.at, value }, problems)
            }
        }
    }

    fn begin(&mut self, at: Place, kind: OpenKind, problems: &mut Problems) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            problems.error(at, format!("nested more than {MAX_DEPTH} deep"), "flatten the file");
            return Err(Stop);
        }
        self.open.push(Open { at, kind });
        Ok(())
    }

    fn place(&mut self, node: Node, problems: &mut Problems) -> Result<(), Stop> {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::Sequence(items)) => items.push(node),
            Some(OpenKind::Map { pairs, key }) => match (key.take(), node.value) {
                (None, Value::Scalar(Scalar { text, .. })) => {
                    *key = Some(Key { at: node.at, text })
                }
                (None, Value::Map(_) | Value::Sequence(_)) => {
                    problems.error(node.at, "a key is not a text", "put quotes around it");
                    return Err(Stop);
                }
                (Some(key), value) => {
                    match pairs.iter().find(|(other, _)| other.text == key.text) {
                        Some((first, _)) => problems.error(
                            key.at,
                            format!("`{}` occurs twice", key.text),
                            format!("keep one; the first is on line {}", first.at.line),
                        ),
                        None => pairs.push((key, Node { at: node.at, value })),
                    }
                }
            },
        }
        Ok(())
    }
}

/// Reports an anchor or a tag. Reading goes on: the value is there all the same.
fn plain(at: Place, anchor: usize, tagged: bool, problems: &mut Problems) {
    if anchor > 0 {
        problems.error(at, "anchors are not read", "leave the anchor out");
    }
    if tagged {
        problems.error(at, "tags are not read", "leave the tag out");
    }
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

/// Numbers of the core schema: decimal, octal, hexadecimal, floating point, infinities.
fn is_number(text: &str) -> bool {
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok()
}
