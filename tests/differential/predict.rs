//! What labseal must refuse, and why: the tables of `docs/postgrest.md`, written down once more by
//! someone who has not looked at how labseal reads a request.

use std::collections::BTreeSet;

use crate::{
    ask::{Ask, Condition, Item, Op, Outcome, Param, Place, Target, Term, Test},
    bound,
    forms::{Body, Format},
    lab::{Column, Kind, Mode, Relation, Standing, Table, is_protected_name, table},
    patterns::{Reply, bound as bounded, pattern},
    refined::{forbids, is_grouped, is_one_of_several, ordered as ordered_here},
    values::Value,
};

type Codes = BTreeSet<&'static str>;

/// How a column stands where it is used.
enum Known {
    /// It is a declared column.
    Protected,
    /// What it belongs to is not known, but its name is that of a protected one.
    ByName,
    /// It needs no protection.
    Harmless,
}

/// Among the codes: what they are for need not be so, and then the answers are the same.
pub const PERHAPS: &str = "perhaps";

/// Every code with which a request may be refused; none if it must be answered.
pub fn refusals(ask: &Ask) -> Codes {
    let mut codes = Codes::new();
    let target = match ask.target {
        Target::Function(_, true) => return codes,
        Target::Function(_, false) => return Codes::from(["LS205"]),
        Target::Finder(target) | Target::Table(target) => target,
    };
    let calls = matches!(ask.target, Target::Finder(_));
    let writes = !calls && !matches!(ask.method, "GET" | "HEAD");
    if target.standing == Standing::Unknown && writes {
        codes.insert("LS204");
    }
    let mut perhaps = Codes::new();
    for param in &ask.params {
        let mutates = matches!(ask.method, "DELETE" | "PATCH" | "PUT");
        let mut own = Codes::new();
        parameter(ask, target, param, mutates, &mut own);
        if own.contains(PERHAPS) { &mut perhaps } else { &mut codes }.append(&mut own);
    }
    if let Some(body) = &ask.body {
        records(target, body, &mut codes);
        bound::written(ask, target, body, &mut codes);
    }
    let comes_back = !writes || ask.prefers("return=representation");
    if comes_back
        && ask.header("Accept") == Some("text/html")
        && shows_protected(target, ask.selection(), true)
    {
        codes.insert("LS107");
    }
    // The server heads the CSV of a write or call with the names in order, over cells as selected.
    let key = writes.then_some(target.columns[0].name);
    let is_headless = (writes || calls) && !is_headed_well(ask.selection(), key);
    if comes_back && ask.header("Accept") == Some("text/csv") {
        let hides = is_headless && shows_protected(target, ask.selection(), true);
        let refused = hides || bound::shows(target, ask.selection(), true);
        codes.extend(refused.then_some("LS107"));
    }
    if !codes.is_empty() {
        perhaps.remove(PERHAPS);
    }
    codes.append(&mut perhaps);
    codes
}

/// Everything, or plain columns in the order of their names.
fn is_headed_well(selection: Option<&[Item]>, key: Option<&str>) -> bool {
    let plain = |item: &Item| match item {
        Item::Column { alias: None, column, json: None, cast: _, aggregate: None } => {
            Some(column.name)
        }
        _ => None,
    };
    match selection {
        None | Some([] | [Item::All]) => true,
        Some(items) => {
            let names: Option<Vec<_>> = items.iter().map(plain).collect();
            names.is_some_and(|names| {
                names.is_sorted_by(|a, b| a < b) && key.is_none_or(|key| names.contains(&key))
            })
        }
    }
}

fn known(target: &Table, place: &Place, column: &Column) -> Known {
    let table = place.table.unwrap_or(target);
    let is_unknown = place.is_hidden || table.standing == Standing::Unknown;
    match (is_unknown, column.is_protected()) {
        (true, _) if is_protected_name(column.name) => Known::ByName,
        (false, true) => Known::Protected,
        (true | false, _) => Known::Harmless,
    }
}

fn parameter(ask: &Ask, target: &'static Table, param: &Param, mutates: bool, codes: &mut Codes) {
    match param {
        Param::Select(items) => {
            let own = Place::default();
            selection(target, &own, items, is_grouped(items), codes);
        }
        Param::Where(place, condition) => {
            let alone = place.path.is_empty() && matches!(condition, Condition::Test(_));
            for (test, required) in condition.placed(place.path.is_empty()) {
                match known(target, place, test.column) {
                    Known::Protected => match operator(test.column, test, mutates && alone) {
                        Reply::Exact => {}
                        Reply::Refused(code) => _ = codes.insert(code),
                        Reply::Refined => {
                            let decides = !required || ask.body.is_some() || mutates;
                            codes.extend(decides.then_some("LS104"));
                            forbids(ask, target, test.column, codes);
                            if required && is_one_of_several(ask, test.column) {
                                codes.insert(PERHAPS);
                            }
                        }
                    },
                    Known::ByName => _ = codes.insert("LS207"),
                    Known::Harmless => {}
                }
            }
        }
        Param::Order(place, terms) => {
            codes.extend(terms.iter().filter_map(|term| ordered(target, place, term)));
            if place.path.is_empty() && target.standing == Standing::Declared {
                ordered_here(ask, target, terms, codes);
            }
        }
        Param::Conflict(columns) => {
            let declared = target.standing == Standing::Declared;
            let searched = |c: &&Column| matches!(c.mode, Mode::Random | Mode::Searchable);
            codes.extend((declared && columns.iter().any(searched)).then_some("LS108"));
        }
        Param::Slip(_, Outcome::Refused(code)) => {
            codes.insert(code);
        }
        Param::Slip(_, Outcome::Passes)
        | Param::Page(..)
        | Param::Columns(_)
        | Param::Argument(..) => {}
    }
}

/// The table of operators and modes.
fn operator(column: &Column, test: &Test, retested: bool) -> Reply {
    const REFUSED: Reply = Reply::Refused("LS104");
    if test.json.is_some() {
        return Reply::Refused("LS106");
    }
    if let Op::IsNull(_) = test.op {
        return Reply::Exact;
    }
    if column.mode == Mode::Random {
        return REFUSED;
    }
    let takes = |values: &[Value]| match values.iter().all(|value| value.fits) {
        true => Reply::Exact,
        false => Reply::Refused("LS420"),
    };
    let single = std::slice::from_ref::<Value>;
    match &test.op {
        Op::IsNull(_) => Reply::Exact,
        Op::Eq(value) | Op::Neq(value) => takes(single(value)),
        // A tree would stand for it, and the server tests those once more.
        Op::Distinct(_) if retested && column.mode == Mode::Searchable => REFUSED,
        Op::Distinct(value) => takes(single(value)),
        // The server reads a list of one empty text as the empty list.
        Op::In(values) if matches!(&**values, [one] if one.text.is_empty()) => Reply::Exact,
        Op::In(values) | Op::Quantified("eq", "any", values) => takes(values),
        Op::Quantified("eq", _, values) if values.len() == 1 => takes(values),
        Op::Bound(word, value) => bounded(column, word, value),
        Op::Pattern(word @ ("like" | "ilike"), text) => pattern(column, *word == "ilike", text),
        Op::Bare(word @ ("like" | "ilike"), value) => {
            pattern(column, *word == "ilike", &value.text)
        }
        Op::Quantified(word @ ("like" | "ilike"), how, values) => match &**values {
            [value] => pattern(column, *word == "ilike", &value.text),
            values if *word == "like" && *how == "any" => {
                let bare = |value: &Value| !value.text.contains(['%', '_', '*']);
                let text = |value: &Value| pattern(column, false, &value.text) == Reply::Exact;
                let all = values.iter().all(|value| bare(value) && text(value));
                if all { Reply::Exact } else { REFUSED }
            }
            _ => REFUSED,
        },
        Op::Quantified(word @ ("gt" | "gte" | "lt" | "lte"), _, values) => match &**values {
            [value] => bounded(column, word, value),
            _ => REFUSED,
        },
        Op::Is(_) | Op::Quantified(..) | Op::Pattern(..) | Op::Bare(..) | Op::Other(..) => REFUSED,
    }
}

fn ordered(target: &Table, place: &Place, term: &Term) -> Option<&'static str> {
    let place = match term.relation {
        Some(relation) => inside(place, relation),
        None => place.clone(),
    };
    match known(target, &place, term.column) {
        // The target's own are looked at together.
        Known::Protected if place.path.is_empty() && term.relation.is_none() => None,
        Known::Protected => Some("LS105"),
        Known::ByName => Some("LS207"),
        Known::Harmless => None,
    }
}

/// Whether the text of a column is not its JSON, in some table where one of its name is protected.
fn is_other_as_text(column: &Column) -> bool {
    let columns = crate::lab::TABLES.iter().flat_map(|table| table.columns);
    let mut named = columns.filter(|other| other.is_protected() && other.name == column.name);
    named.any(|other| !matches!(other.kind, Kind::Date | Kind::Text))
}

fn inside(place: &Place, relation: &Relation) -> Place {
    let path = place.path.clone();
    Place { path, table: Some(table(relation.table)), is_hidden: !relation.is_known }
}

/// What a selection does to columns that it names.
fn selection(target: &Table, place: &Place, items: &[Item], grouped: bool, codes: &mut Codes) {
    for item in items {
        match item {
            Item::All => {
                let table = place.table.unwrap_or(target);
                let declared = table.standing == Standing::Declared && !place.is_hidden;
                let protects = declared && table.columns.iter().any(Column::is_protected);
                codes.extend((grouped && protects).then_some("LS106"));
            }
            Item::Count => {}
            Item::Column { column, json, cast, aggregate, .. } => {
                let counts = *aggregate == Some("count");
                let alters = json.is_some()
                    || cast.is_some_and(|cast| cast != "text")
                    || aggregate.is_some() && !counts
                    || grouped && aggregate.is_none();
                let is_text = *cast == Some("text") && aggregate.is_none();
                codes.extend(match known(target, place, column) {
                    Known::Protected if alters => Some("LS106"),
                    Known::ByName if alters || is_text && is_other_as_text(column) => Some("LS207"),
                    Known::Protected | Known::ByName | Known::Harmless => None,
                });
            }
            Item::Embed { relation, spread, items, .. } => {
                let grouped = *spread && grouped || is_grouped(items);
                selection(target, &inside(place, relation), items, grouped, codes);
            }
        }
    }
}

/// Whether an answer has a declared, protected column.
fn shows_protected(table: &'static Table, items: Option<&[Item]>, is_known: bool) -> bool {
    let declared = is_known && table.standing == Standing::Declared;
    let all = || declared && table.columns.iter().any(Column::is_protected);
    let Some(items) = items else { return all() };
    items.iter().any(|item| match item {
        Item::All => all(),
        Item::Column { column, aggregate: None, .. } => declared && column.is_protected(),
        Item::Column { .. } | Item::Count => false,
        Item::Embed { relation, items, .. } => {
            let table = crate::lab::table(relation.table);
            shows_protected(table, Some(items), relation.is_known)
        }
    })
}

fn records(target: &'static Table, body: &Body, codes: &mut Codes) {
    if target.standing != Standing::Declared {
        return;
    }
    codes.extend((!body.behind.is_empty()).then_some("LS101"));
    // The server drops a row of CSV with nothing in its only cell.
    let is_dropped = |row: &[(String, Option<&'static Column>, Value)]| {
        let is_empty = matches!(row, [(_, _, value)] if value.text == "\"\"");
        matches!(body.format, Format::Csv(..)) && is_empty
    };
    for row in body.rows.iter().filter(|row| !is_dropped(row)) {
        for (n, (key, column, value)) in row.iter().enumerate() {
            let null = value.text == "null";
            // A form has no null, and CSV and forms have no NUL.
            if body.format == Format::Form && null {
                continue;
            }
            let nul = body.format != Format::Json && value.text.contains("\\u0000");
            codes.extend(nul.then_some("LS101"));
            let near = column.is_none() && is_protected_name(&key.to_lowercase());
            codes.extend(near.then_some("LS113"));
            if column.is_some_and(|column| column.is_protected()) {
                let again = row[..n].iter().any(|(other, ..)| other == key);
                codes.extend(again.then_some("LS102"));
                codes.extend((!value.fits).then_some("LS420"));
            }
        }
    }
}
