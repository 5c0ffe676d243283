//! The wall clock, passed in wherever a moment is written down or judged, so that tests can move it.

use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the time of day in UTC, which may jump in both directions, and how much time passes, which may not.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The moment it is now.
    fn now(&self) -> Timestamp;

    /// The time that has passed since some moment in the life of this process. It only grows, and stands still while
    /// the machine sleeps; where the two disagree, the clock on the wall was set.
    fn steady(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn steady(&self) -> Duration {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed()
    }
}
