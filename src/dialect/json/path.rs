//! The subset of JSONPath (RFC 9535) that names places in bodies: members and all elements.

use std::iter::Peekable;
use std::str::CharIndices;

/// One step from a value to what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `[*]`: every element of an array.
    Elements,
    /// `.name`, `['name']`, `["name"]`: a member of an object.
    Member(String),
}

/// Why a path cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {problem}")]
pub(super) struct PathError {
    /// Counted from one.
    position: usize,
    problem: &'static str,
}

type Chars<'a> = Peekable<CharIndices<'a>>;

/// Parses `$`, then any number of steps.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, PathError> {
    let mut chars = text.char_indices().peekable();
    let fail = |chars: &mut Chars<'_>, problem| {
        let at = chars.peek().map_or(text.len(), |(at, _)| *at);
        let position = text.get(..at).unwrap_or_default().chars().count() + 1;
        PathError { position, problem }
    };
    if chars.next_if(|(_, c)| *c == '$').is_none() {
        return Err(fail(&mut chars, "a JSONPath starts with $"));
    }
    let mut steps = Vec::new();
    while let Some((_, next)) = chars.peek().copied() {
        let step = match next {
            '.' => member(&mut chars),
            '[' => bracket(&mut chars),
            _ => Err("expected . or ["),
        };
        steps.push(step.map_err(|problem| fail(&mut chars, problem))?);
    }
    Ok(steps)
}

/// `.name`.
fn member(chars: &mut Chars<'_>) -> Result<Step, &'static str> {
    chars.next();
    match chars.peek() {
        Some((_, '.')) => return Err("recursive descent cannot be followed; name each place"),
        Some((_, '*')) => {
            return Err("write [*] for every element; all members of an object cannot be followed");
        }
        _ => {}
    }
    let mut name = String::new();
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    while let Some((_, c)) =
        chars.next_if(|(_, c)| first(*c) || (!name.is_empty() && c.is_ascii_digit()))
    {
        name.push(c);
    }
    if name.is_empty() {
        return Err("expected a name; write ['…'] for one with other characters");
    }
    Ok(Step::Member(name))
}

/// `[*]`, `['name']`, `["name"]`.
fn bracket(chars: &mut Chars<'_>) -> Result<Step, &'static str> {
    chars.next();
    let step = match chars.peek().map(|(_, c)| *c) {
        Some('*') => {
            chars.next();
            Step::Elements
        }
        Some(quote @ ('\'' | '"')) => {
            chars.next();
            Step::Member(quoted(chars, quote)?)
        }
        Some('?') => return Err("filters cannot be followed; name each place"),
        Some('0'..='9' | '-' | ':') => {
            return Err("indexes and slices cannot be followed; write [*] for every element");
        }
        _ => return Err("expected * or a quoted name"),
    };
    match chars.next_if(|(_, c)| *c == ']') {
        Some(_) => Ok(step),
        None => Err("expected ]"),
    }
}

fn quoted(chars: &mut Chars<'_>, quote: char) -> Result<String, &'static str> {
    const OPEN: &str = "the quote is not closed";
    let mut name = String::new();
    loop {
        let (_, c) = chars.next().ok_or(OPEN)?;
        if c == quote {
            return Ok(name);
        }
        if c != '\\' {
            name.push(c);
            continue;
        }
        name.push(match chars.next().ok_or(OPEN)?.1 {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            same @ ('/' | '\\' | '\'' | '"') => same,
            'u' => unicode(chars)?,
            _ => return Err("unknown escape"),
        });
    }
}

fn unicode(chars: &mut Chars<'_>) -> Result<char, &'static str> {
    let mut code = 0;
    for _ in 0..4 {
        let digit = chars.next().and_then(|(_, c)| c.to_digit(16)).ok_or("expected \\uXXXX")?;
        code = code * 16 + digit;
    }
    char::from_u32(code).ok_or("write this character itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Step {
        Step::Member(text.into())
    }

    #[test]
    fn members_and_elements_are_steps() {
        assert_eq!(parse("$").unwrap(), []);
        assert_eq!(
            parse("$.items[*]['last name'][\"a\\u0041\\\"\"].é1").unwrap(),
            [name("items"), Step::Elements, name("last name"), name("aA\""), name("é1")]
        );
    }

    #[test]
    fn what_cannot_be_followed_is_named_with_its_position() {
        for (path, position) in [
            ("mrn", 1),
            ("$..mrn", 3),
            ("$.*", 3),
            ("$.é[0]", 5),
            ("$.a[?(@.b)]", 5),
            ("$['a','b']", 6),
            ("$['a", 5),
            ("$.1a", 3),
            ("$.a b", 4),
            ("$.", 3),
        ] {
            assert_eq!(parse(path).unwrap_err().position, position, "{path}");
        }
    }
}
