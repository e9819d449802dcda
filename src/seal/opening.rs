//! What is done at the places of an answer: declared values are opened by their rule, envelopes
//! elsewhere by what the caller may do with the class that their kid names.

use std::sync::Arc;

use super::{
    json::Traits,
    proof,
    record::Records,
    spelling::Spelling,
    strays::Stream,
    tally::{self, Tally},
    tree::Closed,
    value,
    visit::{Act, Found, Lexeme, Stop, Visit},
    watch::Watch,
};
use crate::{
    base::{
        ident::Kid,
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    crypto::{Bond, Typed, envelope},
    keys::{Opened, Snapshot},
    model::BoundRecord,
    policy::plan::{Class, OnIntegrity, OpenRule, Right, Rights},
};

/// The direction from the API to the caller.
pub(super) struct Opening {
    pub rules: Arc<[OpenRule]>,
    pub rights: Arc<Rights>,
    pub keys: Arc<Snapshot>,
    pub records: Records,
    pub tally: Tally,
    /// What was counted last under a kid: most values of an answer share few kids.
    pub last_kid: Option<Kid>,
    pub watch: Watch,
}

impl Visit for Opening {
    const STRICT: bool = false;

    fn explain(&self, stop: Stop) -> Refusal {
        match stop {
            Stop::Refused(refusal) => *refusal,
            stop => Refusal::new(Code::UpstreamUnreadable).because(stop),
        }
    }

    fn stays(&self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    fn enter(&mut self, bound: &BoundRecord, key: Found<'_>) -> Result<(), Stop> {
        Ok(self.records.enter_answer(bound, key, &self.keys)?)
    }

    fn leave(&mut self) {
        self.records.leave();
    }

    fn unlisted(&mut self, _: &Closed) -> Result<(), Stop> {
        Ok(())
    }

    fn key(&mut self, _: &[u8]) -> Result<(), Stop> {
        Ok(())
    }

    #[inline]
    fn text(
        &mut self,
        inside: &[u8],
        traits: Traits,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Result<Act, Stop> {
        if traits.escaped || envelope::could_be(inside) {
            Ok(self.elsewhere(inside, traits, spelling, made))
        } else {
            Ok(Act::Keep)
        }
    }

    fn record(&mut self) -> Result<Act, Stop> {
        if self.watch.is_idle() { Ok(Act::Keep) } else { self.watch.record() }
    }

    fn spelled(&self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    fn passes(&self, _: &mut Stream, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    fn leaf(
        &mut self,
        number: u32,
        value: Lexeme<'_>,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Result<Act, Stop> {
        // Invariant: the scanner hands out indices of the tree that the rules were taken from.
        let rules = self.rules.clone();
        let rule = &rules[number as usize];
        let shown = match value {
            Lexeme::Null => {
                self.watch.see(number, None);
                return Ok(Act::Keep);
            }
            Lexeme::String(inside, traits) => match unescaped(inside, traits) {
                Some(text) => self.declared(number, rule, text.bytes(), spelling, made),
                None => None,
            },
            Lexeme::Text(text) => self.declared(number, rule, text, spelling, made),
            Lexeme::Container(_) | Lexeme::False | Lexeme::Number(_) | Lexeme::True => None,
        };
        match (shown, rule.class.on_integrity) {
            (Some(act), _) => Ok(act),
            // What cannot be read cannot be tested or ordered either.
            (None, OnIntegrity::Mark) if self.watch.looks_at(number) => {
                Err(Refusal::new(Code::Integrity).on(&rule.field).into())
            }
            (None, OnIntegrity::Fail) if rule.is_bound => {
                Err(Refusal::new(Code::Integrity).on(&rule.field).by("bind").into())
            }
            (None, OnIntegrity::Fail) => Err(Refusal::new(Code::Integrity).on(&rule.field).into()),
            (None, OnIntegrity::Mark) => {
                spelling.text(proof::MARKER.as_bytes(), made);
                tally::count(&mut self.tally.marked, &rule.class.name);
                Ok(Act::Replace)
            }
        }
    }
}

impl Opening {
    /// `None` if the text is not an envelope of the rule's class that opens.
    fn declared(
        &mut self,
        number: u32,
        rule: &OpenRule,
        text: &[u8],
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Option<Act> {
        let is_watched = self.watch.looks_at(number);
        if rule.right == Right::Sealed && !is_watched {
            let parsed = envelope::parse(text).ok()?;
            let kid = parsed.kid();
            let (flags, params) = (parsed.flags(), &rule.class.params);
            let is_bound = flags.bond() == Bond::Record;
            let is_of_class = self.keys.class_of(kid)? == &params.id
                && flags.commitment() == params.commitment
                && is_bound == rule.is_bound;
            if !is_of_class {
                return None;
            }
            self.note(kid);
            tally::count(&mut self.tally.withheld, &rule.class.name);
            return Some(Act::Keep);
        }
        let opened = match rule.is_bound {
            true => self.keys.open_in(Some(self.records.current()?), text),
            false => self.keys.open(text),
        };
        let Opened::Value { kid, class, typed } = opened else { return None };
        if class != rule.class.params.id {
            return None;
        }
        self.note(kid);
        if is_watched {
            self.watch.see(number, Some(&typed));
        }
        self.show(&rule.class, rule.right, &typed, spelling, made)
    }

    /// A string of which nothing is declared: what does not open, or may not be read, passes.
    fn elsewhere(
        &mut self,
        inside: &[u8],
        traits: Traits,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Act {
        let Some(text) = unescaped(inside, traits) else { return Act::Keep };
        if !envelope::could_be(text.bytes()) {
            return Act::Keep;
        }
        let Ok(parsed) = envelope::parse(text.bytes()) else { return Act::Keep };
        let (kid, mode) = (parsed.kid(), parsed.mode());
        let rights = self.rights.clone();
        let rights = self.keys.class_of(kid).and_then(|class| rights.by_class.get(class));
        let shown = match rights.map(|rights| (rights, rights.read)) {
            None | Some((_, Right::Deny)) => None,
            Some((rights, Right::Sealed)) if mode == rights.class.params.mode => {
                tally::count(&mut self.tally.withheld, &rights.class.name);
                Some(Act::Keep)
            }
            Some((_, Right::Sealed)) => None,
            Some((rights, right @ (Right::Clear | Right::Masked | Right::Null | Right::Omit))) => {
                match self.keys.open(text.bytes()) {
                    Opened::Value { typed, .. } => {
                        self.show(&rights.class, right, &typed, spelling, made)
                    }
                    Opened::Fails { .. } | Opened::NotOurs => None,
                }
            }
        };
        match shown {
            Some(act) => {
                self.note(kid);
                act
            }
            None => {
                self.tally.strays_passed += 1;
                Act::Keep
            }
        }
    }

    /// What the caller gets of an opened value. `None` if it cannot be spelled.
    fn show(
        &mut self,
        class: &Class,
        right: Right,
        typed: &Typed,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Option<Act> {
        let (counts, act) = match right {
            Right::Clear => {
                spelling.value(class.params.ty, typed, made).ok()?;
                (&mut self.tally.opened, Act::Replace)
            }
            Right::Masked => {
                match class.mask.apply(value::to_text(typed).expose()) {
                    Some(shown) => spelling.text(shown.as_bytes(), made),
                    None => spelling.null(made),
                }
                (&mut self.tally.masked, Act::Replace)
            }
            // A caller without the right does not get here; if one does, it gets nothing.
            Right::Deny | Right::Null => {
                spelling.null(made);
                (&mut self.tally.withheld, Act::Replace)
            }
            Right::Omit => (&mut self.tally.withheld, Act::Drop),
            Right::Sealed => (&mut self.tally.withheld, Act::Keep),
        };
        tally::count(counts, &class.name);
        Some(act)
    }

    fn note(&mut self, kid: Kid) {
        if self.last_kid != Some(kid) {
            self.last_kid = Some(kid);
            self.tally.kids.insert(kid);
        }
    }
}

/// The text of a string, borrowed where it has no escapes.
enum Text<'a> {
    AsItStands(&'a [u8]),
    Unescaped(Plaintext),
}

impl Text<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::AsItStands(text) => text,
            Self::Unescaped(text) => text.expose(),
        }
    }
}

fn unescaped(inside: &[u8], traits: Traits) -> Option<Text<'_>> {
    if !traits.escaped {
        return Some(Text::AsItStands(inside));
    }
    // An envelope starts with a letter, escaped or not: most text with escapes ends here.
    match inside.first() {
        Some(b'l' | b'\\') => value::text_of(inside).ok().map(Text::Unescaped),
        _ => None,
    }
}
