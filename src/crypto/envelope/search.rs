//! Envelopes inside other text: whole, cut, or grown together with what stands around them.
//!
//! These answer "could this be one?" and err on that side, for refusing strays and for blanking
//! echoes. Deciding that something *is* one is [`super::parse`]'s.

use std::ops::Range;

use memchr::memmem;

use crate::base::{class::Mode, ident::Kid};

use super::{
    super::{aead::TAG, ladder::TOKEN, ladder::is_token_byte},
    HEADER_TEXT, NAME_TEXT, base64url, mode_of, rungs_of, split, text_len,
};

const MAGIC: &[u8] = b"ls1";

/// A quick look: `ls1`, a letter of a mode, and at least the length of the shortest envelope.
#[inline]
pub fn could_be(text: &[u8]) -> bool {
    text.len() >= 4 + HEADER_TEXT + text_len(1 + TAG)
        && matches!(text, [b'l', b's', b'1', b'd' | b'r' | b's', ..])
}

/// The kid of an envelope at the start of `text`, even if what follows its header is cut or junk.
///
/// Asks for the mode letter, the tokens and the eight characters of flags and kid, and nothing of
/// the flags: a reserved flag in front of one of our kids is no reason to look away.
pub fn kid_at(text: &[u8]) -> Option<Kid> {
    let (_, _, body) = split(text)?;
    let mut bytes = [0; 6];
    base64url::decode(body.get(..NAME_TEXT)?, &mut bytes)?;
    let [_, kid @ ..] = bytes;
    Some(Kid(kid))
}

/// The next run of characters from `from` on that could be an envelope or a cut one.
///
/// A run starts at `ls1` and reaches as far as the alphabet of envelopes does. It counts once
/// something secret-bearing can be in it: the header with plausible flags, or one whole token. One run can
/// hide a second start, so who looks for certain kids asks [`kids`] and not this.
pub fn find(haystack: &[u8], from: usize) -> Option<Range<usize>> {
    let rest = haystack.get(from..)?;
    memmem::find_iter(rest, MAGIC).find_map(|at| {
        let start = from + at;
        let run = haystack.get(start..)?;
        let length =
            run.iter().position(|byte| !base64url::is_character(*byte)).unwrap_or(run.len());
        let run = run.get(..length)?;
        is_plausible(run).then_some(start..start + length)
    })
}

/// Every place where a kid can be read, with the kid: each `ls1` is looked at, in runs as well.
pub fn kids(haystack: &[u8]) -> impl Iterator<Item = (usize, Kid)> + '_ {
    memmem::find_iter(haystack, MAGIC).filter_map(|at| Some((at, kid_at(haystack.get(at..)?)?)))
}

fn is_plausible(run: &[u8]) -> bool {
    let Some(mode) = run.get(3).copied().and_then(mode_of) else { return false };
    match mode {
        Mode::Deterministic | Mode::Random => run.get(4..).is_some_and(has_plausible_name),
        Mode::Searchable => {
            let Some(rungs) = run.get(4).copied().and_then(rungs_of) else { return false };
            let tokens = run.get(5..).unwrap_or_default();
            let reach = tokens.len().min(rungs * TOKEN);
            let (tokens, body) = tokens.split_at(reach);
            // A cut inside the tokens leaves no header; a whole token is an equality already.
            tokens.len() >= TOKEN
                && tokens.iter().all(|byte| is_token_byte(*byte))
                && (tokens.len() < rungs * TOKEN
                    || body.len() < NAME_TEXT
                    || has_plausible_name(body))
        }
    }
}

/// The upper three bits of the flags are zero in every version of the format.
fn has_plausible_name(body: &[u8]) -> bool {
    body.len() >= NAME_TEXT && matches!(body.first(), Some(b'A'..=b'H'))
}
