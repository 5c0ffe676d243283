//! How many requests are in hand at once, and how many bytes of those that are large. Beyond that new ones wait unread,
//! as long as their wait can end within the budget.
//!
//! A small body needs nothing but its place, so that a few that promise much and send little do not stand in the way of
//! all others.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// The bounds, and how long an accept takes at present.
#[derive(Debug)]
pub(crate) struct Admission {
    most: usize,
    small: usize,
    most_bytes: usize,
    count: Semaphore,
    bytes: Semaphore,
    waiting: AtomicUsize,
    /// Smoothed, in microseconds.
    accept_micros: AtomicU64,
}

/// A place among the requests in hand; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    _bytes: Option<SemaphorePermit<'a>>,
    _count: SemaphorePermit<'a>,
}

impl Admission {
    /// Room for so many requests, and for so many bytes of those bodies that are not small.
    pub(crate) fn new(most: usize, small: usize, most_bytes: usize) -> Self {
        Self {
            most,
            small,
            most_bytes,
            count: Semaphore::new(most),
            bytes: Semaphore::new(most_bytes),
            waiting: AtomicUsize::new(0),
            accept_micros: AtomicU64::new(0),
        }
    }

    /// Waits for a place for a body of that size. Nothing, if there is none in time, or if the recent pace says at
    /// once that there cannot be.
    pub(crate) async fn enter(&self, size: usize, by: Instant) -> Option<Place<'_>> {
        if self.predicted_wait() > by.saturating_duration_since(Instant::now()) {
            return None;
        }
        if let Some(place) = self.try_enter(size) {
            return Some(place);
        }
        let _waiting = Waiting::new(&self.waiting);
        let both = async {
            // In this order: who waits for room in bytes keeps no place from others.
            let bytes = match self.bytes_of(size) {
                Some(bytes) => Some(self.bytes.acquire_many(bytes).await.ok()?),
                None => None,
            };
            let count = self.count.acquire().await.ok()?;
            Some(Place { _bytes: bytes, _count: count })
        };
        timeout_at(by, both).await.ok().flatten()
    }

    /// A place, if there is one at once.
    pub(crate) fn try_enter(&self, size: usize) -> Option<Place<'_>> {
        let bytes = match self.bytes_of(size) {
            Some(bytes) => Some(self.bytes.try_acquire_many(bytes).ok()?),
            None => None,
        };
        let count = self.count.try_acquire().ok()?;
        Some(Place { _bytes: bytes, _count: count })
    }

    /// The share of the room that a large body takes.
    fn bytes_of(&self, size: usize) -> Option<u32> {
        (size > self.small).then(|| u32::try_from(size.min(self.most_bytes)).unwrap_or(u32::MAX))
    }

    /// Learns how long an accept took, or had taken when it was given up.
    pub(crate) fn learn(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let old = self.accept_micros.load(Ordering::Relaxed);
        // Two writers at once lose one sample of many, which the smoothing bears.
        self.accept_micros.store(old - old / 8 + took / 8, Ordering::Relaxed);
    }

    /// Those in hand leave together after about one accept; those who wait go in by rounds. With nobody
    /// in hand nothing is predicted: that request is the one that finds out whether the pace has changed.
    fn predicted_wait(&self) -> Duration {
        if self.count.available_permits() == self.most {
            return Duration::ZERO;
        }
        let accept = self.accept_micros.load(Ordering::Relaxed);
        let waiting = self.waiting.load(Ordering::Relaxed) as u64;
        Duration::from_micros(accept + accept.saturating_mul(waiting) / self.most as u64)
    }
}

/// Counts one who waits, also when its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn beyond_the_bounds_requests_wait_and_leave_in_time() {
        let admission = Admission::new(16, 0, 1000);
        let by = Instant::now() + Duration::from_secs(3);
        let whole = admission.enter(1000, by).await.unwrap();
        assert!(admission.enter(1, by).await.is_none());
        assert_eq!(Instant::now(), by);
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
        drop(whole);
        assert!(admission.enter(1, by).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_that_wait_for_room_leave_small_ones_theirs() {
        let admission = Admission::new(16, 10, 1000);
        let start = Instant::now();
        let by = start + Duration::from_secs(3);
        let large = join_all((0..32).map(|_| admission.enter(600, by)));
        tokio::select! {
            biased;
            _ = large => unreachable!("one is in, and stays"),
            small = admission.enter(10, by) => assert!(small.is_some()),
        }
        assert_eq!(Instant::now(), start);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_pace_turns_away_at_once_and_recovers() {
        let admission = Admission::new(16, 0, 1000);
        for _ in 0..64 {
            admission.learn(Duration::from_secs(4));
        }
        let start = Instant::now();
        let by = start + Duration::from_secs(3);
        let probe = admission.enter(1, by).await.unwrap();
        assert!(admission.enter(1, by).await.is_none());
        assert_eq!(Instant::now(), start);
        for _ in 0..64 {
            admission.learn(Duration::from_millis(1));
        }
        assert!(admission.enter(1, by).await.is_some());
        drop(probe);
    }
}
