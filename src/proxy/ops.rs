//! Health, readiness and metrics, on a listener of their own.

use std::{
    convert::Infallible,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::net::UnixListener;

use super::{
    Sidecar,
    accept::Socket,
    body::{self, AnyBody},
    stream::Stream,
};
use crate::keys::Freshness;

/// What readiness depends on besides the parts that know it themselves.
#[derive(Debug, Default)]
pub struct Readiness {
    /// The sidecar is stopping.
    pub draining: AtomicBool,
    /// The key store could not be read when it was last asked.
    pub keys_stale: AtomicBool,
    /// What hardening of memory failed at start; told, but no reason to be unready.
    pub warnings: Vec<String>,
}

impl Readiness {
    /// Why the sidecar should get no requests now. Empty: it should.
    fn reasons(&self, sidecar: &Sidecar) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Acquire) {
            reasons.push("draining");
        }
        if self.keys_stale.load(Ordering::Acquire) {
            reasons.push("the key store cannot be read");
        }
        match sidecar.keys.freshness() {
            Freshness::Expired => {
                reasons.push(
                    "the key store was out of reach for longer than keys.grace: nothing is opened",
                );
            }
            Freshness::Fresh => {}
            Freshness::Stale => {
                reasons.push(
                    "the key store was out of reach for longer than keys.lease: nothing is sealed",
                );
            }
        }
        if !sidecar.audit.is_writable() {
            reasons.push("the audit log cannot be written");
        }
        reasons
    }
}

/// Serves the ops endpoints until the task is dropped.
pub async fn serve(socket: Socket, sidecar: Arc<Sidecar>, readiness: Arc<Readiness>) {
    loop {
        let (stream, _, _) = socket.next().await;
        tokio::spawn(exchanges(stream, sidecar.clone(), readiness.clone()));
    }
}

/// Binds a Unix socket that only its owner may use, replacing what a dead process left behind.
pub fn bind_unix(path: &Path, mode: u32) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(std::io::ErrorKind::AlreadyExists.into()),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

async fn exchanges(stream: Stream, sidecar: Arc<Sidecar>, readiness: Arc<Readiness>) {
    let service = service_fn(|request| {
        let response = answer(&sidecar, &readiness, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(sidecar.limits.head);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn answer(
    sidecar: &Sidecar,
    readiness: &Readiness,
    request: &Request<Incoming>,
) -> Response<AnyBody> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "use GET\n".into());
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "text/plain", "ok\n".into()),
        "/readyz" => {
            let reasons = readiness.reasons(sidecar);
            let status =
                if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let body = serde_json::json!({
                "ready": reasons.is_empty(),
                "reasons": reasons,
                "warnings": readiness.warnings,
            });
            text(status, "application/json", format!("{body}\n"))
        }
        "/metrics" => {
            sidecar.metrics.keys_are(sidecar.keys.freshness());
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            text(StatusCode::OK, kind, sidecar.metrics.encode())
        }
        _ => text(StatusCode::NOT_FOUND, "text/plain", "/livez /readyz /metrics\n".into()),
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<AnyBody> {
    let mut response = Response::new(body::whole(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
