//! The text of a patch: its changes one by one, their members and their pointers.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::seal::{
    json::Traits,
    visit::{Lexeme, Stop},
};

/// Reads `body` and hands out the members of one change after the other, so that none but one is kept.
pub(super) fn each<'a>(
    body: &'a [u8],
    change: impl FnMut(Vec<Member<'a>>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut stop = None;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let changes = Changes { change, stop: &mut stop };
    let read = deserializer.deserialize_seq(changes).and_then(|()| deserializer.end());
    match stop {
        Some(stop) => Err(stop),
        None => read.map_err(|_| Stop::Malformed),
    }
}

/// Where a value stands in the body that it was read from.
pub(super) fn offset(body: &[u8], value: &RawValue) -> Result<usize, Stop> {
    let start = (value.get().as_ptr() as usize).checked_sub(body.as_ptr() as usize);
    start.filter(|start| start + value.get().len() <= body.len()).ok_or(Stop::Malformed)
}

/// The text of a member that must be there and a string.
pub(super) fn text_of(value: Option<&RawValue>) -> Result<String, Stop> {
    serde_json::from_str(value.ok_or(Stop::Malformed)?.get()).map_err(|_| Stop::Malformed)
}

/// One token of a pointer, without its escapes.
pub(super) fn unescape(token: &str) -> Result<String, Stop> {
    let mut text = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '~' => match chars.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(Stop::Malformed),
            },
            c => c,
        });
    }
    Ok(text)
}

/// Whether some server may take a token for the index of an element.
pub(super) fn may_be_index(token: &str) -> bool {
    token.trim().starts_with(|c: char| c.is_numeric() || matches!(c, '-' | '+'))
}

/// A JSON value that was read as one.
pub(super) fn lexeme(value: &RawValue) -> Lexeme<'_> {
    let bytes = value.get().as_bytes();
    match bytes {
        [b'"', inside @ .., b'"'] => {
            let escaped = memchr::memchr(b'\\', inside).is_some();
            Lexeme::String(inside, Traits { escaped, non_ascii: !inside.is_ascii() })
        }
        b"false" => Lexeme::False,
        b"null" => Lexeme::Null,
        b"true" => Lexeme::True,
        [b'{' | b'[', ..] => Lexeme::Container(bytes),
        _ => Lexeme::Number(bytes),
    }
}

/// A member of a change.
pub(super) type Member<'a> = (String, &'a RawValue);

/// The members of a change, as they come.
struct Members<'a>(Vec<Member<'a>>);

/// Most members of one change; four have a meaning.
const MAX_MEMBERS: usize = 64;

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Gather)
    }
}

struct Gather;

impl<'de> Visitor<'de> for Gather {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a change")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            if members.len() == MAX_MEMBERS {
                return Err(A::Error::custom("too many members"));
            }
            members.push(member);
        }
        Ok(Members(members))
    }
}

struct Changes<'s, F> {
    change: F,
    stop: &'s mut Option<Stop>,
}

impl<'de, F> Visitor<'de> for Changes<'_, F>
where
    F: FnMut(Vec<Member<'de>>) -> Result<(), Stop>,
{
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut changes: A) -> Result<(), A::Error> {
        while let Some(Members(members)) = changes.next_element()? {
            if let Err(stop) = (self.change)(members) {
                *self.stop = Some(stop);
                return Err(A::Error::custom("a change was refused"));
            }
        }
        Ok(())
    }
}
