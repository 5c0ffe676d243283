//! Telling once of what goes wrong many times in a row.

use std::time::Duration;

use tokio::time::Instant;

/// Failures that are no further apart than this are one burst.
const APART: Duration = Duration::from_secs(10);

/// Knows which failure is the first of many, so that only that one is logged.
#[derive(Debug, Default)]
pub struct Burst {
    failed_at: Option<Instant>,
}

impl Burst {
    /// It failed; answers whether this is the first time in a while.
    pub fn begins(&mut self, now: Instant) -> bool {
        self.failed_at.replace(now).is_none_or(|last| now.duration_since(last) > APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_a_burst_begins_it() {
        let (start, mut burst) = (Instant::now(), Burst::default());
        let moments = [0, 1, 9, 19, 30, 31].map(|second| start + Duration::from_secs(second));
        assert_eq!(moments.map(|moment| burst.begins(moment)), [true, false, false, false, true, false]);
    }
}
