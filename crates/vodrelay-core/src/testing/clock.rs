//! A clock that stands still until a test moves it.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;

/// A clock that a test moves by hand. It starts at 2023-11-14T22:13:20Z.
#[derive(Debug)]
pub struct ManualClock(Mutex<Hands>);

#[derive(Clone, Copy, Debug)]
struct Hands {
    wall: Timestamp,
    steady: Duration,
}

impl Default for ManualClock {
    fn default() -> Self {
        let wall = Timestamp::from_second(1_700_000_000).expect("a moment in range");
        Self(Mutex::new(Hands { wall, steady: Duration::ZERO }))
    }
}

impl ManualClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut hands = self.hands();
        hands.wall += by;
        hands.steady += by;
    }

    /// Sets the clock on the wall, in either direction, while no time passes.
    pub fn set(&self, to: Timestamp) {
        self.hands().wall = to;
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().expect("no test panicked with the clock in hand")
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.hands().wall
    }

    fn steady(&self) -> Duration {
        self.hands().steady
    }
}
