//! The demo's stand-in for a database API: a small PostgREST over SQLite, on a port of its own.
//!
//! It exists so that `labseal demo` needs nothing but the binary. It is reachable from nowhere else,
//! and nothing is proved with it: what labseal does in front of a real PostgREST is shown by the
//! tests. It knows nothing of labseal, and keeps the last requests it got, so that the demo can show
//! what arrived.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{database::Database, fault::Fault, query::Query, schema};

const BODY_LIMIT: usize = 4 << 20;
const REMEMBERED: usize = 32;

/// A running API. Dropping it stops it.
pub struct Api {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    database: Mutex<Database>,
    arrived: Mutex<VecDeque<Arrived>>,
}

/// A request as it arrived here.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: Bytes,
}

impl Api {
    /// Creates the tables in a new file at `path` and listens on a free port of the loopback.
    pub async fn start(path: &Path) -> anyhow::Result<Self> {
        let database = Database::create(path).context("cannot create the lab database")?;
        let arrived = Mutex::new(VecDeque::with_capacity(REMEMBERED));
        let shared = Arc::new(Shared { database: Mutex::new(database), arrived });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen on the loopback")?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last request that arrived.
    pub fn last(&self) -> Option<Arrived> {
        self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(serve(&shared, request).await) }
            });
            let io = TokioIo::new(stream);
            // A peer that goes away is no news here.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        });
    }
}

async fn serve(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let answered = match Limited::new(body, BODY_LIMIT).collect().await {
        Err(_) => Err(Fault::body()),
        Ok(body) => {
            let arrived = Arrived { method: head.method, target, body: body.to_bytes() };
            let answered = answer(shared, &arrived, &head.headers);
            let mut last = shared.arrived.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == REMEMBERED {
                last.pop_front();
            }
            last.push_back(arrived);
            answered
        }
    };
    answered.unwrap_or_else(|fault| plain(fault.status, fault.to_json(), "application/json"))
}

fn answer(
    shared: &Shared,
    request: &Arrived,
    headers: &HeaderMap,
) -> Result<Response<Full<Bytes>>, Fault> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let name = path.trim_matches('/');
    let table = schema::table(name).ok_or_else(|| Fault::table(name))?;
    let query = Query::parse(query, table)?;
    // Invariant: a statement that panics leaves no half-written row, for it is in a transaction.
    let mut database = shared.database.lock().unwrap_or_else(PoisonError::into_inner);
    let prefers = Prefers::of(headers);
    match request.method {
        Method::GET | Method::HEAD => {
            let rows = database.read(table, &query)?;
            list(StatusCode::OK, &rows, headers, query.offset)
        }
        Method::POST => {
            let rows = database.create_rows(table, &query, &request.body)?;
            prefers.changed(StatusCode::CREATED, StatusCode::CREATED, &rows, headers)
        }
        Method::PATCH => {
            let rows = database.update_rows(table, &query, &request.body)?;
            prefers.changed(StatusCode::OK, StatusCode::NO_CONTENT, &rows, headers)
        }
        Method::DELETE => {
            let rows = database.delete_rows(table, &query)?;
            prefers.changed(StatusCode::OK, StatusCode::NO_CONTENT, &rows, headers)
        }
        _ => Err(Fault::method(request.method.as_str())),
    }
}

/// What `Prefer: return=…` asks for.
enum Prefers {
    Minimal,
    Representation,
}

impl Prefers {
    fn of(headers: &HeaderMap) -> Self {
        let asked = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let wanted = "return=representation";
        match asked.flat_map(|value| value.split(',')).any(|word| word.trim() == wanted) {
            true => Self::Representation,
            false => Self::Minimal,
        }
    }

    fn changed(
        &self,
        full: StatusCode,
        empty: StatusCode,
        rows: &[String],
        headers: &HeaderMap,
    ) -> Result<Response<Full<Bytes>>, Fault> {
        match self {
            Self::Minimal => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = empty;
                Ok(response)
            }
            Self::Representation => {
                let mut response = list(full, rows, headers, 0)?;
                let value = header::HeaderValue::from_static("return=representation");
                response.headers_mut().insert("preference-applied", value);
                Ok(response)
            }
        }
    }
}

fn list(
    status: StatusCode,
    rows: &[String],
    headers: &HeaderMap,
    offset: u32,
) -> Result<Response<Full<Bytes>>, Fault> {
    const OBJECT: &str = "application/vnd.pgrst.object+json";
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.starts_with(OBJECT)) {
        let [row] = rows else { return Err(Fault::singular(rows.len())) };
        return Ok(plain(status, row.clone(), OBJECT));
    }
    let mut response = plain(status, format!("[{}]", rows.join(", \n ")), "application/json");
    let range = match rows.len() {
        0 => "*/*".to_owned(),
        count => format!("{offset}-{}/*", offset as usize + count - 1),
    };
    if let Ok(value) = range.parse() {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

fn plain(status: StatusCode, body: String, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = match kind {
        "application/json" => "application/json; charset=utf-8",
        other => other,
    };
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
