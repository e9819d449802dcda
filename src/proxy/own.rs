//! A connection to the database API that is not shared: for requests whose raw target the HTTP
//! library cannot name, for authentication that holds for a connection, and for tunnels.
//!
//! # Why
//! Such requests are rare, and the pooled client knows one kind of connection only. So they pay for a
//! connection of their own, over HTTP/1.1 because all three are things of HTTP/1.1. (2026-11)

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response, Uri, uri::PathAndQuery};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::body::AnyBody;
use crate::base::refusal::{Code, Refusal};

/// A target as it is to stand in the request line, where the HTTP library has another spelling.
#[derive(Clone, Debug)]
pub struct RawTarget(pub String);

/// How to make connections of one's own to one API.
pub struct Dial {
    base: Uri,
    tls: Arc<ClientConfig>,
    within: Duration,
    head_bytes: usize,
}

/// One such connection.
pub struct Own {
    sender: http1::SendRequest<AnyBody>,
}

impl Dial {
    /// To the API at `base`.
    pub fn new(base: Uri, mut tls: ClientConfig, within: Duration, head_bytes: usize) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { base, tls: Arc::new(tls), within, head_bytes }
    }

    /// A new connection. If `line` is given, it stands in the place of the first request line.
    pub async fn open(&self, line: Option<String>) -> Result<Own, Refusal> {
        let opened = tokio::time::timeout(self.within, self.connect(line)).await;
        match opened {
            Ok(Ok(own)) => Ok(own),
            Ok(Err(error)) => Err(Refusal::new(Code::UpstreamUnreachable).because(error)),
            Err(elapsed) => Err(Refusal::new(Code::UpstreamTimeout).because(elapsed)),
        }
    }

    async fn connect(&self, line: Option<String>) -> io::Result<Own> {
        let is_tls = self.base.scheme() == Some(&http::uri::Scheme::HTTPS);
        let host = self.base.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = self.base.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let socket = TcpStream::connect((host, port)).await?;
        socket.set_nodelay(true)?;
        let line = line.map(|line| FirstLine { line: line.into_bytes(), sent: 0, is_due: true });
        if !is_tls {
            return self.speak(Wire { inner: socket, line }).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = TlsConnector::from(self.tls.clone()).connect(name, socket).await?;
        self.speak(Wire { inner: session, line }).await
    }

    async fn speak<S>(&self, wire: Wire<S>) -> io::Result<Own>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(self.head_bytes)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(io::Error::other)?;
        // It ends when the sender and the body of the last answer are dropped.
        tokio::spawn(connection.with_upgrades());
        Ok(Own { sender })
    }
}

impl Own {
    /// Whether another request can be sent over it.
    pub async fn is_usable(&mut self) -> bool {
        let ready = tokio::time::timeout(Duration::from_secs(1), self.sender.ready()).await;
        matches!(ready, Ok(Ok(())))
    }

    /// Sends a request and waits for the head of the answer.
    pub async fn send(
        &mut self,
        mut request: Request<AnyBody>,
        within: Duration,
    ) -> Result<Response<Incoming>, Refusal> {
        // Over such a connection a target is path and query alone.
        let target = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
        match tokio::time::timeout(within, self.sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Refusal::new(Code::UpstreamUnreachable).because(error)),
            Err(elapsed) => Err(Refusal::new(Code::UpstreamTimeout).because(elapsed)),
        }
    }
}

/// A connection on which the first line written may be replaced.
struct Wire<S> {
    inner: S,
    line: Option<FirstLine>,
}

struct FirstLine {
    line: Vec<u8>,
    sent: usize,
    is_due: bool,
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(first) = &mut self.line {
            let rest = first.line.get(first.sent..).unwrap_or_default();
            if first.is_due || rest.is_empty() {
                break;
            }
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            first.sent += sent;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = &mut self.line
            && first.is_due
        {
            // The library writes a head in one piece. If it ever did not, an error is better than
            // another target.
            let Some(end) = memchr::memchr(b'\n', buf) else {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            };
            first.is_due = false;
            return Poll::Ready(Ok(end + 1));
        }
        ready!(self.poll_line(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_line(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
