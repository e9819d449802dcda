//! One exchange, top to bottom: the life of a request in this sidecar.
//!
//! ```text
//! admit → identify → classify → decide → readdress → seal → forward → open → record → release
//! ```
//! Each step takes what the step before made and could not be made otherwise: no plan without a
//! caller and an operation, no forwarding without a sealed body, no release without a receipt. Every
//! arrow is `?`, and every refusal leaves through [`answers::refuse`], which also records it.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header, request, response,
};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};

use super::{
    Sidecar,
    accept::{Door, Gate},
    addressing::readdress,
    answers,
    body::{self, AnyBody, Feed},
    head::{self, After, Carried},
    heads::Note,
    opening::{self, Long, Opened, Opening},
    record::{Cleared, Record},
    refining,
    revision::Served,
    sealing::{self, SealedBody},
    stream::Abort,
    strict::Fault,
    tunnel,
    view::View,
};
use crate::{
    base::refusal::{Code, Refusal},
    dialect::Head,
    model::{Operation, Target, Verb},
    policy::{Plan, Upgrades},
    seal::{Finished, Sealed, Tally},
};

/// Answers one request. Never fails: what goes wrong becomes an answer, or ends the connection.
pub async fn exchange(
    sidecar: Arc<Sidecar>,
    door: Arc<Door>,
    request: Request<Incoming>,
) -> Response<AnyBody> {
    let mut record = Record::begin(&sidecar);
    let inflight = sidecar.metrics.enter();
    let outcome = answer(&sidecar, &door, request, &mut record).await;
    drop(inflight);
    door.notes.settle();
    match (outcome, door.notes.broken()) {
        (Ok(response), _) => response,
        // Whatever came of it: what was wrong is the body.
        (Err(_), Some(fault)) => answers::refuse(&sidecar, &record, &fault.into()),
        (Err(refusal), None) => answers::refuse(&sidecar, &record, &refusal),
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
    let abort = door.abort(head.version);

    let Note { target, fault } = door.note(head.version);
    let (gate, target) = address(door, &head, target)?;
    let api = revision.api(&gate.name)?;
    record.addressed(api, revision.policy.digest());
    admit(&head, fault)?;

    let caller = revision.policy.rules().identify(&door.facts(&head.headers))?;
    record.identified(&caller);

    let rules = api.rules(&revision);
    let operation = classify(api, &head, &target, rules.upgrades())?;
    record.classified(&operation, |function| rules.names_function(function));

    let plan = Arc::new(rules.plan(&operation, &caller)?);
    sealing::rely(&sidecar.keys, &plan)?;
    let upgrade = upgrade(&mut head, rules.upgrades());
    for name in revision.policy.rules().consumed_headers() {
        head.headers.remove(name);
    }

    let view = Head { method: &head.method, target: &target, headers: &head.headers };
    let addressed = readdress(&plan, &operation, &*api.dialect, view, &keys)?;

    let idle = sidecar.limits.body_idle;
    let SealedBody { body, length, digests, finished } =
        sealing::seal(&plan, &keys, &head.headers, incoming, &sidecar.limits).await?;
    let mut written = addressed.written;
    let Finished { tally: sealed, written: wrote, proof, .. } = finished;
    written.add(wrote);
    let mut tally = addressed.tally;
    tally.add(&sealed);

    // A write of protected values leaves a durable trace before it leaves.
    if operation.verb.writes() && !tally.is_empty() {
        let _intent = record.intend(sidecar, &tally).await?;
    }

    refining::ask(&addressed.refine, &*api.dialect, &mut head.headers);
    let (method, leg) = (head.method.clone(), Leg { abort, version: head.version });
    if !plan.passes() {
        digests.write(&mut head.headers);
    }
    if !plan.passes_answer() {
        View::of(&plan.rights).unmark(&method, &mut head.headers);
    }
    let describes = matches!(operation.target, Target::Service)
        && operation.verb == Verb::Describe
        && !plan.passes();
    let fields = if describes { head.headers.clone() } else { HeaderMap::new() };
    if describes {
        // It is read and written anew, which is not worth a coding.
        head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let carried = Carried::of(&head.headers, plan.passes(), upgrade.is_some());
    let mut request = upstream_request(&plan, head, gate, &addressed.target, body, length, &proof)?;
    carried.restore(request.headers_mut());
    let again = repeatable(&request);
    let asked = sidecar.clock.instant();
    let response = door.pins.forward(gate, request, again).await?;
    record.answered(response.status(), sidecar.clock.instant() - asked);

    let (mut head, incoming) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked: the client would take for an answer what comes after it.
        let client = upgrade.ok_or(Code::UpstreamUnreadable)?;
        let cleared = record.conclude(sidecar, &tally).await?;
        return upgraded(door, head, client, cleared);
    }
    head::admit_answer(&head.headers)?;
    let after = head::after(&method, &head.headers);
    let carried = Carried::of(&head.headers, plan.passes_answer(), false);
    // The answer may hold what was sealed, under a newer key, while the request was on its way.
    let keys = sidecar.keys.snapshot();
    let (echoes, refine) = (&addressed.echoes, &addressed.refine);
    refining::admit(refine, &*api.dialect, &head)?;
    let opening = Opening { plan: &plan, keys: &keys, written: &written, echoes, refine, idle };
    let opened = opening.open(&head, opening::has_body(&method, head.status), incoming).await?;
    opening.headers(&mut head.headers);
    let opened = match describes && head.status.is_success() {
        true => {
            let view = Head { method: &method, target: &target, headers: &fields };
            let annotate =
                |document: &[u8]| api.dialect.describe(view, document, &rules.described());
            opened.described(annotate).await?
        }
        false => opened,
    };
    let targets = (&*target, &*addressed.target);
    refining::restate(refine, &*api.dialect, targets, &opened, &mut head);

    head::remove_hop_by_hop(&mut head.headers);
    carried.restore(&mut head.headers);
    leg.close(&mut head.headers, after);
    release(sidecar, record, leg.abort, tally, head, opened).await
}

/// What of the client's connection an answer has to know.
struct Leg {
    abort: Option<Abort>,
    version: Version,
}

impl Leg {
    /// A client whose API closes its connection is told so, as it would be without us.
    fn close(&self, headers: &mut http::HeaderMap, after: After) {
        if after == After::Close && self.version < Version::HTTP_2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Finds the API. `target` is how the target came, if the HTTP library was given another spelling.
fn address<'d>(
    door: &'d Door,
    head: &request::Parts,
    target: Option<String>,
) -> Result<(&'d Gate, String), Refusal> {
    let named = head.uri.path_and_query().map_or("/", |target| target.as_str());
    door.gate(target.as_deref().unwrap_or(named)).ok_or_else(|| Code::NoApi.into())
}

/// Refuses heads that mean different things to different readers.
fn admit(head: &request::Parts, fault: Option<Fault>) -> Result<(), Refusal> {
    match fault {
        Some(fault) => Err(fault.into()),
        None => head::admit(head),
    }
}

/// The client's end of a connection that is to become something else, where the policy lets it.
fn upgrade(head: &mut request::Parts, upgrades: Upgrades) -> Option<OnUpgrade> {
    // RFC 9110 §7.8: in HTTP/1.0 it is ignored.
    let asks = head.version == Version::HTTP_11 && head::asks_upgrade(&head.headers);
    if upgrades == Upgrades::Refused || !asks {
        return None;
    }
    head.extensions.remove::<OnUpgrade>()
}

/// Lets a connection become what the API agreed to.
fn upgraded(
    door: &Arc<Door>,
    mut head: response::Parts,
    client: OnUpgrade,
    cleared: Cleared,
) -> Result<Response<AnyBody>, Refusal> {
    let Some(server) = head.extensions.remove::<OnUpgrade>() else {
        return Err(Code::UpstreamUnreadable.into());
    };
    door.notes.release();
    tokio::spawn(tunnel::carry(client, server, door.clone()));
    Ok(released(head, body::none(), cleared))
}

/// Asks the dialect what the request is. An API without entities is not looked at.
fn classify(
    api: &Served,
    head: &request::Parts,
    target: &str,
    upgrades: Upgrades,
) -> Result<Operation, Refusal> {
    if api.is_open {
        return Ok(Operation::unexamined());
    }
    head::admit_protected(&head.headers, upgrades)?;
    api.dialect.classify(Head { method: &head.method, target, headers: &head.headers })
}

/// The request for upstream. Asks for the proof that its body was sealed.
fn upstream_request(
    plan: &Plan,
    mut head: request::Parts,
    gate: &Gate,
    target: &str,
    body: AnyBody,
    length: Option<u64>,
    _proof: &Sealed,
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
    let (uri, raw) = gate.upstream.locate(target)?;
    head.uri = uri;
    if let Some(raw) = raw {
        head.extensions.insert(raw);
    }
    if head.version == Version::HTTP_2 {
        head::join_cookies(&mut head.headers);
    }
    head.version = Version::HTTP_11;
    head::remove_hop_by_hop(&mut head.headers);
    // The body was read already, or is read as it is sent: nobody waits for a 100 upstream.
    head.headers.remove(header::EXPECT);
    if !plan.passes() {
        head::remove_copies(&mut head.headers);
    }
    // Of an answer that passes as it is, any coding and any part will do.
    if !plan.passes_answer() {
        head::prepare_protected(&mut head.headers);
    }
    if let Some(length) = length {
        head::set_length(&mut head.headers, length);
    } else if !body.is_end_stream() && !head.headers.contains_key(header::CONTENT_LENGTH) {
        // Without it, the HTTP library would leave out the body of a method that rarely has one.
        head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(Request::from_parts(head, body))
}

/// The same request once more, if nothing changes by doing it twice.
fn repeatable(request: &Request<AnyBody>) -> Option<Request<AnyBody>> {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(body::none());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

/// Lets an answer go, once it is on record.
async fn release(
    sidecar: &Arc<Sidecar>,
    record: &Record,
    abort: Option<Abort>,
    mut tally: Tally,
    mut head: response::Parts,
    opened: Opened,
) -> Result<Response<AnyBody>, Refusal> {
    head.version = Version::HTTP_11;
    match opened {
        Opened::Nothing => {
            // The length that a body would have had is not the length of what was opened, and
            // nobody else may keep what this is about.
            head.headers.remove(header::CONTENT_LENGTH);
            if head.headers.contains_key(header::CACHE_CONTROL) {
                head::keep_private(&mut head.headers);
            }
            let cleared = record.conclude(sidecar, &tally).await?;
            Ok(released(head, body::none(), cleared))
        }
        Opened::Through(incoming) => {
            let cleared = record.conclude(sidecar, &tally).await?;
            Ok(released(head, body::through(incoming, abort), cleared))
        }
        Opened::Whole(bytes, opened, _) => {
            tally.add(&opened);
            if !opened.is_empty() {
                head::keep_private(&mut head.headers);
            }
            let cleared = record.conclude(sidecar, &tally).await?;
            head::set_length(&mut head.headers, bytes.len() as u64);
            Ok(released(head, body::whole(bytes.into()), cleared))
        }
        Opened::Long(long) => {
            head::keep_private(&mut head.headers);
            head.headers.remove(header::CONTENT_LENGTH);
            let cleared = record.open(sidecar, &tally).await?;
            let (body, feed) = body::windows(abort);
            tokio::spawn(follow(sidecar.clone(), record.clone(), tally, *long, feed));
            Ok(released(head, body, cleared))
        }
    }
}

/// The answer itself. Asks for the leave that only the record gives.
fn released(head: response::Parts, body: AnyBody, _leave: Cleared) -> Response<AnyBody> {
    Response::from_parts(head, body)
}

/// The rest of a long answer, window by window. If it fails the feed is dropped, and the answer
/// ends in a reset: its head has gone, so there is no other way to say so.
async fn follow(
    sidecar: Arc<Sidecar>,
    record: Record,
    mut tally: Tally,
    mut long: Long,
    feed: Feed,
) {
    let idle = sidecar.limits.body_idle;
    let outcome = async {
        loop {
            let window = std::mem::take(&mut long.held);
            // The client has gone, or takes nothing; dropping the answer cancels it upstream.
            if !window.is_empty() && !feed.send(window.into(), idle).await {
                return Ok(None);
            }
            let advanced = tokio::select! {
                () = feed.closed() => return Ok(None),
                advanced = long.advance() => advanced?,
            };
            if !advanced {
                return long.finish().map(Some);
            }
        }
    }
    .await;
    match outcome {
        Ok(Some((rest, opened))) => {
            tally.add(&opened);
            if record.close(&sidecar, &tally, None).await
                && (rest.is_empty() || feed.send(rest.into(), idle).await)
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
