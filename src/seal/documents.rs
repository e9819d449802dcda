//! Work on documents that an API has stored, as JSON texts: every string that is an envelope of ours
//! is judged under the class that its kid names, and the change is the same text with other strings.
//!
//! Where fields are is not asked: an envelope says itself what it is. So nothing in clear is found
//! here, and what is bound to a record does not open.

use super::{
    json::{self, Reach, Traits},
    stored::{Aim, Standing, StoredError},
    value,
};
use crate::{
    base::ident::ClassId,
    crypto::envelope,
    keys::{Opened, Snapshot},
};

/// One document.
#[derive(Debug, Default)]
pub struct Document {
    /// How each envelope in it stands, and its class.
    pub found: Vec<(ClassId, Standing)>,
    /// The text that has to be written, if anything has to move.
    pub changed: Option<Vec<u8>>,
    /// The classes of the values that move.
    pub moved: Vec<ClassId>,
}

/// Reads a document.
pub fn read(text: &[u8], aim: Aim, keys: &Snapshot) -> Result<Document, StoredError> {
    let mut document = Document::default();
    let mut made = Vec::new();
    let (mut at, mut done) = (0, 0);
    while let Some(quote) = text.get(at..).and_then(|rest| memchr::memchr(b'"', rest)) {
        let start = at + quote + 1;
        let mut traits = Traits::default();
        let Reach::Quote(end) = json::string_end(text, start, &mut traits) else {
            return Err(StoredError::Shape);
        };
        at = end + 1;
        // Invariant: both are within the text, and in this order.
        let (inside, rest) = (&text[start..end], &text[at..]);
        let is_name = rest.trim_ascii_start().starts_with(b":");
        if is_name || !(traits.escaped || envelope::could_be(inside)) {
            continue;
        }
        let Some((class, standing, value)) = judge(inside, aim, keys)? else { continue };
        document.found.push((class.clone(), standing));
        if let Some(value) = value {
            made.extend_from_slice(&text[done..start - 1]);
            made.extend_from_slice(&value);
            done = at;
            document.moved.push(class);
        }
    }
    if done > 0 {
        made.extend_from_slice(&text[done..]);
        document.changed = Some(made);
    }
    Ok(document)
}

/// A class, how a string of it stands, and the JSON value that takes its place.
type Judged = (ClassId, Standing, Option<Vec<u8>>);

fn judge(inside: &[u8], aim: Aim, keys: &Snapshot) -> Result<Option<Judged>, StoredError> {
    let Ok(text) = value::text_of(inside) else { return Ok(None) };
    let text = text.expose();
    let Some(under) = keys.under(text) else { return Ok(None) };
    let Some(class) = keys.class_of(under.kid).cloned() else { return Ok(None) };
    let typed = match keys.open(text) {
        Opened::Value { typed, .. } => typed,
        Opened::Fails { .. } | Opened::NotOurs => {
            return Ok(Some((class, Standing::Broken(Some(under)), None)));
        }
        Opened::Unavailable(why) => return Err(why.into()),
    };
    let mut made = Vec::new();
    let is_made = match aim {
        Aim::Count => false,
        Aim::Reseal if keys.is_current(&under) => false,
        Aim::Reseal => {
            made.push(b'"');
            keys.seal(&class, &typed, &mut made)?;
            made.push(b'"');
            true
        }
        Aim::Unseal => value::to_json(&typed, &mut made).is_ok(),
    };
    Ok(Some((class, Standing::Sealed(under), is_made.then_some(made))))
}
