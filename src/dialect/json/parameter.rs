//! The parameters of a query, as `name=value` between `&`.

use std::ops::Range;

use crate::{
    base::refusal::{Code, Refusal},
    dialect::text::{self, Decoded},
};

/// One parameter, and where it stands in the target.
pub(super) struct Parameter {
    /// From its name to its end.
    pub(super) whole: Range<usize>,
    pub(super) name: Decoded,
    /// What follows the first `=`, if there is one.
    pub(super) value: Option<(Range<usize>, Decoded)>,
}

/// Every parameter of a target, in order.
pub(super) fn parameters(target: &str) -> Result<Vec<Parameter>, Refusal> {
    let (_, Some(query)) = text::split(target) else { return Ok(Vec::new()) };
    let decode = |range| Decoded::of_query(target, range).ok_or(Code::MalformedTarget);
    let mut found = Vec::new();
    for whole in text::pieces(target, query, '&') {
        let piece = target.get(whole.clone()).unwrap_or_default();
        let sign = piece.find('=').map(|sign| whole.start + sign);
        let name = decode(whole.start..sign.unwrap_or(whole.end))?;
        let value = match sign.map(|sign| sign + 1..whole.end) {
            Some(range) => Some((range.clone(), decode(range)?)),
            None => None,
        };
        found.push(Parameter { whole, name, value });
    }
    Ok(found)
}
