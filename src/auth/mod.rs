//! Who is asking, proven. Nothing else can make a [`Caller`].
//!
//! [`Rules::identify`] turns what is known of a connection and a request head ([`Facts`]) into a
//! caller, or refuses a credential that was presented and is not valid. One file per kind of proof:
//! [`api_key`], [`certificate`], [`unix_peer`].
//!
//! # Why
//! The first rule in file order that matches decides. A client certificate or a Unix peer without a
//! rule is not an error, since both may be there for the transport's sake alone; a key in the header
//! of an `api_key` rule is there to prove something, so a wrong one is refused even where an earlier
//! rule would have matched. (2026-11)

pub mod api_key;
pub mod certificate;
pub mod unix_peer;

pub use api_key::ApiKey;
pub use certificate::{PeerCertificate, SpiffeId, Subject};
pub use unix_peer::UnixPeer;

use http::{HeaderMap, HeaderName};

use crate::base::{
    ident::CallerName,
    refusal::{Code, Refusal},
};

/// The name of whoever no rule matches.
pub const ANONYMOUS: &str = "anonymous";

/// A caller whose identity was proven, or `anonymous`.
#[derive(Clone, Debug)]
pub struct Caller {
    name: CallerName,
    via: Via,
}

/// How a caller was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A long random key in a header.
    ApiKey,
    /// A client certificate.
    Certificate,
    /// Not at all.
    Nothing,
    /// The user id of the peer of a Unix socket.
    UnixPeer,
}

impl Via {
    /// The word for logs and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Certificate => "certificate",
            Self::Nothing => "nothing",
            Self::UnixPeer => "unix_peer",
        }
    }
}

impl Caller {
    /// The name under `callers:`, or `anonymous`.
    pub fn name(&self) -> &CallerName {
        &self.name
    }

    /// How the caller was recognised.
    pub fn via(&self) -> Via {
        self.via
    }
}

/// What proves a caller.
#[derive(Debug)]
pub enum Proof {
    /// Any of these.
    Any(Vec<Proof>),
    /// A long random key in a header.
    ApiKey(ApiKey),
    /// A client certificate with this SPIFFE id.
    Spiffe(SpiffeId),
    /// A client certificate with this subject.
    Subject(Subject),
    /// The peer of a Unix socket runs as this user. `None`: a user that this machine does not know.
    UnixPeer(Option<u32>),
}

/// A caller and what proves it.
#[derive(Debug)]
pub struct Rule {
    /// The name under `callers:`.
    pub caller: CallerName,
    /// What proves it.
    pub proof: Proof,
}

/// What is known of a connection and a request head.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The headers of the request.
    pub headers: &'a HeaderMap,
    /// The certificate that the client proved to own, by TLS and against `client_ca`.
    pub certificate: Option<&'a PeerCertificate>,
    /// Who is at the other end of a Unix socket.
    pub unix_peer: Option<UnixPeer>,
}

/// The rules of one policy, in file order.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    consumed: Vec<HeaderName>,
}

impl Rules {
    /// Takes rules in file order.
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut consumed = Vec::new();
        for key in rules.iter().flat_map(|rule| rule.proof.api_keys()) {
            if !consumed.contains(key.header()) {
                consumed.push(key.header().clone());
            }
        }
        Self { rules, consumed }
    }

    /// Who is asking. Refuses a key that is presented and not valid.
    pub fn identify(&self, facts: &Facts<'_>) -> Result<Caller, Refusal> {
        for header in &self.consumed {
            self.judge_key(header, facts.headers)?;
        }
        for rule in &self.rules {
            if let Some(via) = rule.proof.holds(facts) {
                return Ok(Caller { name: rule.caller.clone(), via });
            }
        }
        Ok(Caller { name: CallerName::new(ANONYMOUS), via: Via::Nothing })
    }

    /// The headers that carry keys of callers: they are never forwarded, since whoever holds the API
    /// must not learn a key that opens.
    pub fn consumed_headers(&self) -> &[HeaderName] {
        &self.consumed
    }

    fn judge_key(&self, header: &HeaderName, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut presented = headers.get_all(header).iter();
        let Some(value) = presented.next() else { return Ok(()) };
        let keys = self.rules.iter().flat_map(|rule| rule.proof.api_keys());
        // Every key is compared, so that time does not tell which one was near.
        let valid = keys
            .filter(|key| key.header() == header)
            .fold(false, |valid, key| key.matches(value.as_bytes()) | valid);
        if valid && presented.next().is_none() {
            return Ok(());
        }
        Err(Refusal::new(Code::InvalidCredential))
    }
}

impl Proof {
    fn holds(&self, facts: &Facts<'_>) -> Option<Via> {
        let (holds, via) = match self {
            Self::Any(proofs) => return proofs.iter().find_map(|proof| proof.holds(facts)),
            Self::ApiKey(key) => {
                let presented = facts.headers.get(key.header());
                (presented.is_some_and(|value| key.matches(value.as_bytes())), Via::ApiKey)
            }
            Self::Spiffe(id) => (
                facts.certificate.is_some_and(|certificate| certificate.has_spiffe_id(id)),
                Via::Certificate,
            ),
            Self::Subject(subject) => (
                facts.certificate.is_some_and(|certificate| certificate.has_subject(subject)),
                Via::Certificate,
            ),
            Self::UnixPeer(uid) => {
                (uid.is_some() && facts.unix_peer.map(|peer| peer.uid) == *uid, Via::UnixPeer)
            }
        };
        holds.then_some(via)
    }

    fn api_keys(&self) -> Vec<&ApiKey> {
        match self {
            Self::Any(proofs) => proofs.iter().flat_map(Self::api_keys).collect(),
            Self::ApiKey(key) => vec![key],
            Self::Spiffe(_) | Self::Subject(_) | Self::UnixPeer(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
