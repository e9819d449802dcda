//! What labseal adds to one exchange: a client on one kept connection, an API that answers at once,
//! and between them nothing, labseal in front of an API without protected fields, or labseal
//! opening and sealing ten fields of a record of 500 bytes.
//!
//! Opening waits until the audit log is on disk once, sealing twice; that is most of what is measured
//! where the temporary folder is on a disk. With `TMPDIR` on a memory file system the rest shows.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, OnceLock},
    thread,
};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use labseal::{
    app::{
        App, Running,
        custody::{self, Asking},
    },
    base::{clock::SystemClock, digest::Digest},
    config::Config,
    keys::Keys,
};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

const POLICY: &str = r#"
apiVersion: labseal/v1
kind: Policy
classes:
  mrn:       {id: c-mrn, mode: deterministic, type: text, mask: {keep_last: 2}}
  accession: {id: c-acc, mode: deterministic, type: text, mask: {keep_last: 2}}
  name:      {id: c-name, mode: searchable, type: text, match: [ieq, eq], mask: {keep_first: 1}}
  detail:    {id: c-detail, mode: random, type: text, mask: {"null": true}}
callers:
  lims: {api_key: {header: X-Api-Key, sha256_file: lims.sha256}}
grants:
  lims: {"*": {read: clear, filter: allow, write: allow}}
apis:
  - {name: plain-db, dialect: postgrest}
  - name: lab-db
    dialect: postgrest
    entities:
      public.patients:
        fields:
          mrn: {class: mrn}
          accession: {class: accession}
          last_name: {class: name}
          first_name: {class: name}
          birth_date: {class: detail}
          phone: {class: detail}
          street: {class: detail}
          insurance: {class: detail}
          result: {class: detail}
          notes: {class: detail}
"#;

/// Half a kilobyte, ten fields of which are sealed.
const RECORD: &str = r#"{"id":41873,"mrn":"MRN-00483920","accession":"A-2026-118823","last_name":"Haverkamp-Oyelaran","first_name":"Wilhelmina","birth_date":"1957-03-14","phone":"+49 441 5550173","street":"Lerchenstrasse 112, 26123 Oldenburg","insurance":"X 114 820 377","result":"13.62 mmol/l","notes":"fasting since 22:00, repeat in six weeks","ward":"haematology","status":"final","priority":"routine","analyzer":"COBAS-8000-2","collected_at":"2026-11-24T06:15:00+00:00","resulted_at":"2026-11-24T07:02:13+00:00"}"#;

const KEY: &str = "a key of the bench, for nothing else";

/// An API that answers reads with the first record that was written to it.
struct Api {
    address: SocketAddr,
}

impl Api {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        // A thread of its own, which ends with the process.
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let stored = Arc::new(OnceLock::new());
                while let Ok((socket, _)) = listener.accept().await {
                    socket.set_nodelay(true).unwrap();
                    let stored = stored.clone();
                    let answer = service_fn(move |request| answer(request, stored.clone()));
                    let connection =
                        http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
                    tokio::spawn(connection);
                }
            });
        });
        Self { address }
    }
}

async fn answer(
    request: Request<Incoming>,
    stored: Arc<OnceLock<Bytes>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let is_read = request.method() == Method::GET;
    let body = request.into_body().collect().await?.to_bytes();
    let (status, body) = match is_read {
        true => (StatusCode::OK, stored.get().cloned().unwrap_or_default()),
        false => {
            stored.get_or_init(|| body);
            (StatusCode::CREATED, Bytes::new())
        }
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// The whole of labseal in this process, with two listeners: without and with protected fields.
struct Sidecar {
    runtime: Runtime,
    running: Running,
    _folder: TempDir,
}

impl Sidecar {
    fn start(upstream: SocketAddr) -> Self {
        let folder = TempDir::with_prefix("labseal-bench-").unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("policy.yaml"), POLICY).unwrap();
        private(&at("lims.sha256"), &Digest::of(&[KEY.as_bytes()]).to_string());
        private(&at("passphrase"), "a passphrase of the bench, for nothing else");
        let config = format!(
            r#"
apiVersion: labseal/v1
kind: Config
policy: policy.yaml
listeners: [{{name: plain, bind: "127.0.0.1:0"}}, {{name: lab, bind: "127.0.0.1:0"}}]
apis:
  - {{name: plain-db, listener: plain, path_prefix: /, upstream: "http://{upstream}"}}
  - {{name: lab-db, listener: lab, path_prefix: /, upstream: "http://{upstream}"}}
keys:
  store: "sqlite:labseal.db"
  provider: {{kind: file, path: root.key, passphrase: "file:passphrase"}}
tenant: bench
audit: {{dir: audit}}
"#
        );
        fs::write(at("labseal.yaml"), config).unwrap();
        let config = Config::load(&at("labseal.yaml")).unwrap();
        let provider = custody::provider(&config, Asking::Once).unwrap();
        let store = custody::store_address(&config).unwrap();
        Keys::create(&store, &*provider, &config.tenant, Arc::new(SystemClock)).unwrap();
        let runtime = Runtime::new().unwrap();
        let running = runtime.block_on(App::start(config, None)).unwrap();
        Self { runtime, running, _folder: folder }
    }

    fn address(&self, listener: &str) -> SocketAddr {
        let mut all = self.running.addresses().iter();
        all.find(|(name, _)| name == listener).and_then(|(_, address)| *address).unwrap()
    }

    fn stop(self) {
        self.runtime.block_on(self.running.stop());
    }
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// One kept connection, over which the same request goes again and again.
struct Client {
    socket: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    fn reading(to: SocketAddr) -> Self {
        Self::new(to, format!("GET /patients?id=eq.41873 HTTP/1.1\r\n{}\r\n", head()))
    }

    fn writing(to: SocketAddr) -> Self {
        let framing =
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", RECORD.len());
        Self::new(to, format!("POST /patients HTTP/1.1\r\n{}{framing}\r\n{RECORD}", head()))
    }

    fn new(to: SocketAddr, request: String) -> Self {
        let socket = TcpStream::connect(to).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, request: request.into_bytes(), buffer: vec![0; 16 << 10] }
    }

    /// Sends the request, and gives the answer once all of it came.
    fn exchange(&mut self) -> (&str, &str) {
        self.socket.write_all(&self.request).unwrap();
        let mut filled = 0;
        let end = loop {
            let count = self.socket.read(&mut self.buffer[filled..]).unwrap();
            assert!(count > 0, "the connection was not kept");
            filled += count;
            if let Some(end) = memchr::memmem::find(&self.buffer[..filled], b"\r\n\r\n") {
                break end + 4;
            }
        };
        let length = length(std::str::from_utf8(&self.buffer[..end]).unwrap());
        self.socket.read_exact(&mut self.buffer[filled..(end + length).max(filled)]).unwrap();
        let answer = std::str::from_utf8(&self.buffer[..end + length]).unwrap();
        answer.split_at(end)
    }
}

fn head() -> String {
    format!("Host: lab.local\r\nX-Api-Key: {KEY}\r\n")
}

fn length(head: &str) -> usize {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    found.unwrap().1.trim().parse().unwrap()
}

fn exchanges(criterion: &mut Criterion) {
    let api = Api::start();
    let sidecar = Sidecar::start(api.address);
    let (plain, lab) = (sidecar.address("plain"), sidecar.address("lab"));

    // What is measured is what it says it is: ten fields stored sealed, and opened to what was sent.
    assert!(Client::writing(lab).exchange().0.starts_with("HTTP/1.1 201"));
    let stored = Client::reading(api.address).exchange().1.to_owned();
    assert_eq!(stored.matches("\"ls1").count(), 10, "{stored}");
    assert_eq!(Client::reading(plain).exchange().1, stored);
    assert_eq!(Client::reading(lab).exchange().1, RECORD);

    let mut group = criterion.benchmark_group("exchange");
    for (name, mut client) in [
        ("read/direct", Client::reading(api.address)),
        ("read/nothing protected", Client::reading(plain)),
        ("read/open ten fields", Client::reading(lab)),
        ("write/direct", Client::writing(api.address)),
        ("write/nothing protected", Client::writing(plain)),
        ("write/seal ten fields", Client::writing(lab)),
    ] {
        group.bench_function(name, |bench| bench.iter(|| client.exchange().1.len()));
    }
    group.finish();
    sidecar.stop();
}

criterion_group!(benches, exchanges);
criterion_main!(benches);
