//! One database API as a job calls it: its own headers, bounded answers, nothing of them repeated.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode,
    header::{CONTENT_RANGE, CONTENT_TYPE, HOST, IF_MATCH, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::{
    app,
    base::refusal::Refusal,
    config::{self, Config},
    proxy::{body, upstream::Upstream},
};

/// More than a page of records may take; a page that does is asked for in smaller ones.
const LONGEST: usize = 64 << 20;

/// One database API.
pub struct Caller {
    upstream: Upstream,
    headers: Vec<(HeaderName, HeaderValue)>,
    within: Duration,
    /// The path before every target.
    base: String,
    /// Records that are asked for at a time.
    pub page: usize,
    /// Requests at a time, at most.
    pub concurrency: usize,
}

/// What came back.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// How many records there are, or were changed, if that was asked for.
    pub total: Option<u64>,
    /// How long the API wants to be left alone.
    pub retry_after: Option<Duration>,
    /// All header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The connection failed, or took too long.
    #[error("the API cannot be reached, or does not answer in time")]
    Broken,
    /// The request cannot be made.
    #[error("the request cannot be made")]
    Refused(#[from] Refusal),
    /// The answer is longer than a page may be.
    #[error("the answer is longer than {LONGEST} bytes")]
    TooLong,
}

/// What is asked.
pub struct Ask<'a> {
    /// GET, PATCH or PUT.
    pub method: Method,
    /// Path and query.
    pub target: &'a str,
    /// The schema, at PostgREST.
    pub schema: Option<&'a str>,
    /// `Prefer`.
    pub prefer: Option<&'static str>,
    /// `If-Match`.
    pub if_match: Option<HeaderValue>,
    /// A JSON body.
    pub body: Option<Vec<u8>>,
}

impl<'a> Ask<'a> {
    /// A request with nothing but its target.
    pub fn new(method: Method, target: &'a str) -> Self {
        Self { method, target, schema: None, prefer: None, if_match: None, body: None }
    }
}

impl Caller {
    /// Reads the secrets that the configuration names.
    pub fn new(api: &config::Api, config: &Config) -> anyhow::Result<Self> {
        let jobs = config.jobs.of(&api.name);
        let mut headers = Vec::new();
        for (name, value) in &jobs.headers {
            let value = value.named().lend(HeaderValue::from_str)?;
            let mut value = value.with_context(|| format!("the value of header {name}"))?;
            value.set_sensitive(true);
            headers.push((name.clone(), value));
        }
        let upstream = app::upstream(api, config)?;
        let within = config.timeouts.upstream;
        let (page, concurrency) = (jobs.page, jobs.concurrency);
        let base = api.upstream.url.path().to_owned();
        Ok(Self { upstream, headers, within, base, page, concurrency })
    }

    /// An address that the API named, as a target of this API.
    pub fn relative(&self, address: &str) -> String {
        let target = match address.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => address,
        };
        let base = self.base.trim_end_matches('/');
        target.strip_prefix(base).unwrap_or(target).to_owned()
    }

    /// Sends a request and waits for all of its answer.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Answer, Unanswered> {
        let (uri, _) = self.upstream.locate(ask.target)?;
        let is_read = ask.method == Method::GET;
        let mut request = Request::new(match ask.body {
            Some(bytes) => body::whole(bytes.into()),
            None => body::none(),
        });
        *request.method_mut() = ask.method;
        *request.uri_mut() = uri;
        let fields = request.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            // Invariant: authorities and names of schemas were read as such; what is not a header is
            // left out, and the API refuses.
            if let Ok(value) = HeaderValue::from_str(value) {
                fields.insert(name, value);
            }
        };
        set(HOST, self.upstream.authority());
        let profile = if is_read { "accept-profile" } else { "content-profile" };
        if let Some(schema) = ask.schema {
            set(HeaderName::from_static(profile), schema);
        }
        if !is_read {
            set(CONTENT_TYPE, "application/json");
        }
        if let Some(prefer) = ask.prefer {
            set(HeaderName::from_static("prefer"), prefer);
        }
        if let Some(tag) = ask.if_match {
            fields.insert(IF_MATCH, tag);
        }
        for (name, value) in &self.headers {
            fields.append(name.clone(), value.clone());
        }
        let answered = async {
            let answer = self.upstream.forward(request, None).await;
            let (head, body) = answer.map_err(|_| Unanswered::Broken)?.into_parts();
            let body = Limited::new(body, LONGEST).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => Unanswered::TooLong,
                false => Unanswered::Broken,
            })?;
            Ok(Answer {
                status: head.status,
                total: total(&head.headers),
                retry_after: retry_after(&head.headers),
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        tokio::time::timeout(self.within, answered).await.unwrap_or(Err(Unanswered::Broken))
    }
}

/// Whether a status says that the API wants to be asked again, later.
pub fn is_busy(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// The number behind the slash of `Content-Range`.
fn total(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.rsplit('/').next()?.parse().ok()
}

/// Seconds; a date is taken for a while.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(text.parse::<u64>().unwrap_or(5).min(300)))
}
