//! What `docs/postgrest.md` says of the requests that labseal filters or orders itself.

use std::collections::BTreeSet;

use crate::{
    ask::{Ask, Condition, Item, Op, Param, Place, Target, Term, Test},
    forms::Format,
    lab::{Column, Table, table},
    patterns::{Reply, bound, pattern},
};

type Codes = BTreeSet<&'static str>;

impl Condition {
    /// Every test in it.
    pub fn tests(&self) -> Vec<&Test> {
        self.placed(true).into_iter().map(|(test, _)| test).collect()
    }

    /// Every test in it, and whether each record must pass it: nothing but `and` stands around it,
    /// and nothing is negated. `outside` says it of the condition itself.
    pub fn placed(&self, outside: bool) -> Vec<(&Test, bool)> {
        match self {
            Self::Test(test) => vec![(test, outside && !test.negated)],
            Self::Tree { negated, any, of } => {
                let inside = outside && !negated && !any;
                of.iter().flat_map(|one| one.placed(inside)).collect()
            }
        }
    }
}

/// What forbids to filter or order by a column here.
pub fn forbids(ask: &Ask, target: &'static Table, column: &Column, codes: &mut Codes) {
    codes.extend((!is_whole(ask)).then_some("LS114"));
    codes.extend((!is_shown(ask.selection(), target, column)).then_some("LS115"));
}

/// Whether the answer is a whole list of plain JSON.
fn is_whole(ask: &Ask) -> bool {
    let plain = match ask.header("Accept") {
        Some(types) => !types.contains("vnd.pgrst") && types.contains("json") || types == "*/*",
        None => true,
    };
    let paged = ask.params.iter().any(|param| matches!(param, Param::Page(..)));
    let counted = ask.header("Range").is_some() || ask.prefers("count=exact");
    let grouped = ask.selection().is_some_and(is_grouped);
    ask.method == "GET" && plain && !paged && !counted && !grouped
}

/// Whether an aggregate is among the records of the answer.
pub fn is_grouped(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Count | Item::Column { aggregate: Some(_), .. } => true,
        Item::Embed { spread, items, .. } => *spread && is_grouped(items),
        Item::All | Item::Column { .. } => false,
    })
}

/// Whether a column is in the answer as it is, under a key that nothing else has.
fn is_shown(items: Option<&[Item]>, target: &'static Table, column: &Column) -> bool {
    let Some(items) = items else { return true };
    let mut keys = Vec::new();
    members(items, target, true, &mut keys);
    keys.iter().any(|(key, shown)| {
        let is_it = shown.is_some_and(|shown| shown.name == column.name);
        is_it && keys.iter().filter(|(other, _)| other == key).count() == 1
    })
}

type Keys = Vec<(String, Option<&'static Column>)>;

fn members(items: &[Item], target: &'static Table, own: bool, keys: &mut Keys) {
    let mut is_first = true;
    for item in items {
        match item {
            // However often it stands there.
            Item::All if !std::mem::take(&mut is_first) => {}
            Item::All => keys.extend(
                target.columns.iter().map(|column| (column.name.to_owned(), own.then_some(column))),
            ),
            Item::Column { alias, column, json, cast, .. } => {
                let as_it_is = own && json.is_none() && cast.is_none_or(|cast| cast == "text");
                let key = alias.clone().unwrap_or_else(|| column.name.to_owned());
                keys.push((key, as_it_is.then_some(*column)));
            }
            Item::Count => keys.push(("count".to_owned(), None)),
            Item::Embed { spread: true, relation, items, .. } => {
                members(items, table(relation.table), false, keys);
            }
            Item::Embed { alias, relation, .. } => {
                keys.push((alias.clone().unwrap_or_else(|| relation.name().to_owned()), None));
            }
        }
    }
}

/// Whether a bound is one of several of its column that must all hold. They are asked as one, and
/// its own end may then be none of theirs.
pub fn is_one_of_several(ask: &Ask, column: &Column) -> bool {
    let conditions = ask.params.iter().filter_map(|param| match param {
        Param::Where(place, condition) if place.path.is_empty() => Some(condition),
        _ => None,
    });
    let tests = conditions.flat_map(|condition: &Condition| condition.placed(true));
    let bounds = tests.filter(|(test, required)| {
        let is_bound = matches!(test.op, Op::Bound(..) | Op::Quantified(..));
        is_bound && *required && test.column.name == column.name
    });
    column.ladder.dated && bounds.count() > 1
}

/// What an order by protected columns of the target itself is refused with.
pub fn ordered(ask: &Ask, target: &'static Table, terms: &[Term], codes: &mut Codes) {
    let ours = |term: &Term| term.relation.is_none() && term.column.is_protected();
    let orders = ask.params.iter().filter(|param| match param {
        Param::Order(Place { path, .. }, _) => path.is_empty(),
        _ => false,
    });
    let single = orders.count() < 2;
    for (n, term) in terms.iter().enumerate().filter(|(_, term)| ours(term)) {
        let behind = terms[..n].iter().any(|term| !ours(term));
        codes.extend((!term.column.ladder.sorted || behind || !single).then_some("LS105"));
        forbids(ask, target, term.column, codes);
    }
}

/// Whether a relation comes back under the name of a column that comes back too.
fn is_shared(items: &[Item], target: &'static Table) -> bool {
    let mut keys = Vec::new();
    members(items, target, true, &mut keys);
    items.iter().any(|item| match item {
        Item::Embed { spread: false, alias, relation, .. } => {
            let name = alias.as_deref().unwrap_or(relation.name());
            keys.iter().any(|(key, column)| key == name && column.is_some())
        }
        _ => false,
    })
}

/// What of a request that is answered is more than equality: for the tally of what was seen.
pub fn kinds(ask: &Ask) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    let named = |reply, exact, refined| match reply {
        Reply::Exact => Some(exact),
        Reply::Refined => Some(refined),
        Reply::Refused(_) => None,
    };
    kinds.extend((ask.header("Accept") == Some("text/csv")).then_some("answer as CSV"));
    kinds.extend(ask.body.iter().filter_map(|body| match body.format {
        Format::Json => None,
        Format::Csv(..) => Some("body as CSV"),
        Format::Form => Some("body as a form"),
    }));
    kinds.extend(matches!(ask.target, Target::Finder(_)).then_some("function"));
    if let Some(target) = ask.table() {
        let is_bound = crate::bound::shows(target, ask.selection(), true);
        kinds.extend(is_bound.then_some("bound record"));
        let items = ask.selection().unwrap_or_default();
        kinds.extend(is_shared(items, target).then_some("column and relation"));
    }
    for param in &ask.params {
        match param {
            Param::Where(_, condition) => {
                kinds.extend(condition.tests().iter().filter_map(|test| match &test.op {
                    _ if !test.column.is_protected() => None,
                    Op::Bound(word, value) => {
                        named(bound(test.column, word, value), "bound", "refined bound")
                    }
                    Op::Pattern(word, text) => {
                        let reply = pattern(test.column, *word == "ilike", text);
                        named(reply, "pattern", "refined pattern")
                    }
                    _ => None,
                }))
            }
            Param::Order(_, terms) if terms.iter().any(|term| term.column.ladder.sorted) => {
                kinds.push("ordered here");
            }
            _ => {}
        }
    }
    kinds
}
