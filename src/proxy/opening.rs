//! The answer on its way out: opened whole if it is short, window by window if it is not.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    codec::Coding,
    coding::{self, Coded, Encoding, Pass, Whose},
    events::Events,
    head,
    media::{self, Media},
    view::View,
};
use crate::{
    base::{
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    keys::Snapshot,
    policy::{Plan, plan::AnswerPlan},
    seal::{Form, Refine, Refined, Tally, Transform, Unsealed, Written, echo},
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
    flow: Flow,
    coded: Coded,
    incoming: Incoming,
    idle: Duration,
    /// Windows that are opened and not yet sent.
    pub held: Vec<u8>,
    /// Whether it may have fewer records than its head says.
    pub has_fewer: bool,
}

/// What is done to the body of an answer that succeeded.
enum Flow {
    Body(Box<Transform<Unsealed>>),
    Events(Box<Events>),
}

impl Pass for Flow {
    type End = (Tally, Refined);

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self {
            Self::Body(transform) => transform.push(bytes, out),
            Self::Events(events) => events.push(bytes, out),
        }
    }

    fn finish(self, out: &mut Vec<u8>) -> Result<Self::End, Refusal> {
        match self {
            Self::Body(transform) => {
                transform.finish(out).map(|finished| (finished.tally, finished.refined))
            }
            Self::Events(events) => events.finish(out).map(|tally| (tally, Refined::default())),
        }
    }
}

impl Flow {
    /// The head is about to go: whether it may have said more records than will come.
    fn settle(&mut self) -> bool {
        match self {
            Self::Body(transform) => transform.settle(),
            Self::Events(_) => false,
        }
    }
}

/// What the head and the body of an answer are opened with.
pub struct Opening<'a> {
    /// The decision.
    pub plan: &'a Arc<Plan>,
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
        let cells = self.plan.formats.cells;
        let coding = || match coding::encoding(&head.headers) {
            Encoding::One(coding) => Ok(Some(coding)),
            Encoding::Plain => Ok(None),
            Encoding::Unread => Err(Refusal::new(Code::UpstreamUnreadable).by("Content-Encoding")),
        };
        if !head.status.is_success() {
            let media = media::media(&head.headers, cells);
            return self.echo(media, coding()?, incoming).await;
        }
        if head::is_events(&head.headers) {
            if !self.refine.is_empty() {
                // A feed is no list: what does not belong could not be left out of it.
                return Err(Refusal::new(Code::UpstreamUnreadable).by("text/event-stream"));
            }
            let coded = Coded::new(coding()?, Whose::Answer, u64::MAX)?.prompt();
            let events = Events::new(self.plan.clone(), self.keys.clone());
            let (flow, idle) = (Flow::Events(Box::new(events)), self.idle);
            // Nobody knows when the next one comes, so the head does not wait for it.
            return Ok(Opened::Long(Box::new(Long {
                flow,
                coded,
                incoming,
                idle,
                held: Vec::new(),
                has_fewer: false,
            })));
        }
        let Some(form) = media::of_answer(&head.headers, cells, !node.is_empty())? else {
            return Ok(Opened::Through(incoming));
        };
        let transform = Transform::opening(self.plan, self.keys.clone(), form);
        let transform = transform.refined(self.refine)?;
        let coded = Coded::new(coding()?, Whose::Answer, u64::MAX)?;
        let (flow, idle) = (Flow::Body(Box::new(transform)), self.idle);
        let mut long = Long { flow, coded, incoming, idle, held: Vec::new(), has_fewer: false };
        while long.held.len() <= HELD {
            if !long.advance().await? {
                let (held, (tally, refined)) = long.end()?;
                if is_delimited_by_close(head) && form == Form::Json && is_cut(&held, &head.headers)
                {
                    return Err(Refusal::new(Code::UpstreamUnreadable).by("a cut answer"));
                }
                return Ok(Opened::Whole(held, Box::new(tally), refined));
            }
        }
        long.has_fewer = long.flow.settle();
        Ok(Opened::Long(Box::new(long)))
    }

    /// Error bodies: what this exchange wrote is put back, other envelopes are blotted out.
    async fn echo(
        &self,
        media: Media,
        coding: Option<Coding>,
        mut incoming: Incoming,
    ) -> Result<Opened, Refusal> {
        let mut body = Vec::new();
        while let Some(data) = next(&mut incoming, self.idle).await? {
            if body.len() + data.len() > 8 * HELD {
                return Err(Code::UpstreamUnreadable.into());
            }
            body.extend_from_slice(&data);
        }
        if let Some(coding) = coding {
            body = coding::decode(coding, &body, 8 * HELD as u64)
                .map_err(|broken| Refusal::new(Code::UpstreamUnreadable).because(broken))?;
        }
        let json = media.is_json();
        let mut opened = match self.plan.hides_errors {
            true => echo::blotted(&body, json),
            false => echo::body(&body, json, self.written, &self.plan.rights, self.keys),
        };
        if let Some(coding) = coding {
            opened = coding::encode(coding, &opened)?;
        }
        Ok(Opened::Whole(opened, Box::default(), Refined::default()))
    }

    /// Header values: the same; and entity tags are those of the caller's view.
    pub fn headers(&self, headers: &mut HeaderMap) {
        if matches!(self.plan.answer, AnswerPlan::Pass) {
            return;
        }
        View::of(&self.plan.rights).mark(headers);
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
                self.coded.push(&data, &mut self.flow, &mut self.held)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The last windows, and what was done.
    pub fn finish(self) -> Result<(Vec<u8>, Tally), Refusal> {
        let (held, (tally, _)) = self.end()?;
        Ok((held, tally))
    }

    fn end(mut self) -> Result<(Vec<u8>, (Tally, Refined)), Refusal> {
        let end = self.coded.finish(self.flow, &mut self.held)?;
        Ok((self.held, end))
    }
}

/// Whether nothing but the end of the connection ends the body: then a cut looks like an end.
fn is_delimited_by_close(head: &response::Parts) -> bool {
    let says = |name| head.headers.contains_key(name);
    head.version < http::Version::HTTP_2
        && !says(http::header::CONTENT_LENGTH)
        && !says(http::header::TRANSFER_ENCODING)
}

/// Whether JSON stops before its end. What is coded would not have come out of its coding.
fn is_cut(body: &[u8], headers: &HeaderMap) -> bool {
    let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(body);
    coding::encoding(headers) == Encoding::Plain
        && !body.is_empty()
        && parsed.is_err_and(|error| error.is_eof())
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

/// Whether an answer to `method` with `status` has a body (RFC 9110 §6.4.1).
pub fn has_body(method: &http::Method, status: StatusCode) -> bool {
    *method != http::Method::HEAD
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
        && !status.is_informational()
}
