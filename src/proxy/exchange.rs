//! One exchange, top to bottom: the life of a request in this sidecar.
//!
//! ```text
//! admit → identify → classify → decide → readdress → seal → forward → open → record → release
//! ```
//! Each step takes what the step before made and could not be made otherwise: no plan without a
//! caller and an operation, no forwarding without a sealed body, no release without a receipt. Every
//! arrow is `?`, and every refusal leaves through [`answers::refuse`], which also records it.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, Version, header, request, response};
use hyper::body::Incoming;

use super::{
    Sidecar,
    accept::Door,
    answers,
    body::{self, AnyBody, Feed},
    head,
    opening::{self, Long, Opened, Opening},
    record::Record,
    revision::Served,
    sealing::{self, SealedBody},
};
use crate::{
    base::{
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    dialect::{Dialect, Head},
    keys::Snapshot,
    model::{Operation, Replacement, UseKind},
    policy::Plan,
    seal::{self, Finished, Tally, Written},
};

/// Answers one request. Never fails: what goes wrong becomes an answer, or ends the connection.
pub async fn exchange(
    sidecar: Arc<Sidecar>,
    door: Arc<Door>,
    request: Request<Incoming>,
) -> Response<AnyBody> {
    let mut record = Record::begin(&*sidecar.clock, &door);
    let inflight = sidecar.metrics.enter();
    let version = request.version();
    let outcome = answer(&sidecar, &door, request, &mut record).await;
    drop(inflight);
    match outcome {
        Ok(response) => response,
        Err(refusal) => answers::refuse(&sidecar, &record, &refusal, version),
    }
}

async fn answer(
    sidecar: &Arc<Sidecar>,
    door: &Arc<Door>,
    request: Request<Incoming>,
    record: &mut Record,
) -> Result<Response<AnyBody>, Refusal> {
    let (mut head, incoming) = request.into_parts();
    let revision = sidecar.revision.load_full();
    let keys = sidecar.keys.snapshot();

    let (gate, target) = admit(door, &head)?;
    let api = revision.api(&gate.name)?;
    record.addressed(api, revision.policy.digest());

    let caller = revision.policy.rules().identify(&door.facts(&head.headers))?;
    record.identified(&caller);

    let operation = classify(api, &head, &target)?;
    record.classified(&operation);

    let plan = api.policy(&revision).plan(&operation, &caller)?;
    for name in revision.policy.rules().consumed_headers() {
        head.headers.remove(name);
    }

    let addressed = readdress(&plan, &operation, &*api.dialect, &head, &target, &keys)?;

    let idle = sidecar.limits.body_idle;
    let SealedBody { body, length, finished } =
        sealing::seal(&plan, &keys, &head.headers, incoming, idle).await?;
    let mut written = addressed.written;
    let Finished { tally: sealed, written: wrote, proof } = finished;
    written.extend(wrote);
    let mut tally = addressed.tally;
    tally.add(&sealed);

    // A write of protected values leaves a durable trace before it leaves.
    let intends = operation.verb.writes() && plan.seals();
    if intends {
        sidecar.audit.record(record.intent(&tally)).await.map_err(|error| {
            Refusal::new(Code::AuditUnavailable).because(error)
        })?;
        record.intended();
    }

    let method = head.method.clone();
    let request = upstream_request(&plan, head, gate, &addressed.target, body, length, &proof)?;
    let asked = sidecar.clock.instant();
    let response = gate.upstream.forward(request).await?;
    record.upstream_took(sidecar.clock.instant() - asked, response.status());

    let (mut head, incoming) = response.into_parts();
    let opening = Opening { plan: &plan, keys: &keys, written: &written, echoes: &addressed.echoes, idle };
    let opened = opening.open(&head, opening::has_body(&method, head.status), incoming).await?;
    opening.headers(&mut head.headers);

    release(sidecar, door, record, &plan, tally, head, opened).await
}

/// Finds the API and refuses heads that mean different things to different readers.
fn admit<'d>(
    door: &'d Door,
    head: &request::Parts,
) -> Result<(&'d super::accept::Gate, String), Refusal> {
    head::admit(&head.headers)?;
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    door.gate(target).ok_or_else(|| Code::NoApi.into())
}

/// Asks the dialect what the request is. An API without entities is not looked at.
fn classify(api: &Served, head: &request::Parts, target: &str) -> Result<Operation, Refusal> {
    if api.is_open {
        return Ok(Operation::unexamined());
    }
    head::admit_protected(&head.method, &head.headers)?;
    api.dialect.classify(Head { method: &head.method, target, headers: &head.headers })
}

/// A target that holds no protected value in clear.
struct Addressed {
    target: String,
    echoes: Vec<(String, Plaintext)>,
    written: Written,
    tally: Tally,
}

/// Turns protected literals of the target into what is stored, and refuses strays in the head.
fn readdress(
    plan: &Plan,
    operation: &Operation,
    dialect: &dyn Dialect,
    head: &request::Parts,
    target: &str,
    keys: &Snapshot,
) -> Result<Addressed, Refusal> {
    let view = Head { method: &head.method, target, headers: &head.headers };
    if plan.passes() {
        let (written, tally) = Default::default();
        return Ok(Addressed { target: target.to_owned(), echoes: Vec::new(), written, tally });
    }
    refuse_strays(plan, operation, dialect, view, keys)?;
    let (replacements, written, tally) = seal::readdress(plan, operation, keys)?;
    if replacements.iter().all(Option::is_none) {
        return Ok(Addressed { target: target.to_owned(), echoes: Vec::new(), written, tally });
    }
    let readdressed = dialect.readdress(view, &replacements)?;
    let echoes = readdressed.echoes.into_iter().map(|e| (e.written, e.original)).collect();
    Ok(Addressed { target: readdressed.target, echoes, written, tally })
}

/// Refuses envelopes of ours anywhere in the head but as literals of protected filters, which are
/// looked at one by one when they are rewritten.
fn refuse_strays(
    plan: &Plan,
    operation: &Operation,
    dialect: &dyn Dialect,
    head: Head<'_>,
    keys: &Snapshot,
) -> Result<(), Refusal> {
    for value in head.headers.values() {
        seal::reject_strays(value.as_bytes(), keys)?;
    }
    let blank = |(rule, used): (&Option<_>, &crate::model::Use)| {
        let UseKind::Filter(filter) = &used.kind else { return None };
        rule.as_ref().map(|_| Replacement::blank(filter))
    };
    let blanks: Vec<_> = plan.filters.iter().zip(&operation.uses).map(blank).collect();
    if blanks.iter().all(Option::is_none) {
        return seal::reject_strays(head.target.as_bytes(), keys);
    }
    let rest = dialect.readdress(head, &blanks)?;
    seal::reject_strays(rest.target.as_bytes(), keys)
}

/// The request for upstream. Asks for the proof that its body was sealed.
fn upstream_request(
    plan: &Plan,
    mut head: request::Parts,
    gate: &super::accept::Gate,
    target: &str,
    body: AnyBody,
    length: Option<u64>,
    _proof: &seal::Sealed,
) -> Result<Request<AnyBody>, Refusal> {
    if let Some(authority) = head.uri.authority()
        && !head.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(header::HOST, host);
    }
    if !head.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(gate.upstream.authority())
    {
        head.headers.insert(header::HOST, host);
    }
    head.uri = gate.upstream.locate(target)?;
    head.version = Version::HTTP_11;
    head::remove_hop_by_hop(&mut head.headers);
    // The body was read already, or is read as it is sent: nobody waits for a 100 upstream.
    head.headers.remove(header::EXPECT);
    if !plan.passes() {
        head::prepare_protected(&mut head.headers);
    }
    if let Some(length) = length {
        head::set_length(&mut head.headers, length);
    }
    Ok(Request::from_parts(head, body))
}

/// Lets an answer go, once it is on record.
async fn release(
    sidecar: &Arc<Sidecar>,
    door: &Arc<Door>,
    record: &mut Record,
    plan: &Plan,
    mut tally: Tally,
    mut head: response::Parts,
    opened: Opened,
) -> Result<Response<AnyBody>, Refusal> {
    head::remove_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    match opened {
        Opened::Through(incoming) => {
            record.conclude(sidecar, &tally).await?;
            let body = body::through(incoming, door.abort(head.version));
            Ok(Response::from_parts(head, body))
        }
        Opened::Whole(bytes, finished) => {
            tally.add(&finished.tally);
            if tally.releases() {
                head::keep_private(&mut head.headers);
            }
            record.conclude(sidecar, &tally).await?;
            if head.headers.contains_key(header::CONTENT_LENGTH) || !bytes.is_empty() {
                head::set_length(&mut head.headers, bytes.len() as u64);
            }
            let body = body::whole(bytes.freeze());
            Ok(Response::from_parts(head, body))
        }
        Opened::Long(long) => {
            head::keep_private(&mut head.headers);
            head.headers.remove(header::CONTENT_LENGTH);
            record.open(sidecar, &tally).await?;
            let (body, feed) = body::windows(door.abort(head.version));
            let (sidecar, record) = (sidecar.clone(), record.detach());
            tokio::spawn(follow(sidecar, record, tally, long, feed));
            let _ = plan;
            Ok(Response::from_parts(head, body))
        }
    }
}

/// The rest of a long answer, window by window. If it fails the feed is dropped, and the answer
/// ends in a reset: its head has gone, so there is no other way to say so.
async fn follow(
    sidecar: Arc<Sidecar>,
    mut record: Record,
    mut tally: Tally,
    mut long: Long,
    feed: Feed,
) {
    let outcome = async {
        loop {
            let window = long.held.split().freeze();
            if !window.is_empty() && !feed.send(window).await {
                // The client has gone; dropping the answer cancels it upstream.
                return Ok(None);
            }
            if !long.advance().await? {
                return long.finish().map(Some);
            }
        }
    }
    .await;
    match outcome {
        Ok(Some((rest, finished))) => {
            tally.add(&finished.tally);
            if record.close(&sidecar, &tally, None).await
                && (rest.is_empty() || feed.send(rest.freeze()).await)
            {
                feed.end().await;
            }
        }
        Ok(None) => {
            record.close(&sidecar, &tally, None).await;
        }
        Err(refusal) => {
            answers::log(&record, &refusal);
            record.close(&sidecar, &tally, Some(&refusal)).await;
        }
    }
}
