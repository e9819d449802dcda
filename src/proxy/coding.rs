//! Content codings on both legs: a body is taken out of its coding, transformed, and put into the
//! same coding again. What came without a coding leaves without one, so nothing is compressed that
//! the other side did not choose to compress.

use http::{HeaderMap, HeaderValue, header};

use super::codec::{Broken, Coding, Decoder, Encoder};
use crate::{
    base::refusal::{Code, Refusal},
    seal::{Direction, Finished, Transform},
};

/// What `Content-Encoding` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One coding that is read.
    One(Coding),
    /// None, or `identity`.
    Plain,
    /// A coding that is not read, or several.
    Unread,
}

/// Reads `Content-Encoding`.
pub fn encoding(headers: &HeaderMap) -> Encoding {
    let mut found = Encoding::Plain;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let Ok(value) = value.to_str() else { return Encoding::Unread };
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name.eq_ignore_ascii_case("identity") {
                continue;
            }
            found = match (found, Coding::named(name)) {
                (Encoding::Plain, Some(coding)) => Encoding::One(coding),
                _ => return Encoding::Unread,
            };
        }
    }
    found
}

/// Reduces `Accept-Encoding` to what is read here. A request that names none asks for none: without
/// the header a server might choose any.
pub fn reduce_accepted(headers: &mut HeaderMap) {
    let mut kept = Vec::new();
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let Ok(value) = value.to_str() else { continue };
        for part in value.split(',').map(str::trim) {
            let name = part.split(';').next().unwrap_or_default().trim();
            if name.eq_ignore_ascii_case("identity") || Coding::named(name).is_some() {
                kept.push(part.to_owned());
            }
        }
    }
    let kept = if kept.is_empty() { "identity".to_owned() } else { kept.join(", ") };
    if let Ok(value) = HeaderValue::try_from(kept) {
        headers.insert(header::ACCEPT_ENCODING, value);
    }
}

/// Whose body it is, which decides what its faults are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The API's.
    Answer,
    /// The caller's.
    Request,
}

/// What becomes of a body while it is out of its coding.
pub trait Pass {
    /// What its end gives.
    type End;

    /// Takes the next bytes and appends what may leave to `out`.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal>;

    /// Ends the body and appends the rest to `out`.
    fn finish(self, out: &mut Vec<u8>) -> Result<Self::End, Refusal>;
}

impl<D: Direction> Pass for Transform<D> {
    type End = Finished<D>;

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        Transform::push(self, bytes, out)
    }

    fn finish(self, out: &mut Vec<u8>) -> Result<Finished<D>, Refusal> {
        Transform::finish(self, out)
    }
}

/// A body's way through its coding and a transform.
pub struct Coded {
    codec: Option<Codec>,
    whose: Whose,
    /// The bytes pass as they came; what they decode to is only looked at.
    is_verbatim: bool,
    /// What comes of a transform before it is encoded again.
    plain: Vec<u8>,
    /// Each push leaves complete: for events that somebody waits for.
    is_prompt: bool,
}

struct Codec {
    coding: Coding,
    decoder: Decoder,
    /// Made with the first bytes: before them the variant of deflate is not known.
    encoder: Option<Encoder>,
}

/// A fault of the coding, or a refusal of the transform.
struct Stop(Box<dyn FnOnce(Whose) -> Refusal>);

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self(Box::new(move |whose| {
            let code = match (whose, broken) {
                (Whose::Answer, _) => Code::UpstreamUnreadable,
                (Whose::Request, Broken::Malformed) => Code::MalformedBody,
                (Whose::Request, Broken::Scattered) => Code::TooManyMembers,
                (Whose::Request, Broken::TooLarge) => Code::BodyTooLarge,
            };
            Refusal::new(code).by("Content-Encoding").because(broken)
        }))
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(|_| refusal))
    }
}

impl Coded {
    /// A body in this coding, if any, of which at most `most` bytes may come.
    pub fn new(coding: Option<Coding>, whose: Whose, most: u64) -> Result<Self, Refusal> {
        let codec = match coding {
            None => None,
            Some(coding) => {
                let decoder = Decoder::new(coding, most)
                    .map_err(|broken| Refusal::new(Code::Internal).because(broken))?;
                Some(Codec { coding, decoder, encoder: None })
            }
        };
        Ok(Self { codec, whose, is_verbatim: false, plain: Vec::new(), is_prompt: false })
    }

    /// Lets the bytes pass as they came: for transforms that change nothing.
    pub fn verbatim(self) -> Self {
        Self { is_verbatim: true, ..self }
    }

    /// Holds nothing back in the coding.
    pub fn prompt(self) -> Self {
        Self { is_prompt: true, ..self }
    }

    /// Takes the next bytes of the body and appends what leaves to `out`.
    pub fn push(
        &mut self,
        bytes: &[u8],
        transform: &mut impl Pass,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let Some(codec) = &mut self.codec else { return transform.push(bytes, out) };
        let plain = &mut self.plain;
        let pushed =
            codec.decoder.push(bytes, |decoded| transform.push(decoded, plain).map_err(Stop::from));
        pushed.map_err(|Stop(explain)| explain(self.whose))?;
        if self.is_verbatim {
            out.extend_from_slice(bytes);
            self.plain.clear();
            return Ok(());
        }
        self.encode(out)
    }

    /// Ends the body and appends the rest to `out`.
    pub fn finish<P: Pass>(
        mut self,
        mut transform: P,
        out: &mut Vec<u8>,
    ) -> Result<P::End, Refusal> {
        let Some(codec) = &mut self.codec else { return transform.finish(out) };
        let is_bare = codec.decoder.is_bare();
        let coding = codec.coding;
        let Some(Codec { decoder, encoder, .. }) = self.codec.take() else {
            return Err(Code::Internal.into());
        };
        let plain = &mut self.plain;
        let ended = decoder.finish(|decoded| transform.push(decoded, plain).map_err(Stop::from));
        ended.map_err(|Stop(explain)| explain(self.whose))?;
        let finished = transform.finish(&mut self.plain)?;
        if self.is_verbatim {
            return Ok(finished);
        }
        let mut encoder = match encoder {
            Some(encoder) => encoder,
            None => Encoder::new(coding, is_bare).map_err(unencoded)?,
        };
        encoder.push(&self.plain, false, out).map_err(unencoded)?;
        encoder.finish(out).map_err(unencoded)?;
        Ok(finished)
    }

    fn encode(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(codec) = &mut self.codec else { return Ok(()) };
        if self.plain.is_empty() {
            return Ok(());
        }
        let encoder = match &mut codec.encoder {
            Some(encoder) => encoder,
            None => {
                let made =
                    Encoder::new(codec.coding, codec.decoder.is_bare()).map_err(unencoded)?;
                codec.encoder.insert(made)
            }
        };
        encoder.push(&self.plain, self.is_prompt, out).map_err(unencoded)?;
        self.plain.clear();
        Ok(())
    }
}

/// The whole of a short body out of its coding.
pub fn decode(coding: Coding, bytes: &[u8], most: u64) -> Result<Vec<u8>, Broken> {
    let mut decoder = Decoder::new(coding, most)?;
    let mut decoded = Vec::new();
    let mut take = |bytes: &[u8]| {
        decoded.extend_from_slice(bytes);
        Ok::<_, Broken>(())
    };
    decoder.push(bytes, &mut take)?;
    decoder.finish(&mut take)?;
    Ok(decoded)
}

/// The whole of a short body into a coding.
pub fn encode(coding: Coding, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(coding, false).map_err(unencoded)?;
    encoder.push(bytes, false, &mut out).map_err(unencoded)?;
    encoder.finish(&mut out).map_err(unencoded)?;
    Ok(out)
}

fn unencoded(error: std::io::Error) -> Refusal {
    Refusal::new(Code::Internal).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn one_coding_is_read_and_several_are_not() {
        let of = |values: &[&'static str]| encoding(&headers(header::CONTENT_ENCODING, values));
        assert_eq!(of(&["GZip"]), Encoding::One(Coding::Gzip));
        assert_eq!(of(&["identity, br"]), Encoding::One(Coding::Br));
        assert_eq!(of(&["", "identity"]), Encoding::Plain);
        for unread in [&["gzip, gzip"][..], &["gzip", "br"], &["compress"], &["gzip;q=1"]] {
            assert_eq!(of(unread), Encoding::Unread, "{unread:?}");
        }
    }

    #[test]
    fn what_is_accepted_is_reduced_to_what_is_read() {
        for (sent, left) in [
            (&["gzip, compress, br;q=0.5"][..], "gzip, br;q=0.5"),
            (&["dcb", "zstd"], "zstd"),
            (&["gzip;q=0, identity;q=0, *"], "gzip;q=0, identity;q=0"),
            (&["*"], "identity"),
            (&[], "identity"),
        ] {
            let mut map = headers(header::ACCEPT_ENCODING, sent);
            reduce_accepted(&mut map);
            assert_eq!(map.get_all("accept-encoding").iter().collect::<Vec<_>>(), [left]);
        }
    }
}
