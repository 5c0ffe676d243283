//! When a sink stood still, be it paused or its breaker open: that time is no age of its deliveries.

use std::time::Duration;

use jiff::Timestamp;

/// How many past standstills are remembered; an older one has long been counted.
const KEPT: usize = 512;

/// The standstills of one sink. They never overlap.
#[derive(Debug, Default)]
pub(crate) struct Standstill {
    since: Option<Timestamp>,
    past: Vec<(Timestamp, Timestamp)>,
}

impl Standstill {
    /// It stands still since then. Whoever says so again while it does may only name an earlier moment.
    pub(crate) fn begin(&mut self, at: Timestamp, now: Timestamp) {
        // What lies ahead was noted before the clock was set back, and says nothing of the time that comes.
        self.past.retain(|(_, end)| *end <= now);
        let at = self.past.last().map_or(at, |(_, end)| at.max(*end));
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
    }

    /// It goes on, if it stood still.
    pub(crate) fn end(&mut self, at: Timestamp) {
        let Some(since) = self.since.take() else { return };
        self.past.push((since, at.max(since)));
        let surplus = self.past.len().saturating_sub(KEPT);
        self.past.drain(..surplus);
    }

    /// How much of the span it stood still.
    pub(crate) fn within(&self, from: Timestamp, to: Timestamp) -> Duration {
        // One that began ahead of now was noted before the clock was set back, and has lasted all along.
        let current = self.since.map(|since| (if since > to { from } else { since }, to));
        let overlap = |(start, end): (Timestamp, Timestamp)| {
            Duration::try_from(end.min(to).duration_since(start.max(from))).unwrap_or_default()
        };
        self.past.iter().copied().chain(current).map(overlap).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[track_caller]
    fn check(still: &Standstill, from: i64, to: i64, seconds: u64) {
        assert_eq!(still.within(at(from), at(to)).as_secs(), seconds, "{still:?}");
    }

    #[test]
    fn a_standstill_counts_while_it_lasts_and_after() {
        let mut still = Standstill::default();
        still.begin(at(0), at(0));
        check(&still, -10, 5, 5);
        still.end(at(10));
        check(&still, -10, 50, 10);
        check(&still, 4, 6, 2);
        check(&still, 20, 30, 0);
        still.end(at(40));
        check(&still, -10, 50, 10);
    }

    #[test]
    fn what_begins_twice_counts_once() {
        let mut still = Standstill::default();
        still.begin(at(10), at(10));
        still.begin(at(5), at(15));
        still.begin(at(20), at(20));
        still.end(at(30));
        check(&still, 0, 50, 25);
        still.begin(at(25), at(35));
        still.end(at(40));
        check(&still, 0, 50, 35);
    }

    #[test]
    fn a_clock_set_back_hides_no_standstill() {
        let mut still = Standstill::default();
        still.begin(at(1_000), at(1_000));
        check(&still, 10, 20, 10);
        still.end(at(1_100));
        still.begin(at(30), at(30));
        check(&still, 20, 50, 20);
    }
}
