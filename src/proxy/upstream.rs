//! The way to the database API: a pooled client with limits.
//!
//! # Why
//! 2026-11-24: hyper-util's pooled client. It takes another connection for a request if the first one
//! closed before a byte of the request was written. One that was begun is never begun again, because
//! only the LIMS knows whether doing something twice is harmless; but a GET, HEAD or OPTIONS without
//! a body is, once, if a kept connection died before the head of an answer: servers close kept
//! connections at moments of their own. What dies on a new connection would die on the next.

use std::{
    collections::HashSet,
    error::Error as _,
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{
    Extensions, HeaderValue, Method, Request, Response, Uri, header::CONNECTION, uri::PathAndQuery,
};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client, Error,
        connect::{HttpConnector, HttpInfo},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;

use super::{
    body::AnyBody,
    own::{Dial, RawTarget},
    strict,
};
use crate::base::refusal::{Code, Refusal};

/// How long an idle connection is kept: shorter than the limits that servers commonly have, so that
/// a request does not meet a closing connection.
const IDLE: Duration = Duration::from_secs(15);

/// One database API.
pub struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, AnyBody>,
    base: Uri,
    answer_within: Duration,
    dial: Dial,
    kept: Kept,
}

/// The connections that an answer has come over, by their address at this end.
#[derive(Default)]
struct Kept(Mutex<HashSet<SocketAddr>>);

/// Limits toward an upstream.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamLimits {
    /// To connect, TLS included.
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub answer: Duration,
    /// Bytes of the head of an answer.
    pub head_bytes: usize,
}

/// The longest target that the HTTP library can name. Envelopes are longer than what they stand for,
/// so a target that came in well can outgrow it.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

impl Upstream {
    /// A client for the API at `base` (scheme, authority, and a path that is put before every
    /// target).
    pub fn new(base: Uri, tls: ClientConfig, limits: UpstreamLimits) -> Self {
        let head_bytes = limits.head_bytes.max(8 << 10);
        let dial = Dial::new(base.clone(), tls.clone(), limits.connect, head_bytes);
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits.connect));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_preserve_header_case(true)
            .http1_max_buf_size(head_bytes)
            .set_host(false)
            .build(connector);
        Self { client, base, answer_within: limits.answer, dial, kept: Kept::default() }
    }

    /// Host and port, for the `Host` of a request that came without one.
    pub fn authority(&self) -> &str {
        self.base.authority().map_or("", |authority| authority.as_str())
    }

    /// How to make a connection of one's own.
    pub fn dial(&self) -> &Dial {
        &self.dial
    }

    /// How long the head of an answer may take.
    pub fn answer_within(&self) -> Duration {
        self.answer_within
    }

    /// The address of `target` (path and query, from the API's first slash on) at this API, and the
    /// target itself if it cannot be spelled in an address.
    pub fn locate(&self, target: &str) -> Result<(Uri, Option<RawTarget>), Refusal> {
        let base = self.base.path().trim_end_matches('/');
        // `*` is the server, which no path stands before.
        let base = if target == "*" { "" } else { base };
        let full = if base.is_empty() { target.to_owned() } else { format!("{base}{target}") };
        if !base.is_empty() && has_dot_segment(target) {
            return Err(Refusal::new(Code::MalformedTarget).by("path"));
        }
        let named = strict::nameable(&full);
        if full.len().max(named.as_ref().map_or(0, String::len)) > LONGEST_TARGET {
            return Err(Code::TargetTooLong.into());
        }
        let mut parts = self.base.clone().into_parts();
        let path: PathAndQuery = named
            .as_ref()
            .unwrap_or(&full)
            .parse()
            .map_err(|e| Refusal::new(Code::MalformedTarget).because(e))?;
        parts.path_and_query = Some(path);
        let uri =
            Uri::from_parts(parts).map_err(|e| Refusal::new(Code::MalformedTarget).because(e))?;
        Ok((uri, named.is_some().then_some(RawTarget(full))))
    }

    /// The request line of a request whose target cannot be spelled in its address.
    pub fn raw_line(&self, request: &Request<AnyBody>) -> Option<String> {
        let RawTarget(target) = request.extensions().get()?;
        Some(format!("{} {target} HTTP/1.1\r\n", request.method()))
    }

    /// Sends a request and waits for the head of the answer. `again` makes the same request once
    /// more, if it may be sent twice.
    ///
    /// Dropping the future cancels the request: the connection is closed, not reused.
    pub async fn forward(
        &self,
        mut request: Request<AnyBody>,
        mut again: Option<Request<AnyBody>>,
    ) -> Result<Response<Incoming>, Refusal> {
        // An answer to HEAD often comes without a length; some servers (PostgREST's is one) then
        // close the connection without saying so, and the next write on it would be lost.
        for request in [Some(&mut request), again.as_mut()].into_iter().flatten() {
            if request.method() == Method::HEAD {
                request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        if let Some(line) = self.raw_line(&request) {
            return self.dial.open(Some(line)).await?.send(request, self.answer_within).await;
        }
        let answered = async {
            match (self.client.request(request).await, again) {
                (Err(error), Some(again)) if self.kept.died(&error) => {
                    self.client.request(again).await
                }
                (answered, _) => answered,
            }
        };
        match tokio::time::timeout(self.answer_within, answered).await {
            Ok(Ok(response)) => {
                self.kept.answered(&response);
                Ok(response)
            }
            Ok(Err(error)) => Err(Refusal::new(Code::UpstreamUnreachable).because(error)),
            Err(elapsed) => Err(Refusal::new(Code::UpstreamTimeout).because(elapsed)),
        }
    }
}

impl Kept {
    fn answered(&self, response: &Response<Incoming>) {
        if let Some(info) = response.extensions().get::<HttpInfo>() {
            self.all().insert(info.local_addr());
        }
    }

    /// Whether a request failed because a kept connection was closed just when it was used again.
    fn died(&self, error: &Error) -> bool {
        let mut extras = Extensions::new();
        error.connect_info().inspect(|connected| connected.get_extras(&mut extras));
        let was_kept =
            extras.get::<HttpInfo>().is_some_and(|info| self.all().remove(&info.local_addr()));
        let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
        was_kept
            && causes.any(|cause| {
                let closed = cause.downcast_ref().is_some_and(hyper::Error::is_incomplete_message);
                closed || cause.is::<io::Error>()
            })
    }

    fn all(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a path leads up, so that it could leave the path of the API that it was meant for.
fn has_dot_segment(target: &str) -> bool {
    let mut path = target.split('?').next().unwrap_or_default().to_ascii_lowercase();
    // Some servers decode what was encoded twice, or leave out what stands behind a semicolon.
    for _ in 0..3 {
        path = path.replace("%25", "%");
    }
    for (encoded, plain) in [("%2e", "."), ("%2f", "/"), ("%5c", "\\"), ("%3b", ";")] {
        path = path.replace(encoded, plain);
    }
    path.split(['/', '\\']).any(|part| part.split(';').next() == Some(".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_up_is_seen_behind_its_encoding() {
        for target in [
            "/..",
            "/a/../b",
            "/%2e%2E/b",
            "/a%2f..%2fb?x",
            "/.%2e",
            "/..;x/b",
            "/a%5C..%5cb",
            "/%252e.",
        ] {
            assert!(has_dot_segment(target), "{target}");
        }
        for target in ["/", "/a..b", "/a?b=/../c", "/...", "/.a/."] {
            assert!(!has_dot_segment(target), "{target}");
        }
    }
}
