//! Strays: text with one of our kids where no envelope belongs.
//!
//! An envelope stolen from a backup would be opened for whoever gets it stored or echoed in the
//! right place, so a request may carry one nowhere but as the value of a field of its class. The
//! search errs on the side of refusing: it looks through the escapes of JSON, of percent encoding
//! and of quoted filters, and does not ask whether what follows the kid is whole.

use crate::{
    base::{
        ident::Kid,
        refusal::{Code, Refusal},
    },
    crypto::envelope,
    keys::Snapshot,
};

use super::json;

/// Characters of the longest text up to a kid: `ls1s4`, four tokens, flags and kid.
const REACH: usize = 5 + 4 * 12 + 8;

/// Refuses a piece of a head (a target, the value of a header) that names one of our kids, in any of
/// its spellings.
pub fn reject_strays(text: &[u8], keys: &Snapshot) -> Result<(), Refusal> {
    search(text, keys)?;
    if memchr::memchr(b'%', text).is_some() {
        let decoded: Vec<u8> = percent_encoding::percent_decode(text).collect();
        search(&decoded, keys)?;
        return search_escaped(&decoded, keys);
    }
    search_escaped(text, keys)
}

/// Refuses `text` if it names one of our kids.
#[inline]
pub(super) fn search(text: &[u8], keys: &Snapshot) -> Result<(), Refusal> {
    refuse(envelope::kids(text).any(|(_, kid)| knows(keys, kid)))
}

/// As [`search`], behind the escapes of JSON, and behind backslashes that quote any character.
pub(super) fn search_escaped(text: &[u8], keys: &Snapshot) -> Result<(), Refusal> {
    if memchr::memchr(b'\\', text).is_none() {
        return Ok(());
    }
    search(&json::unescape_lossy(text), keys)?;
    let bare: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'\\').collect();
    search(&bare, keys)
}

/// Whether a value that starts like an envelope has one of our kids, be the rest what it may.
pub(super) fn kid_of_ours(text: &[u8], keys: &Snapshot) -> Option<Kid> {
    envelope::kid_at(text).filter(|kid| knows(keys, *kid))
}

fn knows(keys: &Snapshot, kid: Kid) -> bool {
    keys.knows(kid)
}

fn refuse(found: bool) -> Result<(), Refusal> {
    if found { Err(Code::StrayEnvelope.into()) } else { Ok(()) }
}

/// Searches a body of unknown content type, in whatever pieces it comes.
///
/// Keeps as much of the end of each spelling as the start of an envelope is long.
#[derive(Default)]
pub(super) struct Stream {
    raw: Vec<u8>,
    /// What an escape at the end may still need.
    escaped: Vec<u8>,
    unescaped: Vec<u8>,
    encoded: Vec<u8>,
    decoded: Vec<u8>,
}

impl Stream {
    /// Searches the next piece. Without zeros, text in UTF-16 and UTF-32 reads as in UTF-8.
    pub fn push(&mut self, piece: &[u8], keys: &Snapshot) -> Result<(), Refusal> {
        if memchr::memchr(0, piece).is_some() {
            let piece: Vec<u8> = piece.iter().copied().filter(|byte| *byte != 0).collect();
            return self.search(&piece, keys);
        }
        self.search(piece, keys)
    }

    fn search(&mut self, piece: &[u8], keys: &Snapshot) -> Result<(), Refusal> {
        self.raw.extend_from_slice(piece);
        search(&self.raw, keys)?;
        keep_last(&mut self.raw);

        self.escaped.extend_from_slice(piece);
        let whole = without_cut_backslash(&self.escaped);
        let rest = self.escaped.split_off(whole);
        self.unescaped.append(&mut json::unescape_lossy(&self.escaped));
        self.escaped = rest;
        search(&self.unescaped, keys)?;
        keep_last(&mut self.unescaped);

        self.encoded.extend_from_slice(piece);
        let whole = without_cut_percent(&self.encoded);
        let rest = self.encoded.split_off(whole);
        self.decoded.extend(percent_encoding::percent_decode(&self.encoded));
        self.encoded = rest;
        search(&self.decoded, keys)?;
        keep_last(&mut self.decoded);
        Ok(())
    }
}

fn keep_last(text: &mut Vec<u8>) {
    text.drain(..text.len().saturating_sub(REACH));
}

/// How much of `text` can be unescaped without cutting an escape in two. `text` starts between two
/// escapes; which backslash begins one is only known from there.
fn without_cut_backslash(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let start = at + found;
        let length = match text.get(start + 1) {
            Some(b'u') => 6,
            Some(_) => 2,
            None => return start,
        };
        at = start + length;
        if at > text.len() {
            return start;
        }
    }
    text.len()
}

/// How much of `text` can be percent-decoded without cutting a triplet in two.
fn without_cut_percent(text: &[u8]) -> usize {
    let tail_from = text.len().saturating_sub(2);
    let tail = text.get(tail_from..).unwrap_or_default();
    memchr::memchr(b'%', tail).map_or(text.len(), |at| tail_from + at)
}
