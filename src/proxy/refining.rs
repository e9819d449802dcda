//! What is filtered or ordered after opening, as far as heads are concerned: the request asks whether
//! the list will be whole, and the answer says what it would if the API had done all of it.

use http::{HeaderMap, response};

use super::opening::Opened;
use crate::{
    base::refusal::{Code, Refusal},
    dialect::{Dialect, Records},
    seal::Refine,
};

/// Makes the request one whose answer says whether it is whole, where that matters.
pub fn ask(refine: &Refine, dialect: &dyn Dialect, headers: &mut HeaderMap) {
    if refine.needs_whole() {
        dialect.ask_whole(headers);
    }
}

/// Refuses an answer of which a part was kept back upstream: what is left of it would be a part of
/// the list that nobody asked for.
pub fn admit(
    refine: &Refine,
    dialect: &dyn Dialect,
    head: &response::Parts,
) -> Result<(), Refusal> {
    let is_part = head.status.is_success() && !dialect.is_whole(head.status, &head.headers);
    if refine.needs_whole() && is_part { Err(Code::TooManyRecords.into()) } else { Ok(()) }
}

/// Lets the head say what the caller would have been told without us. `targets` are what was asked
/// and what was sent.
pub fn restate(
    refine: &Refine,
    dialect: &dyn Dialect,
    (asked, sent): (&str, &str),
    opened: &Opened,
    head: &mut response::Parts,
) {
    if refine.is_empty() || !head.status.is_success() {
        return;
    }
    let records = match opened {
        Opened::Long(long) if long.has_fewer => Records::Unknown,
        Opened::Whole(_, _, refined) if refine.needs_whole() || refined.dropped > 0 => {
            Records::Counted(refined.kept)
        }
        Opened::Long(_) | Opened::Nothing | Opened::Through(_) | Opened::Whole(..) => {
            Records::AsSaid
        }
    };
    // Where nothing was left out of what the API said, its head is as the caller asked for it.
    if !refine.needs_whole() && records == Records::AsSaid {
        return;
    }
    dialect.restate(asked, sent, records, &mut head.headers);
}
