//! The literals of filters: from what the caller asks for to what is stored. `lookup` says which rung
//! answers.

use super::{
    lookup::{self, Lookup},
    sealing::literal,
    strays,
    tally::{self, Tally},
    value::{self, WrongType},
    written::Written,
};
use crate::{
    base::{
        class::{Mode, Rung},
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    crypto::{envelope, successor},
    keys::{Opened, Snapshot},
    model::{Operation, Replacement, Test, Use, UseKind},
    policy::{
        Plan,
        plan::{FilterRule, Right},
    },
};

/// Turns the literals of every filter that the plan names into what is stored. Aligned with
/// `op.uses`.
///
/// In mode `d` a literal becomes the envelopes it may be stored as; in mode `s` a range of text for
/// each live index key.
pub fn readdress(
    plan: &Plan,
    op: &Operation,
    keys: &Snapshot,
) -> Result<(Vec<Option<Replacement>>, Written, Tally), Refusal> {
    let tally = Tally { unknown: plan.unknown.clone(), ..Tally::default() };
    let mut readdress = Readdress { plan, keys, written: Written::default(), tally };
    let mut replacements = Vec::with_capacity(op.uses.len());
    for (place, one) in op.uses.iter().enumerate() {
        let rule = plan.filters.get(place).and_then(Option::as_ref);
        replacements.push(match rule {
            Some(rule) => readdress.replace(rule, one)?,
            None => None,
        });
    }
    Ok((replacements, readdress.written, readdress.tally))
}

struct Readdress<'a> {
    plan: &'a Plan,
    keys: &'a Snapshot,
    written: Written,
    tally: Tally,
}

impl Readdress<'_> {
    fn replace(&mut self, rule: &FilterRule, one: &Use) -> Result<Option<Replacement>, Refusal> {
        let UseKind::Filter(filter) = &one.kind else { return Ok(None) };
        let class = &rule.class;
        let replacement = match (&filter.test, class.params.mode) {
            (Test::IsNull, _) => return Ok(None),
            (Test::Equal(literal), Mode::Deterministic) => {
                self.exact(rule, literal).map(|texts| Replacement::Exact(vec![texts]))
            }
            (Test::In(literals), Mode::Deterministic) => {
                let texts = literals.iter().map(|literal| self.exact(rule, literal));
                texts.collect::<Result<_, _>>().map(Replacement::Exact)
            }
            (Test::Equal(literal), Mode::Searchable) => {
                self.equal(rule, literal).map(|ranges| Replacement::Ranges(vec![ranges]))
            }
            (Test::In(literals), Mode::Searchable) => {
                let ranges = literals.iter().map(|literal| self.equal(rule, literal));
                ranges.collect::<Result<_, _>>().map(Replacement::Ranges)
            }
            (Test::Pattern { pattern, case }, Mode::Searchable) => self
                .lookup(rule, pattern, |text| lookup::pattern(class, text, *case))
                .map(|ranges| Replacement::Ranges(vec![ranges])),
            (Test::Bound { bound, literal }, Mode::Searchable) => self
                .lookup(rule, literal, |text| {
                    lookup::side(class, *bound, text).map(|side| lookup::span(class, side))
                })
                .map(|ranges| Replacement::Ranges(vec![ranges])),
            // The policy lets no other test through; if it does, nothing may go out in clear.
            (Test::Other, _)
            | (Test::Bound { .. } | Test::Pattern { .. }, Mode::Deterministic)
            | (_, Mode::Random) => Err(refused(rule, Code::UnsupportedOperator)),
        };
        replacement.map(Some).map_err(|refusal| refusal.by(filter.operator))
    }

    fn exact(&mut self, rule: &FilterRule, text: &Plaintext) -> Result<Vec<String>, Refusal> {
        let class = &rule.class.params.id;
        if let Some(envelope) = self.put_back(rule, text)? {
            tally::count(&mut self.tally.filtered, &rule.class.name);
            return Ok(vec![envelope]);
        }
        let typed = literal(&rule.class, text.expose()).map_err(|code| refused(rule, code))?;
        let stored = self.keys.exact(class, &typed).map_err(|error| cannot(rule, error))?;
        for envelope in &stored {
            self.note(rule, envelope, value::to_text(&typed));
        }
        tally::count(&mut self.tally.filtered, &rule.class.name);
        Ok(stored)
    }

    fn equal(
        &mut self,
        rule: &FilterRule,
        text: &Plaintext,
    ) -> Result<Vec<(String, String)>, Refusal> {
        let params = &rule.class.params;
        if let Some(envelope) = self.put_back(rule, text)? {
            let rung = params.rungs.iter().position(|rung| *rung == Rung::Eq);
            // `ls1s`, the count of rungs, and twelve characters for each rung.
            let prefix = rung.and_then(|rung| envelope.get(..5 + 12 * (rung + 1)));
            let prefix = prefix.ok_or_else(|| refused(rule, Code::UnsupportedOperator))?;
            tally::count(&mut self.tally.filtered, &rule.class.name);
            return Ok(vec![(prefix.to_owned(), successor(prefix))]);
        }
        let typed = literal(&rule.class, text.expose()).map_err(|code| refused(rule, code))?;
        let ranges = self.keys.ranges(&params.id, Rung::Eq, &typed);
        let ranges = ranges.map_err(|error| cannot(rule, error))?;
        for (low, _) in &ranges {
            self.written.note(low, &params.id, value::to_text(&typed));
        }
        tally::count(&mut self.tally.filtered, &rule.class.name);
        Ok(ranges)
    }

    /// The ranges in which all values lie that pass a test.
    fn lookup(
        &mut self,
        rule: &FilterRule,
        literal: &Plaintext,
        lookup: impl FnOnce(&[u8]) -> Result<Lookup, WrongType>,
    ) -> Result<Vec<(String, String)>, Refusal> {
        if strays::kid_of_ours(literal.expose(), self.keys).is_some() {
            return Err(refused(rule, Code::PutBackNotAllowed));
        }
        let found = lookup(literal.expose()).map_err(|_| refused(rule, Code::WrongType))?;
        let params = &rule.class.params;
        // What all envelopes of the class begin with.
        let all = |from: usize, to: usize| (format!("ls1s{from}"), format!("ls1s{to}"));
        let rungs = params.rungs.len();
        let ranges = match found {
            Lookup::All => vec![all(rungs, rungs + 1)],
            // No text lies in it, and it is null where the column is.
            Lookup::Any(values) if values.is_empty() => vec![all(rungs, rungs)],
            Lookup::Any(values) => {
                let ranges = values.iter().map(|(rung, typed)| {
                    let ranges = self.keys.ranges(&params.id, *rung, typed);
                    ranges.map_err(|error| cannot(rule, error))
                });
                ranges.collect::<Result<Vec<_>, _>>()?.concat()
            }
            Lookup::Between(between) => {
                let refusal = refused(rule, Code::UnsupportedOperator);
                return Err(refusal.reason(between.reason));
            }
        };
        tally::count(&mut self.tally.filtered, &rule.class.name);
        Ok(ranges)
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

fn refused(rule: &FilterRule, code: Code) -> Refusal {
    Refusal::new(code).on(&rule.field).at_line(rule.line)
}

fn cannot(rule: &FilterRule, error: crate::keys::SealError) -> Refusal {
    Refusal::new(Code::KeysUnavailable).on(&rule.field).because(error)
}
