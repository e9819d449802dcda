//! The answer on its way out: opened whole if it is short, window by window if it is not.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::head::{self, Media};
use crate::{
    base::{
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    keys::Snapshot,
    policy::{Plan, plan::AnswerPlan},
    seal::{Finished, Form, Refine, Refined, Tally, Transform, Unsealed, Written, echo},
};

/// What an answer may hold before its head goes out.
pub const HELD: usize = 1 << 20;

/// What an API's description of itself may hold to be annotated.
const DESCRIPTION: usize = 8 << 20;

/// An answer of which enough is known to release its head.
pub enum Opened {
    /// It has more windows than are held; the rest follows as it comes.
    Long(Box<Long>),
    /// It has no body.
    Nothing,
    /// Every byte passes as it comes: nothing in it was to be opened.
    Through(Incoming),
    /// All of it, and how many of its records stayed if they were refined.
    Whole(Vec<u8>, Box<Tally>, Refined),
}

impl Opened {
    /// An answer in which the API describes itself, as `annotate` has it. One that is too long to be
    /// held passes as it is: it says less than it could, and nothing wrong of any value.
    pub async fn described(
        self,
        annotate: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Self, Refusal> {
        let (whole, tally, refined) = match self {
            Self::Nothing | Self::Through(_) => return Ok(self),
            Self::Whole(whole, tally, refined) => (whole, tally, refined),
            Self::Long(mut long) => {
                while long.advance().await? {
                    if long.held.len() > DESCRIPTION {
                        return Ok(Self::Long(long));
                    }
                }
                let (whole, tally) = long.finish()?;
                (whole, Box::new(tally), Refined::default())
            }
        };
        let described = annotate(&whole).unwrap_or(whole);
        Ok(Self::Whole(described, tally, refined))
    }
}

/// An answer that is opened while it leaves.
pub struct Long {
    transform: Transform<Unsealed>,
    incoming: Incoming,
    idle: Duration,
    /// Windows that are opened and not yet sent.
    pub held: Vec<u8>,
    /// Whether it may have fewer records than its head says.
    pub has_fewer: bool,
}

/// What the head and the body of an answer are opened with.
pub struct Opening<'a> {
    /// The decision.
    pub plan: &'a Plan,
    /// The keys.
    pub keys: &'a Arc<Snapshot>,
    /// What this exchange wrote.
    pub written: &'a Written,
    /// What stood in the target before it was rewritten.
    pub echoes: &'a [(String, Plaintext)],
    /// What is still to be done with the records.
    pub refine: &'a Refine,
    /// How long a piece of the body may take.
    pub idle: Duration,
}

impl Opening<'_> {
    /// Opens an answer as far as it is held before its head goes out.
    pub async fn open(
        &self,
        head: &response::Parts,
        has_body: bool,
        incoming: Incoming,
    ) -> Result<Opened, Refusal> {
        let node = match &self.plan.answer {
            AnswerPlan::Pass => return Ok(Opened::Through(incoming)),
            AnswerPlan::Scan(_) if !has_body => {
                return Ok(Opened::Nothing);
            }
            AnswerPlan::Scan(node) => node,
        };
        if head::is_encoded(&head.headers) {
            return Err(Code::UpstreamUnreadable.into());
        }
        let media = head::media(&head.headers);
        if !head.status.is_success() {
            return self.echo(media, incoming).await;
        }
        let form = match media {
            Media::Json | Media::OtherJson => Form::Json,
            // Some APIs say text/plain or nothing of their JSON; the policy knows better.
            Media::Other | Media::Unsaid if !node.is_empty() && is_text(&head.headers) => {
                Form::Json
            }
            // Declared values that cannot be looked at might not be envelopes at all.
            _ if !node.is_empty() => return Err(Code::UpstreamUnreadable.into()),
            // What is in no form that is opened holds envelopes at most, and keeps them.
            Media::Other | Media::OtherCharset | Media::Unsaid => {
                return Ok(Opened::Through(incoming));
            }
        };
        let transform = Transform::opening(self.plan, self.keys.clone(), form);
        let transform = transform.refined(self.refine)?;
        let idle = self.idle;
        let mut long = Long { transform, incoming, idle, held: Vec::new(), has_fewer: false };
        while long.held.len() <= HELD {
            if !long.advance().await? {
                let Long { transform, mut held, .. } = long;
                let Finished { tally, refined, .. } = transform.finish(&mut held)?;
                return Ok(Opened::Whole(held, Box::new(tally), refined));
            }
        }
        long.has_fewer = long.transform.settle();
        Ok(Opened::Long(Box::new(long)))
    }

    /// Error bodies: what this exchange wrote is put back, other envelopes are blotted out.
    async fn echo(&self, media: Media, mut incoming: Incoming) -> Result<Opened, Refusal> {
        let mut body = Vec::new();
        while let Some(data) = next(&mut incoming, self.idle).await? {
            if body.len() + data.len() > 8 * HELD {
                return Err(Code::UpstreamUnreadable.into());
            }
            body.extend_from_slice(&data);
        }
        let json = matches!(media, Media::Json | Media::OtherJson);
        let opened = echo::body(&body, json, self.written, &self.plan.rights, self.keys);
        Ok(Opened::Whole(opened, Box::default(), Refined::default()))
    }

    /// Header values: the same.
    pub fn headers(&self, headers: &mut HeaderMap) {
        if matches!(self.plan.answer, AnswerPlan::Pass) {
            return;
        }
        let repeats = |value: &[u8]| {
            let has = |piece: &[u8]| memchr::memmem::find(value, piece).is_some();
            has(b"ls1") || self.echoes.iter().any(|(piece, _)| has(piece.as_bytes()))
        };
        for value in headers.values_mut() {
            if repeats(value.as_bytes()) {
                let rights = &self.plan.rights;
                let opened =
                    echo::header(value.as_bytes(), self.written, self.echoes, rights, self.keys);
                // Invariant: a value that is not a header value any more says nothing at all.
                *value = opened
                    .try_into()
                    .unwrap_or_else(|_| http::HeaderValue::from_static("[sealed]"));
            }
        }
    }
}

impl Long {
    /// Opens the next piece into `held`; `false` at the end of the body.
    pub async fn advance(&mut self) -> Result<bool, Refusal> {
        match next(&mut self.incoming, self.idle).await? {
            Some(data) => {
                self.transform.push(&data, &mut self.held)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The last windows, and what was done.
    pub fn finish(mut self) -> Result<(Vec<u8>, Tally), Refusal> {
        let Finished { tally, .. } = self.transform.finish(&mut self.held)?;
        Ok((self.held, tally))
    }
}

async fn next(incoming: &mut Incoming, idle: Duration) -> Result<Option<Bytes>, Refusal> {
    loop {
        match timeout(idle, incoming.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                // Trailers of an opened answer may speak of bytes that are no more.
                Err(_) => continue,
            },
            Ok(Some(Err(error))) => {
                return Err(Refusal::new(Code::UpstreamUnreadable).because(error));
            }
            Ok(None) => return Ok(None),
            Err(elapsed) => return Err(Refusal::new(Code::UpstreamTimeout).because(elapsed)),
        }
    }
}

fn is_text(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(http::header::CONTENT_TYPE) else { return true };
    value.as_bytes().get(..10).is_some_and(|text| text.eq_ignore_ascii_case(b"text/plain"))
}

/// Whether an answer to `method` with `status` has a body (RFC 9110 §6.4.1).
pub fn has_body(method: &http::Method, status: StatusCode) -> bool {
    *method != http::Method::HEAD
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
        && !status.is_informational()
}
