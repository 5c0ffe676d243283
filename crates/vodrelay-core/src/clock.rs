//! The wall clock, passed in wherever a moment is written down or judged, so that tests can move it.

use jiff::Timestamp;

/// Tells the time of day in UTC. It may jump in both directions; whoever measures a span uses a monotonic clock.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The moment it is now.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
