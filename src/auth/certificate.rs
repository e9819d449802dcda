//! Callers by client certificate: the subject (RFC 5280 §4.1.2.6) or the SPIFFE id (SPIFFE
//! X509-SVID §2). Chains are verified by TLS; here a verified leaf is only read.
//!
//! # Why
//! A subject in the policy is spelled as in RFC 4514 and has to equal the whole subject of the
//! certificate: attribute types by meaning, values byte for byte. Its order may be that of RFC 4514
//! (most specific first) or that of the certificate, which `openssl x509 -subject` prints: people
//! copy either, and a CA that issues both orders of one name to two parties cannot be told apart by
//! eye either. (2026-11)

use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

/// What is known of a client by its certificate.
#[derive(Clone, Debug)]
pub struct PeerCertificate {
    /// `None` where an attribute has no text form, so that nothing can match it.
    subject: Option<Vec<Rdn>>,
    spiffe: Option<String>,
}

/// The bytes are not a certificate.
#[derive(Debug, thiserror::Error)]
#[error("the client certificate cannot be read")]
pub struct CertificateError;

/// A subject, as the policy spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Vec<Rdn>);

/// A SPIFFE id: `spiffe://trust-domain/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeId(String);

/// Why a text is not a subject or a SPIFFE id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An attribute type that is not known.
    #[error("an attribute type is not known")]
    AttributeType,
    /// The text does not follow the grammar.
    #[error("the text does not follow the grammar")]
    Grammar,
}

/// A relative distinguished name: attribute types (as dotted ids) and values.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rdn(Vec<(String, String)>);

impl Rdn {
    /// Its attributes are a set, so their order is none of the name.
    fn new(mut attributes: Vec<(String, String)>) -> Self {
        attributes.sort();
        Self(attributes)
    }
}

impl PeerCertificate {
    /// Reads the leaf that the client proved to own.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError)?;
        let names = certificate.subject_alternative_name().map_err(|_| CertificateError)?;
        let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(
            |name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            },
        );
        // An SVID has exactly one URI; with several it would depend on who looks.
        let spiffe = match (uris.next(), uris.next()) {
            (Some(uri), None) => SpiffeId::parse(uri).ok().map(|id| id.0),
            _ => None,
        };
        Ok(Self { subject: rdns(certificate.subject()), spiffe })
    }

    /// Whether it carries this SPIFFE id, and no other URI.
    pub fn has_spiffe_id(&self, id: &SpiffeId) -> bool {
        self.spiffe.as_ref() == Some(&id.0)
    }

    /// Whether its whole subject is this one.
    pub fn has_subject(&self, subject: &Subject) -> bool {
        self.subject
            .as_ref()
            .is_some_and(|rdns| *rdns == subject.0 || rdns.iter().rev().eq(subject.0.iter()))
    }
}

impl SpiffeId {
    /// Reads `spiffe://trust-domain/path` (SPIFFE-ID §2).
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let rest = text.strip_prefix("spiffe://").ok_or(NameError::Grammar)?;
        let (domain, path) = rest.split_once('/').ok_or(NameError::Grammar)?;
        let in_domain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        let in_path = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let segment = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(in_path)
        };
        let sound =
            !domain.is_empty() && domain.bytes().all(in_domain) && path.split('/').all(segment);
        if sound && text.len() <= 2048 {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Grammar)
        }
    }
}

impl Subject {
    /// Reads a distinguished name as RFC 4514 spells it: `CN=lims,O=lab`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut rdns = Vec::new();
        for rdn in split_unescaped(text, ',') {
            let mut attributes = Vec::new();
            for attribute in split_unescaped(rdn, '+') {
                let (kind, value) = attribute.split_once('=').ok_or(NameError::Grammar)?;
                attributes.push((attribute_type(kind.trim())?, unescape(value)?));
            }
            rdns.push(Rdn::new(attributes));
        }
        Ok(Self(rdns))
    }
}

/// The subject of a certificate, in its own order.
fn rdns(name: &X509Name<'_>) -> Option<Vec<Rdn>> {
    let mut rdns = Vec::new();
    for rdn in name.iter() {
        let mut attributes = Vec::new();
        for attribute in rdn.iter() {
            attributes.push(pair(attribute)?);
        }
        rdns.push(Rdn::new(attributes));
    }
    Some(rdns)
}

fn pair(attribute: &AttributeTypeAndValue<'_>) -> Option<(String, String)> {
    let value = attribute.as_str().ok()?;
    Some((attribute.attr_type().to_id_string(), value.to_owned()))
}

/// The dotted id of an attribute type: those of RFC 4514 §3 and the usual others, or the id itself.
fn attribute_type(text: &str) -> Result<String, NameError> {
    let id = match text.to_ascii_uppercase().as_str() {
        "CN" => "2.5.4.3",
        "SERIALNUMBER" => "2.5.4.5",
        "C" => "2.5.4.6",
        "L" => "2.5.4.7",
        "ST" => "2.5.4.8",
        "STREET" => "2.5.4.9",
        "O" => "2.5.4.10",
        "OU" => "2.5.4.11",
        "DC" => "0.9.2342.19200300.100.1.25",
        "UID" => "0.9.2342.19200300.100.1.1",
        "EMAILADDRESS" => "1.2.840.113549.1.9.1",
        _ => {
            let dotted = text.contains('.')
                && text.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
            return if dotted { Ok(text.to_owned()) } else { Err(NameError::AttributeType) };
        }
    };
    Ok(id.to_owned())
}

/// Splits at `separator` where no backslash stands before it.
fn split_unescaped(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        if !escaped && c == separator {
            parts.push(text.get(start..at).unwrap_or_default());
            start = at + separator.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// Undoes the escapes of RFC 4514 §2.4: `\,` and `\2C`. White space around a value is spelling.
fn unescape(value: &str) -> Result<String, NameError> {
    let mut bytes = Vec::new();
    let mut rest = value.trim().bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let escaped = rest.next().ok_or(NameError::Grammar)?;
        match hex(escaped) {
            Some(high) => {
                let low = rest.next().and_then(hex).ok_or(NameError::Grammar)?;
                bytes.push(high << 4 | low);
            }
            None if escaped.is_ascii_punctuation() || escaped == b' ' => bytes.push(escaped),
            None => return Err(NameError::Grammar),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| NameError::Grammar)?;
    if text.is_empty() || value.trim_start().starts_with(['#', '"']) {
        return Err(NameError::Grammar);
    }
    Ok(text)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
