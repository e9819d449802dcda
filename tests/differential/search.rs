//! Reads by patterns and bounds, and in an order.

use crate::{
    ask::{Ask, Condition, Op, Param, Place, Target, Test},
    choices::Choices,
    generate::{conditions, literal, order, page, selection},
    lab::{Column, table},
    values::{Pools, Value},
};

/// A read by patterns and bounds, or in an order, that is mostly a whole list.
pub fn search(c: &mut Choices<'_>, pools: &Pools) -> Ask {
    let table = table("samples");
    let mut ask = Ask::new("GET", Target::Table(table));
    if c.once_in(3) {
        selection(c, &mut ask, table);
    }
    let rich: Vec<_> = table.columns.iter().filter(|c| c.ladder.prefix > 0).collect();
    let dated: Vec<_> = table.columns.iter().filter(|c| c.ladder.dated).collect();
    for _ in 0..c.below(4) {
        let columns = if c.once_in(2) { &dated } else { &rich };
        let column = *c.pick(columns);
        let test = match c.below(6) {
            3 => special_tree(c, pools, columns, 2),
            // Several of one column are one span.
            4 | 5 if column.ladder.dated => {
                let before = special_test(c, pools, column);
                ask.params.push(Param::Where(Place::default(), before));
                special_test(c, pools, column)
            }
            _ => special_test(c, pools, column),
        };
        ask.params.push(Param::Where(Place::default(), test));
    }
    if c.once_in(2) {
        order(c, &mut ask, table);
    }
    match c.below(24) {
        20 => ask.accept("text/csv"),
        21 => ask.headers.push(("Prefer", "count=exact".to_owned())),
        22 => page(c, &mut ask, table, true),
        23 => conditions(c, pools, &mut ask, table),
        _ => {}
    }
    ask.sparing = c.once_in(2);
    ask
}

/// A bound, also of what is not stored.
pub fn bound(c: &mut Choices<'_>, pools: &Pools, column: &'static Column) -> Op {
    let value = pools.bound(c, column);
    let value = if value.fits { value } else { literal(c, pools, column) };
    Op::Bound(*c.pick(&["gte", "lt", "gt", "lte"]), value)
}

/// What the class of a column has more than others.
pub fn special(c: &mut Choices<'_>, pools: &Pools, column: &'static Column) -> Op {
    if column.ladder.dated {
        return bound(c, pools, column);
    }
    let (word, pattern) = (*c.pick(&["like", "ilike"]), pools.pattern(c, column));
    match c.once_in(6) {
        true => {
            let pattern = vec![Value { text: pattern, fits: true }];
            Op::Quantified(word, *c.pick(&["any", "all"]), pattern)
        }
        false => Op::Pattern(word, pattern),
    }
}

fn special_test(c: &mut Choices<'_>, pools: &Pools, column: &'static Column) -> Condition {
    let (negated, op) = (c.once_in(8), special(c, pools, column));
    Condition::Test(Test { column, json: None, negated, op })
}

fn special_tree(
    c: &mut Choices<'_>,
    pools: &Pools,
    columns: &[&'static Column],
    depth: usize,
) -> Condition {
    let (any, negated) = (c.once_in(3), c.once_in(6));
    let of = c.some(1, 3, |c| match depth > 1 && c.once_in(3) {
        true => special_tree(c, pools, columns, depth - 1),
        false => {
            let column = *c.pick(columns);
            special_test(c, pools, column)
        }
    });
    Condition::Tree { negated, any, of }
}
