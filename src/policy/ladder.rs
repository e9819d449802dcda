//! The keys `match:`, `equality:` and `range:` of a class: what of a searchable value can be tested.

use crate::base::class::{Equality, Mode, Rung, ValueType, Years};

use super::{
    diagnostic::{Place, Problems},
    document::{
        Fields, Node, list,
        reader::{number, suggest},
        text, word,
    },
};

/// The most characters of a prefix.
const MAX_PREFIX: u8 = 32;
/// The most rungs of a ladder.
const MAX_RUNGS: usize = 4;
/// The most texts that one test may become.
const MAX_TESTS: u64 = 500;

/// How many it may become where `range:` says nothing.
const AT_MOST: usize = 120;

const EXAMPLES: &str = "for example [eq], [ieq, eq], [\"prefix(3)\", ieq, eq] or [year, month, eq]";

/// What the class takes for equal.
pub(super) fn equality(
    mode: Mode,
    ty: ValueType,
    node: Option<&Node>,
    problems: &mut Problems,
) -> Equality {
    let Some(node) = node else { return Equality::Exact };
    let found = word(node, "equality", Equality::WORDS, &[], problems).unwrap_or_default();
    if found == Equality::Exact {
        return found;
    }
    let word = found.as_str();
    match mode {
        Mode::Searchable => {}
        Mode::Deterministic => {
            let message = format!(
                "equality {word} is for searchable classes: the column of a deterministic one would \
                 still tell spellings apart where it must be unique, or is joined"
            );
            problems.error(node.at, message, "use mode: searchable, or leave equality out");
        }
        Mode::Random => {
            let message = format!("equality {word} says nothing of a random class");
            problems.error(node.at, message, "use mode: searchable, or leave equality out");
        }
    }
    if !ty.is_text() {
        let message = format!("equality {word} is for text, and this class is of type {ty}");
        problems.error(node.at, message, "leave equality out");
    }
    found
}

/// The token ladder, coarse to fine.
pub(super) fn rungs(
    mode: Mode,
    ty: ValueType,
    ladder: Option<&Node>,
    problems: &mut Problems,
) -> Vec<Rung> {
    let Some(node) = ladder else {
        return if mode == Mode::Searchable { vec![Rung::Eq] } else { Vec::new() };
    };
    if mode != Mode::Searchable {
        let message = format!("match is for searchable classes, and this one is {}", mode.as_str());
        problems.error(node.at, message, "leave match out, or use mode: searchable");
        return Vec::new();
    }
    let before = problems.errors();
    let mut rungs: Vec<Rung> = Vec::new();
    for item in list(node, "match", problems).unwrap_or_default() {
        let Some(rung) = rung(item, problems) else { continue };
        match rung {
            Rung::Ieq if !ty.is_text() => {
                let message = format!("ieq folds case, which a value of type {ty} has not");
                problems.error(node.at, message, "use match: [eq]");
            }
            Rung::Prefix(_) if !ty.is_text() => {
                let message = format!("{rung} is for text, and this class is of type {ty}");
                problems.error(item.at, message, "use match: [eq]");
            }
            Rung::Month | Rung::Year if !ty.is_calendar() => {
                let message = format!("{rung} is for dates, and this class is of type {ty}");
                let remedy = "use type: date, timestamp or timestamptz, or match: [eq]";
                problems.error(item.at, message, remedy);
            }
            Rung::Eq | Rung::Ieq | Rung::Month | Rung::Prefix(_) | Rung::Year => {}
        }
        rungs.push(rung);
    }
    let grows = rungs.windows(2).all(|pair| matches!(pair, [a, b] if grain(*a) < grain(*b)));
    if problems.errors() == before && !(grows && rungs.last() == Some(&Rung::Eq)) {
        problems.error(node.at, "match must go from coarse to fine and end in eq", EXAMPLES);
    }
    if rungs.len() > MAX_RUNGS {
        let message = format!("match has {} rungs, and a ladder has at most four", rungs.len());
        problems.error(node.at, message, "leave out those that nobody searches by");
    }
    rungs
}

fn rung(node: &Node, problems: &mut Problems) -> Option<Rung> {
    let found = text(node, "match", problems)?;
    match Rung::parse(found) {
        Some(Rung::Prefix(count)) if count > MAX_PREFIX => {
            let message = format!("a prefix has at most {MAX_PREFIX} characters");
            problems.error(node.at, message, "use a shorter one");
            None
        }
        Some(rung) => Some(rung),
        None => {
            let words = ["eq", "ieq", "month", "prefix(3)", "year"];
            let remedy = suggest(found, words.into_iter());
            problems.error(node.at, format!("match cannot be `{found}`"), remedy);
            None
        }
    }
}

/// The order of rungs, coarse to fine.
fn grain(rung: Rung) -> (u8, u8) {
    match rung {
        Rung::Year => (0, 0),
        Rung::Month => (1, 0),
        Rung::Prefix(count) => (2, count),
        Rung::Ieq => (3, 0),
        Rung::Eq => (4, 0),
    }
}

/// Reports rungs that an equality makes meaningless, or wrong.
pub(super) fn agrees(rungs: &[Rung], equality: Equality, at: Place, problems: &mut Problems) {
    let word = equality.as_str();
    match equality {
        Equality::Exact => {}
        Equality::Ci | Equality::CiAi if rungs.contains(&Rung::Ieq) => {
            let message =
                format!("equality {word} ignores case on every rung, so ieq adds nothing");
            problems.error(at, message, "leave ieq out of match");
        }
        Equality::PadSpace if rungs != [Rung::Eq] && !rungs.is_empty() => {
            let message =
                "equality pad_space is for match: [eq]: spaces at the end count in patterns";
            problems.error(at, message, "leave the other rungs out");
        }
        Equality::Ci | Equality::CiAi | Equality::PadSpace => {}
    }
}

/// What `range:` declares.
pub(super) fn span(
    ty: ValueType,
    rungs: &[Rung],
    node: Option<&Node>,
    problems: &mut Problems,
) -> (Years, usize) {
    let span = (Years::ALL, AT_MOST);
    let Some(node) = node else { return span };
    if !ty.is_calendar() || !rungs.iter().any(|rung| matches!(rung, Rung::Month | Rung::Year)) {
        let message = "range is for searchable dates with a rung year or month";
        problems.error(node.at, message, "add one to match, or leave range out");
        return span;
    }
    let Some(mut fields) = Fields::of(node, "range", problems) else { return span };
    let remedy = "write the first and the last year, as in {from: 1900, to: 2100}";
    let from = fields.required("from", remedy, problems);
    let to = fields.required("to", remedy, problems);
    let at_most = fields.optional("at_most");
    fields.finish(problems);
    let mut read = |node: Option<&Node>, least, most, otherwise| {
        let Some(node) = node else { return otherwise };
        match number(node, "range", problems) {
            Some(number) if (least..=most).contains(&number) => number,
            Some(_) => {
                let message = format!("the number is not from {least} to {most}");
                problems.error(node.at, message, remedy);
                otherwise
            }
            None => otherwise,
        }
    };
    let (first, last) = (read(from, 1, 9999, 1), read(to, 1, 9999, 9999));
    let at_most = read(at_most, 1, MAX_TESTS, AT_MOST as u64);
    let Some(years) = Years::new(first as i64, last as i64) else {
        problems.error(node.at, "range ends before it begins", remedy);
        return span;
    };
    (years, at_most as usize)
}
