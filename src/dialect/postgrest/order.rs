//! `order=`: columns with direction and place of nulls, and columns of embedded relations.

use std::ops::Range;

use super::cursor::{Cursor, Field, Name};
use crate::model::{Direction, Nulls};

/// One term of an order.
pub(super) struct Term {
    /// The embedded relation whose column it is.
    pub(super) relation: Option<Name>,
    pub(super) field: Field,
    pub(super) direction: Direction,
    /// Where they go, said or not.
    pub(super) nulls: Nulls,
    /// The whole term.
    pub(super) span: Range<usize>,
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
    let start = c.at();
    let (relation, field) = match c.attempt(related) {
        Some((relation, field)) => (Some(relation), field),
        None => (None, c.field()?),
    };
    c.skip_blanks();
    // PostgreSQL takes a null for greater than every value.
    let (direction, usual) = if c.eat(".desc") {
        (Direction::Descending, Nulls::First)
    } else {
        c.eat(".asc");
        (Direction::Ascending, Nulls::Last)
    };
    let nulls = if c.eat(".nullsfirst") {
        Nulls::First
    } else if c.eat(".nullslast") {
        Nulls::Last
    } else {
        usual
    };
    let span = start..c.at();
    c.skip_blanks();
    let ends = c.is_done() || c.peek() == Some(',');
    ends.then_some(Term { relation, field, direction, nulls, span })
}

/// `rel(column)`.
fn related(c: &mut Cursor<'_>) -> Option<(Name, Field)> {
    let relation = c.name()?;
    if !c.eat("(") {
        return None;
    }
    c.skip_blanks();
    let field = c.field()?;
    c.skip_blanks();
    c.eat(")").then_some((relation, field))
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
