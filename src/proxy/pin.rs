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

use super::{accept::Gate, body::AnyBody, head, own::Own};
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
    let bound = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let words = text.split([',', ' ']).map(str::trim);
        words
            .into_iter()
            .any(|w| w.eq_ignore_ascii_case("NTLM") || w.eq_ignore_ascii_case("Negotiate"))
    };
    headers.get_all(name).iter().any(bound)
}
