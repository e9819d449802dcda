//! `select=`: columns, aliases, embeds, spreads, JSON paths, casts and aggregates.

use super::{
    cursor::{Cursor, Field, Name},
    filter::MAX_DEPTH,
};

/// One element of a selection.
pub(super) enum Item {
    /// `*`, at this place.
    All(usize),
    /// A column.
    Column { alias: Option<String>, field: Field, cast: Cast, aggregate: Option<&'static str> },
    /// `count()`, of rows.
    Count,
    /// Another relation, whose items begin at `inside`.
    Embed { alias: Option<String>, relation: Name, spread: Spread, inside: usize, items: Vec<Item> },
}

/// Whether a column is cast.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    /// Not.
    None,
    /// To text, which some sealed values are already.
    Text,
    /// To another type.
    Other,
}

/// Where the members of an embed stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    /// In a member of their own.
    Nested,
    /// Among those of the parent.
    Spread,
}

/// What stands for `select` where it is left out or empty.
pub(super) fn everything() -> Vec<Item> {
    vec![Item::All(0)]
}

/// Parses the whole parameter. `None` if it is not a selection.
pub(super) fn parse(text: &str) -> Option<Vec<Item>> {
    if text.is_empty() {
        return Some(everything());
    }
    let mut cursor = Cursor::new(text);
    let found = items(&mut cursor, MAX_DEPTH)?;
    cursor.is_done().then_some(found)
}

/// Names with commas between them: `columns`, `on_conflict`.
pub(super) fn names(text: &str) -> Option<Vec<Name>> {
    let mut cursor = Cursor::new(text);
    let mut found = vec![cursor.name()?];
    while cursor.eat_lexeme(",") {
        found.push(cursor.name()?);
    }
    cursor.is_done().then_some(found)
}

fn items(c: &mut Cursor<'_>, depth: usize) -> Option<Vec<Item>> {
    let depth = depth.checked_sub(1)?;
    let mut found = vec![item(c, depth)?];
    while c.eat_lexeme(",") {
        found.push(item(c, depth)?);
    }
    Some(found)
}

fn item(c: &mut Cursor<'_>, depth: usize) -> Option<Item> {
    c.skip_blanks();
    if c.attempt(count).is_some() {
        return Some(Item::Count);
    }
    let head = c.attempt(embed_head);
    let item = match head {
        Some((alias, relation, spread)) => {
            let inside = c.at();
            let items = if c.eat_lexeme(")") { Vec::new() } else { embedded(c, depth)? };
            Item::Embed { alias, relation, spread, inside, items }
        }
        None => plain(c)?,
    };
    c.skip_blanks();
    Some(item)
}

fn embedded(c: &mut Cursor<'_>, depth: usize) -> Option<Vec<Item>> {
    let found = items(c, depth)?;
    c.eat_lexeme(")").then_some(found)
}

/// `...rel!hint!inner(` or `alias:rel!hint!inner(`.
fn embed_head(c: &mut Cursor<'_>) -> Option<(Option<String>, Name, Spread)> {
    let spread = if c.eat("...") { Spread::Spread } else { Spread::Nested };
    let alias = match spread {
        Spread::Nested => c.attempt(alias),
        Spread::Spread => None,
    };
    let relation = c.name()?;
    for _ in 0..2 {
        if c.eat("!") {
            c.name()?;
        }
    }
    c.eat("(").then_some((alias, relation, spread))
}

fn alias(c: &mut Cursor<'_>) -> Option<String> {
    let name = c.name()?;
    (!c.rest().starts_with("::") && c.eat(":")).then_some(name.text)
}

/// `count()`, which without this would be the embed of nothing from a relation `count`.
fn count(c: &mut Cursor<'_>) -> Option<()> {
    c.attempt(alias);
    if !c.eat("count()") {
        return None;
    }
    cast(c)?;
    ends(c).then(|| c.skip_blanks())
}

fn plain(c: &mut Cursor<'_>) -> Option<Item> {
    let start = c.at();
    if c.eat("*") {
        return ends(c).then_some(Item::All(start));
    }
    let alias = c.attempt(alias);
    c.skip_blanks();
    let field = c.field()?;
    c.skip_blanks();
    let inner = cast(c)?;
    let aggregate = aggregate(c)?;
    let outer = cast(c)?;
    let cast = match (inner, outer, aggregate) {
        // What is counted is not the value, so a cast of the count does not touch it.
        (Cast::None | Cast::Text, _, Some("count")) | (Cast::None, Cast::None, _) => Cast::None,
        (Cast::None | Cast::Text, Cast::None | Cast::Text, _) => Cast::Text,
        _ => Cast::Other,
    };
    ends(c).then_some(Item::Column { alias, field, cast, aggregate })
}

fn ends(c: &Cursor<'_>) -> bool {
    let mut ahead = *c;
    ahead.skip_blanks();
    ahead.is_done() || matches!(ahead.peek(), Some(',' | ')'))
}

fn cast(c: &mut Cursor<'_>) -> Option<Cast> {
    if !c.eat("::") {
        return Some(Cast::None);
    }
    Some(if c.identifier()? == "text" { Cast::Text } else { Cast::Other })
}

/// `None` if something else follows the dot.
#[allow(clippy::option_option)] // Failed, absent, present.
fn aggregate(c: &mut Cursor<'_>) -> Option<Option<&'static str>> {
    if !c.eat(".") {
        return Some(None);
    }
    let found = ["avg", "count", "max", "min", "sum"].into_iter().find(|word| c.eat(word))?;
    c.eat("()").then_some(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_reads_is_read_and_junk_is_not() {
        for text in [
            "",
            "*",
            " id , mrn ",
            "*, id",
            "x:mrn::text",
            "doc->>a",
            "d:doc->a->>0::text",
            "mrn::character varying.max()",
            "a:mrn.count()::text",
            "count()",
            "n:count()",
            "orders()",
            "o : orders (id)",
            "...patients(mrn)",
            "a:b!hint!inner(*,c(d),...e(f))",
            "\"last name\"",
        ] {
            assert!(parse(text).is_some(), "{text}");
        }
        for text in [
            "id)junk",
            "id,",
            ",id",
            "..patients(mrn)",
            "mrn.sum().x",
            "a(",
            "a(b",
            "mrn.len()",
            "*::text",
            "mrn!x",
            "a::",
            "a:::b",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(parse(&format!("{}id{}", "a(".repeat(10_000), ")".repeat(10_000))).is_none());
    }
}
