//! Authentication that holds for a connection (NTLM, and Negotiate as commonly done): who has proven
//! themselves on a connection to the API must be the only one to use it.
//!
//! From the first sign of such a scheme, in a request or in an answer, a client connection has an
//! upstream connection of its own, for as long as both last.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::body::Incoming;

use super::{accept::Gate, body::AnyBody, head, own::Own, strict};
use crate::base::{ident::ApiName, refusal::Refusal};

/// The upstream connections that belong to one client connection.
#[derive(Default)]
pub struct Pins(Mutex<HashMap<ApiName, Option<Own>>>);

impl Pins {
    /// Sends a request over the pooled client, or over the connection that is this client's own.
    pub async fn forward(
        &self,
        gate: &Gate,
        request: Request<AnyBody>,
        again: Option<Request<AnyBody>>,
    ) -> Result<Response<Incoming>, Refusal> {
        if head::asks_upgrade(request.headers()) {
            // What becomes of such a connection, no other request can use.
            let mut own = gate.upstream.dial().open(gate.upstream.raw_line(&request)).await?;
            return own.send(request, gate.upstream.answer_within()).await;
        }
        let Some(kept) = self.take(gate, is_bound(request.headers(), header::AUTHORIZATION)) else {
            let response = gate.upstream.forward(request, again).await?;
            if is_bound(response.headers(), header::WWW_AUTHENTICATE) {
                self.keep(gate, None);
            }
            return Ok(response);
        };
        let kept = match kept {
            Some(mut own) => own.is_usable().await.then_some(own),
            None => None,
        };
        let mut own = match kept {
            Some(own) => own,
            // The API will ask for proof again: on a new connection nobody is known.
            None => gate.upstream.dial().open(gate.upstream.raw_line(&request)).await?,
        };
        let response = own.send(request, gate.upstream.answer_within()).await?;
        self.keep(gate, Some(own));
        Ok(response)
    }

    /// `None` if nothing is pinned, and nothing `begins`.
    fn take(&self, gate: &Gate, begins: bool) -> Option<Option<Own>> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pins.get_mut(&gate.name) {
            Some(own) => Some(own.take()),
            None if begins => Some(None),
            None => None,
        }
    }

    fn keep(&self, gate: &Gate, own: Option<Own>) {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.insert(gate.name.clone(), own);
    }
}

/// Whether a header names a scheme that authenticates a connection.
pub fn is_bound(headers: &HeaderMap, name: header::HeaderName) -> bool {
    // By bytes and by whatever separates words: the API may read a value that is no text, too.
    let bound = |value: &HeaderValue| {
        let mut words = value.as_bytes().split(|&byte| !strict::is_token(byte));
        words.any(|w| w.eq_ignore_ascii_case(b"NTLM") || w.eq_ignore_ascii_case(b"Negotiate"))
    };
    headers.get_all(name).iter().any(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_that_hold_for_a_connection_are_seen_however_they_are_set_apart() {
        let names = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            is_bound(&[(header::AUTHORIZATION, value)].into_iter().collect(), header::AUTHORIZATION)
        };
        for value in [&b"NTLM abc"[..], b"negotiate\tabc", b"NTLM abc\xff", b"Basic a=\"b\",NTLM"] {
            assert!(names(value), "{value:?}");
        }
        for value in [&b"Basic abc"[..], b"Bearer NTLMx", b"Bearer x-NTLM\xff"] {
            assert!(!names(value), "{value:?}");
        }
    }
}
