//! A clock that stands still until a test moves it.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;

/// A clock that a test moves by hand. It starts at 2023-11-14T22:13:20Z.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(Mutex::new(Timestamp::from_second(1_700_000_000).expect("a moment in range")))
    }
}

impl ManualClock {
    /// Moves the clock ahead.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().expect("no test panicked with the clock in hand");
        *now += by;
    }

    /// Sets the clock, in either direction.
    pub fn set(&self, to: Timestamp) {
        *self.0.lock().expect("no test panicked with the clock in hand") = to;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no test panicked with the clock in hand")
    }
}
