//! The head on its way in: protected literals of the target become what is stored, and envelopes of
//! ours that stand anywhere else are refused.

use crate::{
    base::{refusal::Refusal, secret::Plaintext},
    dialect::{Dialect, Head},
    keys::Snapshot,
    model::{Operation, Replacement, Use, UseKind},
    policy::{Plan, plan::FilterRule},
    seal::{self, Refine, Rewritten, Tally, Written},
};

/// A target that holds no protected value in clear.
pub struct Addressed {
    /// As it goes upstream.
    pub target: String,
    /// What answers may repeat of it, and what stood there before.
    pub echoes: Vec<(String, Plaintext)>,
    /// What was put into it.
    pub written: Written,
    /// What was done.
    pub tally: Tally,
    /// What is still to be done with the records of the answer.
    pub refine: Refine,
}

/// Turns protected literals of the target into what is stored, and refuses strays in the head.
pub fn readdress(
    plan: &Plan,
    operation: &Operation,
    dialect: &dyn Dialect,
    head: Head<'_>,
    keys: &Snapshot,
) -> Result<Addressed, Refusal> {
    if plan.passes() {
        let (written, tally, refine) = Default::default();
        let (target, echoes) = (head.target.to_owned(), Vec::new());
        return Ok(Addressed { target, echoes, written, tally, refine });
    }
    refuse_strays(plan, operation, dialect, head, keys)?;
    let Rewritten { replacements, written, tally, refine } =
        seal::readdress(plan, operation, keys)?;
    // Also where nothing is replaced: a dialect may have to leave a part of the target out.
    let readdressed = dialect.readdress(head, &replacements)?;
    let echoes = readdressed.echoes.into_iter().map(|e| (e.written, e.original)).collect();
    Ok(Addressed { target: readdressed.target, echoes, written, tally, refine })
}

/// Refuses envelopes of ours anywhere in the head but as literals of protected filters, which are
/// looked at one by one when they are rewritten.
fn refuse_strays(
    plan: &Plan,
    operation: &Operation,
    dialect: &dyn Dialect,
    head: Head<'_>,
    keys: &Snapshot,
) -> Result<(), Refusal> {
    for value in head.headers.values() {
        seal::reject_strays(value.as_bytes(), keys)?;
    }
    let Err(stray) = seal::reject_strays(head.target.as_bytes(), keys) else { return Ok(()) };
    let blank = |(rule, used): (&Option<FilterRule>, &Use)| match (rule, &used.kind) {
        (Some(_), UseKind::Filter(filter)) => Replacement::blank(filter),
        _ => None,
    };
    let blanks: Vec<_> = plan.filters.iter().zip(&operation.uses).map(blank).collect();
    if blanks.iter().all(Option::is_none) {
        return Err(stray);
    }
    let rest = dialect.readdress(head, &blanks)?;
    seal::reject_strays(rest.target.as_bytes(), keys)
}
