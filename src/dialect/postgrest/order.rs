//! `order=`: columns with direction and place of nulls, and columns of embedded relations.

use super::cursor::{Cursor, Field, Name};

/// One term of an order.
pub(super) struct Term {
    /// The embedded relation whose column it is.
    pub(super) relation: Option<Name>,
    pub(super) field: Field,
}

/// Parses the whole parameter. `None` if it is not an order.
pub(super) fn parse(text: &str) -> Option<Vec<Term>> {
    let mut cursor = Cursor::new(text);
    let mut found = vec![term(&mut cursor)?];
    while cursor.eat_lexeme(",") {
        found.push(term(&mut cursor)?);
    }
    cursor.is_done().then_some(found)
}

fn term(c: &mut Cursor<'_>) -> Option<Term> {
    c.skip_blanks();
    let term = match c.attempt(related) {
        Some(term) => term,
        None => Term { relation: None, field: c.field()? },
    };
    c.skip_blanks();
    let _direction = c.eat(".asc") || c.eat(".desc");
    let _nulls = c.eat(".nullsfirst") || c.eat(".nullslast");
    c.skip_blanks();
    (c.is_done() || c.peek() == Some(',')).then_some(term)
}

/// `rel(column)`.
fn related(c: &mut Cursor<'_>) -> Option<Term> {
    let relation = c.name()?;
    if !c.eat("(") {
        return None;
    }
    c.skip_blanks();
    let field = c.field()?;
    c.skip_blanks();
    c.eat(")").then_some(Term { relation: Some(relation), field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_read_and_junk_is_not() {
        for text in ["mrn", "mrn.desc.nullslast, id.asc", "a(b->>c).desc", "doc->a.asc", "mrn .asc"]
        {
            assert!(parse(text).is_some(), "{text}");
        }
        for text in ["", "mrn.up", "mrn.asc.asc", "a(b,c)", "mrn,"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
