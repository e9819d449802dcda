//! Fields that may hold values in clear beside envelopes: which values those are, and what a test
//! asks of them.
//!
//! # Why
//! - Text that is an envelope in form, or that begins as one under a key of ours does, is never taken
//!   for a value in clear: else whoever may write to the database could have a cut or an old one
//!   shown as if it were a value.
//! - A value in clear is compared as text, since its column is text; so it is found where it is
//!   spelled as PostgreSQL spells its type (`column::type::text`), or as PostgREST answers it. A point
//!   in time may be spelled in any zone, so that it cannot be found as text. (2026-11)

use std::str;

use super::{
    strays,
    value::{self, Moment},
    visit::Lexeme,
};
use crate::{
    base::class::{Equality, ValueType},
    base::secret::Plaintext,
    crypto::{Typed, envelope},
    keys::Snapshot,
    model::{
        Bound, Case, Test,
        replacement::{Alternative, Literal, Replacement, Sameness, Unlike},
    },
    policy::plan::Class,
};

/// Characters of the shortest body of an envelope: flags, kid, nonce and tag in base64url.
const BODY: usize = (6 + 12 + 16) * 4 / 3;

/// Whether text is a value in clear.
pub(super) fn is_clear(text: &[u8], keys: &Snapshot) -> bool {
    envelope::parse(text).is_err() && strays::kid_of_ours(text, keys).is_none()
}

/// The text in which a value would be an envelope, unescaped; `None` where it cannot be one.
pub(super) fn text_of(value: Lexeme<'_>) -> Option<Plaintext> {
    match value {
        Lexeme::String(inside, traits) if traits.escaped => value::text_of(inside).ok(),
        Lexeme::String(text, _) | Lexeme::Text(text) => Some(Plaintext::new(text.to_vec())),
        Lexeme::Container(_) | Lexeme::False | Lexeme::Null | Lexeme::Number(_) | Lexeme::True => {
            None
        }
    }
}

/// What a test becomes where its field may hold values in clear, given what it asks of envelopes.
/// `typed` reads a literal. Why not, if it cannot be asked.
pub(super) fn either(
    class: &Class,
    test: &Test,
    sealed: Replacement,
    typed: impl Fn(&Plaintext) -> Option<Typed>,
) -> Result<Replacement, &'static str> {
    let mut found: Vec<_> = match sealed {
        Replacement::Exact(texts) => {
            texts.into_iter().flatten().map(Alternative::Envelope).collect()
        }
        Replacement::Ranges(ranges) => {
            ranges.into_iter().flatten().map(|(low, high)| Alternative::Range(low, high)).collect()
        }
        other @ (Replacement::Either(_) | Replacement::Removed) => return Ok(other),
    };
    match test {
        Test::Equal(literal) => found.extend(same(class, typed(literal))?),
        Test::In(literals) => {
            for literal in literals {
                found.extend(same(class, typed(literal))?);
            }
        }
        Test::Pattern { pattern, case } => found.push(like(class, pattern, *case)?),
        Test::Bound { bound, literal } => found.push(side(class, *bound, literal)?),
        Test::IsNull | Test::Other => return Err("it is no test of a value"),
    }
    Ok(Replacement::Either(found))
}

/// The spellings of a value in clear.
fn same(class: &Class, typed: Option<Typed>) -> Result<Vec<Alternative>, &'static str> {
    let typed = typed.ok_or("its literal cannot be read")?;
    let text = value::to_text(&typed);
    let text = str::from_utf8(text.expose()).map_err(|_| "its literal is not UTF-8")?;
    let (equality, texts) = match class.params.ty {
        ValueType::BigInt
        | ValueType::Boolean
        | ValueType::Date
        | ValueType::Decimal
        | ValueType::Integer
        | ValueType::Numeric { .. }
        | ValueType::SmallInt
        | ValueType::Uuid => (Sameness::Exact, vec![text.to_owned()]),
        ValueType::Timestamp => {
            (Sameness::Exact, vec![text.replacen('T', " ", 1), text.to_owned()])
        }
        ValueType::TimestampTz => {
            return Err("a point in time in clear may be spelled in any zone");
        }
        ValueType::Json => return Err("JSON in clear may be spelled in many ways"),
        ValueType::Text | ValueType::VarChar(_) => match class.params.equality {
            Equality::Ci => (Sameness::Folded, vec![text.to_owned()]),
            Equality::CiAi => return Err("the API cannot ignore accents in values in clear"),
            Equality::Exact => (Sameness::Exact, vec![text.to_owned()]),
            Equality::PadSpace => (Sameness::Padded, vec![text.trim_end_matches(' ').to_owned()]),
        },
    };
    let same = |text| Alternative::Same { literal: Literal::new(text), equality };
    Ok(texts.into_iter().map(same).collect())
}

fn like(class: &Class, pattern: &Plaintext, case: Case) -> Result<Alternative, &'static str> {
    let pattern = str::from_utf8(pattern.expose()).map_err(|_| "its pattern is not UTF-8")?;
    let case = match class.params.equality {
        Equality::Ci => Case::Folded,
        Equality::CiAi => return Err("the API cannot ignore accents in values in clear"),
        Equality::Exact | Equality::PadSpace => case,
    };
    let rungs = class.params.rungs.len();
    let fits = pattern.starts_with(['l', '%', '_', '\\'])
        || (case == Case::Folded && pattern.starts_with('L'));
    let unlike = fits.then(|| Unlike { start: format!("ls1s{rungs}"), least: 12 * rungs + BODY });
    Ok(Alternative::Like { pattern: Literal::new(pattern.to_owned()), case, unlike })
}

/// Dates in ISO 8601 are in the order of their text, in every collation.
fn side(class: &Class, bound: Bound, literal: &Plaintext) -> Result<Alternative, &'static str> {
    if class.params.ty != ValueType::Date {
        return Err("points in time in clear are not in the order of their text");
    }
    let at = str::from_utf8(literal.expose()).ok().and_then(|text| Moment::date(value::trim(text)));
    let typed = at.ok_or("its literal cannot be read")?.typed(ValueType::Date);
    let text = String::from_utf8(typed.value.expose().to_vec());
    let literal = Literal::new(text.map_err(|_| "its literal is not UTF-8")?);
    Ok(Alternative::Bound { bound, literal })
}
