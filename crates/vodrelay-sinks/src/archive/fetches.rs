//! How many deliveries fetch images at the same time, so that slow hosts take up some of the sink's slots and never all:
//! the record of an event must not wait behind the images of others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use vodrelay_core::SinkError;

/// How long the next in line waits in its slot for a place.
const PATIENCE: Duration = Duration::from_secs(1);
/// When the first of those who were turned away is asked for again, …
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// … and how far apart the others are: each costs the store a request or two to find out how far it is.
const GAP: Duration = Duration::from_millis(50);
/// The longest wait of those at the end of a line.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// The places of one sink.
#[derive(Debug)]
pub(super) struct Fetches {
    places: Semaphore,
    /// One waits for the next place, so that none stands empty while many come and go.
    next: Semaphore,
    line: Line,
}

/// A place among those who fetch, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'f>(#[expect(dead_code, reason = "held for its drop")] SemaphorePermit<'f>);

impl Fetches {
    pub(super) fn new(places: usize) -> Self {
        let places = Semaphore::new(places.min(Semaphore::MAX_PERMITS));
        Self { places, next: Semaphore::new(1), line: Line::default() }
    }

    /// A place, at once or within about a second.
    ///
    /// # Errors
    /// Says when to ask again.
    pub(super) async fn place(&self) -> Result<Place<'_>, SinkError> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(Place(place));
        }
        if let Ok(_next) = self.next.try_acquire()
            && let Ok(Ok(place)) = timeout(PATIENCE, self.places.acquire()).await
        {
            return Ok(Place(place));
        }
        let after = self.line.join(FIRST_WAIT, GAP, Instant::now());
        Err(SinkError::postponed(after, "its images wait, as many are fetched as fetches permits"))
    }
}

/// Those who are to come back, one after the other, and not all at once.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Option<Instant>>);

impl Line {
    /// How long to wait: at least that long, and that much longer than the one before.
    pub(super) fn join(&self, least: Duration, gap: Duration, now: Instant) -> Duration {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now + least;
        let at = last.map_or(earliest, |last| earliest.max(last + gap)).min(now + LONGEST_WAIT);
        *last = Some(at);
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_is_had_at_once_within_a_second_or_later() {
        let fetches = Fetches::new(1);
        let place = fetches.place().await.unwrap();
        let started = Instant::now();
        let (next, other) = tokio::join!(fetches.place(), fetches.place());
        assert_eq!(next.unwrap_err(), SinkError::postponed(FIRST_WAIT, other.unwrap_err().message));
        assert_eq!(started.elapsed(), PATIENCE, "the one waits, the other does not");
        let leave = async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(place);
        };
        let (next, ()) = tokio::join!(fetches.place(), leave);
        next.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_are_turned_away_come_back_one_by_one() {
        let (line, now) = (Line::default(), Instant::now());
        let join = |later: u64| line.join(FIRST_WAIT, GAP, now + Duration::from_millis(later)).as_millis();
        assert_eq!([join(0), join(0), join(0), join(10), join(5000)], [2000, 2050, 2100, 2140, 2000]);
        for _ in 0..100_000 {
            join(5000);
        }
        assert_eq!(join(5000), LONGEST_WAIT.as_millis());
    }
}
