//! The records that values are bound to: which one a place is in, by the key that its body or its
//! head says.
//!
//! # Why
//! A key must be one text in every spelling that the column takes for it, or what was sealed with
//! one spelling would not open with another. Spaces at the end of text are refused on the way in and
//! ignored on the way out, because `char(n)` adds them and `varchar(n)` may cut them. (2026-11)

use std::{collections::HashMap, sync::Arc};

use super::{
    value::{self, WrongType},
    visit::{Found, Lexeme},
};
use crate::{
    base::{
        class::ValueType,
        ident::EntityName,
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    crypto::Record,
    keys::{Opened, Snapshot},
    model::{BoundRecord, KeyPlace},
    policy::{
        Plan,
        plan::{BindRule, KeyForm, KeyType},
    },
};

/// The open records of a body, innermost last.
pub(super) struct Records {
    binds: Arc<HashMap<EntityName, BindRule>>,
    head: Option<Plaintext>,
    open: Vec<Option<Record>>,
}

impl Records {
    /// Before the body.
    pub fn new(plan: &Plan) -> Self {
        Self { binds: plan.binds.clone(), head: plan.head_key.clone(), open: Vec::new() }
    }

    /// The record that the place is in. `None` if its key is not known.
    pub fn current(&self) -> Option<&Record> {
        self.open.last()?.as_ref()
    }

    /// The innermost record ends.
    pub fn leave(&mut self) {
        self.open.pop();
    }

    /// A record of a request begins. Whether its key must be known is decided by what is in it.
    pub fn enter_request(
        &mut self,
        bound: &BoundRecord,
        found: Found<'_>,
        keys: &Snapshot,
    ) -> Result<(), Refusal> {
        let rule = self.rule(bound)?;
        let refuse = |code| Err(refused(rule, code));
        let given = match found {
            Found::Nothing | Found::One(Lexeme::Null) => None,
            Found::One(lexeme) => {
                Some(key(rule, lexeme, keys).map_err(|code| refused(rule, code))?)
            }
            Found::Several => return refuse(Code::DuplicateKey),
        };
        let key = match (&bound.key, given) {
            (KeyPlace::Head { .. }, given) => {
                let head = self.head.as_ref().ok_or(Code::Internal)?;
                let head = literal(rule, head, keys).map_err(|code| refused(rule, code))?;
                let is_null = matches!(found, Found::One(Lexeme::Null));
                if is_null || given.is_some_and(|given| !given.is(&head)) {
                    return refuse(Code::RecordKeyChanged);
                }
                Some(head)
            }
            (KeyPlace::Member { .. }, given) => given,
            (KeyPlace::Nowhere { .. }, None) if matches!(found, Found::Nothing) => None,
            (KeyPlace::Nowhere { .. }, _) => return refuse(Code::RecordKeyChanged),
        };
        let record = match key {
            Some(key) => Some(
                Record::new(&rule.collection, key.expose())
                    .map_err(|error| refused(rule, Code::ValueTooLarge).because(error))?,
            ),
            None => None,
        };
        self.open.push(record);
        Ok(())
    }

    /// A record of an answer begins. What is wrong with its key shows in the values bound to it.
    pub fn enter_answer(
        &mut self,
        bound: &BoundRecord,
        found: Found<'_>,
        keys: &Snapshot,
    ) -> Result<(), Refusal> {
        let rule = self.rule(bound)?;
        let key = match (&bound.key, found) {
            (KeyPlace::Head { .. }, _) => {
                self.head.as_ref().and_then(|head| literal(rule, head, keys).ok())
            }
            (KeyPlace::Member { .. }, Found::One(lexeme)) => stored_key(rule, lexeme, keys),
            (KeyPlace::Member { .. }, Found::Nothing | Found::Several)
            | (KeyPlace::Nowhere { .. }, _) => None,
        };
        let record = key.and_then(|key| Record::new(&rule.collection, key.expose()).ok());
        self.open.push(record);
        Ok(())
    }

    fn rule(&self, bound: &BoundRecord) -> Result<&BindRule, Refusal> {
        self.binds.get(&bound.entity).ok_or_else(|| Code::Internal.into())
    }
}

/// A refusal that names the key and the line of `bind:`.
fn refused(rule: &BindRule, code: Code) -> Refusal {
    Refusal::new(code).on(&rule.field).at_line(rule.line)
}

/// A key as a caller writes it into a body.
fn key(rule: &BindRule, lexeme: Lexeme<'_>, keys: &Snapshot) -> Result<Plaintext, Code> {
    match &rule.form {
        KeyForm::Plain(ty) => plain(*ty, lexeme, Ends::Refused).map_err(|_| Code::WrongType),
        KeyForm::Protected(class) => {
            if let Lexeme::String(inside, _) = lexeme
                && let Ok(text) = value::text_of(inside)
                && let Some(key) = opened(rule, text.expose(), keys)
            {
                return Ok(key);
            }
            let typed = value::from_json(class.params.ty, lexeme).map_err(|_| Code::WrongType)?;
            Ok(value::to_text(&typed))
        }
    }
}

/// A key as a caller writes it into a head.
fn literal(rule: &BindRule, text: &Plaintext, keys: &Snapshot) -> Result<Plaintext, Code> {
    match &rule.form {
        KeyForm::Plain(ty) => {
            canonical(*ty, text.expose(), Ends::Refused).map_err(|_| Code::WrongType)
        }
        KeyForm::Protected(class) => match opened(rule, text.expose(), keys) {
            Some(key) => Ok(key),
            None => {
                let typed = value::from_text(class.params.ty, text.expose());
                typed.map(|typed| value::to_text(&typed)).map_err(|_| Code::WrongType)
            }
        },
    }
}

/// A key as the database answers it.
pub(super) fn stored_key(
    rule: &BindRule,
    lexeme: Lexeme<'_>,
    keys: &Snapshot,
) -> Option<Plaintext> {
    match (&rule.form, lexeme) {
        (KeyForm::Plain(ty), lexeme) => plain(*ty, lexeme, Ends::Ignored).ok(),
        (KeyForm::Protected(_), Lexeme::String(inside, _)) => {
            opened(rule, value::text_of(inside).ok()?.expose(), keys)
        }
        (KeyForm::Protected(_), _) => None,
    }
}

/// The key in an envelope of its class.
fn opened(rule: &BindRule, text: &[u8], keys: &Snapshot) -> Option<Plaintext> {
    match (&rule.form, keys.open(text)) {
        (KeyForm::Protected(of), Opened::Value { class, typed, .. }) if of.params.id == class => {
            Some(value::to_text(&typed))
        }
        _ => None,
    }
}

/// What becomes of spaces at the end of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Ignored,
    Refused,
}

fn plain(ty: KeyType, lexeme: Lexeme<'_>, ends: Ends) -> Result<Plaintext, WrongType> {
    match lexeme {
        Lexeme::Number(token) => canonical(ty, token, ends),
        Lexeme::String(inside, _) => canonical(ty, value::text_of(inside)?.expose(), ends),
        Lexeme::Text(text) => canonical(ty, text, ends),
        Lexeme::Container(_) | Lexeme::False | Lexeme::Null | Lexeme::True => Err(WrongType),
    }
}

/// The one spelling of a key.
fn canonical(ty: KeyType, text: &[u8], ends: Ends) -> Result<Plaintext, WrongType> {
    match ty {
        KeyType::Integer => Ok(value::to_text(&value::from_text(ValueType::Integer, text)?)),
        KeyType::Text => {
            let trimmed = text.trim_ascii_end();
            if ends == Ends::Refused && trimmed.len() != text.len() {
                return Err(WrongType);
            }
            Ok(value::to_text(&value::from_text(ValueType::Text, trimmed)?))
        }
        KeyType::Uuid => {
            let is_hyphen = |at| matches!(at, 8 | 13 | 18 | 23);
            let fits = text.len() == 36
                && text.iter().enumerate().all(|(at, byte)| match is_hyphen(at) {
                    true => *byte == b'-',
                    false => byte.is_ascii_hexdigit(),
                });
            if fits { Ok(Plaintext::new(text.to_ascii_lowercase())) } else { Err(WrongType) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(ty: KeyType, text: &str) -> Option<String> {
        let key = canonical(ty, text.as_bytes(), Ends::Refused).ok()?;
        String::from_utf8(key.expose().to_vec()).ok()
    }

    #[test]
    fn a_key_has_one_spelling() {
        assert_eq!(spelled(KeyType::Integer, " +017").as_deref(), Some("17"));
        assert_eq!(spelled(KeyType::Integer, "17.0"), None);
        assert_eq!(spelled(KeyType::Text, "A 1").as_deref(), Some("A 1"));
        assert_eq!(spelled(KeyType::Text, "A1 "), None);
        assert_eq!(spelled(KeyType::Text, "A\0"), None);
        let uuid = "0a1B2c3d-4e5f-6071-8293-A4b5c6d7e8f9";
        assert_eq!(spelled(KeyType::Uuid, uuid), Some(uuid.to_lowercase()));
        assert_eq!(spelled(KeyType::Uuid, &uuid.replace('-', "")), None);
        assert_eq!(spelled(KeyType::Uuid, &uuid.replace('f', "g")), None);
    }

    #[test]
    fn a_stored_key_may_be_padded_with_spaces() {
        let padded = canonical(KeyType::Text, b"A1   ", Ends::Ignored).unwrap();
        assert_eq!(padded.expose(), b"A1");
    }
}
