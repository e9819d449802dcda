//! The request body on its way in: read, sealed window by window, and kept until all of it is sealed.

use std::sync::Arc;

use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    Limits,
    body::{self, AnyBody, Spool},
    head::{self, Media},
};
use crate::{
    base::refusal::{Code, Refusal},
    keys::Snapshot,
    policy::{Plan, plan::RequestPlan},
    seal::{Finished, Form, Refined, Sealed, Transform},
};

/// A request body that may go upstream: all of it was looked at, and what is protected is sealed.
pub struct SealedBody {
    /// The bytes.
    pub body: AnyBody,
    /// Their number, if it is another than what the head says.
    pub length: Option<u64>,
    /// What was done, and the proof that it was.
    pub finished: Finished<Sealed>,
}

/// Seals a request body as the plan says.
///
/// Nothing goes upstream before the last byte has been sealed: an API may commit what it has of a
/// body that is cut.
pub async fn seal(
    plan: &Plan,
    keys: &Arc<Snapshot>,
    headers: &HeaderMap,
    mut incoming: Incoming,
    limits: &Limits,
) -> Result<SealedBody, Refusal> {
    let form = match &plan.request {
        RequestPlan::Nothing | RequestPlan::Pass => Form::Bytes,
        RequestPlan::Scan(_) if head::is_encoded(headers) => {
            return Err(Code::UnsupportedContentEncoding.into());
        }
        RequestPlan::Scan(node) if node.is_empty() => Form::Bytes,
        RequestPlan::Scan(_) => match head::media(headers) {
            // Absent means JSON to the APIs that take JSON; what is not JSON is refused all the same.
            Media::Json | Media::Unsaid => Form::Json,
            Media::OtherCharset | Media::OtherJson | Media::Other => {
                return Err(Code::UnsupportedContentType.into());
            }
        },
    };
    if let Some(proof) = Sealed::nothing(plan) {
        let (tally, written) = Default::default();
        let finished = Finished { tally, written, refined: Refined::default(), proof };
        return Ok(SealedBody { body: body::through(incoming, None), length: None, finished });
    }
    let mut transform = Transform::sealing(plan, keys.clone(), form);
    if incoming.is_end_stream() {
        let finished = transform.finish(&mut Vec::new())?;
        return Ok(SealedBody { body: body::none(), length: None, finished });
    }
    let mut spool = Spool::default();
    let mut came = 0;
    loop {
        let frame = timeout(limits.body_idle, incoming.frame())
            .await
            .map_err(|elapsed| Refusal::new(Code::RequestTimeout).because(elapsed))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Refusal::new(Code::MalformedBody).because(error))?;
        let Ok(data) = frame.into_data() else {
            return Err(Refusal::new(Code::UnsupportedHeader).by("Trailer"));
        };
        came += data.len() as u64;
        if came > limits.body_bytes {
            return Err(Code::BodyTooLarge.into());
        }
        transform.push(&data, spool.buffer())?;
        spool.settle().await.map_err(unspooled)?;
    }
    let finished = transform.finish(spool.buffer())?;
    let (body, length) = spool.into_body().await.map_err(unspooled)?;
    Ok(SealedBody { body, length: Some(length), finished })
}

fn unspooled(error: std::io::Error) -> Refusal {
    Refusal::new(Code::Internal).because(error)
}
