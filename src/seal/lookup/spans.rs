//! Bounds of dates: from both ends to whole years, months and days.
//!
//! All values are within the years that the class declares, so a test that is open at one end has
//! another there. Two bounds of one column that must both hold are asked as one.

use std::str;

use super::Lookup;
use crate::{
    base::class::{Rung, ValueType},
    crypto::Typed,
    model::{Bound, Operation, Placement, Test, Use, UseKind},
    policy::{
        Plan,
        plan::{Class, FilterRule},
    },
    seal::value::{self, Day, Moment, WrongType},
};

/// From, and up to but without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::seal) struct Span {
    from: Moment,
    to: Moment,
}

/// What of a bound is asked where others of the same column must hold too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::seal) enum Share {
    /// What all of them let through.
    All(Span),
    /// Nothing: the first of them asks for this.
    Nothing(Span),
}

impl Span {
    /// The values on one side of a literal, as far as there are any.
    pub fn of(class: &Class, bound: Bound, text: &[u8]) -> Result<Self, WrongType> {
        let ty = class.params.ty;
        let text = str::from_utf8(text).map_err(|_| WrongType)?;
        let at = Moment::parse(ty, value::trim(text)).ok_or(WrongType)?;
        let (first, end) = ends(class);
        let within = |at: Moment| at.clamp(first, end);
        Ok(match bound {
            Bound::Above => Self { from: within(at.next(ty)), to: end },
            Bound::AtLeast => Self { from: within(at), to: end },
            Bound::AtMost => Self { from: first, to: within(at.next(ty)) },
            Bound::Below => Self { from: first, to: within(at) },
        })
    }

    fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    /// The least span of whole rungs around this one.
    pub fn widened(self, class: &Class) -> Self {
        let begins = begin(class, self.to);
        let to = if begins == self.to { begins } else { next(class, begins) };
        Self { from: begin(class, self.from), to }
    }

    /// What answers it: years where they are whole, then months, then days.
    pub fn lookup(self, class: &Class) -> Lookup {
        let has = |rung| class.params.rungs.contains(&rung);
        let (first, end) = ends(class);
        if self.from <= first && self.to >= end {
            return Lookup::All;
        }
        let widened = self.widened(class);
        if let Some(found) = widened.spelled(class) {
            return if self == widened { Lookup::Any(found) } else { Lookup::Nearly(found) };
        }
        // Too many: those around it that are fewer.
        let around = [Rung::Month, Rung::Year].into_iter().filter(|rung| has(*rung));
        let found = around.filter_map(|rung| self.around(rung).spelled(class)).next();
        found.map_or(
            Lookup::Nothing(
                "the range takes more years, months and days than range: at_most allows",
            ),
            Lookup::Nearly,
        )
    }

    /// The least span of whole months or years around this one.
    fn around(self, rung: Rung) -> Self {
        let begin = |at: Moment| {
            let (Day { year, month, .. }, _) = at.day();
            Moment::of(year, if rung == Rung::Month { month } else { 1 }, 1).unwrap_or(at)
        };
        let to = begin(self.to);
        let (Day { year, month, .. }, _) = to.day();
        let next = match rung {
            Rung::Month => after_month(year, month),
            Rung::Eq | Rung::Ieq | Rung::Prefix(_) | Rung::Year => Moment::of_year(year + 1),
        };
        Self { from: begin(self.from), to: if to == self.to { to } else { next } }
    }

    /// A span of whole rungs as years where they are whole, then months, then days, if they are not
    /// too many.
    fn spelled(self, class: &Class) -> Option<Vec<(Rung, Typed)>> {
        let has = |rung| class.params.rungs.contains(&rung);
        let Self { from: mut at, to } = self;
        let mut found = Vec::new();
        while at < to {
            if found.len() == class.span.at_most {
                return None;
            }
            let (Day { year, month, day }, _) = at.day();
            let (next_year, next_month) = (Moment::of_year(year + 1), after_month(year, month));
            let (rung, next) = if (month, day) == (1, 1) && next_year <= to && has(Rung::Year) {
                (Rung::Year, next_year)
            } else if day == 1 && next_month <= to && has(Rung::Month) {
                (Rung::Month, next_month)
            } else {
                (Rung::Eq, at.next(class.params.ty))
            };
            found.push((rung, at.typed(class.params.ty)));
            at = next;
        }
        Some(found)
    }
}

/// What all values of a class are between.
fn ends(class: &Class) -> (Moment, Moment) {
    let years = &class.span.years;
    (Moment::of_year(*years.start()), Moment::of_year(*years.end() + 1))
}

/// Where the unit of the class's finest calendar rung begins that a moment is in.
fn begin(class: &Class, at: Moment) -> Moment {
    if class.params.ty == ValueType::Date || at == ends(class).1 {
        return at;
    }
    let (Day { year, month, .. }, _) = at.day();
    let month = if class.params.rungs.contains(&Rung::Month) { month } else { 1 };
    Moment::of(year, month, 1).unwrap_or(at)
}

/// What follows the unit that begins at a moment.
fn next(class: &Class, begin: Moment) -> Moment {
    let (Day { year, month, .. }, _) = begin.day();
    match class.params.rungs.contains(&Rung::Month) {
        true => after_month(year, month),
        false => Moment::of_year(year + 1),
    }
}

fn after_month(year: i64, month: i64) -> Moment {
    Moment::of(year, month + 1, 1).unwrap_or_else(|| Moment::of_year(year + 1))
}

/// What each use asks of those bounds that all records must pass. Aligned with the uses.
pub(in crate::seal) fn shares(plan: &Plan, op: &Operation) -> Vec<Option<Share>> {
    let rules = plan.filters.iter();
    let spans: Vec<_> = op
        .uses
        .iter()
        .zip(rules)
        .map(|(one, rule)| {
            required(one, rule.as_ref()?).map(|span| (&one.entity, &one.column, span))
        })
        .collect();
    let mut shares = vec![None; spans.len()];
    for (place, one) in spans.iter().enumerate() {
        let Some((entity, column, _)) = one else { continue };
        let is_same = |other: &&(_, _, Span)| (other.0, other.1) == (*entity, *column);
        let together = spans.iter().flatten().filter(is_same).map(|(.., span)| *span);
        let Some(all) = together.reduce(Span::and) else { continue };
        let mut earlier = spans.get(..place).unwrap_or_default().iter().flatten();
        let is_later = earlier.any(|other| is_same(&other));
        if let Some(slot) = shares.get_mut(place) {
            *slot = Some(if is_later { Share::Nothing(all) } else { Share::All(all) });
        }
    }
    shares
}

/// The span of a bound that all records must pass; of a literal that is none, the bound itself says
/// so.
fn required(one: &Use, rule: &FilterRule) -> Option<Span> {
    let UseKind::Filter(filter) = &one.kind else { return None };
    let Test::Bound { bound, literal } = &filter.test else { return None };
    let is_required = one.place == Placement::Required;
    if is_required { Span::of(&rule.class, *bound, literal.expose()).ok() } else { None }
}
