//! Tests: `[not.]operator[(modifier)].value`, alone as a parameter or inside a logic tree.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{
    array::{self, Like},
    cursor::{Cursor, Field},
    operators::{self, Kind, Modifiers, Operator},
};
use crate::{
    base::secret::Plaintext,
    model::{Case, Test},
};

/// How deep logic trees and embeds may nest.
pub(super) const MAX_DEPTH: usize = 64;

/// An operator with its value.
pub(super) struct Expr {
    /// Whether `not.` stands before it.
    pub(super) negated: bool,
    /// As the server spells it.
    pub(super) operator: &'static str,
    pub(super) test: Test,
    pub(super) form: Form,
    pub(super) sense: Sense,
    /// From `not.` to the end of the value.
    pub(super) span: Range<usize>,
}

/// How literals are spelled.
#[derive(Clone)]
pub(super) enum Form {
    /// In the parentheses of a list: where each stands, with its quotes.
    List(Vec<Range<usize>>),
    /// In a way that replacements do not fit into: so many of them. The test is spelled anew.
    Respelled(usize),
    /// Alone, at this place.
    Single(Range<usize>),
}

/// When a test holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sense {
    /// Where a literal does not match, or the column is null.
    Distinct,
    /// Where a literal matches.
    Matching,
    /// Where no literal matches, and the column is not null.
    Unmatching,
}

/// A test inside a logic tree.
pub(super) struct TreeTest {
    pub(super) field: Field,
    pub(super) expr: Expr,
    /// From the column to the end of the value.
    pub(super) span: Range<usize>,
    /// Whether it must hold wherever the tree holds: only `and`, not negated, stands around it.
    pub(super) is_required: bool,
}

/// What a group asks of its members.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// All of them.
    All,
    /// One of them, or it is negated or stands in what is.
    Other,
}

/// Where a value ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the end of the parameter.
    Alone,
    /// At a comma or a closing parenthesis.
    InTree,
}

/// A whole parameter value as a test. `None` if it is not one.
pub(super) fn alone(text: &str) -> Option<Expr> {
    let mut cursor = Cursor::new(text);
    let expr = expr(&mut cursor, Place::Alone)?;
    cursor.is_done().then_some(expr)
}

/// Whether the server would take a value for a test, though it may not be a valid one.
pub(super) fn looks_like_test(text: &str) -> bool {
    let word = text.split(['.', '(']).next().unwrap_or_default();
    text.contains('.') && (word == "not" || operators::named(word).is_some())
}

/// A whole parameter value as the members of a logic tree: `(a.eq.1,not.or(…))`.
///
/// The parenthesis must be there. The server puts the parameter's name before the value and parses
/// the whole, so that it reads `or=igin.eq.x` as a test of the column `origin`.
pub(super) fn members(text: &str, of: Group) -> Option<Vec<TreeTest>> {
    let mut cursor = Cursor::new(text);
    let mut found = Vec::new();
    group(&mut cursor, of, MAX_DEPTH, &mut found)?;
    cursor.is_done().then_some(found)
}

fn group(c: &mut Cursor<'_>, of: Group, depth: usize, found: &mut Vec<TreeTest>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if !c.eat_lexeme("(") {
        return None;
    }
    loop {
        tree(c, of, depth, found)?;
        if c.eat_lexeme(")") {
            return Some(());
        }
        if !c.eat_lexeme(",") {
            return None;
        }
    }
}

fn tree(c: &mut Cursor<'_>, of: Group, depth: usize, found: &mut Vec<TreeTest>) -> Option<()> {
    if let Some(test) = c.attempt(tree_test) {
        found.push(TreeTest { is_required: of == Group::All, ..test });
        return Some(());
    }
    let is_negated = c.eat("not.");
    let inner = match c.eat("and") {
        true if !is_negated => of,
        true => Group::Other,
        false if c.eat("or") => Group::Other,
        false => return None,
    };
    group(c, inner, depth, found)
}

fn tree_test(c: &mut Cursor<'_>) -> Option<TreeTest> {
    c.skip_blanks();
    let start = c.at();
    let field = c.field()?;
    c.skip_blanks();
    if !c.eat(".") {
        return None;
    }
    let expr = expr(c, Place::InTree)?;
    let span = start..expr.span.end;
    Some(TreeTest { field, expr, span, is_required: false })
}

fn expr(c: &mut Cursor<'_>, place: Place) -> Option<Expr> {
    let start = c.at();
    let negated = c.eat("not.");
    let word = c.take_while(|next| next.is_ascii_lowercase());
    let operator = operators::named(word)?;
    let modifier = if c.eat("(") {
        let modifier = c.identifier()?;
        if !c.eat(")") {
            return None;
        }
        Some(modifier)
    } else {
        None
    };
    if !c.eat(".") {
        return None;
    }
    let Asked { operator, test, form, sense } = match (operator.modifiers, modifier) {
        (_, None) | (Modifiers::Language, Some(_)) => asked(c, operator, place)?,
        (Modifiers::Quantifiers { any, .. }, Some("any")) => {
            let array = literal(c, place)?;
            Asked::respelled(any, quantified(operator.kind, Quantifier::Any, &array))
        }
        (Modifiers::Quantifiers { all, .. }, Some("all")) => {
            let array = literal(c, place)?;
            Asked::respelled(all, quantified(operator.kind, Quantifier::All, &array))
        }
        (Modifiers::None | Modifiers::Quantifiers { .. }, Some(_)) => return None,
    };
    Some(Expr { negated, operator, test, form, sense, span: start..c.at() })
}

/// What an operator asks with its value.
struct Asked {
    operator: &'static str,
    test: Test,
    form: Form,
    sense: Sense,
}

impl Asked {
    /// A test that is spelled anew if its literals are replaced.
    fn respelled(operator: &'static str, test: Test) -> Self {
        let count = match &test {
            Test::Bound { .. } | Test::Equal(_) | Test::Pattern { .. } => 1,
            Test::In(literals) => literals.len(),
            Test::IsNull | Test::Other => 0,
        };
        Self { operator, test, form: Form::Respelled(count), sense: Sense::Matching }
    }
}

fn asked(c: &mut Cursor<'_>, operator: &Operator, place: Place) -> Option<Asked> {
    let word = operator.word;
    let sense = match operator.kind {
        Kind::In => {
            let (values, spans) = list(c)?;
            let (test, form) = (Test::In(values), Form::List(spans));
            return Some(Asked { operator: word, test, form, sense: Sense::Matching });
        }
        Kind::Is => return is(c, place),
        Kind::Distinct => Sense::Distinct,
        Kind::Equal => Sense::Matching,
        Kind::Unequal => Sense::Unmatching,
        Kind::Bound(_) | Kind::Closed(_) | Kind::Like(_) => {
            let text = literal(c, place)?;
            return Some(Asked::respelled(word, test_of(operator.kind, &text)));
        }
    };
    let start = c.at();
    let test = Test::Equal(Plaintext::from(literal(c, place)?.as_str()));
    Some(Asked { operator: word, test, form: Form::Single(start..c.at()), sense })
}

/// What an operator asks of one text.
fn test_of(kind: Kind, text: &str) -> Test {
    match kind {
        Kind::Bound(bound) => Test::Bound { bound, literal: Plaintext::from(text) },
        Kind::Equal => Test::Equal(Plaintext::from(text)),
        Kind::Like(case) => match (array::like(text), case) {
            (Like::Plain(plain), Case::Exact) => Test::Equal(Plaintext::from(plain.as_str())),
            (Like::Plain(_) | Like::Wild, _) => {
                let pattern = Zeroizing::new(text.replace('*', "%"));
                Test::Pattern { pattern: Plaintext::from(pattern.as_str()), case }
            }
            (Like::Broken, _) => Test::Other,
        },
        Kind::Closed(_) | Kind::Distinct | Kind::In | Kind::Is | Kind::Unequal => Test::Other,
    }
}

/// `any` or `all`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    All,
    Any,
}

/// An operator on each element of an array. One element is the operator alone; several are a list
/// where one of them must be equal. All of several, or all of none, is nothing else.
fn quantified(kind: Kind, quantifier: Quantifier, array: &str) -> Test {
    let Some(elements) = array::elements(array) else { return Test::Other };
    let mut tests: Vec<_> = elements.iter().map(|text| test_of(kind, text)).collect();
    if tests.len() == 1 {
        return tests.pop().unwrap_or(Test::Other);
    }
    let equal = |test| match test {
        Test::Equal(literal) => Some(literal),
        Test::Bound { .. } | Test::In(_) | Test::IsNull | Test::Other | Test::Pattern { .. } => {
            None
        }
    };
    let literals: Option<Vec<_>> = tests.into_iter().map(equal).collect();
    match (quantifier, literals) {
        (Quantifier::Any, Some(literals)) => Test::In(literals),
        (Quantifier::All | Quantifier::Any, _) => Test::Other,
    }
}

fn is(c: &mut Cursor<'_>, place: Place) -> Option<Asked> {
    let word = c.take_while(|next| next.is_ascii_alphabetic() || next == '_').to_ascii_lowercase();
    let ends = match place {
        Place::Alone => c.is_done(),
        Place::InTree => ends_in_tree(c),
    };
    match word.as_str() {
        "null" | "not_null" if ends => Some(Asked::respelled("is.null", Test::IsNull)),
        "true" | "false" | "unknown" if ends => Some(Asked::respelled("is", Test::Other)),
        _ => None,
    }
}

/// Whether what follows ends a value of a tree.
fn ends_in_tree(c: &Cursor<'_>) -> bool {
    let mut ahead = *c;
    ahead.skip_blanks();
    ahead.is_done() || matches!(ahead.peek(), Some(',' | ')'))
}

fn literal(c: &mut Cursor<'_>, place: Place) -> Option<Zeroizing<String>> {
    match place {
        Place::Alone => Some(Zeroizing::new(c.take_rest().to_owned())),
        Place::InTree => tree_value(c),
    }
}

/// Quoted; or an array in braces; or everything up to a comma or a closing parenthesis.
fn tree_value(c: &mut Cursor<'_>) -> Option<Zeroizing<String>> {
    if let Some(text) = c.attempt(quoted_element) {
        return Some(text);
    }
    let start = c.at();
    let array = c.attempt(|c| {
        let opened = c.eat("{");
        c.take_while(|next| !matches!(next, '{' | '}'));
        (opened && c.eat("}")).then_some(())
    });
    if array.is_some() {
        return ends_in_tree(c).then(|| Zeroizing::new(c.since(start).to_owned()));
    }
    Some(bare_element(c))
}

fn quoted_element(c: &mut Cursor<'_>) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(c.quoted()?);
    matches!(c.peek(), None | Some(',' | ')')).then_some(text)
}

fn bare_element(c: &mut Cursor<'_>) -> Zeroizing<String> {
    Zeroizing::new(c.take_while(|next| !matches!(next, ',' | ')')).to_owned())
}

/// `(a,"b,c")`: the values, and where each stands. The server reads a list of one empty element as
/// the empty list.
fn list(c: &mut Cursor<'_>) -> Option<(Vec<Plaintext>, Vec<Range<usize>>)> {
    if !c.eat_lexeme("(") {
        return None;
    }
    let (mut values, mut spans) = (Vec::new(), Vec::new());
    loop {
        let start = c.at();
        let value = c.attempt(quoted_element).unwrap_or_else(|| bare_element(c));
        values.push(Plaintext::from(value.as_str()));
        spans.push(start..c.at());
        if c.eat_lexeme(")") {
            break;
        }
        if !c.eat(",") {
            return None;
        }
    }
    if values.len() == 1 && values.iter().all(Plaintext::is_empty) {
        return Some((Vec::new(), Vec::new()));
    }
    Some((values, spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_told_apart() {
        for (text, expected) in [
            ("eq.A1", Some("eq")),
            ("not.neq.", Some("neq")),
            ("eq(any).{A1}", Some("eq(any)")),
            ("in.(a,\"b,c\")", Some("in")),
            ("is.NULL", Some("is.null")),
            ("not.is.null", Some("is.null")),
            ("is.true", Some("is")),
            ("fts(english).x", Some("fts")),
            ("isdistinct.A1", Some("isdistinct")),
            ("neq(any).{A1}", None),
            ("in(any).(A1)", None),
            ("fts(", None),
            ("EQ.A1", None),
            ("not.not.eq.A1", None),
            ("is.nullx", None),
            ("in.(a)x", None),
            ("in.(a", None),
            ("A1", None),
        ] {
            assert_eq!(alone(text).map(|expr| expr.operator), expected, "{text}");
        }
    }

    #[test]
    fn a_list_of_one_empty_element_is_empty() {
        let count = |text| match alone(text).unwrap().test {
            Test::In(list) => list.len(),
            test => panic!("{text}: {test:?}"),
        };
        assert_eq!([count("in.()"), count("in.(\"\")"), count("in.(,)")], [0, 0, 2]);
        assert_eq!([count("eq(any).{}"), count("eq(any).{A1,B2}")], [0, 2]);
    }

    #[test]
    fn a_parameter_name_is_never_completed_by_its_value() {
        let members = |text| members(text, Group::All);
        assert!(members("igin.eq.x").is_none());
        assert!(members(".eq.x").is_none());
        assert!(members("(a.eq.1)junk").is_none());
        assert_eq!(members(" ( a.eq.1 , not.or(b.in.(1,2),c.is.null) ) ").unwrap().len(), 3);
    }

    #[test]
    fn what_stands_in_nothing_but_and_is_required() {
        let required = |of, text| -> Vec<bool> {
            members(text, of).unwrap().iter().map(|test| test.is_required).collect()
        };
        let tree = "(a.eq.1,and(b.eq.1,not.and(c.eq.1)),or(d.eq.1,and(e.eq.1)),not.or(f.eq.1))";
        assert_eq!(required(Group::All, tree), [true, true, false, false, false, false]);
        assert_eq!(required(Group::Other, tree), [false; 6]);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}a.eq.1{}", "(and".repeat(10_000), ")".repeat(10_000));
        assert!(members(&deep, Group::All).is_none());
    }
}
