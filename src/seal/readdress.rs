//! The literals of filters: from what the caller asks for to what is stored. `lookup` says which rung
//! answers.

use super::{
    compare::Pattern,
    lookup::{self, Between, Lookup},
    mixed,
    refine::{Condition, Refine},
    sealing::{argument, literal},
    strays,
    tally::{self, Tally},
    value::{self, WrongType},
    written::Written,
};
use crate::{
    base::{
        class::{Mode, Rung, Years},
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    crypto::{Typed, envelope, normal, successor, wiped},
    keys::{Opened, Snapshot},
    model::{Bound, Filter, Operation, Placement, Replacement, Test, Use, UseKind},
    policy::{
        Plan,
        plan::{FilterRule, Holds, Right},
    },
};

/// Turns the literals of every filter that the plan names into what is stored. Aligned with
/// `op.uses`.
///
/// In mode `d` a literal becomes the envelopes it may be stored as; in mode `s` a range of text for
/// each live index key.
pub fn readdress(plan: &Plan, op: &Operation, keys: &Snapshot) -> Result<Rewritten, Refusal> {
    let mut readdress = Readdress {
        plan,
        keys,
        written: Written::default(),
        tally: Tally { unknown: plan.unknown.clone(), ..Tally::default() },
        refine: Refine::default(),
    };
    let mut replacements = Vec::with_capacity(op.uses.len());
    for (place, one) in op.uses.iter().enumerate() {
        let rule = plan.filters.get(place).and_then(Option::as_ref);
        replacements.push(match rule {
            Some(rule) if matches!(one.kind, UseKind::Order { .. }) => {
                readdress.refine.order_by(op, rule, place)?;
                Some(Replacement::Removed)
            }
            Some(rule) => wiped(|| readdress.replace(op, rule, one))?,
            None => None,
        });
    }
    let Readdress { written, tally, refine, .. } = readdress;
    Ok(Rewritten { replacements, written, tally, refine })
}

/// What becomes of the uses in a head.
#[derive(Debug)]
#[must_use]
pub struct Rewritten {
    /// Aligned with the operation's uses.
    pub replacements: Vec<Option<Replacement>>,
    /// What stands for the literals.
    pub written: Written,
    /// What was done.
    pub tally: Tally,
    /// What is still to be done with the opened answer.
    pub refine: Refine,
}

/// How what was found compares to what a test wants.
enum Grain {
    /// There is more of it, for this reason.
    Coarser(&'static str),
    /// It is all that there is, and wanted.
    Everything,
    /// It is the same.
    Same,
}

struct Readdress<'a> {
    plan: &'a Plan,
    keys: &'a Snapshot,
    written: Written,
    tally: Tally,
    refine: Refine,
}

impl Readdress<'_> {
    fn replace(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        one: &Use,
    ) -> Result<Option<Replacement>, Refusal> {
        let UseKind::Filter(filter) = &one.kind else { return Ok(None) };
        let class = &rule.class;
        let replacement = match (&filter.test, class.params.mode) {
            (Test::IsNull, _) => return Ok(None),
            (Test::Equal(literal), Mode::Deterministic) => {
                self.exact(rule, filter, literal).map(|texts| Replacement::Exact(vec![texts]))
            }
            (Test::In(literals), Mode::Deterministic) => {
                let texts = literals.iter().map(|literal| self.exact(rule, filter, literal));
                texts.collect::<Result<_, _>>().map(Replacement::Exact)
            }
            (Test::Equal(literal), Mode::Searchable) => {
                self.equals(op, rule, one, std::slice::from_ref(literal))
            }
            (Test::In(literals), Mode::Searchable) => self.equals(op, rule, one, literals),
            (Test::Pattern { pattern, case }, Mode::Searchable) => {
                let found = self.lookup(rule, pattern, |text| lookup::pattern(class, text, *case));
                let like = Pattern::new(class, pattern, *case).map(Condition::Like);
                found.and_then(|found| self.tested(op, rule, one, found, like))
            }
            (Test::Bound { bound, literal }, Mode::Searchable) => {
                let (is_first, others) = others_of_span(op, one);
                let registered = self.keys.params(&class.params.id);
                let years = registered.map_or(Years::ALL, |registered| registered.years);
                let found = self.lookup(rule, literal, |text| {
                    let mut side = lookup::side(class, *bound, text)?;
                    for (bound, literal) in others {
                        let other = lookup::side(class, bound, literal.expose())?;
                        side = (side.0.max(other.0), side.1.min(other.1));
                    }
                    Ok(lookup::span(class, years, side))
                });
                let found = match is_first {
                    true => found,
                    false => found.map(|(_, grain)| (all(rule, 1), grain)),
                };
                let at = value::from_text(class.params.ty, literal.expose()).ok();
                let side = at.map(|literal| Condition::Bound { bound: *bound, literal });
                found.and_then(|found| self.tested(op, rule, one, found, side))
            }
            // The policy lets no other test through; if it does, nothing may go out in clear.
            (Test::Other, _)
            | (Test::Bound { .. } | Test::Pattern { .. }, Mode::Deterministic)
            | (_, Mode::Random) => Err(refused(rule, Code::UnsupportedOperator)),
        };
        let replacement = replacement.map_err(|refusal| refusal.by(filter.operator))?;
        if rule.holds == Holds::Envelopes {
            return Ok(Some(replacement));
        }
        let typed = |text: &Plaintext| match self.keys.open(text.expose()) {
            Opened::Value { typed, .. } => Some(typed),
            Opened::Fails { .. } | Opened::NotOurs => literal(class, text.expose()).ok(),
            // What nobody can read now is not searched for in clear either.
            Opened::Unavailable(_) => None,
        };
        let either = mixed::either(class, &filter.test, replacement, typed)
            .map_err(|reason| refused(rule, Code::MixedTest).by(filter.operator).reason(reason))?;
        Ok(Some(either))
    }

    fn exact(
        &mut self,
        rule: &FilterRule,
        filter: &Filter,
        text: &Plaintext,
    ) -> Result<Vec<String>, Refusal> {
        let class = &rule.class.params.id;
        if let Some(envelope) = self.put_back(rule, text)? {
            tally::count(&mut self.tally.filtered, &rule.class.name);
            return Ok(vec![envelope]);
        }
        let read = if filter.operator == "argument" { argument } else { literal };
        let typed = read(&rule.class, text.expose()).map_err(|code| refused(rule, code))?;
        let stored = self.keys.exact(class, &typed).map_err(|error| cannot(rule, error))?;
        for envelope in &stored {
            self.note(rule, envelope, value::to_text(&typed));
        }
        tally::count(&mut self.tally.filtered, &rule.class.name);
        Ok(stored)
    }

    /// Equality with one of several values, which is tested again where a record is seen.
    fn equals(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        one: &Use,
        literals: &[Plaintext],
    ) -> Result<Replacement, Refusal> {
        let params = &rule.class.params;
        let (mut ranges, mut forms) = (Vec::new(), Vec::new());
        for literal in literals {
            let (of_literal, typed) = self.equal(rule, literal)?;
            ranges.push(of_literal);
            forms.extend(normal::forms(&[Rung::Eq], params.equality, &typed));
        }
        self.refine.again(op, rule, one, Condition::OneOf { rung: Rung::Eq, forms })?;
        Ok(Replacement::Ranges(ranges))
    }

    /// What a lookup found, with the test of what it finds too much.
    fn tested(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        one: &Use,
        (ranges, grain): (Vec<(String, String)>, Grain),
        condition: Option<Condition>,
    ) -> Result<Replacement, Refusal> {
        let condition = condition.ok_or_else(|| refused(rule, Code::WrongType))?;
        match grain {
            Grain::Coarser(reason) => self.refine.approximate(op, rule, one, condition, reason)?,
            Grain::Everything => {}
            Grain::Same => self.refine.again(op, rule, one, condition)?,
        }
        Ok(Replacement::Ranges(vec![ranges]))
    }

    fn equal(
        &mut self,
        rule: &FilterRule,
        text: &Plaintext,
    ) -> Result<(Vec<(String, String)>, Typed), Refusal> {
        let params = &rule.class.params;
        if let Some(envelope) = self.put_back(rule, text)? {
            let rung = params.rungs.iter().position(|rung| *rung == Rung::Eq);
            // `ls1s`, the count of rungs, and twelve characters for each rung.
            let prefix = rung.and_then(|rung| envelope.get(..5 + 12 * (rung + 1)));
            let prefix = prefix.ok_or_else(|| refused(rule, Code::UnsupportedOperator))?;
            tally::count(&mut self.tally.filtered, &rule.class.name);
            let Opened::Value { typed, .. } = self.keys.open(text.expose()) else {
                return Err(refused(rule, Code::PutBackNotAllowed));
            };
            return Ok((vec![(prefix.to_owned(), successor(prefix))], typed));
        }
        let typed = literal(&rule.class, text.expose()).map_err(|code| refused(rule, code))?;
        let ranges = self.keys.ranges(&params.id, Rung::Eq, &typed);
        let ranges = ranges.map_err(|error| cannot(rule, error))?;
        for (low, _) in &ranges {
            self.written.note(low, &params.id, value::to_text(&typed));
        }
        tally::count(&mut self.tally.filtered, &rule.class.name);
        Ok((ranges, typed))
    }

    /// The ranges in which all values lie that pass a test.
    fn lookup(
        &mut self,
        rule: &FilterRule,
        literal: &Plaintext,
        lookup: impl FnOnce(&[u8]) -> Result<Lookup, WrongType>,
    ) -> Result<(Vec<(String, String)>, Grain), Refusal> {
        if strays::kid_of_ours(literal.expose(), self.keys).is_some() {
            return Err(refused(rule, Code::PutBackNotAllowed));
        }
        let found = lookup(literal.expose()).map_err(|_| refused(rule, Code::WrongType))?;
        let params = &rule.class.params;
        let (values, grain) = match found {
            Lookup::All => {
                tally::count(&mut self.tally.filtered, &rule.class.name);
                return Ok((all(rule, 1), Grain::Everything));
            }
            Lookup::Any(values) => (values, Grain::Same),
            Lookup::Between(Between { coarser: Some(values), reason }) => {
                (values, Grain::Coarser(reason))
            }
            Lookup::Between(Between { coarser: None, reason }) => {
                return Err(refused(rule, Code::UnsupportedOperator).reason(reason));
            }
        };
        let ranges = values.iter().map(|(rung, typed)| {
            let ranges = self.keys.ranges(&params.id, *rung, typed);
            ranges.map_err(|error| cannot(rule, error))
        });
        let mut ranges = ranges.collect::<Result<Vec<_>, _>>()?.concat();
        if ranges.is_empty() {
            // No text lies in it, and it is null where the column is.
            ranges = all(rule, 0);
        }
        tally::count(&mut self.tally.filtered, &rule.class.name);
        Ok((ranges, grain))
    }

    /// The literal itself, if it is an envelope that the caller was given and may hand back.
    fn put_back(&mut self, rule: &FilterRule, text: &Plaintext) -> Result<Option<String>, Refusal> {
        let Some(kid) = strays::kid_of_ours(text.expose(), self.keys) else { return Ok(None) };
        let class = &rule.class.params.id;
        let rights = self.plan.rights.by_class.get(class);
        let reads_envelopes = rights.is_some_and(|rights| rights.read == Right::Sealed);
        let opens = matches!(
            self.keys.open(text.expose()),
            Opened::Value { class: of, .. } if of == *class
        );
        let stored = std::str::from_utf8(text.expose()).ok();
        match stored {
            Some(stored) if reads_envelopes && opens => {
                self.tally.kids.insert(kid);
                Ok(Some(stored.to_owned()))
            }
            _ => Err(refused(rule, Code::PutBackNotAllowed)),
        }
    }

    fn note(&mut self, rule: &FilterRule, stored: &str, text: Plaintext) {
        self.tally.kids.extend(envelope::kid_at(stored.as_bytes()));
        self.written.note(stored, &rule.class.params.id, text);
    }
}

/// The range in which the envelopes of a class lie, or, with a width of 0, none of them: no text lies
/// in it, and it is null where the column is.
fn all(rule: &FilterRule, width: usize) -> Vec<(String, String)> {
    let rungs = rule.class.params.rungs.len();
    vec![(format!("ls1s{rungs}"), format!("ls1s{}", rungs + width))]
}

/// The other bounds that every record of the answer must keep as well, and whether this one is the
/// first of them. The span that all of them leave may be short where each alone is long, so the first
/// asks for it, and the others for any value.
fn others_of_span<'a>(op: &'a Operation, one: &Use) -> (bool, Vec<(Bound, &'a Plaintext)>) {
    if one.place != Placement::Required {
        return (true, Vec::new());
    }
    let bounds = op.uses.iter().filter(|other| {
        let is_same = other.entity == one.entity && other.column == one.column;
        is_same && other.place == Placement::Required
    });
    let mut is_first = None;
    let mut others = Vec::new();
    for other in bounds {
        let UseKind::Filter(Filter { test: Test::Bound { bound, literal }, .. }) = &other.kind
        else {
            continue;
        };
        if is_first.is_none() {
            is_first = Some(std::ptr::eq(other, one));
        }
        if !std::ptr::eq(other, one) {
            others.push((*bound, literal));
        }
    }
    (is_first.unwrap_or(true), others)
}

fn refused(rule: &FilterRule, code: Code) -> Refusal {
    Refusal::new(code).on(&rule.field).at_line(rule.line)
}

fn cannot(rule: &FilterRule, error: crate::keys::SealError) -> Refusal {
    Refusal::new(error.code()).on(&rule.field).because(error)
}
