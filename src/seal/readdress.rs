//! The literals of filters: from what the caller asks for to what is stored. `lookup` says which rung
//! answers.

use super::{
    compare::Pattern,
    lookup::{
        self, Lookup,
        spans::{self, Share, Span},
    },
    refine::{Condition, Refine},
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
    crypto::{Typed, envelope, normal, successor},
    keys::{Opened, Snapshot},
    model::{Bound, Case, Operation, Replacement, Test, Use, UseKind},
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
pub fn readdress(plan: &Plan, op: &Operation, keys: &Snapshot) -> Result<Rewritten, Refusal> {
    let mut readdress = Readdress {
        plan,
        keys,
        written: Written::default(),
        tally: Tally::default(),
        refine: Refine::default(),
    };
    let mut replacements = Vec::with_capacity(op.uses.len());
    let shares = spans::shares(plan, op);
    for (place, one) in op.uses.iter().enumerate() {
        let rule = plan.filters.get(place).and_then(Option::as_ref);
        replacements.push(match rule {
            Some(rule) if matches!(one.kind, UseKind::Order { .. }) => {
                readdress.refine.order_by(op, rule, place)?;
                Some(Replacement::Removed)
            }
            Some(rule) => {
                let share = shares.get(place).copied().flatten();
                readdress.replace(op, rule, one, share)?
            }
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
        share: Option<Share>,
    ) -> Result<Option<Replacement>, Refusal> {
        let UseKind::Filter(filter) = &one.kind else { return Ok(None) };
        let replacement = match (&filter.test, rule.class.params.mode) {
            (Test::IsNull, _) => return Ok(None),
            (Test::Equal(literal), Mode::Deterministic) => {
                self.exact(rule, literal).map(|texts| Replacement::Exact(vec![texts]))
            }
            (Test::In(literals), Mode::Deterministic) => {
                let texts = literals.iter().map(|literal| self.exact(rule, literal));
                texts.collect::<Result<_, _>>().map(Replacement::Exact)
            }
            (Test::Equal(literal), Mode::Searchable) => {
                self.equals(op, rule, one, std::slice::from_ref(literal))
            }
            (Test::In(literals), Mode::Searchable) => self.equals(op, rule, one, literals),
            (Test::Pattern { pattern, case }, Mode::Searchable) => {
                self.pattern(op, rule, one, (pattern, *case))
            }
            (Test::Bound { bound, literal }, Mode::Searchable) => {
                self.bound(op, rule, (one, share), (*bound, literal))
            }
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

    /// Equality with one of several values, which is tested again where a record is seen.
    fn equals(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        one: &Use,
        literals: &[Plaintext],
    ) -> Result<Replacement, Refusal> {
        let equality = rule.class.params.equality;
        let (mut ranges, mut forms) = (Vec::new(), Vec::new());
        for literal in literals {
            let (of_literal, typed) = self.equal(rule, literal)?;
            ranges.push(of_literal);
            forms.extend(normal::forms(&[Rung::Eq], equality, &typed));
        }
        self.refine.again(op, rule, one, Condition::OneOf { rung: Rung::Eq, forms })?;
        Ok(Replacement::Ranges(ranges))
    }

    /// The half-open ranges of text, low and high, in which a value may be stored; and the value.
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

    fn pattern(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        one: &Use,
        (pattern, case): (&Plaintext, Case),
    ) -> Result<Replacement, Refusal> {
        self.is_plain(rule, pattern)?;
        let found = lookup::pattern(&rule.class, pattern.expose(), case);
        let found = found.map_err(|_| refused(rule, Code::WrongType))?;
        let like = Pattern::new(&rule.class, pattern, case).map(Condition::Like);
        let like = like.ok_or_else(|| refused(rule, Code::WrongType))?;
        match found {
            Lookup::All | Lookup::Nothing(_) => {}
            Lookup::Any(_) => self.refine.again(op, rule, one, like)?,
            Lookup::Nearly(_) => self.refine.approximate(op, rule, one, like)?,
        }
        self.ranges(rule, &found)
    }

    fn bound(
        &mut self,
        op: &Operation,
        rule: &FilterRule,
        (one, share): (&Use, Option<Share>),
        (bound, literal): (Bound, &Plaintext),
    ) -> Result<Replacement, Refusal> {
        self.is_plain(rule, literal)?;
        let class = &rule.class;
        let wrong = |_| refused(rule, Code::WrongType);
        let own = Span::of(class, bound, literal.expose()).map_err(wrong)?;
        let span = match share {
            Some(Share::All(span) | Share::Nothing(span)) => span,
            None => own,
        };
        let found = span.lookup(class);
        let literal = value::sought(class.params.ty, literal.expose()).map_err(wrong)?;
        let condition = Condition::Bound { bound, literal };
        // Where bounds are asked as one, each of them is tested again.
        match found {
            Lookup::All | Lookup::Any(_) => self.refine.again(op, rule, one, condition)?,
            Lookup::Nearly(_) => self.refine.approximate(op, rule, one, condition)?,
            Lookup::Nothing(_) => {}
        }
        if let (Some(Share::Nothing(_)), false) = (share, matches!(found, Lookup::Nothing(_))) {
            return self.ranges(rule, &Lookup::All);
        }
        self.ranges(rule, &found)
    }

    /// A literal that is no value cannot be an envelope either.
    fn is_plain(&self, rule: &FilterRule, literal: &Plaintext) -> Result<(), Refusal> {
        match strays::kid_of_ours(literal.expose(), self.keys) {
            Some(_) => Err(refused(rule, Code::PutBackNotAllowed)),
            None => Ok(()),
        }
    }

    /// The ranges in which all values lie that a lookup finds, for a test of one literal.
    fn ranges(&mut self, rule: &FilterRule, found: &Lookup) -> Result<Replacement, Refusal> {
        let params = &rule.class.params;
        // What all envelopes of the class begin with.
        let all = |from: usize, to: usize| (format!("ls1s{from}"), format!("ls1s{to}"));
        let rungs = params.rungs.len();
        let ranges = match found {
            Lookup::All => vec![all(rungs, rungs + 1)],
            // No text lies in it, and it is null where the column is.
            Lookup::Any(values) | Lookup::Nearly(values) if values.is_empty() => {
                vec![all(rungs, rungs)]
            }
            Lookup::Any(values) | Lookup::Nearly(values) => {
                let ranges = values.iter().map(|(rung, typed)| {
                    let ranges = self.keys.ranges(&params.id, *rung, typed);
                    ranges.map_err(|error| cannot(rule, error))
                });
                ranges.collect::<Result<Vec<_>, _>>()?.concat()
            }
            Lookup::Nothing(reason) => {
                return Err(refused(rule, Code::UnsupportedOperator).reason(reason));
            }
        };
        tally::count(&mut self.tally.filtered, &rule.class.name);
        Ok(Replacement::Ranges(vec![ranges]))
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
