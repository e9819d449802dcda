//! Health, readiness and metrics, on a listener of their own.

use std::{
    convert::Infallible,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{net::UnixListener, sync::watch};

use super::{
    Sidecar,
    accept::Socket,
    body::{self, AnyBody},
    stream::Stream,
};
use crate::{base::day::Day, keys::Freshness};

/// How long the head of a request may take before there are limits of a sidecar.
const HEAD: Duration = Duration::from_secs(10);

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

    /// What somebody should look at, though it is no reason to be unready.
    fn warnings(&self, sidecar: &Sidecar) -> Vec<String> {
        let today = Day::of(sidecar.clock.wall());
        let overdue = sidecar.revision.load().policy.overdue(today);
        let migrations = overdue.into_iter().map(|found| found.message);
        self.warnings.iter().cloned().chain(migrations).collect()
    }
}

/// Answers for a sidecar that has not started yet, and says what it waits for, until it is dropped.
pub async fn starting(sockets: [Option<&Socket>; 2], state: &watch::Receiver<String>) {
    let [one, other] = sockets.map(|socket| not_yet(socket, state));
    tokio::join!(one, other);
}

async fn not_yet(socket: Option<&Socket>, state: &watch::Receiver<String>) {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        let (stream, _, _) = socket.next().await;
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = match request.uri().path() {
                    "/livez" => text(StatusCode::OK, "text/plain", "ok\n".into()),
                    "/readyz" => {
                        let reasons = ["starting".to_owned(), state.borrow().clone()];
                        let body = serde_json::json!({"ready": false, "reasons": reasons});
                        let status = StatusCode::SERVICE_UNAVAILABLE;
                        text(status, "application/json", format!("{body}\n"))
                    }
                    _ => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "starting\n".into()),
                };
                async move { Ok::<_, Infallible>(response) }
            });
            // One answer for each connection: the next one may be of a sidecar that has started.
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
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
                "warnings": readiness.warnings(sidecar),
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
