//! Walks PostgREST's grammar of writing and calling, and what is wrong on purpose.

use crate::{
    ask::{Ask, Condition, Item, Op, Outcome, Param, Place, Target, Test},
    choices::Choices,
    forms::{Body, Format},
    generate::{asked, conditions, profile, selection},
    lab::{Column, Kind, TABLES, Table, table},
    values::{Pools, Value},
};

type Row = Vec<(String, Option<&'static Column>, Value)>;

fn writable(c: &mut Choices<'_>) -> &'static Table {
    &TABLES[*c.pick(&[0, 1, 0, 2, 1, 0, 4, 5, 6, 7, 8, 8])]
}

/// Any request that writes.
pub fn write(c: &mut Choices<'_>, pools: &Pools) -> Ask {
    let table = writable(c);
    let mut ask = match c.below(8) {
        0..=3 => create(c, pools, table),
        4 | 5 => update(c, pools, table),
        6 => remove(c, pools, table),
        _ => replace(c, pools),
    };
    match c.below(6) {
        0..=2 => ask.prefer("return=representation"),
        3 => ask.prefer("return=minimal"),
        4 => ask.prefer("return=headers-only"),
        _ => {}
    }
    if ask.prefers("return=representation") && c.once_in(2) {
        let table = ask.table().unwrap_or(table);
        selection(c, &mut ask, table);
    }
    if c.once_in(8) {
        ask.prefer("count=exact");
    }
    if let Some(body) = &mut ask.body {
        body.format = Format::of(c, body);
    }
    if c.once_in(10) {
        let types = *c.pick(&["application/vnd.pgrst.object+json", "text/csv"]);
        ask.headers.push(("Accept", types.to_owned()));
    }
    profile(c, &mut ask, "Content-Profile");
    ask
}

impl Ask {
    fn prefer(&mut self, what: &str) {
        self.headers.push(("Prefer", what.to_owned()));
    }
}

fn lexeme(c: &mut Choices<'_>, pools: &Pools, column: &Column) -> Value {
    let null = Value { text: "null".to_owned(), fits: true };
    if c.once_in(10) {
        return null;
    }
    let value = pools.lexeme(c, column);
    match value.fits || c.once_in(6) {
        true => value,
        false => null,
    }
}

/// A record with the columns that it needs, and some others.
fn row(c: &mut Choices<'_>, pools: &Pools, table: &'static Table, keys: &[&'static Column]) -> Row {
    let member = |column: &'static Column, c: &mut Choices<'_>| {
        (column.name.to_owned(), Some(column), lexeme(c, pools, column))
    };
    let mut row: Row = keys.iter().map(|column| member(column, c)).collect();
    if c.once_in(40) {
        let column = c.pick(table.columns);
        let (key, twice) = *c.pick(&[("MRN", None), ("nonsense", None), ("", Some(column))]);
        let fits = twice.is_none_or(|column: &Column| column.kind == Kind::Text);
        let value = Value { text: "\"odd\"".to_owned(), fits };
        match twice {
            Some(column) => row.push((column.name.to_owned(), Some(column), value)),
            None => row.push((key.to_owned(), None, value)),
        }
    }
    row
}

fn keys(c: &mut Choices<'_>, table: &'static Table, needed: &[&str]) -> Vec<&'static Column> {
    table
        .columns
        .iter()
        .filter(|column| match needed.contains(&column.name) {
            true => !c.once_in(30),
            false if table.name == "vials" => c.once_in(2),
            false => column.name != "id" && c.once_in(3) || column.name == "id" && c.once_in(6),
        })
        .collect()
}

fn create(c: &mut Choices<'_>, pools: &Pools, table: &'static Table) -> Ask {
    let mut ask = Ask::new("POST", Target::Table(table));
    let needed: &[&str] = match table.name {
        "orders" => &["mrn", "code"],
        "wards" => &["code"],
        "vials" => &["tube"],
        _ => &["mrn"],
    };
    let same = keys(c, table, needed);
    let bulk = c.once_in(3);
    let rows = match bulk {
        false => vec![row(c, pools, table, &same)],
        true => c.some(0, 3, |c| {
            let own = if c.once_in(8) { keys(c, table, needed) } else { same.clone() };
            row(c, pools, table, &own)
        }),
    };
    // With `missing=default` the server reads the body as `jsonb`, which spells numbers anew.
    let respelled = |value: &Value| matches!(&*value.text, "1E2" | "-0");
    let rows_have_numbers = rows.iter().flatten().any(|(_, _, value)| respelled(value));
    ask.body = Some(Body {
        bulk,
        rows,
        behind: if c.once_in(60) { "," } else { "" },
        format: Format::Json,
    });
    if c.once_in(4) {
        let mut columns: Vec<&Column> = same;
        if c.once_in(3) {
            columns.push(c.pick(table.columns));
        }
        if !columns.is_empty() {
            ask.params.push(Param::Columns(columns));
        }
    }
    if c.once_in(3) {
        ask.prefer(*c.pick(&["resolution=merge-duplicates", "resolution=ignore-duplicates"]));
        if c.once_in(2) {
            let on = table
                .columns
                .iter()
                .filter(|column| matches!(column.name, "mrn" | "tube") || c.once_in(9));
            let on: Vec<_> = on.collect();
            if !on.is_empty() {
                ask.params.push(Param::Conflict(on));
            }
        }
    }
    if c.once_in(10) && !rows_have_numbers {
        ask.prefer("missing=default");
    }
    ask
}

/// A condition that mostly spares most of the table.
fn narrow(c: &mut Choices<'_>, pools: &Pools, ask: &mut Ask, table: &'static Table) {
    let column = &table.columns[0];
    if c.below(3) != 2 {
        let op = Op::Eq(pools.literal(c, column));
        let test = Test { column, json: None, negated: false, op };
        ask.params.push(Param::Where(Place::default(), Condition::Test(test)));
    }
    conditions(c, pools, ask, table);
}

fn update(c: &mut Choices<'_>, pools: &Pools, table: &'static Table) -> Ask {
    let mut ask = Ask::new("PATCH", Target::Table(table));
    narrow(c, pools, &mut ask, table);
    let columns: Vec<_> = table.columns[1..].iter().filter(|_| c.once_in(4)).collect();
    let rows = vec![row(c, pools, table, &columns)];
    ask.body = Some(Body { bulk: c.once_in(12), rows, behind: "", format: Format::Json });
    ask
}

fn remove(c: &mut Choices<'_>, pools: &Pools, table: &'static Table) -> Ask {
    let mut ask = Ask::new("DELETE", Target::Table(table));
    narrow(c, pools, &mut ask, table);
    if !ask.params.iter().any(|param| matches!(param, Param::Where(..))) {
        let op = Op::Eq(pools.literal(c, &table.columns[0]));
        let test = Test { column: &table.columns[0], json: None, negated: false, op };
        ask.params.push(Param::Where(Place::default(), Condition::Test(test)));
    }
    ask
}

/// PUT addresses one record by its key, and holds all of it.
fn replace(c: &mut Choices<'_>, pools: &Pools) -> Ask {
    let table = table(*c.pick(&["contacts", "wards", "vials", "vials", "patients"]));
    let mut ask = Ask::new("PUT", Target::Table(table));
    let key = &table.columns[0];
    let value = pools.literal(c, key);
    let text = serde_json::Value::from(value.text.as_str()).to_string();
    let test = Test { column: key, json: None, negated: false, op: Op::Eq(value) };
    ask.params.push(Param::Where(Place::default(), Condition::Test(test)));
    let others: Vec<_> = table.columns[1..].iter().collect();
    let mut row = row(c, pools, table, &others);
    let text = if c.once_in(8) { "\"other\"".to_owned() } else { text };
    row.insert(0, (key.name.to_owned(), Some(key), Value { text, fits: true }));
    ask.body = Some(Body { bulk: false, rows: vec![row], behind: "", format: Format::Json });
    ask
}

/// Any call of a function.
pub fn call(c: &mut Choices<'_>, pools: &Pools) -> Ask {
    if c.below(3) > 0 {
        return find(c, pools);
    }
    let (name, is_listed) =
        *c.pick(&[("of_ward", true), ("patient_count", true), ("head_count", false)]);
    let mut ask = Ask::new(*c.pick(&["GET", "POST", "HEAD"]), Target::Function(name, is_listed));
    let ward = *c.pick(&["A", "B", "C-1", "none"]);
    let argument = match name {
        "of_ward" => Some(("w", ward)),
        _ => None,
    };
    let key = argument.map_or("", |(key, _)| key);
    match (ask.method, argument) {
        ("POST", argument) => {
            let value = Value { text: format!("\"{ward}\""), fits: true };
            let row = argument.map(|_| (key.to_owned(), None, value)).into_iter().collect();
            ask.body =
                Some(Body { bulk: false, rows: vec![row], behind: "", format: Format::Json });
        }
        (_, Some((key, value))) => ask.params.push(Param::Argument(key, value.to_owned())),
        (_, None) => {}
    }
    if name == "of_ward" {
        let all = Param::Page(Place::default(), "limit", "3".to_owned());
        ask.params.extend(c.once_in(3).then_some(all));
    }
    ask
}

/// A call of the declared function, and what may be asked of the records that it returns.
fn find(c: &mut Choices<'_>, pools: &Pools) -> Ask {
    let table = &TABLES[0];
    let mrn = &table.columns[1];
    let mut ask = Ask::new(*c.pick(&["GET", "POST", "GET", "POST", "HEAD"]), Target::Finder(table));
    if ask.method == "POST" {
        let value = lexeme(c, pools, mrn);
        let rows = vec![vec![("mrn".to_owned(), Some(mrn), value)]];
        let mut body = Body { bulk: false, rows, behind: "", format: Format::Json };
        body.format = Format::of(c, &body);
        ask.body = Some(body);
    } else {
        ask.params.push(Param::Argument("mrn", pools.literal(c, mrn).text));
    }
    let mut ask = asked(c, pools, ask, table);
    // The server tests and orders by what it selects of a function, and by nothing else.
    let selects_all = |items: &[Item]| items.iter().any(|item| matches!(item, Item::All));
    if !ask.selection().is_none_or(selects_all) {
        ask.params.retain(|param| match param {
            Param::Order(place, _) | Param::Where(place, _) => !place.path.is_empty(),
            _ => true,
        });
    }
    ask
}

/// Queries that are wrong on purpose: each with what must come of it on `/patients`.
const SLIPS: &[(&str, Outcome)] = &[
    ("ward=bogus.A", Outcome::Passes),
    ("mrn=is.not_null", Outcome::Passes),
    ("mrn=bogus.A", Outcome::Refused("LS104")),
    ("mrn=A", Outcome::Refused("LS104")),
    ("ward=eq.A&ward=neq.B", Outcome::Passes),
    ("ward=eq.A&ward=eq.A", Outcome::Passes),
    ("nonsense=eq.A", Outcome::Passes),
    ("select=nonsense", Outcome::Passes),
    ("select=id,", Outcome::Refused("LS100")),
    ("select=id&select=ward", Outcome::Refused("LS100")),
    ("or=(ward.eq.A", Outcome::Refused("LS100")),
    ("or=ward.eq.A", Outcome::Refused("LS100")),
    ("or=igin.eq.A", Outcome::Refused("LS100")),
    ("id=in.(1,2)x", Outcome::Refused("LS100")),
    ("id=in.1,2", Outcome::Refused("LS100")),
    ("mrn)x=eq.A", Outcome::Refused("LS100")),
    ("order=id.sideways", Outcome::Refused("LS100")),
    ("ward=eq.A;mrn=eq.B", Outcome::Refused("LS100")),
    ("id=is.nothing", Outcome::Refused("LS100")),
    ("%FF=eq.1", Outcome::Refused("LS100")),
    ("ward=eq.%E4", Outcome::Refused("LS100")),
    ("orders.code=eq.CBC", Outcome::Passes),
    ("orders.mrn=eq.A", Outcome::Refused("LS207")),
    ("select=id,nothing(id)", Outcome::Passes),
    ("limit=x", Outcome::Passes),
    ("limit=-1", Outcome::Passes),
    ("MRN=eq.A", Outcome::Refused("LS113")),
    ("on_conflict=nonsense", Outcome::Passes),
    ("a.b.c.d=eq.1", Outcome::Passes),
    ("ward", Outcome::Passes),
    ("", Outcome::Passes),
    ("&&id=eq.1&", Outcome::Passes),
    ("select=", Outcome::Passes),
    ("select=*", Outcome::Passes),
    ("select=%2A%2Cid", Outcome::Passes),
    ("select=mrn,mrn", Outcome::Passes),
    ("select=id,mrn:ward", Outcome::Passes),
    ("select=ward:mrn,id", Outcome::Passes),
    ("order=id&order=id.desc", Outcome::Passes),
    ("mrn=eq.A&select=count", Outcome::Passes),
    ("id=eq.1&id=eq.2", Outcome::Passes),
    ("mrn=eq.A&mrn=eq.A", Outcome::Passes),
    ("mrn=eq.A&mrn=neq.A&born=not.is.null", Outcome::Passes),
    ("born=eq.7001-01-01&last_name=eq.x&last_name=eq.x", Outcome::Passes),
];

/// A read with something wrong or odd in it.
pub fn slip(c: &mut Choices<'_>) -> Ask {
    let mut ask = Ask::new("GET", Target::Table(&TABLES[0]));
    let (text, outcome) = *c.pick(SLIPS);
    ask.params.push(Param::Slip(text, outcome));
    ask
}

/// Record number `n` of the tables as they are filled; none if the table has fewer.
pub fn record(
    c: &mut Choices<'_>,
    pools: &Pools,
    table: &'static Table,
    n: usize,
) -> Option<String> {
    let mrn = table.columns.iter().find(|column| column.name == "mrn");
    let patient = |n: usize| mrn.map(|column| pools.text(column, n));
    let whose = match (table.name, table.schema) {
        ("patients", "lab") => (n < 12).then(|| patient(n)),
        ("orders" | "samples", _) => Some(patient(n % 6)),
        ("contacts", _) => (n < 4).then(|| patient(n)),
        ("vials", _) => (n < 9).then(|| patient(n % 6)),
        ("wards", _) => (n < 3).then_some(None),
        _ => (n < 4).then(|| patient(n)),
    }?;
    let mut members = Vec::new();
    for column in table.columns {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let value = match column.name {
            "id" => (n + 1).to_string(),
            "mrn" => text(whose.as_deref().unwrap_or_default()),
            "e.mail" => match n % 3 {
                0 => "null".to_owned(),
                _ => text(&pools.text(column, n)),
            },
            "tube" if n < 4 => text(["A", "B", "C-1", "ward, (x)"][n]),
            "tube" => text(&format!("tube {n}")),
            "code" if table.name == "wards" => text(["A", "B", "C-1"][n]),
            "code" => text("CBC"),
            "bed" | "priority" => (n % 5).to_string(),
            "active" => n.is_multiple_of(2).to_string(),
            "placed" => text("2026-01-02"),
            _ if c.once_in(6) => "null".to_owned(),
            _ => {
                let mut value = pools.lexeme(c, column);
                while !value.fits {
                    value = pools.lexeme(c, column);
                }
                value.text
            }
        };
        members.push(format!("{}:{value}", text(column.name)));
    }
    Some(format!("{{{}}}", members.join(",")))
}
