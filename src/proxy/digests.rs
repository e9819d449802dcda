//! Digests of request bodies (RFC 9530, and RFC 3230 before it): what the caller says of its bytes is
//! verified over them, and said anew of the bytes that go upstream.
//!
//! # Why
//! Only SHA-256 and SHA-512 are verified. The older algorithms are broken or are checksums; a field
//! of theirs is taken out of a body that changes, since it would be wrong. (2026-11)

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::{
    digest::{Algorithm, Running},
    refusal::{Code, Refusal},
};

const FIELDS: [&str; 3] = ["content-digest", "repr-digest", "digest"];
const OTHERS: [&str; 1] = ["content-md5"];

/// What a request says of its body.
#[derive(Default)]
pub struct Claims {
    claims: Vec<Claim>,
    came: Vec<Running>,
    goes: Vec<Running>,
}

struct Claim {
    field: &'static str,
    algorithm: Algorithm,
    value: Vec<u8>,
}

impl Claims {
    /// Reads the fields.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for field in FIELDS {
            for value in headers.get_all(field) {
                let text = value.to_str().unwrap_or_default();
                found.claims.extend(text.split(',').filter_map(|part| claim(field, part.trim())));
            }
        }
        for claim in &found.claims {
            if !found.came.iter().any(|running| running.algorithm() == claim.algorithm) {
                found.came.push(Running::new(claim.algorithm));
                found.goes.push(Running::new(claim.algorithm));
            }
        }
        found
    }

    /// The next bytes as they came.
    pub fn came(&mut self, bytes: &[u8]) {
        self.came.iter_mut().for_each(|running| running.update(bytes));
    }

    /// The next bytes as they go upstream.
    pub fn goes(&mut self, bytes: &[u8]) {
        self.goes.iter_mut().for_each(|running| running.update(bytes));
    }

    /// Refuses a body that is not what was said of it.
    pub fn verify(&self) -> Result<(), Refusal> {
        let made: Vec<_> = self.came.iter().map(|r| (r.algorithm(), r.value())).collect();
        let agrees = |claim: &Claim| {
            made.iter()
                .any(|(algorithm, value)| *algorithm == claim.algorithm && *value == claim.value)
        };
        match self.claims.iter().find(|claim| !agrees(claim)) {
            Some(claim) => Err(Refusal::new(Code::MalformedBody).by(claim.field)),
            None => Ok(()),
        }
    }

    /// Says the same of the bytes that go upstream, and nothing that is not known of them.
    pub fn write(&self, headers: &mut HeaderMap) {
        for name in FIELDS.into_iter().chain(OTHERS) {
            let said = self.claims.iter().filter(|claim| claim.field == name);
            let anew: Vec<_> = said
                .filter_map(|claim| {
                    let running = self.goes.iter().find(|r| r.algorithm() == claim.algorithm)?;
                    let value = STANDARD.encode(running.value());
                    Some(match name {
                        "digest" => format!("{}={value}", claim.algorithm.name().to_uppercase()),
                        _ => format!("{}=:{value}:", claim.algorithm.name()),
                    })
                })
                .collect();
            match HeaderValue::try_from(anew.join(", ")) {
                Ok(value) if !anew.is_empty() => {
                    headers.insert(HeaderName::from_static(name), value);
                }
                _ => drop(headers.remove(name)),
            }
        }
    }
}

fn claim(field: &'static str, part: &str) -> Option<Claim> {
    let (name, value) = part.split_once('=')?;
    let algorithm = Algorithm::named(name)?;
    let value = match field {
        "digest" => value,
        _ => value.split(';').next()?.strip_prefix(':')?.strip_suffix(':')?,
    };
    // What cannot be decoded agrees with nothing.
    Some(Claim { field, algorithm, value: STANDARD.decode(value).unwrap_or_default() })
}
