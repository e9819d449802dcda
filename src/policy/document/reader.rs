//! Nodes to checked parts. Every function reports what is wrong and gives `None`, so that the caller
//! can go on and report the rest.

use crate::policy::diagnostic::{Place, Problems};

use super::yaml::{Key, Meaning, Node, Value};

/// The pairs of a mapping, of which every one must be asked for: what is left over is a mistake.
pub struct Fields<'a> {
    at: Place,
    what: &'static str,
    pairs: &'a [(Key, Node)],
    asked: Vec<&'static str>,
    later: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The pairs of `node`, which is `what` in messages.
    pub fn of(node: &'a Node, what: &'static str, problems: &mut Problems) -> Option<Self> {
        let pairs = pairs(node, what, problems)?;
        Some(Self { at: node.at, what, pairs, asked: Vec::new(), later: Vec::new() })
    }

    /// Where the mapping begins.
    pub fn at(&self) -> Place {
        self.at
    }

    /// The value of `key`, if it is there.
    pub fn optional(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.pairs.iter().find(|(found, _)| found.text == key).map(|(_, node)| node)
    }

    /// The value of `key`, which must be there.
    pub fn required(
        &mut self,
        key: &'static str,
        remedy: &str,
        problems: &mut Problems,
    ) -> Option<&'a Node> {
        let found = self.optional(key);
        if found.is_none() {
            problems.error(self.at, format!("{} lacks `{key}`", self.what), remedy);
        }
        found
    }

    /// Keys that the format has and this version does not build.
    pub fn later(&mut self, keys: &[&'static str]) {
        self.later.extend(keys);
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self, problems: &mut Problems) {
        for (key, _) in self.pairs {
            let text = key.text.as_str();
            if self.asked.contains(&text) {
                continue;
            }
            if self.later.contains(&text) {
                not_built(key.at, text, problems);
                continue;
            }
            let remedy = suggest(text, self.asked.iter().copied());
            problems.error(key.at, format!("{} has no key `{text}`", self.what), remedy);
        }
    }
}

/// The pairs of a mapping whose keys are names.
pub fn pairs<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a [(Key, Node)]> {
    match &node.value {
        Value::Map(pairs) => Some(pairs),
        Value::Scalar(_) | Value::Sequence(_) => {
            expected(node, what, "a mapping", "write key: value pairs", problems);
            None
        }
    }
}

/// The items of a list.
pub fn list<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a [Node]> {
    match &node.value {
        Value::Sequence(items) => Some(items),
        Value::Scalar(_) | Value::Map(_) => {
            expected(node, what, "a list", "write [a, b]", problems);
            None
        }
    }
}

/// A text that is not empty.
pub fn text<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a str> {
    match &node.value {
        Value::Scalar(scalar) if scalar.meaning() == Meaning::Text => {
            if scalar.text.trim().is_empty() {
                problems.error(node.at, format!("{what} is empty"), "write a text");
                return None;
            }
            Some(&scalar.text)
        }
        Value::Scalar(scalar) if scalar.meaning() != Meaning::Null => {
            expected(node, what, "a text", "put quotes around it", problems);
            None
        }
        Value::Scalar(_) | Value::Map(_) | Value::Sequence(_) => {
            expected(node, what, "a text", "write a text", problems);
            None
        }
    }
}

/// `true` or `false`.
pub fn truth(node: &Node, what: &str, problems: &mut Problems) -> Option<bool> {
    if let Value::Scalar(scalar) = &node.value
        && let Meaning::Boolean(truth) = scalar.meaning()
    {
        return Some(truth);
    }
    expected(node, what, "a truth value", "write true or false", problems);
    None
}

/// A whole number in decimal, without a sign.
pub fn number(node: &Node, what: &str, problems: &mut Problems) -> Option<u64> {
    if let Value::Scalar(scalar) = &node.value
        && scalar.meaning() == Meaning::Number
        && let Ok(number) = scalar.text.parse()
    {
        return Some(number);
    }
    let remedy = "write decimal digits, without a sign or a point";
    problems.error(node.at, format!("{what} must be a whole number"), remedy);
    None
}

/// One word of a closed list; `later` are words that this version does not build.
pub fn word<T: Copy>(
    node: &Node,
    what: &str,
    words: &[(&'static str, T)],
    later: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    // `null` is a word of some lists and must not need quotes.
    let found = match &node.value {
        Value::Scalar(scalar) => scalar.text.as_str(),
        Value::Map(_) | Value::Sequence(_) => text(node, what, problems)?,
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == found) {
        return Some(*value);
    }
    if later.contains(&found) {
        not_built(node.at, &format!("{what} {found}"), problems);
        return None;
    }
    let remedy = suggest(found, words.iter().map(|(word, _)| *word));
    problems.error(node.at, format!("{what} cannot be `{found}`"), remedy);
    None
}

/// Reports a shape that the format has and this version does not build.
pub fn not_built(at: Place, what: &str, problems: &mut Problems) {
    let message = format!("this version does not build `{what}` yet");
    problems.error(at, message, "leave it out; a file is applied whole or not at all");
}

/// `did you mean …`, or the whole list.
pub fn suggest<'a>(found: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known.clone().map(|word| (distance(found, word), word)).min();
    match nearest {
        Some((distance, word)) if distance <= 1 + word.chars().count() / 4 => {
            format!("did you mean `{word}`?")
        }
        Some(_) => format!("one of: {}", known.collect::<Vec<_>>().join(", ")),
        None => "none is declared".to_owned(),
    }
}

fn expected(node: &Node, what: &str, kind: &str, remedy: &str, problems: &mut Problems) {
    problems.error(node.at, format!("{what} must be {kind}, and is {}", node.kind()), remedy);
}

/// Levenshtein distance, ignoring ASCII case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_ascii_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_ascii_lowercase().chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let best = (diagonal + usize::from(x != *y)).min(*cell + 1).min(left + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
