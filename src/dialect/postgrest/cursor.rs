//! A reading position in decoded text, and the grammar of names that every part of a query shares.

use std::ops::Range;

/// A reading position.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// A name as the server reads it, and where it is spelled.
#[derive(Clone)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// A column, possibly with a JSON path behind it.
pub(super) struct Field {
    pub(super) column: Name,
    pub(super) json: Option<JsonPath>,
}

/// A JSON path behind a column.
pub(super) struct JsonPath {
    /// Its last key, which names the member in an answer.
    pub(super) key: Option<String>,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The position in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What was read since `start`.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    /// The next character.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the next character.
    pub(super) fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Takes `word` if it is next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Takes characters while they fit.
    pub(super) fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&fits) {
            self.bump();
        }
        self.since(start)
    }

    /// Takes everything that is left.
    pub(super) fn take_rest(&mut self) -> &'a str {
        let rest = self.rest();
        self.at = self.text.len();
        rest
    }

    /// Skips blanks.
    pub(super) fn skip_blanks(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t');
    }

    /// `word` with blanks around it.
    pub(super) fn eat_lexeme(&mut self, word: &str) -> bool {
        let mut ahead = *self;
        ahead.skip_blanks();
        if !ahead.eat(word) {
            return false;
        }
        ahead.skip_blanks();
        *self = ahead;
        true
    }

    /// Tries a parser; where it fails, nothing was read.
    pub(super) fn attempt<T>(&mut self, parse: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut ahead = *self;
        let found = parse(&mut ahead)?;
        *self = ahead;
        Some(found)
    }

    /// `"…"` with backslash escapes.
    pub(super) fn quoted(&mut self) -> Option<String> {
        self.attempt(|c| {
            let mut text = String::new();
            if !c.eat("\"") {
                return None;
            }
            loop {
                match c.bump()? {
                    '"' => return Some(text),
                    '\\' => text.push(c.bump()?),
                    other => text.push(other),
                }
            }
        })
    }

    /// Letters, digits, `_`, `$` and blanks, without the blanks at its ends.
    pub(super) fn identifier(&mut self) -> Option<&'a str> {
        let taken = self.take_while(is_identifier);
        (!taken.is_empty()).then(|| taken.trim_matches(' '))
    }

    /// A name: quoted, or identifiers with single dashes between.
    pub(super) fn name(&mut self) -> Option<Name> {
        let start = self.at;
        self.attempt(|c| {
            if c.peek() == Some('"') {
                return c.quoted();
            }
            let mut text = c.identifier()?.to_owned();
            while c.rest().starts_with('-') && !c.rest().starts_with("->") {
                c.bump();
                text.push('-');
                text.push_str(c.identifier()?);
            }
            Some(text)
        })
        .map(|text| Name { text, span: start..self.at })
    }

    /// A name and a JSON path.
    pub(super) fn field(&mut self) -> Option<Field> {
        self.attempt(|c| Some(Field { column: c.name()?, json: c.json_path()? }))
    }

    /// `(->|->>) (index|key)`, as often as it stands there. `None` if an arrow leads nowhere.
    fn json_path(&mut self) -> Option<Option<JsonPath>> {
        let mut path = None;
        while self.eat("->>") || self.eat("->") {
            let JsonPath { key } = path.get_or_insert(JsonPath { key: None });
            if self.attempt(Self::json_index).is_none() {
                *key = Some(self.name()?.text);
            }
        }
        Some(path)
    }

    fn json_index(&mut self) -> Option<()> {
        self.eat("-");
        let digits = self.take_while(|c| c.is_ascii_digit());
        let ends = self.is_done()
            || ["->", "::", ".", ","].iter().any(|next| self.rest().starts_with(next));
        (!digits.is_empty() && ends).then_some(())
    }
}

fn is_identifier(c: char) -> bool {
    c.is_alphabetic() || c.is_ascii_digit() || matches!(c, '_' | ' ' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_the_blanks_around_them_unless_quoted() {
        assert_eq!(Cursor::new(" mrn ").name().unwrap().text, "mrn");
        assert_eq!(Cursor::new("\" a.\\\"b \"").name().unwrap().text, " a.\"b ");
        assert_eq!(Cursor::new("a-b->c").name().unwrap().text, "a-b");
        assert!(Cursor::new("a-").name().is_none());
    }

    #[test]
    fn a_json_path_ends_with_its_last_key() {
        let field = Cursor::new("doc->a->>0").field().unwrap();
        assert_eq!(field.column.text, "doc");
        assert_eq!(field.json.unwrap().key.unwrap(), "a");
        assert!(Cursor::new("doc->").field().is_none());
    }
}
