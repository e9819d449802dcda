//! What is done at the places of an answer: declared values are opened by their rule, envelopes
//! elsewhere by what the caller may do with the class that their kid names.

use std::sync::Arc;

use super::{
    json::Traits,
    mixed, proof,
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
        class::{ClassParams, ValueType},
        ident::Kid,
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    crypto::{Bond, Typed, envelope},
    keys::{Opened, Snapshot, State, Unavailable},
    model::BoundRecord,
    policy::plan::{Class, Holds, OnIntegrity, OpenRule, Right, Rights},
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
    /// Of the value that is looked at: the state of its key, where that is why it does not open.
    pub key_state: Option<&'static str>,
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
            self.elsewhere(inside, traits, spelling, made)
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
                Some(text) => self.declared(number, rule, text.bytes(), spelling, made)?,
                None => None,
            },
            Lexeme::Text(text) => self.declared(number, rule, text, spelling, made)?,
            Lexeme::Container(_) | Lexeme::False | Lexeme::Number(_) | Lexeme::True => None,
        };
        let shown = match (shown, rule.holds) {
            (None, Holds::Mixed) => self.clear(number, rule, value, spelling, made)?,
            (shown, Holds::Envelopes | Holds::Mixed) => shown,
        };
        match (shown, rule.class.on_integrity) {
            (Some(act), _) => Ok(act),
            // What cannot be read cannot be tested or ordered either.
            (None, OnIntegrity::Mark) if self.watch.looks_at(number) => {
                Err(self.broken(rule).into())
            }
            (None, OnIntegrity::Fail) if rule.is_bound => Err(self.broken(rule).by("bind").into()),
            (None, OnIntegrity::Fail) => Err(self.broken(rule).into()),
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
    ) -> Result<Option<Act>, Stop> {
        self.key_state = None;
        let is_watched = self.watch.looks_at(number);
        if rule.right == Right::Sealed && !is_watched {
            let Ok(parsed) = envelope::parse(text) else { return Ok(None) };
            let kid = parsed.kid();
            let is_bound = parsed.flags().bond() == Bond::Record;
            self.learn(kid)?;
            if self.keys.class_of(kid) != Some(&rule.class.params.id) || is_bound != rule.is_bound {
                return Ok(None);
            }
            self.note(kid);
            tally::count(&mut self.tally.withheld, &rule.class.name);
            return Ok(Some(Act::Keep));
        }
        let opened = match (rule.is_bound, self.records.current()) {
            (true, None) => return Ok(None),
            (true, record) => self.keys.open_in(record, text),
            (false, _) => self.keys.open(text),
        };
        let (kid, class, typed) = match opened {
            Opened::Fails { state, .. } => {
                self.fails(state);
                return Ok(None);
            }
            Opened::NotOurs => return Ok(None),
            Opened::Unavailable(why) => return Err(unavailable(why).into()),
            Opened::Value { kid, class, typed } => (kid, class, typed),
        };
        if class != rule.class.params.id {
            return Ok(None);
        }
        self.note(kid);
        if is_watched {
            self.watch.see(number, Some(&typed));
        }
        Ok(self.show(&rule.class, rule.right, &typed, (spelling, rule.is_cast), made))
    }

    /// Takes newer keys, if these do not know the kid and newer ones may.
    fn learn(&mut self, kid: Kid) -> Result<(), Stop> {
        match self.keys.newer(kid) {
            Ok(None) => Ok(()),
            Ok(Some(newer)) => {
                self.keys = newer;
                Ok(())
            }
            Err(why) => Err(unavailable(why).into()),
        }
    }

    /// An envelope of ours did not open; perhaps because of what its key may be used for.
    fn fails(&mut self, state: Option<State>) {
        self.key_state = state.map(State::as_str);
        self.tally.key_states.extend(self.key_state);
    }

    fn broken(&self, rule: &OpenRule) -> Refusal {
        Refusal::new(Code::Integrity).on(&rule.field).under(self.key_state)
    }

    /// A value of a field in migration that is not sealed. `None` if it is no value in clear, or not
    /// one that can be shown and the class has a mark for that.
    fn clear(
        &mut self,
        number: u32,
        rule: &OpenRule,
        value: Lexeme<'_>,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Result<Option<Act>, Stop> {
        if mixed::text_of(value).is_some_and(|text| !mixed::is_clear(text.expose(), &self.keys)) {
            return Ok(None);
        }
        let shown = self.clear_shown(number, rule, value, spelling, made);
        match (shown, rule.class.on_integrity) {
            (None, OnIntegrity::Fail) => Err(Refusal::new(Code::MixedValue).on(&rule.field).into()),
            (None, OnIntegrity::Mark) => Ok(None),
            (Some(act), _) => {
                *self.tally.clear.entry(rule.field.clone()).or_default() += 1;
                tally::count(&mut self.tally.plain, &rule.class.name);
                Ok(Some(act))
            }
        }
    }

    fn clear_shown(
        &mut self,
        number: u32,
        rule: &OpenRule,
        value: Lexeme<'_>,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Option<Act> {
        let ClassParams { id, ty, .. } = &rule.class.params;
        // How JSON is spelled in a cell is not known.
        if *ty == ValueType::Json && matches!(value, Lexeme::Text(_)) {
            return None;
        }
        let typed = value::from_json(*ty, value).ok()?;
        if self.watch.looks_at(number) {
            self.watch.see(number, Some(&typed));
        }
        match (rule.right, value) {
            // Nobody with this right sees more than an envelope.
            (Right::Sealed, _) => {
                let record = if rule.is_bound { Some(self.records.current()?) } else { None };
                let from = made.len();
                made.extend_from_slice(spelling.around_envelope());
                let Ok(kid) = self.keys.seal_in(id, record, &typed, made) else {
                    made.truncate(from);
                    return None;
                };
                made.extend_from_slice(spelling.around_envelope());
                self.note(kid);
                tally::count(&mut self.tally.withheld, &rule.class.name);
                Some(Act::Replace)
            }
            (Right::Clear, Lexeme::String(..) | Lexeme::Text(_)) if ty.is_text() => {
                tally::count(&mut self.tally.opened, &rule.class.name);
                Some(Act::Keep)
            }
            (right, _) => self.show(&rule.class, right, &typed, (spelling, rule.is_cast), made),
        }
    }

    /// A string of which nothing is declared: what does not open, or may not be read, passes.
    fn elsewhere(
        &mut self,
        inside: &[u8],
        traits: Traits,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Result<Act, Stop> {
        let Some(text) = unescaped(inside, traits) else { return Ok(Act::Keep) };
        if !envelope::could_be(text.bytes()) {
            return Ok(Act::Keep);
        }
        let Ok(parsed) = envelope::parse(text.bytes()) else { return Ok(Act::Keep) };
        let (kid, mode) = (parsed.kid(), parsed.mode());
        self.learn(kid)?;
        let rights = self.rights.clone();
        let rights = self.keys.class_of(kid).and_then(|class| rights.by_class.get(class));
        let shown = match rights.map(|rights| (rights, rights.read)) {
            None => None,
            // Nothing of a value that is withheld goes out, whether it would open here or not.
            Some((rights, Right::Deny | Right::Null)) => {
                tally::count(&mut self.tally.withheld, &rights.class.name);
                spelling.null(made);
                Some(Act::Replace)
            }
            Some((rights, Right::Omit)) => {
                tally::count(&mut self.tally.withheld, &rights.class.name);
                Some(Act::Drop)
            }
            Some((rights, Right::Sealed)) if mode == rights.class.params.mode => {
                tally::count(&mut self.tally.withheld, &rights.class.name);
                Some(Act::Keep)
            }
            Some((_, Right::Sealed)) => None,
            Some((rights, right @ (Right::Clear | Right::Masked))) => {
                match self.keys.open(text.bytes()) {
                    Opened::Value { typed, .. } => {
                        self.show(&rights.class, right, &typed, (spelling, false), made)
                    }
                    Opened::Fails { state, .. } => {
                        self.fails(state);
                        None
                    }
                    Opened::NotOurs => None,
                    Opened::Unavailable(why) => return Err(unavailable(why).into()),
                }
            }
        };
        match shown {
            Some(act) => {
                self.note(kid);
                Ok(act)
            }
            None => {
                self.tally.strays_passed += 1;
                Ok(Act::Keep)
            }
        }
    }

    /// What the caller gets of an opened value. `None` if it cannot be spelled.
    fn show(
        &mut self,
        class: &Class,
        right: Right,
        typed: &Typed,
        (spelling, is_cast): (Spelling, bool),
        made: &mut Vec<u8>,
    ) -> Option<Act> {
        let (counts, act) = match right {
            Right::Clear if is_cast => {
                spelling.cast(class.params.ty, typed, made);
                (&mut self.tally.opened, Act::Replace)
            }
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

/// A refusal because nobody can say now what a value is.
fn unavailable(why: Unavailable) -> Refusal {
    Refusal::new(why.code()).because(why)
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
