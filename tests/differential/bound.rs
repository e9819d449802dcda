//! What `docs/postgrest.md` says of records to which values are bound.

use std::collections::BTreeSet;

use crate::{
    ask::{Ask, Condition, Item, Op, Param, Test},
    forms::{Body, Format},
    lab::{Column, Standing, Table, table},
    values::Value,
};

type Codes = BTreeSet<&'static str>;

/// Whether an answer has bound values, so that it needs their key.
pub fn shows(target: &'static Table, items: Option<&[Item]>, is_known: bool) -> bool {
    let declared = is_known && target.standing == Standing::Declared;
    let all = || declared && target.columns.iter().any(|column| target.binds(column));
    let Some(items) = items else { return all() };
    items.iter().any(|item| match item {
        Item::All => all(),
        Item::Column { column, aggregate: None, .. } => declared && target.binds(column),
        Item::Column { .. } | Item::Count => false,
        Item::Embed { relation, items, .. } => {
            shows(table(relation.table), Some(items), relation.is_known)
        }
    })
}

/// What a body with bound values is refused with.
pub fn written(ask: &Ask, target: &'static Table, body: &Body, codes: &mut Codes) {
    if !target.columns.iter().any(|column| target.binds(column)) {
        return;
    }
    codes.extend((body.format != Format::Json).then_some("LS410"));
    let key = &target.columns[0];
    let listed = ask.params.iter().find_map(|param| match param {
        Param::Columns(columns) => Some(columns.iter().any(|column| column.name == key.name)),
        _ => None,
    });
    if ask.method == "POST" && ask.prefers("resolution=merge-duplicates") {
        let by_other = ask.params.iter().any(|param| match param {
            Param::Conflict(columns) => !matches!(&**columns, [one] if one.name == key.name),
            _ => false,
        });
        codes.extend(by_other.then_some("LS117"));
    }
    let tested = tested(ask, key);
    let is_padded = |text: &str| text.ends_with(' ');
    for row in &body.rows {
        let holds = |(_, column, value): &(String, Option<&'static Column>, Value)| {
            column.is_some_and(|column| target.binds(column)) && value.text != "null"
        };
        let own: Vec<_> = row.iter().filter(|(name, ..)| name == key.name).collect();
        let is_bound = row.iter().any(holds);
        // Twice, or no text: whatever is said of that.
        if own.len() > 1 {
            codes.extend(["LS102", "LS116", "LS117", crate::predict::PERHAPS]);
        } else if ask.method == "POST" {
            let has_key = own.iter().any(|(_, _, value)| value.text != "null");
            let is_lost = is_bound && (!has_key || listed == Some(false));
            codes.extend(is_lost.then_some("LS116"));
            let padded =
                own.iter().any(|(_, _, value)| is_padded(value.text.trim_end_matches('"')));
            codes.extend((padded && listed != Some(false)).then_some("LS420"));
        } else {
            codes.extend(tested.as_deref().is_some_and(is_padded).then_some("LS420"));
            let said: Option<String> = own
                .first()
                .map(|(_, _, value)| serde_json::from_str(&value.text).unwrap_or_default());
            let changes = said.is_some() && said != tested;
            codes.extend(changes.then_some("LS117"));
            codes.extend((is_bound && tested.is_none()).then_some("LS116"));
        }
    }
}

/// The key that a parameter of its own tests.
fn tested(ask: &Ask, key: &Column) -> Option<String> {
    let tests = ask.params.iter().filter_map(|param| match param {
        Param::Where(
            place,
            Condition::Test(Test { column, negated: false, op: Op::Eq(value), .. }),
        ) if place.path.is_empty() && column.name == key.name => Some(value.text.clone()),
        _ => None,
    });
    let all: BTreeSet<_> = tests.collect();
    if all.len() == 1 { all.into_iter().next() } else { None }
}
