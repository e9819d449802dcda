//! Array literals and patterns of PostgreSQL, as far as they can be answered one element at a time.

use zeroize::Zeroizing;

use super::cursor::Cursor;

/// What PostgreSQL takes for white space in an array literal.
const BLANKS: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

/// The elements of `{a,"b,c"}`. `None` for anything but a flat list of texts without a null: what
/// PostgreSQL makes of it, or that it refuses it, is not ours to guess.
pub(super) fn elements(text: &str) -> Option<Vec<Zeroizing<String>>> {
    let mut cursor = Cursor::new(text.trim_matches(BLANKS));
    let c = &mut cursor;
    if !c.eat("{") {
        return None;
    }
    skip_blanks(c);
    let mut found = Vec::new();
    if c.eat("}") {
        return c.is_done().then_some(found);
    }
    loop {
        skip_blanks(c);
        found.push(match c.peek() {
            Some('"') => Zeroizing::new(c.quoted()?),
            _ => bare(c)?,
        });
        skip_blanks(c);
        if c.eat("}") {
            return c.is_done().then_some(found);
        }
        if !c.eat(",") {
            return None;
        }
    }
}

fn skip_blanks(c: &mut Cursor<'_>) {
    c.take_while(|next| BLANKS.contains(&next));
}

/// An element without quotes: a backslash takes the next character as it is, and an element that
/// spells `null` without one is a null.
fn bare(c: &mut Cursor<'_>) -> Option<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let mut escaped = false;
    while let Some(next) = c.peek().filter(|next| !matches!(next, ',' | '}')) {
        c.bump();
        match next {
            '{' | '"' => return None,
            '\\' => {
                // An escaped blank at the end would not be trimmed.
                text.push(c.bump().filter(|next| !BLANKS.contains(next))?);
                escaped = true;
            }
            _ => text.push(next),
        }
    }
    let end = text.trim_end_matches(BLANKS).len();
    text.truncate(end);
    let is_null = !escaped && text.eq_ignore_ascii_case("null");
    (!text.is_empty() && !is_null).then_some(text)
}

/// What a pattern of `LIKE` asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Like {
    /// Nothing that can be answered: it ends in its own escape.
    Broken,
    /// That the text is this one.
    Plain(Zeroizing<String>),
    /// That the text fits.
    Wild,
}

/// Reads a pattern as the server hands it on: every `*` is a `%`, an escaped one too.
pub(super) fn like(text: &str) -> Like {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut wild = false;
    let mut characters = text.chars().map(|next| if next == '*' { '%' } else { next });
    while let Some(next) = characters.next() {
        match next {
            '%' | '_' => wild = true,
            '\\' => match characters.next() {
                Some(escaped) => plain.push(escaped),
                None => return Like::Broken,
            },
            _ => plain.push(next),
        }
    }
    if wild { Like::Wild } else { Like::Plain(plain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_arrays_of_texts_are_read_as_the_server_reads_them() {
        // Each was tried against PostgreSQL 15.
        for (text, expected) in [
            ("{}", &[][..]),
            (" { } ", &[]),
            ("{A1}", &["A1"]),
            ("{ A 1 , \"B,2\" }", &["A 1", "B,2"]),
            ("{C\\\\3,\"C\\\\3\",\"q\\\"\"}", &["C\\3", "C\\3", "q\""]),
            ("{\"null\",\\null,\"\"}", &["null", "null", ""]),
        ] {
            let found = elements(text).unwrap();
            assert_eq!(
                found.iter().map(|text| text.as_str()).collect::<Vec<_>>(),
                expected,
                "{text}"
            );
        }
        for text in [
            "",
            "A1",
            "(A1)",
            "{A1",
            "{A1,}",
            "{,}",
            "{{A1}}",
            "[0:0]={A1}",
            "{\"A1\"x}",
            "{A\"1\"}",
            "{NULL}",
            "{A1,null}",
            "{A1\\ }",
            "{A1}x",
            "{A1\\",
        ] {
            assert!(elements(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_pattern_without_a_wildcard_is_the_text_it_stands_for() {
        for (text, expected) in [
            ("A1", Some("A1")),
            ("", Some("")),
            ("c\\_c", Some("c_c")),
            ("C\\\\3", Some("C\\3")),
            ("C\\3", Some("C3")),
            // The server makes it an escaped `%`.
            ("b\\*b", Some("b%b")),
            ("b*b", None),
            ("c_c", None),
            ("\\\\%", None),
        ] {
            let expected = match expected {
                Some(text) => Like::Plain(Zeroizing::new(text.to_owned())),
                None => Like::Wild,
            };
            assert_eq!(like(text), expected, "{text}");
        }
        assert_eq!(like("C\\"), Like::Broken);
    }
}
