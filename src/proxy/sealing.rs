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
    coding::{self, Coded, Encoding, Whose},
    digests::Claims,
    media,
};
use crate::{
    base::refusal::{Code, Refusal},
    keys::{Freshness, Keys, Snapshot},
    policy::{Plan, plan::RequestPlan},
    seal::{Finished, Form, Refined, Sealed, Transform},
};

/// A request body that may go upstream: all of it was looked at, and what is protected is sealed.
pub struct SealedBody {
    /// The bytes.
    pub body: AnyBody,
    /// Their number, if it is another than what the head says.
    pub length: Option<u64>,
    /// What the head is to say of the bytes.
    pub digests: Claims,
    /// What was done, and the proof that it was.
    pub finished: Finished<Sealed>,
}

/// Refuses what would not be opened afterwards, before it is forwarded.
pub fn rely(keys: &Keys, plan: &Plan) -> Result<(), Refusal> {
    let is_needed = !plan.passes() || !plan.passes_answer();
    match keys.freshness() {
        Freshness::Expired if is_needed => Err(Code::KeysExpired.into()),
        Freshness::Expired | Freshness::Fresh | Freshness::Stale => Ok(()),
    }
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
    let encoding = coding::encoding(headers);
    let form = match &plan.request {
        RequestPlan::Nothing | RequestPlan::Pass => Form::Bytes,
        RequestPlan::Scan(_) if encoding == Encoding::Unread => {
            return Err(Code::UnsupportedContentEncoding.into());
        }
        RequestPlan::Scan(node) if node.is_empty() => Form::Bytes,
        RequestPlan::Scan(_) => media::of_request(headers, plan.formats)?,
    };
    if let Some(proof) = Sealed::nothing(plan) {
        let (tally, written, digests) = Default::default();
        let finished = Finished { tally, written, refined: Refined::default(), proof };
        return Ok(SealedBody {
            body: body::through(incoming, None),
            length: None,
            digests,
            finished,
        });
    }
    let mut transform = Transform::sealing(plan, keys.clone(), form);
    let mut digests = Claims::read(headers);
    if incoming.is_end_stream() {
        let finished = transform.finish(&mut Vec::new())?;
        return Ok(SealedBody { body: body::none(), length: None, digests, finished });
    }
    let coded = match encoding {
        Encoding::One(coding) => Some(coding),
        Encoding::Plain | Encoding::Unread => None,
    };
    let mut coded = Coded::new(coded, Whose::Request, limits.body_bytes)?;
    if matches!(&plan.request, RequestPlan::Scan(node) if node.is_empty()) {
        coded = coded.verbatim();
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
        digests.came(&data);
        let had = spool.buffer().len();
        coded.push(&data, &mut transform, spool.buffer())?;
        digests.goes(spool.unsettled(had));
        spool.settle().await.map_err(unspooled)?;
    }
    let had = spool.buffer().len();
    let finished = coded.finish(transform, spool.buffer())?;
    digests.goes(spool.unsettled(had));
    digests.verify()?;
    let (body, length) = spool.into_body().await.map_err(unspooled)?;
    Ok(SealedBody { body, length: Some(length), digests, finished })
}

fn unspooled(error: std::io::Error) -> Refusal {
    Refusal::new(Code::Internal).because(error)
}
