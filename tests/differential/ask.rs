//! A request as what it means, and how that is spelled for PostgREST.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    forms::Body,
    kit::Request,
    lab::{Column, Relation, Table},
    values::Value,
};

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: &'static str,
    /// What it is about.
    pub target: Target,
    /// The parameters, in order.
    pub params: Vec<Param>,
    /// Headers, in order.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Option<Body>,
    /// Whether parameters are spelled with as few escapes as can be.
    pub sparing: bool,
}

/// What a path names.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The declared function, by the table whose records it returns.
    Finder(&'static Table),
    /// A function, and whether the policy lists it.
    Function(&'static str, bool),
    /// A table.
    Table(&'static Table),
}

/// A parameter.
#[derive(Clone, Debug)]
pub enum Param {
    /// `select`
    Select(Vec<Item>),
    /// A condition on the rows of the target or of an embedded relation.
    Where(Place, Condition),
    /// `order`
    Order(Place, Vec<Term>),
    /// `limit` or `offset`
    Page(Place, &'static str, String),
    /// `columns`
    Columns(Vec<&'static Column>),
    /// `on_conflict`
    Conflict(Vec<&'static Column>),
    /// An argument of a function.
    Argument(&'static str, String),
    /// Anything, spelled as it is, and what must come of it.
    Slip(&'static str, Outcome),
}

/// What must come of something that is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server sees it, and says what it thinks.
    Passes,
    /// labseal refuses it with this code.
    Refused(&'static str),
}

/// Where a parameter applies.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The embeds on the way there, by the names that the request gives them.
    pub path: Vec<String>,
    /// The table; none is the target's own.
    pub table: Option<&'static Table>,
    /// Whether the path's last step hides the table behind the name of a key.
    pub is_hidden: bool,
}

/// An element of a selection.
#[derive(Clone, Debug)]
pub enum Item {
    /// `*`
    All,
    /// A column.
    Column {
        /// Its name in the answer.
        alias: Option<String>,
        /// The column.
        column: &'static Column,
        /// `->` and what follows.
        json: Option<&'static str>,
        /// `::` and what follows.
        cast: Option<&'static str>,
        /// `.sum()` and the like.
        aggregate: Option<&'static str>,
    },
    /// `count()`
    Count,
    /// Another relation.
    Embed {
        /// Its name in the answer.
        alias: Option<String>,
        /// What is embedded.
        relation: &'static Relation,
        /// `!inner`
        inner: bool,
        /// `...`
        spread: bool,
        /// Its selection.
        items: Vec<Item>,
    },
}

/// A condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// A test of a column.
    Test(Test),
    /// `and(…)` or `or(…)`.
    Tree {
        /// `not.`
        negated: bool,
        /// `or`
        any: bool,
        /// Its members.
        of: Vec<Condition>,
    },
}

/// A test of a column.
#[derive(Clone, Debug)]
pub struct Test {
    /// The column.
    pub column: &'static Column,
    /// `->` and what follows.
    pub json: Option<&'static str>,
    /// `not.`
    pub negated: bool,
    /// The operator and its value.
    pub op: Op,
}

/// An operator with its value.
#[derive(Clone, Debug)]
pub enum Op {
    /// `eq`
    Eq(Value),
    /// `neq`
    Neq(Value),
    /// `in`
    In(Vec<Value>),
    /// `is.null` and `is.not_null`
    IsNull(&'static str),
    /// `is.true` and the like
    Is(&'static str),
    /// `eq(any)`, `like(all)` …
    Quantified(&'static str, &'static str, Vec<Value>),
    /// A pattern; none without wildcards
    Pattern(&'static str, String),
    /// A pattern that may be none
    Bare(&'static str, Value),
    /// `gt`, `gte`, `lt`, `lte`
    Bound(&'static str, Value),
    /// `isdistinct`
    Distinct(Value),
    /// Anything else
    Other(&'static str, String),
}

/// A term of an order.
#[derive(Clone, Debug)]
pub struct Term {
    /// The embedded relation whose column it is.
    pub relation: Option<&'static Relation>,
    /// The column.
    pub column: &'static Column,
    /// `.desc`, `.nullsfirst` …
    pub direction: &'static str,
}

/// All but what a query may hold in clear.
const SPARING: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>')
    .add(b'=')
    .add(b';');

impl Ask {
    /// The table it is about.
    pub fn table(&self) -> Option<&'static Table> {
        match self.target {
            Target::Function(..) => None,
            Target::Finder(table) | Target::Table(table) => Some(table),
        }
    }

    /// The value of a header that it has.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// Whether it prefers something.
    pub fn prefers(&self, what: &str) -> bool {
        let mut all = self.headers.iter().filter(|(name, _)| *name == "Prefer");
        all.any(|(_, value)| value.split(',').any(|one| one.trim() == what))
    }

    /// The items of its selection, if it has one.
    pub fn selection(&self) -> Option<&[Item]> {
        self.params.iter().find_map(|param| match param {
            Param::Select(items) => Some(&**items),
            _ => None,
        })
    }

    /// The request.
    pub fn request(&self) -> Request {
        let mut request = Request::new(self.method, &self.spelled());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match &self.body {
            Some(body) => {
                let written = body.written();
                request.header("Content-Type", body.format.media()).body(written.as_bytes())
            }
            None => request,
        }
    }

    /// The target.
    pub fn spelled(&self) -> String {
        let mut target = match self.target {
            Target::Finder(_) => "/rpc/find_patient".to_owned(),
            Target::Function(name, _) => format!("/rpc/{name}"),
            Target::Table(table) => format!("/{}", table.name),
        };
        for (n, param) in self.params.iter().enumerate() {
            target.push(if n == 0 { '?' } else { '&' });
            let (name, value) = param.spelled();
            if let Param::Slip(text, _) = param {
                target.push_str(text);
                continue;
            }
            let encoded = |text: &str| match self.sparing {
                true => utf8_percent_encode(text, SPARING).to_string(),
                false => utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
            };
            target.push_str(&format!("{}={}", encoded(&name), encoded(&value)));
        }
        target
    }
}

impl Param {
    fn spelled(&self) -> (String, String) {
        match self {
            Self::Select(items) => ("select".to_owned(), list(items, Item::spelled)),
            Self::Where(place, Condition::Test(test)) => {
                (place.before(&test.field()), test.value(false))
            }
            Self::Where(place, Condition::Tree { negated, any, of }) => {
                let word = if *any { "or" } else { "and" };
                let word = if *negated { format!("not.{word}") } else { word.to_owned() };
                (place.before(&word), format!("({})", list(of, Condition::spelled)))
            }
            Self::Order(place, terms) => (place.before("order"), list(terms, Term::spelled)),
            Self::Page(place, word, count) => (place.before(word), count.clone()),
            Self::Columns(columns) => ("columns".to_owned(), list(columns, |c| name(c.name))),
            Self::Conflict(columns) => ("on_conflict".to_owned(), list(columns, |c| name(c.name))),
            Self::Argument(name, value) => ((*name).to_owned(), value.clone()),
            Self::Slip(text, _) => ((*text).to_owned(), String::new()),
        }
    }
}

impl Place {
    fn before(&self, last: &str) -> String {
        let mut path: Vec<&str> = self.path.iter().map(|step| &**step).collect();
        path.push(last);
        path.join(".")
    }
}

/// Its elements, between commas.
pub fn list<T>(of: &[T], spelled: impl Fn(&T) -> String) -> String {
    of.iter().map(spelled).collect::<Vec<_>>().join(",")
}

/// A name, in quotes if it needs them.
fn name(name: &str) -> String {
    match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        true => name.to_owned(),
        false => quoted(name),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A value in a list or tree: in quotes unless it cannot be mistaken.
fn element(text: &str) -> String {
    let clear = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '\'');
    match !text.is_empty() && text.chars().all(clear) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// An array of PostgreSQL.
fn array(values: &[Value]) -> String {
    format!("{{{}}}", list(values, |value| quoted(&value.text)))
}

impl Item {
    fn spelled(&self) -> String {
        let renamed = |alias: &Option<String>| match alias {
            Some(alias) => format!("{}:", name(alias)),
            None => String::new(),
        };
        match self {
            Self::All => "*".to_owned(),
            Self::Count => "count()".to_owned(),
            Self::Column { alias, column, json, cast, aggregate } => {
                let cast = cast.map(|cast| format!("::{cast}")).unwrap_or_default();
                let aggregate = aggregate.map(|word| format!(".{word}()")).unwrap_or_default();
                let json = json.unwrap_or_default();
                format!("{}{}{json}{cast}{aggregate}", renamed(alias), name(column.name))
            }
            Self::Embed { alias, relation, inner, spread, items, .. } => {
                let before = if *spread { "...".to_owned() } else { renamed(alias) };
                let inner = if *inner { "!inner" } else { "" };
                let relation = relation.spelling;
                format!("{before}{relation}{inner}({})", list(items, Self::spelled))
            }
        }
    }
}

impl Condition {
    fn spelled(&self) -> String {
        match self {
            Self::Test(test) => format!("{}.{}", test.field(), test.value(true)),
            Self::Tree { negated, any, of } => {
                let not = if *negated { "not." } else { "" };
                let word = if *any { "or" } else { "and" };
                format!("{not}{word}({})", list(of, Self::spelled))
            }
        }
    }
}

impl Test {
    fn field(&self) -> String {
        format!("{}{}", name(self.column.name), self.json.unwrap_or_default())
    }

    fn value(&self, in_tree: bool) -> String {
        let put = |text: &str| if in_tree { element(text) } else { text.to_owned() };
        let value = match &self.op {
            Op::Eq(value) => format!("eq.{}", put(&value.text)),
            Op::Neq(value) => format!("neq.{}", put(&value.text)),
            Op::In(values) => format!("in.({})", list(values, |value| element(&value.text))),
            Op::IsNull(word) | Op::Is(word) => format!("is.{word}"),
            Op::Quantified(word, how, values) => format!("{word}({how}).{}", put(&array(values))),
            Op::Pattern(word, text) => format!("{word}.{}", put(text)),
            Op::Bare(word, value) => format!("{word}.{}", put(&value.text)),
            Op::Bound(word, value) => format!("{word}.{}", put(&value.text)),
            Op::Distinct(value) => format!("isdistinct.{}", put(&value.text)),
            Op::Other(word, text) => format!("{word}.{}", put(text)),
        };
        if self.negated { format!("not.{value}") } else { value }
    }
}

impl Term {
    fn spelled(&self) -> String {
        let column = name(self.column.name);
        let column = match &self.relation {
            Some(relation) => format!("{}({column})", relation.name()),
            None => column,
        };
        format!("{column}{}", self.direction)
    }
}
