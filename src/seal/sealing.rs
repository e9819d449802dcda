//! What is done at the places of a request: declared values are sealed, everything else is searched
//! for strays.

use std::sync::Arc;

use super::{
    json::{self, Traits},
    proof,
    record::Records,
    spelling::Spelling,
    strays::{self, Stream},
    tally::{self, Tally},
    tree::Closed,
    value,
    visit::{Act, Found, Lexeme, Stop, Visit},
    written::Written,
};
use crate::{
    base::{
        class::Mode,
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    crypto::{MAX_DETERMINISTIC, MAX_VALUE, Record, Typed},
    keys::{Opened, SealError, Snapshot},
    model::{BoundRecord, Unknown},
    policy::plan::{Class, Guard, SealRule, Write},
};

/// The direction from the caller to the API.
pub(super) struct Sealing {
    pub rules: Arc<[SealRule]>,
    pub keys: Arc<Snapshot>,
    pub records: Records,
    pub tally: Tally,
    pub written: Written,
}

impl Visit for Sealing {
    const STRICT: bool = true;

    fn explain(&self, stop: Stop) -> Refusal {
        let about =
            |code, rule: Option<u32>| match rule.and_then(|rule| self.rules.get(rule as usize)) {
                Some(rule) => refused(rule, code),
                None => code.into(),
            };
        match stop {
            Stop::Duplicate(rule) => about(Code::DuplicateKey, rule),
            Stop::Malformed | Stop::Ragged | Stop::Shape => {
                Refusal::new(Code::MalformedBody).because(stop)
            }
            Stop::Missing(rule) => about(Code::MaskedWriteback, Some(rule)),
            Stop::Near => Code::NearName.into(),
            Stop::Refused(refusal) => *refusal,
            Stop::TooDeep => Code::TooDeep.into(),
            Stop::TooLarge => Code::RecordTooLarge.into(),
        }
    }

    fn stays(&self, bytes: &[u8]) -> Result<(), Refusal> {
        strays::search(bytes, &self.keys)
    }

    fn enter(&mut self, bound: &BoundRecord, key: Found<'_>) -> Result<(), Stop> {
        Ok(self.records.enter_request(bound, key, &self.keys)?)
    }

    fn leave(&mut self) {
        self.records.leave();
    }

    fn unlisted(&mut self, closed: &Closed) -> Result<(), Stop> {
        let entity = &closed.said.entity;
        match closed.said.unknown {
            // The name came from the caller, and may be a value in the wrong place: it is not told.
            Unknown::Deny => Err(Refusal::new(Code::UnknownField).on(entity).into()),
            Unknown::Pass => Ok(()),
            Unknown::Warn => {
                *self.tally.unknown.entry(entity.clone()).or_default() += 1;
                Ok(())
            }
        }
    }

    fn key(&mut self, inside: &[u8]) -> Result<(), Stop> {
        Ok(strays::search(&json::unescape_lossy(inside), &self.keys)?)
    }

    #[inline]
    fn text(
        &mut self,
        inside: &[u8],
        traits: Traits,
        _: Spelling,
        _: &mut Vec<u8>,
    ) -> Result<Act, Stop> {
        // Strings without escapes are searched with the window they are in.
        if traits.escaped {
            strays::search(&json::unescape_lossy(inside), &self.keys)?;
        }
        Ok(Act::Keep)
    }

    fn spelled(&self, text: &[u8]) -> Result<(), Refusal> {
        strays::reject_strays(text, &self.keys)
    }

    fn passes(&self, stream: &mut Stream, piece: &[u8]) -> Result<(), Refusal> {
        stream.push(piece, &self.keys)
    }

    fn leaf(
        &mut self,
        rule: u32,
        value: Lexeme<'_>,
        spelling: Spelling,
        made: &mut Vec<u8>,
    ) -> Result<Act, Stop> {
        // Invariant: the scanner hands out indices of the tree that the rules were taken from.
        let rules = self.rules.clone();
        let rule = &rules[rule as usize];
        if let Write::Denied { line } = rule.write {
            return Err(Refusal::new(Code::WriteNotGranted).on(&rule.field).at_line(line).into());
        }
        let refuse = |code| Err(refused(rule, code).into());
        match value {
            Lexeme::Null if rule.guard == Guard::Unseen => return refuse(Code::MaskedWriteback),
            Lexeme::Null => return Ok(Act::Keep),
            // How a null, or nothing, looks in a cell and in a form.
            Lexeme::Text(b"") if rule.guard == Guard::Unseen => {
                return refuse(Code::MaskedWriteback);
            }
            Lexeme::Container(_)
            | Lexeme::False
            | Lexeme::Number(_)
            | Lexeme::String(..)
            | Lexeme::Text(_)
            | Lexeme::True => {}
        }
        let record = if rule.is_bound { self.records.current() } else { None };
        if rule.is_bound && record.is_none() {
            return refuse(Code::RecordKeyMissing);
        }
        match value {
            Lexeme::String(text, _) | Lexeme::Text(text) => {
                let unescaped;
                let text = match value {
                    Lexeme::String(inside, traits) if traits.escaped => {
                        unescaped = Plaintext::new(json::unescape_lossy(inside));
                        unescaped.expose()
                    }
                    _ => text,
                };
                if let Some(act) = incoming(rule, text, record, &self.keys)? {
                    tally::count(&mut self.tally.put_back, &rule.class.name);
                    self.tally.kids.extend(strays::kid_of_ours(text, &self.keys));
                    return Ok(act);
                }
            }
            Lexeme::Container(_)
            | Lexeme::False
            | Lexeme::Null
            | Lexeme::Number(_)
            | Lexeme::True => {}
        }
        let Ok(typed) = value::from_json(rule.class.params.ty, value)
            .and_then(|typed| value::fitted(&rule.class, typed))
        else {
            return refuse(Code::WrongType);
        };
        if typed.value.len() > longest(&rule.class) {
            return refuse(Code::ValueTooLarge);
        }
        made.extend_from_slice(spelling.around_envelope());
        let from = made.len();
        let class = &rule.class.params.id;
        let kid =
            self.keys.seal_in(class, record, &typed, made).map_err(|error| cannot(rule, error))?;
        let stored = made.get(from..).and_then(|text| std::str::from_utf8(text).ok());
        if let Some(stored) = stored
            && self.written.has_room(stored.len() + typed.value.len())
        {
            self.written.note(stored, class, value::to_text(&typed));
        }
        made.extend_from_slice(spelling.around_envelope());
        self.tally.kids.insert(kid);
        tally::count(&mut self.tally.sealed, &rule.class.name);
        Ok(Act::Replace)
    }
}

/// Longest plaintext of a class.
pub(super) fn longest(class: &Class) -> usize {
    match class.params.mode {
        Mode::Deterministic => MAX_DETERMINISTIC,
        Mode::Random | Mode::Searchable => MAX_VALUE,
    }
}

/// Decides on text that is more than a plain value: an envelope of ours, a mask, the marker of a
/// failed integrity check. `None`: it is a plain value.
fn incoming(
    rule: &SealRule,
    text: &[u8],
    record: Option<&Record>,
    keys: &Snapshot,
) -> Result<Option<Act>, Refusal> {
    if text == proof::MARKER.as_bytes() {
        return Err(refused(rule, Code::MaskedWriteback));
    }
    if strays::kid_of_ours(text, keys).is_some() {
        return match (rule.guard, keys.open_in(record, text)) {
            (Guard::PutBack, Opened::Value { class, .. }) if class == rule.class.params.id => {
                Ok(Some(Act::PutBack))
            }
            _ => Err(refused(rule, Code::PutBackNotAllowed)),
        };
    }
    let is_mask = rule.guard == Guard::Unseen
        && std::str::from_utf8(text).is_ok_and(|text| rule.class.mask.is_shape(text));
    if is_mask { Err(refused(rule, Code::MaskedWriteback)) } else { Ok(None) }
}

/// A refusal that names the field and its policy line.
pub(super) fn refused(rule: &SealRule, code: Code) -> Refusal {
    Refusal::new(code).on(&rule.field).at_line(rule.line)
}

/// A refusal for want of a key.
pub(super) fn cannot(rule: &SealRule, error: SealError) -> Refusal {
    Refusal::new(error.code()).on(&rule.field).because(error)
}

/// The value of an argument in a target: it may be stored, so it is what a body's value is.
pub(super) fn argument(class: &Class, text: &[u8]) -> Result<Typed, Code> {
    let typed = value::from_text(class.params.ty, text);
    let typed = typed.and_then(|typed| value::fitted(class, typed)).map_err(|_| Code::WrongType)?;
    if typed.value.len() > longest(class) { Err(Code::ValueTooLarge) } else { Ok(typed) }
}

/// Seals are also made for filters: the value of a literal, which is compared and not stored.
pub(super) fn literal(class: &Class, text: &[u8]) -> Result<Typed, Code> {
    let typed = value::sought(class.params.ty, text).map_err(|_| Code::WrongType)?;
    if typed.value.len() > longest(class) { Err(Code::ValueTooLarge) } else { Ok(typed) }
}
