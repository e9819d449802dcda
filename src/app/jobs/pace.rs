//! How fast a job goes: as many requests at a time as the API bears, and no more in a second than
//! was asked for.
//!
//! One request more for each window of answers that were quick, a third fewer after one that was
//! not: the slowest twentieth (p95) is compared with the best such window. After 429 or 503 nothing
//! is sent for a while, which doubles.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::base::clock::Clock;

/// Answers in a window.
const WINDOW: usize = 48;
/// A window this quick is never too slow.
const QUICK: Duration = Duration::from_millis(50);
/// How much slower than the best window is too slow.
const SLOWER: u32 = 3;
/// The first pause after the API said that it is busy, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// The pace of one job toward one API.
pub struct Pace {
    state: Mutex<Inner>,
    freed: Notify,
    most: usize,
    /// The least time between two requests.
    apart: Option<Duration>,
    clock: Arc<dyn Clock>,
}

struct Inner {
    allowed: f64,
    under_way: usize,
    window: Vec<Duration>,
    best: Option<Duration>,
    next: Instant,
    back_off: Duration,
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// The API said that it is busy, and perhaps for how long.
    Busy(Option<Duration>),
    /// It was answered.
    Well,
}

/// A place among the requests under way.
#[must_use]
pub struct Turn<'a> {
    pace: &'a Pace,
    since: Instant,
}

impl Pace {
    /// At most `most` requests at a time, and `rate` in a second.
    pub fn new(most: usize, rate: Option<u32>, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            allowed: (most as f64 / 2.0).max(1.0),
            under_way: 0,
            window: Vec::with_capacity(WINDOW),
            best: None,
            next: clock.instant(),
            back_off: BACK_OFF.0,
        };
        let apart = rate.map(|rate| Duration::from_secs(1) / rate.max(1));
        Self { state: Mutex::new(inner), freed: Notify::new(), most, apart, clock }
    }

    /// How many requests may be under way.
    pub fn allowed(&self) -> usize {
        self.inner().allowed as usize
    }

    /// Waits for a turn.
    pub async fn turn(&self) -> Turn<'_> {
        loop {
            let freed = self.freed.notified();
            let now = self.clock.instant();
            let wait = {
                let mut inner = self.inner();
                if inner.next > now {
                    Some(inner.next - now)
                } else if inner.under_way < inner.allowed as usize {
                    inner.under_way += 1;
                    if let Some(apart) = self.apart {
                        // What was missed is not made up for by a burst.
                        inner.next =
                            inner.next.max(now - apart.min(Duration::from_secs(1))) + apart;
                    }
                    return Turn { pace: self, since: now };
                } else {
                    None
                }
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => freed.await,
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, took: Duration, went: Went, now: Instant) {
        let mut inner = self.inner();
        match went {
            Went::Busy(wish) => {
                // Those that were under way at the same time say the same thing.
                if inner.next <= now {
                    let wait = wish.unwrap_or(inner.back_off);
                    inner.next = now + wait;
                    inner.back_off = (inner.back_off * 2).min(BACK_OFF.1);
                    inner.allowed = (inner.allowed / 2.0).max(1.0);
                }
            }
            Went::Well => {
                inner.window.push(took);
                if inner.window.len() >= WINDOW {
                    inner.window.sort_unstable();
                    let p95 = inner.window.get(WINDOW * 95 / 100).copied().unwrap_or(took);
                    inner.window.clear();
                    inner.back_off = BACK_OFF.0;
                    let best = inner.best.map_or(p95, |best| best.min(p95));
                    // The best is forgotten in the course of time: an API may become slower for good.
                    inner.best = Some(best + best / 50);
                    let is_slow = p95 > QUICK.max(best * SLOWER);
                    inner.allowed = match is_slow {
                        true => (inner.allowed * 0.7).max(1.0),
                        false => (inner.allowed + 1.0).min(self.most as f64),
                    };
                }
            }
        }
    }
}

impl Turn<'_> {
    /// The request was answered.
    pub fn end(self, went: Went) {
        let now = self.pace.clock.instant();
        self.pace.learn(now - self.since, went, now);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pace.inner().under_way -= 1;
        // Whoever waits looks for itself whether there is room.
        self.pace.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;

    fn pace(rate: Option<u32>) -> Pace {
        Pace::new(8, rate, Arc::new(SystemClock))
    }

    fn window(pace: &Pace, took: Duration) {
        let now = pace.clock.instant();
        (0..WINDOW).for_each(|_| pace.learn(took, Went::Well, now));
    }

    #[test]
    fn quick_answers_make_room_and_slow_ones_take_it() {
        let pace = pace(None);
        assert_eq!(pace.allowed(), 4);
        (0..20).for_each(|_| window(&pace, Duration::from_millis(5)));
        assert_eq!(pace.allowed(), 8);
        window(&pace, Duration::from_millis(200));
        assert_eq!(pace.allowed(), 5);
        (0..20).for_each(|_| window(&pace, Duration::from_millis(200)));
        assert_eq!(pace.allowed(), 1);
    }

    #[test]
    fn an_api_that_is_slow_from_the_first_is_not_taken_for_overloaded() {
        let pace = pace(None);
        (0..20).for_each(|_| window(&pace, Duration::from_millis(400)));
        assert_eq!(pace.allowed(), 8);
    }

    #[tokio::test]
    async fn a_busy_api_is_left_alone_for_as_long_as_it_says() {
        let pace = pace(None);
        let start = pace.clock.instant();
        pace.turn().await.end(Went::Busy(Some(Duration::from_millis(120))));
        assert_eq!(pace.allowed(), 2);
        pace.turn().await.end(Went::Well);
        assert!(pace.clock.instant() - start >= Duration::from_millis(120));
    }

    #[tokio::test]
    async fn a_rate_is_kept_to() {
        let pace = pace(Some(50));
        let start = pace.clock.instant();
        for _ in 0..11 {
            pace.turn().await.end(Went::Well);
        }
        assert!(pace.clock.instant() - start >= Duration::from_millis(180));
    }
}
