//! The literals of filters: from what the caller asks for to what is stored.

use super::{
    sealing::literal,
    strays,
    tally::{self, Tally},
    value,
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
        let literals = match &filter.test {
            Test::Equal(literal) => std::slice::from_ref(literal),
            Test::In(literals) => literals.as_slice(),
            Test::IsNull => return Ok(None),
            // The policy lets no other test through; if it does, nothing may go out in clear.
            Test::Bound { .. } | Test::Other | Test::Pattern { .. } => {
                let refusal = refused(rule, Code::UnsupportedOperator);
                return Err(refusal.by(filter.operator));
            }
        };
        let named = |refusal: Refusal| refusal.by(filter.operator);
        let replacement = match rule.class.params.mode {
            Mode::Deterministic => Replacement::Exact(
                literals
                    .iter()
                    .map(|text| self.exact(rule, text))
                    .collect::<Result<_, _>>()
                    .map_err(named)?,
            ),
            Mode::Searchable => Replacement::Ranges(
                literals
                    .iter()
                    .map(|text| self.ranges(rule, text))
                    .collect::<Result<_, _>>()
                    .map_err(named)?,
            ),
            Mode::Random => return Err(named(refused(rule, Code::UnsupportedOperator))),
        };
        Ok(Some(replacement))
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

    fn ranges(
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
