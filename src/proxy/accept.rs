//! Connections: accept, TLS, who is at the other end, and an orderly stop.
//!
//! The accept loop never waits for a peer: handshakes and reading happen in the connection's task.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderMap, Version};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Sidecar,
    exchange::exchange,
    heads::{Note, Notes},
    pace::{Paced, Turns},
    pin::Pins,
    stream::{Abort, Stream},
    strict::MOST_FIELDS,
    upstream::Upstream,
    watch::{Patience, Watched},
};
use crate::{
    auth::{Facts, PeerCertificate, UnixPeer},
    base::ident::ApiName,
};

/// One API behind a listener.
pub struct Gate {
    /// Its name in the policy.
    pub name: ApiName,
    /// The part of the path before the API's first slash; empty for none.
    pub prefix: String,
    /// The way to it.
    pub upstream: Upstream,
}

/// A listener that was bound.
pub struct Listener {
    /// Its name in the configuration.
    pub name: String,
    /// The socket.
    pub socket: Socket,
    /// TLS, unless it is loopback or Unix.
    pub tls: Option<TlsAcceptor>,
    /// The APIs behind it, longest prefix first.
    pub gates: Arc<[Gate]>,
}

/// What a listener listens on.
pub enum Socket {
    /// An address.
    Tcp(TcpListener),
    /// A path.
    Unix(UnixListener),
}

impl Socket {
    /// The address, of a TCP socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

/// One connection, as far as exchanges need to know it.
pub struct Door {
    gates: Arc<[Gate]>,
    certificate: Option<PeerCertificate>,
    unix_peer: Option<UnixPeer>,
    abort: Abort,
    /// What was seen of each head of HTTP/1 before the library had it.
    pub notes: Notes,
    /// The upstream connections that are this one's own.
    pub pins: Pins,
    /// Given back when the connection is no more, be it a tunnel by then.
    _place: OwnedSemaphorePermit,
}

impl Door {
    /// The API that serves `target`, and the target from that API's first slash on.
    pub fn gate(&self, target: &str) -> Option<(&Gate, String)> {
        self.gates.iter().find_map(|gate| {
            let rest = target.strip_prefix(gate.prefix.as_str())?;
            match rest.as_bytes().first() {
                Some(b'/') => Some((gate, rest.to_owned())),
                None | Some(b'?') => Some((gate, format!("/{rest}"))),
                // `OPTIONS *` is for the server, which is the API without a prefix.
                Some(b'*') if rest == "*" => Some((gate, rest.to_owned())),
                Some(_) => None,
            }
        })
    }

    /// What is known of the caller.
    pub fn facts<'a>(&'a self, headers: &'a HeaderMap) -> Facts<'a> {
        Facts { headers, certificate: self.certificate.as_ref(), unix_peer: self.unix_peer }
    }

    /// What was seen of the head of the request that has just begun.
    pub fn note(&self, version: Version) -> Note {
        if version < Version::HTTP_2 { self.notes.next() } else { Note::default() }
    }

    /// How to break off an answer so that it does not look complete. HTTP/2 has its own reset.
    pub fn abort(&self, version: Version) -> Option<Abort> {
        (version < Version::HTTP_2).then(|| self.abort.clone())
    }
}

/// Accepts on one listener until `stop` says so, then waits for what is in flight, up to the drain
/// limit. `places` are for the connections of all listeners together.
pub async fn serve(
    listener: Listener,
    sidecar: Arc<Sidecar>,
    places: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    // Each connection holds the sender; when all are gone, so are the connections.
    let (alive, mut gone) = mpsc::channel(1);
    let listener = Arc::new(listener);
    loop {
        let place = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            place = places.clone().acquire_owned() => match place {
                Ok(place) => place,
                // Nobody closes it; if somebody did, nothing could be accepted any more.
                Err(_) => break,
            },
        };
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.socket.next() => accepted,
        };
        let (stream, abort, unix_peer) = accepted;
        let door = Door {
            gates: listener.gates.clone(),
            certificate: None,
            unix_peer,
            abort,
            notes: Notes::default(),
            pins: Pins::default(),
            _place: place,
        };
        let (listener, sidecar) = (listener.clone(), sidecar.clone());
        let ending = Ending { stop: stop.clone(), _alive: alive.clone() };
        tokio::spawn(connection(listener, sidecar, stream, door, ending));
    }
    drop((listener, alive));
    if timeout(sidecar.limits.drain, gone.recv()).await.is_err() {
        tracing::warn!("exchanges were still in flight at the end of the drain time");
    }
}

/// What a connection ends with: an order to, and the news that it has.
struct Ending {
    stop: watch::Receiver<bool>,
    _alive: mpsc::Sender<Infallible>,
}

/// How long a client of HTTP/2 has to agree that its connection ends, once nothing is under way.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A connection, what breaks it off, and who is at its other end if the system knows.
pub type Accepted = (Stream, Abort, Option<UnixPeer>);

impl Socket {
    /// The next connection. Failures to accept are logged and waited out.
    pub async fn next(&self) -> Accepted {
        loop {
            match self.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "accepting a connection failed");
                    // Gives a machine that is out of descriptors time to get some back.
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        let abort = Abort::default();
        match self {
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok((Stream::tcp(socket, abort.clone()), abort, None))
            }
            Self::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                let peer = socket.peer_cred()?;
                let peer = UnixPeer { uid: peer.uid(), gid: peer.gid() };
                Ok((Stream::unix(socket, abort.clone()), abort, Some(peer)))
            }
        }
    }
}

async fn connection(
    listener: Arc<Listener>,
    sidecar: Arc<Sidecar>,
    stream: Stream,
    mut door: Door,
    ending: Ending,
) {
    let Some(acceptor) = &listener.tls else {
        return exchanges(sidecar, stream, door, ending).await;
    };
    let Ok(Ok(stream)) = timeout(sidecar.limits.head, acceptor.accept(stream)).await else {
        tracing::info!(listener = listener.name, "a TLS handshake failed");
        return;
    };
    let certificates = stream.get_ref().1.peer_certificates();
    door.certificate =
        match certificates.and_then(|chain| chain.first()).map(|leaf| PeerCertificate::parse(leaf))
        {
            None => None,
            Some(Ok(certificate)) => Some(certificate),
            Some(Err(_)) => {
                // It verified, so this is a form of certificate that we cannot name a caller by.
                tracing::info!(listener = listener.name, "a client certificate cannot be read");
                return;
            }
        };
    exchanges(sidecar, stream, door, ending).await;
}

async fn exchanges<S>(sidecar: Arc<Sidecar>, stream: S, door: Door, mut ending: Ending)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let limits = sidecar.limits;
    let patience = Patience { head: limits.head, stalled: limits.body_idle };
    let (notes, abort) = (door.notes.clone(), door.abort.clone());
    let stream = Watched::new(stream, notes.clone(), abort, patience, limits.head_bytes);
    let door = Arc::new(door);
    let mut builder = Builder::new(Paced(limits.body_idle));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .preserve_header_case(true)
        .max_headers(MOST_FIELDS)
        // What is respelled may grow by two bytes for one.
        .max_buf_size(3 * limits.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let turns = Turns::new();
    let begun = turns.clone();
    let service = service_fn(move |request| {
        let (sidecar, door, turn) = (sidecar.clone(), door.clone(), begun.begin());
        async move {
            let is_paced = request.version() == Version::HTTP_2;
            let answer = exchange(sidecar, door, request).await;
            Ok::<_, Infallible>(if is_paced { answer.map(|b| turn.answer(b)) } else { answer })
        }
    });
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let mut connection = std::pin::pin!(connection);
    // HTTP/1 has its own limits for what comes between two exchanges, and for what is written.
    let quiet = |time| {
        let (turns, notes) = (turns.clone(), notes.clone());
        async move {
            turns.quiet(time).await;
            if !notes.are_of_http_2() {
                std::future::pending::<()>().await;
            }
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = ending.stop.wait_for(|stop| *stop) => None,
        () = quiet(limits.head) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = async { sleep(LAST_WORDS).await; quiet(LAST_WORDS).await } => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(kind = broken(&*error), "a connection ended early");
    }
}

/// What ended a connection, without its words: they may quote bytes of a request.
fn broken(error: &(dyn std::error::Error + 'static)) -> &'static str {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_parse() => "malformed",
        Some(error) if error.is_timeout() => "timed out",
        Some(error) if error.is_incomplete_message() => "incomplete",
        Some(error) if error.is_user() => "broken off by us",
        Some(_) | None => "reset",
    }
}
