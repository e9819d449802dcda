//! The pace of HTTP/2: an exchange whose client takes nothing of its answer ends, and so does a
//! connection on which nothing is asked.
//!
//! # Why
//! 2026-11-27: with HTTP/1 a client that reads nothing stalls its connection, which is seen where the
//! connection is written. With HTTP/2 it opens no window, and the HTTP library waits for ever without
//! a look at the body. But the library gives each exchange to an executor, as a task: so the task
//! has a limit here, and dropping it resets the stream and lets go of all that the answer held.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

use super::body::AnyBody;

/// The most that is handed to the HTTP library at a time. It keeps what it was given until there is
/// a window for it, after the exchange has ended too.
const PIECE: usize = 16 << 10;

tokio::task_local! {
    /// Since when the client of this exchange has had something to take.
    static OFFERED: Since;
}

/// Since when something is the case, if it is.
#[derive(Clone, Default)]
struct Since(Arc<Mutex<Option<Instant>>>);

impl Since {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Returns once it has been the case for so long.
    async fn lasts(&self, time: Duration) {
        loop {
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let until = since.unwrap_or(now) + time;
            if until <= now {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Runs the exchanges of a connection, each no longer than its client takes something now and then.
#[derive(Clone)]
pub struct Paced(pub Duration);

impl<F> Executor<F> for Paced
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, exchange: F) {
        let (offered, within) = (Since::default(), self.0);
        tokio::spawn(OFFERED.scope(offered.clone(), async move {
            tokio::select! {
                _ = exchange => {}
                () = offered.lasts(within) => tracing::info!("a client took nothing of its answer"),
            }
        }));
    }
}

/// The exchanges of one connection.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<u64>>, Since);

impl Turns {
    /// None yet.
    pub fn new() -> Self {
        let turns = Self::default();
        turns.1.set(Some(Instant::now()));
        turns
    }

    /// One more, until what this gives is dropped.
    pub fn begin(&self) -> Turn {
        *self.count() += 1;
        self.1.set(None);
        Turn(self.clone())
    }

    /// Returns once there was none for so long.
    pub async fn quiet(&self, time: Duration) {
        self.1.lasts(time).await;
    }

    fn count(&self) -> MutexGuard<'_, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One exchange under way.
pub struct Turn(Turns);

impl Turn {
    /// The body of its answer, in pieces, which remembers when it was last asked for one.
    pub fn answer(self, body: AnyBody) -> AnyBody {
        let offered = OFFERED.try_with(Since::clone).unwrap_or_default();
        offered.set(Some(Instant::now()));
        Pieces { body, rest: Bytes::new(), offered, _turn: self }.boxed_unsync()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Turns(_, quiet) = &self.0;
        let mut count = self.0.count();
        *count -= 1;
        if *count == 0 {
            quiet.set(Some(Instant::now()));
        }
    }
}

struct Pieces {
    body: AnyBody,
    /// What is left of what the body gave last.
    rest: Bytes,
    offered: Since,
    _turn: Turn,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = <AnyBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        // All that was offered was taken, or nobody would ask for more.
        this.offered.set(None);
        let next = if this.rest.is_empty() {
            ready!(Pin::new(&mut this.body).poll_frame(cx))
        } else {
            Some(Ok(Frame::data(std::mem::take(&mut this.rest))))
        };
        this.offered.set(Some(Instant::now()));
        let next = next.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|mut data| {
                    let piece = data.split_to(data.len().min(PIECE));
                    this.rest = data;
                    piece
                })
            })
        });
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
