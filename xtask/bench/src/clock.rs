//! The two clocks of a measurement.

use jiff::Timestamp;
use vodrelay_core::{Clock, SystemClock};

pub(crate) use tokio::time::Instant;

/// The time of day.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}
