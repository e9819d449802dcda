//! The targets of a job at PostgREST: the next page after a key, one record, and the change of one
//! record under conditions.

use std::fmt::Write as _;

use crate::{
    base::ident::FieldName,
    seal::stored::{Change, Layout, REVISION, Test},
};

/// One entity, as PostgREST addresses it.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name there.
    pub name: String,
}

/// The records after `after` by key, `limit` of them at most.
pub fn page(table: &Table, layout: &Layout, after: Option<&[String]>, limit: usize) -> String {
    let mut target = select(table, layout);
    let order: Vec<_> = layout.key.iter().map(|name| format!("{}.asc", column(name))).collect();
    let _ = write!(target, "&order={}&limit={limit}", encode(&order.join(",")));
    match (layout.key.as_slice(), after) {
        (_, None) | ([], _) => {}
        ([name], Some([value, ..])) => {
            let _ = write!(target, "&{}=gt.{}", encode(&column(name)), encode(value));
        }
        (names, Some(values)) => {
            let mut ways = Vec::new();
            for (at, (name, value)) in names.iter().zip(values).enumerate() {
                let same = names.iter().zip(values).take(at);
                let mut all: Vec<_> = same
                    .map(|(name, value)| format!("{}.eq.{}", column(name), quoted(value)))
                    .collect();
                all.push(format!("{}.gt.{}", column(name), quoted(value)));
                ways.push(match all.as_slice() {
                    [one] => one.clone(),
                    all => format!("and({})", all.join(",")),
                });
            }
            let _ = write!(target, "&or=({})", encode(&ways.join(",")));
            // Lets the database enter its index where the page begins.
            if let (Some(name), Some(value)) = (names.first(), values.first()) {
                let _ = write!(target, "&{}=gte.{}", encode(&column(name)), encode(value));
            }
        }
    }
    target
}

/// One record.
pub fn item(table: &Table, layout: &Layout, key: &[String]) -> String {
    select(table, layout) + &conditions(layout, key, "&")
}

/// The change of one record, if what was read is still stored.
pub fn change(table: &Table, layout: &Layout, key: &[String], change: &Change) -> String {
    let mut target = format!("/{}{}", encode(&table.name), conditions(layout, key, "?"));
    for test in &change.tests {
        let (place, condition) = match test {
            Test::Begins(place, text) => (Some(place), format!("like.{}*", literal(text))),
            Test::Equals(place, text) => (Some(place), format!("eq.{text}")),
            Test::Revision(revision) => (None, format!("eq.{revision}")),
        };
        let name = match place {
            // Invariant: the index was counted over these very places.
            Some(place) => column(&layout.places[*place].name),
            None => REVISION.to_owned(),
        };
        let _ = write!(target, "&{}={}", encode(&name), encode(&condition));
    }
    target
}

/// How many records there are, with the first of them.
pub fn count(table: &Table, layout: &Layout) -> String {
    page(table, layout, None, 1)
}

/// Whether each row comes with its revision: a view has none.
pub fn probe(table: &Table) -> String {
    format!("/{}?select={REVISION}&limit=1", encode(&table.name))
}

fn select(table: &Table, layout: &Layout) -> String {
    let mut names: Vec<String> = layout.key.iter().map(column).collect();
    let bind = layout.bind.iter().map(|rule| &rule.field.field);
    for name in layout.places.iter().map(|place| &place.name).chain(bind) {
        let name = column(name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if layout.has_revision {
        names.push(REVISION.to_owned());
    }
    format!("/{}?select={}", encode(&table.name), encode(&names.join(",")))
}

fn conditions(layout: &Layout, key: &[String], first: &str) -> String {
    let mut out = String::new();
    for (at, (name, value)) in layout.key.iter().zip(key).enumerate() {
        let joint = if at == 0 { first } else { "&" };
        let _ = write!(out, "{joint}{}=eq.{}", encode(&column(name)), encode(value));
    }
    out
}

/// The name of a column, in quotes where it is no word.
fn column(name: &FieldName) -> String {
    let name = name.as_str();
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_word { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Text that a pattern takes as it is. Envelopes have `_`, which stands for any character there.
fn literal(text: &str) -> String {
    text.replace('_', "\\_")
}

fn encode(text: &str) -> String {
    const KEPT: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b',')
        .remove(b'*')
        .remove(b'(')
        .remove(b')');
    percent_encoding::utf8_percent_encode(text, &KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(key: &[&str]) -> Layout {
        let key = key.iter().map(|name| FieldName::new(*name)).collect();
        Layout { places: Vec::new(), key, bind: None, has_revision: false }
    }

    fn table() -> Table {
        Table { schema: "lab".into(), name: "p t".into() }
    }

    #[test]
    fn the_page_after_a_key_of_several_columns_is_spelled_out() {
        let after = ["x,\"(".to_owned(), "3".to_owned()];
        let target = page(&table(), &layout(&["a", "b c"]), Some(&after), 7);
        let expected = "/p%20t?select=a,%22b%20c%22&order=a.asc,%22b%20c%22.asc&limit=7\
            &or=(a.gt.%22x,%5C%22(%22,and(a.eq.%22x,%5C%22(%22,%22b%20c%22.gt.%223%22))\
            &a=gte.x,%22(";
        assert_eq!(target, expected);
    }

    #[test]
    fn an_underscore_in_a_beginning_stands_for_itself() {
        assert_eq!(encode(&format!("like.{}*", literal("ls1rA_b"))), "like.ls1rA%5C_b*");
    }
}
