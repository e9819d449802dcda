//! A client's connection as the HTTP library gets it: only heads that were looked at come out of it,
//! and neither a peer that says nothing nor one that reads nothing keeps it for ever.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    heads::{Follower, Notes},
    stream::Abort,
};

/// How much is read at a time where it has to be looked at.
const PIECE: usize = 16 << 10;

/// How long, and how much, what nobody will read is still taken after the answer has gone: closing
/// with bytes unread would tear down the connection, and the answer with it (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 << 20;

/// Times of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first head to come.
    pub head: Duration,
    /// For a client to take more of an answer.
    pub stalled: Duration,
}

/// A connection that is watched.
pub struct Watched<S> {
    inner: S,
    follower: Follower,
    /// How much of `follower.out` has gone on.
    given: usize,
    patience: Patience,
    abort: Abort,
    first: Pin<Box<Sleep>>,
    stalled: Option<Pin<Box<Sleep>>>,
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
    piece: Box<[u8]>,
}

impl<S> Watched<S> {
    /// From now on, the first head has its time to come. Heads may have `most` bytes.
    pub fn new(inner: S, notes: Notes, abort: Abort, patience: Patience, most: usize) -> Self {
        Self {
            inner,
            follower: Follower::new(notes, most),
            given: 0,
            patience,
            abort,
            first: Box::pin(tokio::time::sleep(patience.head)),
            stalled: None,
            lingering: None,
            piece: Box::default(),
        }
    }

    /// Gives on what has been looked at; `false` if there is nothing.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let out = &mut self.follower.out;
        let rest = out.get(self.given..).unwrap_or_default();
        let (now, _) = rest.split_at(rest.len().min(buf.remaining()));
        let given = now.len();
        buf.put_slice(now);
        self.given += given;
        if self.given == out.len() {
            out.clear();
            self.given = 0;
        }
        given > 0
    }

    /// Ends a write that does not get on.
    fn timed<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let within = self.patience.stalled;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        ready!(stalled.as_mut().poll(cx));
        // What was sent so far must not look like all of it.
        self.abort.set();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            this.follower.resume();
            if buf.remaining() == 0 || this.give(buf) {
                return Poll::Ready(Ok(()));
            }
            if this.follower.has_stopped() {
                if this.follower.has_broken() {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                // Neither an end nor anything else: the answer that is due closes the connection.
                return Poll::Pending;
            }
            let free = usize::try_from(this.follower.free()).unwrap_or(usize::MAX);
            if free > 0 {
                // What was held may have been let go just now.
                if !this.follower.out.is_empty() {
                    continue;
                }
                let limit = free.min(buf.remaining());
                let mut part = ReadBuf::new(buf.initialize_unfilled_to(limit));
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
                let came = part.filled().len();
                buf.advance(came);
                this.follower.passed(came as u64);
                return Poll::Ready(Ok(()));
            }
            if this.follower.is_full(cx.waker()) {
                return Poll::Pending;
            }
            if this.piece.is_empty() {
                this.piece = vec![0; PIECE].into();
            }
            let mut part = ReadBuf::new(&mut this.piece);
            if Pin::new(&mut this.inner).poll_read(cx, &mut part)?.is_pending() {
                if this.follower.has_begun() {
                    return Poll::Pending;
                }
                // Until it has a first head, the HTTP library has no timeout of its own.
                ready!(this.first.as_mut().poll(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            // What came before a fault goes on first, or nobody would know what to refuse.
            let _ = this.follower.push(part.filled());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.timed(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            if !this.follower.is_midway() || this.abort.is_set() {
                return Poll::Ready(Ok(()));
            }
        }
        let until = || Box::pin(tokio::time::sleep_until(Instant::now() + LINGER));
        let (until, taken) = this.lingering.get_or_insert_with(|| (until(), 0));
        if this.piece.is_empty() {
            this.piece = vec![0; PIECE].into();
        }
        while *taken < LINGER_BYTES && until.as_mut().poll(cx).is_pending() {
            let mut part = ReadBuf::new(&mut this.piece);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part)) {
                Ok(()) if !part.filled().is_empty() => *taken += part.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PATIENCE: Patience =
        Patience { head: Duration::from_secs(30), stalled: Duration::from_secs(60) };

    fn watched<S>(inner: S) -> Watched<S> {
        Watched::new(inner, Notes::default(), Abort::default(), PATIENCE, 1 << 12)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_bring_a_whole_head_is_given_up() {
        for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"] {
            let (mut far, near) = tokio::io::duplex(64);
            let mut near = watched(near);
            far.write_all(said).await.unwrap();
            let end = near.read_to_end(&mut Vec::new()).await;
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::TimedOut, "{said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_begun_may_be_silent() {
        for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let (mut far, near) = tokio::io::duplex(64);
            let mut near = watched(near);
            far.write_all(said).await.unwrap();
            let late = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                far.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            });
            let mut got = Vec::new();
            near.read_to_end(&mut got).await.unwrap();
            assert_eq!(got.len(), said.len() + 18);
            late.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up_and_reset() {
        let (_far, near) = tokio::io::duplex(64);
        let abort = Abort::default();
        let mut near = Watched::new(near, Notes::default(), abort.clone(), PATIENCE, 1 << 12);
        let end = near.write_all(&[0; 100]).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(abort.is_set());
    }
}
