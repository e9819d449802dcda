//! Refusals become answers here and nowhere else, and are recorded on the way.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::{
    Sidecar,
    body::{self, AnyBody},
    record::Record,
};
use crate::{
    base::refusal::{Blame, Code, Refusal},
    dialect::ErrorBody,
};

/// The header that every refusal of ours carries.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("labseal-error");

/// Answers with a refusal, in the shape of the API where it is known.
pub fn refuse(sidecar: &Sidecar, record: &Record, refusal: &Refusal) -> Response<AnyBody> {
    log(record, refusal);
    sidecar.metrics.refused(refusal.code);
    record.refused(sidecar, refusal);

    let ErrorBody { content_type, body } = match record.api() {
        Some(api) => api.dialect.refuse(refusal, record.id()),
        None => plain(refusal),
    };
    let mut response = Response::new(body::whole(body.into()));
    *response.status_mut() =
        StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ERROR_HEADER, HeaderValue::from_static(refusal.code.number()));
    match refusal.code {
        Code::InvalidCredential => {
            let scheme = HeaderValue::from_static("Labseal realm=\"labseal\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        Code::AuditUnavailable
        | Code::KeysExpired
        | Code::KeysStale
        | Code::KeysUnavailable
        | Code::UnknownKey => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

/// Writes a refusal to the log: names, codes, causes of our own making.
pub fn log(record: &Record, refusal: &Refusal) {
    let (request, code) = (record.id(), refusal.code.number());
    let (field, operator) = (refusal.field.as_deref(), refusal.operator);
    // Causes may quote what came from outside in their text, so only their kind is told: the
    // deepest one that is an I/O error says what happened on the wire.
    let cause = cause(refusal);
    match refusal.code.blame() {
        Blame::Caller => tracing::info!(%request, code, field, operator, cause, "refused"),
        Blame::Service | Blame::Upstream => {
            tracing::warn!(%request, code, field, operator, cause, "failed");
        }
    }
}

fn cause(refusal: &Refusal) -> Option<String> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(refusal);
    let mut kind = None;
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            kind = Some(io.kind().to_string());
        } else if error.is::<tokio::time::error::Elapsed>() {
            kind = Some("timed out".to_owned());
        }
        next = error.source();
    }
    kind
}

/// The answer where no dialect is known yet: RFC 9457.
fn plain(refusal: &Refusal) -> ErrorBody {
    let body = serde_json::json!({
        "title": refusal.code.title(),
        "status": refusal.code.status(),
        "code": refusal.code.number(),
        "detail": refusal.details(),
        "hint": refusal.hint(),
    });
    ErrorBody { content_type: "application/problem+json", body: body.to_string().into_bytes() }
}
