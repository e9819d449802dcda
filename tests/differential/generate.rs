//! Walks PostgREST's grammar of reading: selections, conditions, orders, pages, formats.

use crate::{
    ask::{Ask, Condition, Item, Op, Param, Place, Target, Term, Test},
    choices::Choices,
    lab::{Column, Kind, Relation, TABLES, Table, table},
    search::{bound, special},
    values::{Pools, Value},
};

/// Any request that reads.
pub fn read(c: &mut Choices<'_>, pools: &Pools) -> Ask {
    let table = &TABLES[*c.pick(&[0, 1, 0, 1, 0, 2, 3, 4, 5, 6, 7, 7, 8, 8])];
    let ask = Ask::new(if c.once_in(14) { "HEAD" } else { "GET" }, Target::Table(table));
    asked(c, pools, ask, table)
}

/// Adds all that a read may have.
pub fn asked(c: &mut Choices<'_>, pools: &Pools, mut ask: Ask, table: &'static Table) -> Ask {
    let many = selection(c, &mut ask, table);
    conditions(c, pools, &mut ask, table);
    if c.once_in(3) {
        order(c, &mut ask, table);
    }
    page(c, &mut ask, table, many);
    let is_nameable =
        !hides_columns(ask.selection()) && table.standing != crate::lab::Standing::Unknown;
    match c.below(12) {
        1 => ask.accept("application/json"),
        2 => ask.accept("application/vnd.pgrst.object+json"),
        3 => ask.accept("application/vnd.pgrst.array+json;nulls=stripped"),
        4 => ask.accept("*/*"),
        5 if is_nameable => ask.accept("text/csv"),
        6 => ask.accept("text/html, application/xml;q=0.9, application/json;q=0.5"),
        7 => ask.accept("application/vnd.pgrst.object+json;nulls=stripped"),
        8 if c.once_in(3) => ask.accept("text/html"),
        _ => {}
    }
    if c.once_in(5) {
        ask.headers.push(("Prefer", "count=exact".to_owned()));
    }
    let profiled = if ask.method == "POST" { "Content-Profile" } else { "Accept-Profile" };
    profile(c, &mut ask, profiled);
    ask.sparing = c.once_in(2);
    ask
}

impl Ask {
    /// Without anything.
    pub fn new(method: &'static str, target: Target) -> Self {
        let (params, headers) = (Vec::new(), Vec::new());
        Self { method, target, params, headers, body: None, sparing: false }
    }

    pub fn accept(&mut self, types: &str) {
        self.headers.push(("Accept", types.to_owned()));
    }
}

/// Names the schema where it is not the default, and sometimes where it is.
pub fn profile(c: &mut Choices<'_>, ask: &mut Ask, header: &'static str) {
    let schema = ask.table().map_or("lab", |table| table.schema);
    if schema != "lab" || c.once_in(12) {
        ask.headers.push((header, schema.to_owned()));
    }
}

/// Whether columns of a table come back that labseal cannot know.
fn hides_columns(items: Option<&[Item]>) -> bool {
    items.into_iter().flatten().any(|item| match item {
        Item::Embed { relation, items, .. } => !relation.is_known || hides_columns(Some(items)),
        Item::All | Item::Column { .. } | Item::Count => false,
    })
}

/// Adds a selection; gives whether the answer has one record for each of the table.
pub fn selection(c: &mut Choices<'_>, ask: &mut Ask, table: &'static Table) -> bool {
    if c.below(4) == 0 {
        return true;
    }
    let mut names = 0;
    let items = c.some(1, 5, |c| item(c, table, 2, &mut names));
    let is_grouped = |item: &Item| match item {
        Item::Column { aggregate, .. } => aggregate.is_some(),
        Item::Count => true,
        Item::Embed { spread, items, .. } => {
            *spread
                && items.iter().any(|item| {
                    matches!(item, Item::Count | Item::Column { aggregate: Some(_), .. })
                })
        }
        Item::All => false,
    };
    let plain = !items.iter().any(is_grouped);
    ask.params.push(Param::Select(items));
    plain
}

fn item(c: &mut Choices<'_>, table: &'static Table, depth: usize, names: &mut usize) -> Item {
    match c.below(12) {
        0..=6 => column_item(c, table, names),
        7 => Item::All,
        8 if c.once_in(4) => Item::Count,
        9.. if depth > 0 && !table.relations.is_empty() => embed(c, table, depth, names),
        _ => column_item(c, table, names),
    }
}

fn alias(c: &mut Choices<'_>, names: &mut usize) -> Option<String> {
    *names += 1;
    match c.below(6) {
        3 => Some(format!("a{names}")),
        4 => Some(format!("an alias {names}")),
        5 => Some(format!("\u{e9}.{names}")),
        _ => None,
    }
}

fn column_item(c: &mut Choices<'_>, table: &'static Table, names: &mut usize) -> Item {
    let column = c.pick(table.columns);
    let alias = alias(c, names);
    let json = match column.kind {
        Kind::Json => *c.pick(&[None, Some("->k"), Some("->>k"), Some("->1->>a")]),
        _ if c.once_in(60) => Some("->>k"),
        _ => None,
    };
    let cast = match c.below(12) {
        1 => Some("text"),
        2 if c.once_in(3) => Some(*c.pick(&["int", "varchar", "numeric", "json"])),
        _ => None,
    };
    let aggregate = match c.below(40) {
        1 => Some("count"),
        2 => Some(*c.pick(&["max", "min", "sum", "avg"])),
        _ => None,
    };
    Item::Column { alias, column, json, cast, aggregate }
}

fn embed(c: &mut Choices<'_>, parent: &'static Table, depth: usize, names: &mut usize) -> Item {
    let relation = c.pick(parent.relations);
    let inner = c.once_in(4);
    // Only what is at most one can be spread.
    let spread = !relation.is_many && c.once_in(4);
    // Two embeds of one table need two names.
    let alias = match spread {
        true => None,
        false => match c.below(9) {
            6..=8 => {
                *names += 1;
                Some(format!("e{names}"))
            }
            // That of a column.
            5 if c.once_in(2) => Some(c.pick(parent.columns).name.to_owned()),
            _ => None,
        },
    };
    let items = c.some(1, 3, |c| item(c, table(relation.table), depth - 1, names));
    Item::Embed { alias, relation, inner, spread, items }
}

/// Every place that conditions and orders can apply to: the target, and its embeds.
fn places(items: &[Item], before: &Place, found: &mut Vec<(Place, &'static Relation)>) {
    for item in items {
        let Item::Embed { alias, relation, items, .. } = item else { continue };
        let mut path = before.path.clone();
        path.push(alias.clone().unwrap_or_else(|| relation.name().to_owned()));
        let place =
            Place { path, table: Some(table(relation.table)), is_hidden: !relation.is_known };
        found.push((place.clone(), relation));
        places(items, &place, found);
    }
}

/// Adds conditions.
pub fn conditions(c: &mut Choices<'_>, pools: &Pools, ask: &mut Ask, target: &'static Table) {
    let mut embeds = Vec::new();
    places(ask.selection().unwrap_or_default(), &Place::default(), &mut embeds);
    for _ in 0..*c.pick(&[1, 0, 2, 1, 3]) {
        let place = match embeds.is_empty() || !c.once_in(3) {
            true => Place::default(),
            false => c.pick(&embeds).0.clone(),
        };
        let columns = place.table.unwrap_or(target).columns;
        let condition = match c.once_in(4) {
            true => tree(c, pools, columns, 3),
            false => Condition::Test(test(c, pools, columns)),
        };
        ask.params.push(Param::Where(place, condition));
    }
}

fn tree(c: &mut Choices<'_>, pools: &Pools, columns: &'static [Column], depth: usize) -> Condition {
    let (any, negated) = (c.below(3) != 2, c.once_in(4));
    let of = c.some(1, 3, |c| match depth > 1 && c.once_in(4) {
        true => tree(c, pools, columns, depth - 1),
        false => Condition::Test(test(c, pools, columns)),
    });
    Condition::Tree { negated, any, of }
}

fn test(c: &mut Choices<'_>, pools: &Pools, columns: &'static [Column]) -> Test {
    let column = c.pick(columns);
    let json = match column.kind {
        Kind::Json => *c.pick(&[Some("->>k"), Some("->k"), None]),
        _ if c.once_in(80) => Some("->>k"),
        _ => None,
    };
    let negated = c.once_in(4);
    Test { column, json, negated, op: op(c, pools, column) }
}

/// A literal that mostly fits its column.
pub fn literal(c: &mut Choices<'_>, pools: &Pools, column: &Column) -> Value {
    let value = pools.literal(c, column);
    match value.fits || c.once_in(4) {
        true => value,
        false => pools.literal(&mut Choices::new(&[]), column),
    }
}

fn op(c: &mut Choices<'_>, pools: &Pools, column: &'static Column) -> Op {
    let one = |c: &mut Choices<'_>| literal(c, pools, column);
    if (column.ladder.prefix > 0 || column.ladder.dated) && c.once_in(2) {
        return special(c, pools, column);
    }
    match c.below(26) {
        0..=6 => Op::Eq(one(c)),
        7..=9 => Op::Neq(one(c)),
        10..=13 => Op::In(c.some(0, 3, one)),
        14 | 15 => Op::IsNull(*c.pick(&["null", "NULL", "Null"])),
        16 if column.kind == Kind::Boolean || c.once_in(3) => {
            Op::Is(*c.pick(&["true", "false", "unknown"]))
        }
        17 | 18 => {
            let how = *c.pick(&["any", "all"]);
            Op::Quantified("eq", how, c.some(usize::from(how == "all"), 3, one))
        }
        19 => Op::Bare(*c.pick(&["like", "ilike"]), one(c)),
        20 => {
            let text = one(c).text;
            let part: String = text.chars().take(3).collect();
            let pattern =
                c.pick(&[format!("{part}*"), format!("*{part}%"), "_%".to_owned()]).clone();
            Op::Pattern(*c.pick(&["like", "ilike"]), pattern)
        }
        21 => Op::Pattern(*c.pick(&["match", "imatch"]), "^[A-Q]".to_owned()),
        22 => bound(c, pools, column),
        23 => Op::Distinct(one(c)),
        24 => match c.below(4) {
            0 => Op::Other(
                *c.pick(&["fts", "plfts(english)", "phfts", "wfts(simple)"]),
                "cat".to_owned(),
            ),
            1 => Op::Other(*c.pick(&["cs", "cd", "ov"]), "{a,b}".to_owned()),
            2 => Op::Other(*c.pick(&["sl", "sr", "nxr", "nxl", "adj"]), "[1,2)".to_owned()),
            _ => {
                let word = *c.pick(&["gt", "like", "ilike", "lte", "match"]);
                Op::Quantified(word, *c.pick(&["any", "all"]), c.some(1, 2, one))
            }
        },
        _ => Op::Eq(one(c)),
    }
}

/// Adds an order.
pub fn order(c: &mut Choices<'_>, ask: &mut Ask, target: &'static Table) {
    let mut embeds = Vec::new();
    places(ask.selection().unwrap_or_default(), &Place::default(), &mut embeds);
    let direction = |c: &mut Choices<'_>| {
        *c.pick(&["", ".desc", ".asc.nullsfirst", ".nullslast", ".desc.nullslast"])
    };
    let term = |c: &mut Choices<'_>, columns: &'static [Column]| {
        // Mostly what can be ordered by.
        let sortable = |c: &&Column| !c.is_protected() || c.ladder.sorted;
        let plain: Vec<_> = columns.iter().filter(sortable).collect();
        let column = if c.once_in(8) { c.pick(columns) } else { *c.pick(&plain) };
        Term { relation: None, column, direction: direction(c) }
    };
    if !embeds.is_empty() && c.once_in(3) {
        let (place, relation) = c.pick(&embeds).clone();
        if place.path.len() == 1 && !relation.is_many && c.once_in(2) {
            let mut term = term(c, table(relation.table).columns);
            term.relation = Some(relation);
            ask.params.push(Param::Order(Place::default(), vec![term]));
        } else {
            let columns = place.table.unwrap_or(target).columns;
            ask.params.push(Param::Order(place, c.some(1, 2, |c| term(c, columns))));
        }
        return;
    }
    let mut terms = c.some(1, 3, |c| term(c, target.columns));
    if c.once_in(2) && !target.columns[0].is_protected() {
        terms.push(Term { relation: None, column: &target.columns[0], direction: "" });
    }
    ask.params.push(Param::Order(Place::default(), terms));
}

/// Adds limit, offset or a range, with an order that leaves no doubt which records those are.
pub fn page(c: &mut Choices<'_>, ask: &mut Ask, target: &'static Table, many: bool) {
    let key = &target.columns[0];
    if key.is_protected() || !many || !c.once_in(4) {
        return;
    }
    if !ask.is_ordered() {
        ask.params
            .retain(|param| !matches!(param, Param::Order(place, _) if place.path.is_empty()));
        let term = Term { relation: None, column: key, direction: *c.pick(&["", ".desc"]) };
        ask.params.push(Param::Order(Place::default(), vec![term]));
    }
    match c.below(4) {
        0 => ask.params.push(Param::Page(Place::default(), "limit", c.below(5).to_string())),
        1 => ask.params.push(Param::Page(Place::default(), "offset", c.below(20).to_string())),
        2 => {
            let range = *c.pick(&["0-2", "1-", "3-4", "90-99", "2-1", "x-y"]);
            ask.headers.push(("Range-Unit", "items".to_owned()));
            ask.headers.push(("Range", range.to_owned()));
        }
        _ => {
            ask.params.push(Param::Page(Place::default(), "limit", "2".to_owned()));
            ask.params.push(Param::Page(Place::default(), "offset", "1".to_owned()));
        }
    }
}

impl Ask {
    /// Whether its order leaves no two records equal.
    pub fn is_ordered(&self) -> bool {
        let Some(key) = self.table().map(|table| &table.columns[0]) else { return false };
        // The server follows the last of several.
        let orders = self.params.iter().filter_map(|param| match param {
            Param::Order(place, terms) if place.path.is_empty() => Some(terms),
            _ => None,
        });
        let by_key = |terms: &Vec<Term>| {
            terms.iter().any(|term| term.relation.is_none() && term.column.name == key.name)
        };
        orders.into_iter().all(by_key)
            && self
                .params
                .iter()
                .any(|p| matches!(p, Param::Order(place, _) if place.path.is_empty()))
    }
}
