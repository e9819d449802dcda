//! Bodies on the move: in memory, in the spool, streaming through, or window by window.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncSeekExt as _, AsyncWriteExt as _, ReadBuf},
    sync::mpsc,
    time::timeout,
};

use super::stream::Abort;

/// Any error that ends a body early. It never carries a byte of the body.
type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// A body of any of the kinds below.
pub type AnyBody = UnsyncBoxBody<Bytes, Boxed>;

/// Bytes at hand.
pub fn whole(bytes: Bytes) -> AnyBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// No bytes.
pub fn none() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that passes through; if it breaks, `abort` is set so that the break can be seen.
pub fn through(incoming: Incoming, abort: Option<Abort>) -> AnyBody {
    incoming
        .map_err(move |error| {
            if let Some(abort) = &abort {
                abort.set();
            }
            Boxed::from(error)
        })
        .boxed_unsync()
}

/// Where a sealed request body is kept until all of it is sealed: memory, then a private file.
///
/// The file has no name and holds sealed windows only.
#[derive(Default)]
pub struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    written: u64,
}

/// What a spool keeps in memory.
pub const SPOOL_MEMORY: usize = 1 << 20;

impl Spool {
    /// The buffer to append sealed windows to; call [`Spool::settle`] after each append.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// Moves what is in memory to the file once it is more than memory should hold.
    pub async fn settle(&mut self) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() <= SPOOL_MEMORY {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = tokio::task::spawn_blocking(tempfile::tempfile).await??;
                self.file.insert(File::from_std(file))
            }
        };
        file.write_all(&self.memory).await?;
        self.written += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// What was appended since it was last settled.
    pub fn unsettled(&self, from: usize) -> &[u8] {
        self.memory.get(from..).unwrap_or_default()
    }

    /// The whole body, with its exact length.
    pub async fn into_body(mut self) -> io::Result<(AnyBody, u64)> {
        let Some(mut file) = self.file.take() else {
            let length = self.memory.len() as u64;
            return Ok((whole(self.memory.into()), length));
        };
        file.write_all(&self.memory).await?;
        file.flush().await?;
        file.rewind().await?;
        let length = self.written + self.memory.len() as u64;
        Ok((FileBody { file, left: length, chunk: vec![0; 64 << 10] }.boxed_unsync(), length))
    }
}

/// A spooled body on its way.
struct FileBody {
    file: File,
    left: u64,
    chunk: Vec<u8>,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = Boxed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Boxed>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let mut buf = ReadBuf::new(&mut this.chunk);
        ready!(Pin::new(&mut this.file).poll_read(cx, &mut buf))?;
        let read = Bytes::copy_from_slice(buf.filled());
        if read.is_empty() {
            return Poll::Ready(Some(Err("the spool file is shorter than it was".into())));
        }
        this.left = this.left.saturating_sub(read.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(read))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// An answer that leaves window by window, fed by the task that opens them.
pub struct Windows {
    rest: mpsc::Receiver<Bytes>,
    abort: Option<Abort>,
    ended: bool,
}

/// Feeds a [`Windows`] body. Dropping it without [`Feed::end`] breaks the answer off.
pub struct Feed(mpsc::Sender<Bytes>);

impl Feed {
    /// Hands over one window; `false` once the client has gone, or takes nothing for so long.
    #[must_use]
    pub async fn send(&self, window: Bytes, within: Duration) -> bool {
        matches!(timeout(within, self.0.send(window)).await, Ok(Ok(())))
    }

    /// Returns once the client has gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Ends the answer cleanly: an empty window is the mark of the end.
    pub async fn end(self) {
        let _ = self.0.send(Bytes::new()).await;
    }
}

/// A body for windows, and its feed. `abort` is set if the feed goes away before its end.
pub fn windows(abort: Option<Abort>) -> (AnyBody, Feed) {
    // One window waits while another is written: enough to overlap, little to hold.
    let (feed, rest) = mpsc::channel(1);
    (Windows { rest, abort, ended: false }.boxed_unsync(), Feed(feed))
}

impl Body for Windows {
    type Data = Bytes;
    type Error = Boxed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Boxed>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.rest.poll_recv(cx)) {
            Some(window) if window.is_empty() => {
                self.ended = true;
                Poll::Ready(None)
            }
            Some(window) => Poll::Ready(Some(Ok(Frame::data(window)))),
            None => {
                self.ended = true;
                if let Some(abort) = &self.abort {
                    abort.set();
                }
                Poll::Ready(Some(Err("the answer was broken off".into())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn collected(body: AnyBody) -> Vec<u8> {
        body.collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn a_spooled_body_comes_out_as_it_went_in() {
        for size in [0, 10, SPOOL_MEMORY, SPOOL_MEMORY + 1, 3 * SPOOL_MEMORY + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut spool = Spool::default();
            for chunk in bytes.chunks(100_000) {
                spool.buffer().extend_from_slice(chunk);
                spool.settle().await.unwrap();
            }
            let (body, length) = spool.into_body().await.unwrap();
            assert_eq!(length, size as u64);
            assert_eq!(body.size_hint().exact(), Some(size as u64));
            assert_eq!(collected(body).await, bytes);
        }
    }

    #[tokio::test]
    async fn windows_that_lose_their_feed_end_in_an_error_and_an_abort() {
        let abort = Abort::default();
        let (mut body, feed) = windows(Some(abort.clone()));
        assert!(feed.send(Bytes::from_static(b"[1"), Duration::MAX).await);
        drop(feed);
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        assert!(format!("{abort:?}").contains("true"));
    }

    #[tokio::test]
    async fn windows_that_are_ended_end_cleanly() {
        let (body, feed) = windows(None);
        let sender = tokio::spawn(async move {
            assert!(feed.send(Bytes::from_static(b"[]"), Duration::MAX).await);
            feed.end().await;
        });
        assert_eq!(collected(body).await, b"[]");
        sender.await.unwrap();
    }
}
