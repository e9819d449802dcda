//! `multipart/form-data` (RFC 7578): the fields of a form, each as a part. Read in requests alone.
//!
//! A part with a declared name is a text that is sealed whole. Any other, files above all, passes in
//! pieces and is searched for strays.
//!
//! # Why
//! Servers read boundaries and part headers in many lax ways, and a part that one server sees and we
//! do not would go up in clear. So there is no text before the first boundary or after the last, every
//! line ends in CR LF, the boundary stands nowhere but between parts, and a name has no escapes.
//! (2026-11)

use memchr::memmem;

use super::{
    form::Boundary,
    spelling::Spelling,
    splice::Splice,
    strays::Stream,
    tree::{Named, Tree},
    visit::{Lexeme, Stop, Visit},
};
use crate::base::refusal::{Code, Refusal};

/// Most bytes of the headers of a part.
const MAX_HEADERS: usize = 16 << 10;

/// The state of a scan between two pieces of input. Positions count from the start of the body.
pub(super) struct Parts {
    /// Two hyphens and the boundary.
    delimiter: Vec<u8>,
    /// Places of the members met so far.
    seen: Vec<u32>,
    state: State,
    at: usize,
    safe: usize,
    /// No delimiter begins between `at` and here.
    searched: usize,
}

enum State {
    /// Behind the last boundary.
    End,
    /// In the headers of a part.
    Headers,
    /// In a part that passes.
    Passing(Box<Stream>),
    /// Before the first boundary.
    Start,
    /// In a part whose text is sealed under this rule.
    Text(u32),
}

/// Whether a step could be made with what has come.
#[derive(PartialEq, Eq)]
enum Step {
    Made,
    Waits,
}

impl Parts {
    /// A scan before the first boundary.
    pub fn new(boundary: &Boundary) -> Self {
        let delimiter = [b"--", boundary.bytes()].concat();
        Self { delimiter, seen: Vec::new(), state: State::Start, at: 0, safe: 0, searched: 0 }
    }

    pub fn safe(&self) -> usize {
        self.safe
    }

    /// Whether the last boundary has come.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::End)
    }

    pub fn run<R: Clone, V: Visit>(
        &mut self,
        input: &[u8],
        base: usize,
        is_last: bool,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        loop {
            let rest = input.get(self.at - base..).unwrap_or_default();
            let step = match self.state {
                State::End => return self.end(rest, is_last, tree),
                State::Headers => self.headers(rest, tree, visit)?,
                State::Passing(_) | State::Text(_) => self.content(rest, visit, splice)?,
                State::Start => match rest.strip_prefix(self.delimiter.as_slice()) {
                    Some(after) => self.leave(0, after)?,
                    None if self.delimiter.starts_with(rest) => Step::Waits,
                    None => return Err(Stop::Malformed),
                },
            };
            if step == Step::Waits {
                return Ok(());
            }
        }
    }

    /// Passes over a delimiter behind `length` bytes, given what follows it.
    fn leave(&mut self, length: usize, after: &[u8]) -> Result<Step, Stop> {
        self.state = match after {
            [b'-', b'-', ..] => State::End,
            [b'\r', b'\n', ..] => State::Headers,
            [] | [b'-' | b'\r'] => return Ok(Step::Waits),
            _ => return Err(Stop::Malformed),
        };
        self.at += length + self.delimiter.len() + 2;
        self.safe = self.at;
        Ok(Step::Made)
    }

    /// One line end may follow the last boundary.
    fn end<R: Clone>(&mut self, rest: &[u8], is_last: bool, tree: &Tree<R>) -> Result<(), Stop> {
        if !is_last && b"\r\n".starts_with(rest) {
            return Ok(());
        }
        if !(rest.is_empty() || rest == b"\r\n") {
            return Err(Stop::Malformed);
        }
        self.safe = self.at + rest.len();
        tree.node(tree.root()).demand(|place| self.seen.contains(&place))
    }

    fn headers<R: Clone, V: Visit>(
        &mut self,
        rest: &[u8],
        tree: &Tree<R>,
        visit: &mut V,
    ) -> Result<Step, Stop> {
        let end = memmem::find(rest, b"\r\n\r\n");
        if end.unwrap_or(rest.len()) > MAX_HEADERS {
            return Err(Stop::TooLarge);
        }
        let Some(end) = end else { return Ok(Step::Waits) };
        let block = rest.get(..end).unwrap_or_default();
        visit.spelled(block)?;
        let part = PartHead::parse(block).ok_or(Stop::Malformed)?;
        self.state = match self.rule(&part, tree)? {
            Some(rule) => State::Text(rule),
            None => {
                let record = tree.node(tree.root());
                if let Some(closed) = tree.unlisted(record, part.name.as_bytes()) {
                    visit.unlisted(closed)?;
                }
                State::Passing(Box::default())
            }
        };
        self.at += end + 4;
        self.safe = self.at;
        self.searched = self.at;
        Ok(Step::Made)
    }

    /// The rule of a part, if its name is declared.
    fn rule<R: Clone>(&mut self, part: &PartHead, tree: &Tree<R>) -> Result<Option<u32>, Stop> {
        let refused = || Refusal::new(Code::UnsupportedContentType).by("multipart part").into();
        // It would change what the other parts say; and parts in parts would have to be found.
        if part.name == "_charset_" || part.holds_parts || part.is_encoded {
            return Err(refused());
        }
        match tree.field(&part.name) {
            Named::Member { place, child } => {
                let rule = tree.node(child).rule;
                if self.seen.contains(&place) {
                    return Err(Stop::Duplicate(rule));
                }
                self.seen.push(place);
                if !part.is_text {
                    return Err(refused());
                }
                rule.map(Some).ok_or(Stop::Shape)
            }
            Named::Near => Err(Stop::Near),
            Named::Otherwise => Ok(None),
        }
    }

    fn content<V: Visit>(
        &mut self,
        rest: &[u8],
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<Step, Stop> {
        let searched = self.searched - self.at;
        let unsearched = rest.get(searched..).unwrap_or_default();
        let found = memmem::find(unsearched, &self.delimiter).map(|at| searched + at);
        let length = match found {
            Some(at) => {
                let text = rest.get(..at).unwrap_or_default();
                text.strip_suffix(b"\r\n").ok_or(Stop::Malformed)?.len()
            }
            // What may be the beginning of a line end and a delimiter waits.
            None => rest.len().saturating_sub(self.delimiter.len() + 2),
        };
        let after = found.map(|at| rest.get(at + self.delimiter.len()..).unwrap_or_default());
        if after.is_some_and(|after| after.len() < 2) {
            return Ok(Step::Waits);
        }
        let text = rest.get(..length).unwrap_or_default();
        let (start, end) = (self.at, self.at + length);
        match (&mut self.state, after) {
            (State::Text(_), None) => self.searched = end.max(self.searched),
            (State::Text(rule), Some(_)) => {
                let value = Lexeme::Text(text);
                let act = splice.make(|made| visit.leaf(*rule, value, Spelling::Text, made))?;
                splice.carry(act, start, end);
            }
            (State::Passing(stream), _) => {
                visit.passes(stream, text)?;
                splice.put_back(start, end);
                if after.is_none() {
                    (self.at, self.safe, self.searched) = (end, end, end);
                }
            }
            (State::End | State::Headers | State::Start, _) => return Err(Stop::Malformed),
        }
        match after {
            Some(after) => self.leave(length + 2, after),
            None => Ok(Step::Waits),
        }
    }
}

/// The headers of a part, as far as they matter.
#[derive(Debug, PartialEq, Eq)]
struct PartHead {
    name: String,
    /// Text in UTF-8, and no file.
    is_text: bool,
    is_encoded: bool,
    holds_parts: bool,
}

impl PartHead {
    /// Reads the lines of a part's head. `None` if servers may read them differently.
    fn parse(block: &[u8]) -> Option<Self> {
        let block = std::str::from_utf8(block).ok()?;
        let mut name = None;
        let (mut is_text, mut is_encoded, mut holds_parts) = (true, false, false);
        for line in block.split("\r\n") {
            let (field, value) = line.split_once(':')?;
            let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if field.is_empty()
                || !field.chars().all(is_sound)
                || value.contains(['\r', '\n', '\0'])
            {
                return None;
            }
            let value = value.trim_matches([' ', '\t']);
            match field.to_ascii_lowercase().as_str() {
                "content-disposition" => {
                    let disposition = Disposition::parse(value)?;
                    is_text &= !disposition.is_file;
                    if name.replace(disposition.name).is_some() {
                        return None;
                    }
                }
                "content-transfer-encoding" => {
                    let plain = ["7bit", "8bit", "binary"];
                    is_encoded |= !plain.iter().any(|word| value.eq_ignore_ascii_case(word));
                }
                "content-type" => {
                    let value = value.to_ascii_lowercase();
                    let (essence, parameters) = value.split_once(';').unwrap_or((&value, ""));
                    let plain = ["", "charset=utf-8", "charset=\"utf-8\""];
                    is_text &= essence.trim() == "text/plain" && plain.contains(&parameters.trim());
                    holds_parts |= essence.trim().starts_with("multipart/");
                }
                _ => {}
            }
        }
        Some(Self { name: name?, is_text, is_encoded, holds_parts })
    }
}

struct Disposition {
    name: String,
    is_file: bool,
}

impl Disposition {
    /// `form-data; name="…"; filename="…"`, with each parameter once and no escapes.
    fn parse(value: &str) -> Option<Self> {
        let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
        if !kind.trim().eq_ignore_ascii_case("form-data") || value.contains('\\') {
            return None;
        }
        let (mut name, mut seen) = (None, Vec::new());
        while !rest.trim().is_empty() {
            let (key, after) = rest.split_once('=')?;
            let key = key.trim().to_ascii_lowercase();
            let text;
            (text, rest) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (text, after) = quoted.split_once('"')?;
                    (text, after.trim_start())
                }
                None => after.split_at(after.find(';').unwrap_or(after.len())),
            };
            rest = match rest.strip_prefix(';') {
                Some(rest) => rest,
                None if rest.is_empty() => rest,
                None => return None,
            };
            match key.as_str() {
                // What browsers encode of a name, and what mail programs do.
                "name" if text.contains('%') || text.contains("=?") => return None,
                "name" => name = Some(text.trim().to_owned()),
                "filename" | "filename*" => {}
                _ => return None,
            }
            if seen.contains(&key) {
                return None;
            }
            seen.push(key);
        }
        let is_file = seen.iter().any(|key| key.starts_with("filename"));
        Some(Self { name: name?, is_file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(block: &str) -> Option<PartHead> {
        PartHead::parse(block.as_bytes())
    }

    #[test]
    fn the_head_of_a_part_names_a_field_and_says_whether_it_is_a_file() {
        let named = |block: &str| head(block).map(|part| (part.name, part.is_text));
        let text = |name: &str| Some((name.to_owned(), true));
        assert_eq!(named("Content-Disposition: form-data; name=\"mrn\""), text("mrn"));
        assert_eq!(named("content-disposition:form-data;name=mrn"), text("mrn"));
        let typed = "Content-Disposition: form-data; name=\"a;b\"\r\nContent-Type: text/plain; \
                     charset=UTF-8\r\nContent-Transfer-Encoding: 8BIT";
        assert_eq!(named(typed), text("a;b"));
        let file = "Content-Disposition: form-data; name=\"f\"; filename=\"a, b.pdf\"";
        assert_eq!(named(file), Some(("f".to_owned(), false)));
        let latin = "Content-Disposition: form-data; name=n\r\nContent-Type: text/plain;charset=x";
        assert_eq!(named(latin), Some(("n".to_owned(), false)));
    }

    #[test]
    fn a_head_that_servers_read_differently_is_none() {
        for block in [
            "",
            "Content-Type: text/plain",
            "Content-Disposition: attachment; name=\"mrn\"",
            "Content-Disposition: form-data",
            "Content-Disposition: form-data; name=\"a\"; name=\"mrn\"",
            "Content-Disposition: form-data; name=\"a\"; name*=utf-8''mrn",
            "Content-Disposition: form-data; name=\"a\\\"; x=\"",
            "Content-Disposition: form-data; name=\"a\"; x=y",
            "Content-Disposition: form-data; name=\"a\"b",
            "Content-Disposition: form-data; name=\"m%72n\"",
            "Content-Disposition: form-data; name=\"=?utf-8?q?mrn?=\"",
            "Content-Disposition: form-data; name=\"a\"\r\n name=\"mrn\"",
            "Content-Disposition: form-data; name=\"a\"\nContent-Disposition: x",
            "Content-Disposition : form-data; name=\"a\"",
            "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
        ] {
            assert_eq!(head(block), None, "{block}");
        }
    }
}
