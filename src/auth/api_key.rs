//! Callers by a long random key in a header.
//!
//! The policy holds the SHA-256 of the key, never the key. A plain hash is enough because the key is
//! random and at least 128 bits long: there is nothing to guess, so nothing to slow down.

use http::HeaderName;
use subtle::ConstantTimeEq;

use crate::base::digest::Digest;

/// Headers that frame or route a message. A key there would break the protocol.
const FRAMING: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The whole value of one header must have this SHA-256.
pub struct ApiKey {
    header: HeaderName,
    digest: Digest,
}

/// Why a header cannot carry a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It has a meaning of its own.
    #[error("the header has a meaning of its own in HTTP")]
    Framing,
    /// It is not a header name.
    #[error("this is not the name of a header")]
    NotAName,
}

/// Why a file is not the hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It is the hash of the empty text.
    #[error("the file holds the SHA-256 of nothing")]
    Empty,
    /// It is something else.
    #[error("the file does not hold 64 hexadecimal digits")]
    NotADigest,
}

impl ApiKey {
    /// A rule for `header`, with the text of a `sha256_file`: 64 hexadecimal digits and perhaps a
    /// newline.
    pub fn new(header: HeaderName, sha256: &str) -> Result<Self, HashError> {
        let hex = sha256.strip_suffix('\n').unwrap_or(sha256);
        let hex = hex.strip_suffix('\r').unwrap_or(hex);
        let digest = Digest::parse(hex).ok_or(HashError::NotADigest)?;
        if digest == Digest::of(&[]) {
            return Err(HashError::Empty);
        }
        Ok(Self { header, digest })
    }

    /// Reads the name of a header that may carry a key.
    pub fn parse_header(name: &str) -> Result<HeaderName, HeaderError> {
        let header: HeaderName = name.parse().map_err(|_| HeaderError::NotAName)?;
        if FRAMING.contains(&header.as_str()) {
            return Err(HeaderError::Framing);
        }
        Ok(header)
    }

    /// The header.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Whether `presented` is the key, in time that does not depend on how near it is.
    pub fn matches(&self, presented: &[u8]) -> bool {
        Digest::of(&[presented]).0.ct_eq(&self.digest.0).into()
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("header", &self.header).finish_non_exhaustive()
    }
}
