//! A connection's bytes: TCP or Unix, and the way to end a TCP one with a reset.
//!
//! A chunked answer that stops short is seen as short by every client, but an answer that ends with
//! the connection is not: there, only a reset tells a cut from an end. So whoever breaks off an
//! answer says so with [`Abort`], and the socket is then closed with `SO_LINGER` zero.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::Sleep,
};

/// Says that the connection must not look cleanly ended.
#[derive(Clone, Debug, Default)]
pub struct Abort(Arc<AtomicBool>);

impl Abort {
    /// From now on, closing the connection resets it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a connection of HTTP/2 begins with (RFC 9113 §3.4). While all that has come is a part of it,
/// the server cannot tell which protocol is spoken, and has no timeout of its own.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose first bytes must come within a time.
pub struct Prompt<S> {
    inner: S,
    deadline: Pin<Box<Sleep>>,
    /// How much of the preface has come; `None` once something else has, or all of it.
    preface: Option<usize>,
}

impl<S> Prompt<S> {
    /// From now on, the first bytes have `within` to come.
    pub fn new(inner: S, within: Duration) -> Self {
        Self { inner, deadline: Box::pin(tokio::time::sleep(within)), preface: Some(0) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(had) = self.preface else { return Pin::new(&mut self.inner).poll_read(cx, buf) };
        let before = buf.filled().len();
        if Pin::new(&mut self.inner).poll_read(cx, buf)?.is_pending() {
            return self.deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        let came = buf.filled().get(before..).unwrap_or_default();
        let rest = PREFACE.get(had..).unwrap_or_default();
        let undecided = came.len() < rest.len() && rest.starts_with(came) && !came.is_empty();
        self.preface = undecided.then_some(had + came.len());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The bytes of one accepted connection.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    abort: Abort,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Over TCP.
    pub fn tcp(socket: TcpStream, abort: Abort) -> Self {
        Self { socket: Socket::Tcp(socket), abort }
    }

    /// Over a Unix socket, which has no reset: closing early is all there is.
    pub fn unix(socket: UnixStream, abort: Abort) -> Self {
        Self { socket: Socket::Unix(socket), abort }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let (Socket::Tcp(socket), true) = (&self.socket, self.abort.is_set()) {
            // If this fails the peer sees a plain close, which is the best that is left.
            let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Socket::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Socket::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.abort.is_set() {
            // An orderly shutdown would send the clean end that must not be seen.
            return Poll::Ready(Ok(()));
        }
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_say_what_it_speaks_is_given_up() {
        for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
            let (mut far, near) = tokio::io::duplex(64);
            let mut near = Prompt::new(near, Duration::from_secs(30));
            far.write_all(said).await.unwrap();
            let end = near.read_to_end(&mut Vec::new()).await;
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::TimedOut, "{said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_begun_may_be_silent() {
        for said in [&b"GET / HTTP/1.1\r\n"[..], PREFACE] {
            let (mut far, near) = tokio::io::duplex(64);
            let mut near = Prompt::new(near, Duration::from_secs(30));
            far.write_all(said).await.unwrap();
            let late = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                far.write_all(b"x").await.unwrap();
            });
            let mut got = Vec::new();
            near.read_to_end(&mut got).await.unwrap();
            assert_eq!(got.len(), said.len() + 1);
            late.await.unwrap();
        }
    }
}
