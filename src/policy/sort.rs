//! The keys `order:` and `collation:` of a class: whether records are ordered by it after opening.
//!
//! # Why
//! Text is ordered by its bytes, which is COLLATE "C", and only where the policy says that the column
//! would have had that collation: any other depends on the version of a library in the database, and
//! an order that is almost right is wrong. (2026-11)

use crate::base::class::ValueType;

use super::{
    diagnostic::Problems,
    document::{Fields, Node, reader::number, text},
    plan::Sort,
};

/// More records than this are nothing to hold for an order.
const MAX_RECORDS: u64 = 100_000;

/// Reads both.
pub(super) fn read(
    ty: ValueType,
    order: Option<&Node>,
    collation: Option<&Node>,
    problems: &mut Problems,
) -> Sort {
    let is_c = collation.and_then(|node| text(node, "collation", problems)).map(|name| name == "C");
    if let (Some(false), Some(node)) = (is_c, collation) {
        let message = "values are compared by their bytes alone, as under collation C";
        problems.error(
            node.at,
            message,
            "write collation: C if that is the column's, or leave it out",
        );
    } else if let (Some(node), false) = (collation, ty.is_text()) {
        let message = format!("collation is for text, and this class is of type {ty}");
        problems.error(node.at, message, "leave collation out");
    } else if let (Some(node), None) = (collation, order) {
        problems.error(node.at, "collation is for order:, which is not there", "leave it out");
    }
    let Some(node) = order else { return Sort::Refused };
    let Some(mut fields) = Fields::of(node, "order", problems) else { return Sort::Refused };
    let remedy = "write how many records at most, as in order: {proxy_sort: 1000}";
    let at_most = fields.required("proxy_sort", remedy, problems);
    fields.finish(problems);
    if ty == ValueType::Json {
        problems.error(node.at, "values of type json have no order", "leave order out");
    }
    if ty.is_text() && is_c.is_none() {
        let message = "text is ordered here by its bytes alone, as under collation C";
        problems.error(
            node.at,
            message,
            "add collation: C if that is the column's, or leave order out",
        );
    }
    let Some(at_most) = at_most else { return Sort::Refused };
    match number(at_most, "proxy_sort", problems) {
        Some(count) if (1..=MAX_RECORDS).contains(&count) => Sort::Here { at_most: count as usize },
        Some(_) => {
            problems.error(
                at_most.at,
                format!("proxy_sort is not from 1 to {MAX_RECORDS}"),
                remedy,
            );
            Sort::Refused
        }
        None => Sort::Refused,
    }
}
