//! The operators of PostgREST: one table, by which tests are parsed and from which
//! `docs/postgrest.md` is generated.

use crate::model::{Bound, Case};

/// An operator of a test.
#[derive(Debug)]
pub struct Operator {
    /// As the server spells it.
    pub word: &'static str,
    /// What it asks.
    pub kind: Kind,
    /// What may stand in parentheses behind it.
    pub modifiers: Modifiers,
    /// Tests of every form that is treated in a way of its own, for the documentation.
    pub samples: &'static [&'static str],
}

/// What an operator asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Order.
    Bound(Bound),
    /// Anything that an envelope cannot be asked; the text says why.
    Closed(&'static str),
    /// Inequality that takes null for a value.
    Distinct,
    /// Equality.
    Equal,
    /// One of a list.
    In,
    /// Null or a truth value.
    Is,
    /// A pattern of `LIKE`.
    Like(Case),
    /// Inequality.
    Unequal,
}

/// What may stand in parentheses behind an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modifiers {
    /// The name of a language.
    Language,
    /// Nothing.
    None,
    /// `any` or `all`: the spellings for refusals. The value is an array.
    Quantifiers {
        /// With `(any)`.
        any: &'static str,
        /// With `(all)`.
        all: &'static str,
    },
}

const fn quantified(
    word: &'static str,
    (any, all): (&'static str, &'static str),
    kind: Kind,
    samples: &'static [&'static str],
) -> Operator {
    Operator { word, kind, modifiers: Modifiers::Quantifiers { any, all }, samples }
}

const fn plain(word: &'static str, kind: Kind, samples: &'static [&'static str]) -> Operator {
    Operator { word, kind, modifiers: Modifiers::None, samples }
}

const fn full_text(word: &'static str, samples: &'static [&'static str]) -> Operator {
    Operator { word, kind: Kind::Closed(WORDS), modifiers: Modifiers::Language, samples }
}

const WORDS: &str = "an envelope has no words";
const REGULAR: &str = "a regular expression would be matched against the envelope";
const PARTS: &str = "an envelope is no array and no range";

/// Every operator. The order is that of the documentation.
pub const OPERATORS: &[Operator] = &[
    quantified(
        "eq",
        ("eq(any)", "eq(all)"),
        Kind::Equal,
        &["eq.A1", "eq(any).{A1,B2}", "eq(any).{}", "eq(all).{A1}", "eq(all).{A1,B2}"],
    ),
    plain("neq", Kind::Unequal, &["neq.A1"]),
    plain("in", Kind::In, &["in.(A1,B2)", "in.()"]),
    plain("isdistinct", Kind::Distinct, &["isdistinct.A1"]),
    plain("is", Kind::Is, &["is.null", "is.not_null", "is.true"]),
    quantified(
        "like",
        ("like(any)", "like(all)"),
        Kind::Like(Case::Exact),
        &["like.A1", "like.A*", "like(any).{A1,B2}", "like(any).{A1,B*}", "like(all).{A1,B2}"],
    ),
    quantified(
        "ilike",
        ("ilike(any)", "ilike(all)"),
        Kind::Like(Case::Folded),
        &["ilike.a1", "ilike.a*", "ilike(any).{a1,b2}", "ilike(all).{a1,b2}"],
    ),
    quantified("gt", ("gt(any)", "gt(all)"), Kind::Bound(Bound::Above), &["gt.A1"]),
    quantified("gte", ("gte(any)", "gte(all)"), Kind::Bound(Bound::AtLeast), &["gte.A1"]),
    quantified("lt", ("lt(any)", "lt(all)"), Kind::Bound(Bound::Below), &["lt.A1"]),
    quantified(
        "lte",
        ("lte(any)", "lte(all)"),
        Kind::Bound(Bound::AtMost),
        &["lte.A1", "lte(any).{A1,B2}"],
    ),
    quantified("match", ("match(any)", "match(all)"), Kind::Closed(REGULAR), &["match.A1"]),
    quantified("imatch", ("imatch(any)", "imatch(all)"), Kind::Closed(REGULAR), &["imatch.A1"]),
    full_text("fts", &["fts.A1", "fts(english).A1"]),
    full_text("plfts", &["plfts.A1"]),
    full_text("phfts", &["phfts.A1"]),
    full_text("wfts", &["wfts.A1"]),
    plain("cs", Kind::Closed(PARTS), &["cs.{A1}"]),
    plain("cd", Kind::Closed(PARTS), &["cd.{A1}"]),
    plain("ov", Kind::Closed(PARTS), &["ov.{A1}"]),
    plain("sl", Kind::Closed(PARTS), &["sl.[1,2]"]),
    plain("sr", Kind::Closed(PARTS), &["sr.[1,2]"]),
    plain("nxr", Kind::Closed(PARTS), &["nxr.[1,2]"]),
    plain("nxl", Kind::Closed(PARTS), &["nxl.[1,2]"]),
    plain("adj", Kind::Closed(PARTS), &["adj.[1,2]"]),
];

/// The operator of this spelling.
pub(super) fn named(word: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.word == word)
}
