//! How many polls run, and when the next one begins: a pure policy over what the last polls came to.

use std::time::Duration;

use mns_client::MAX_BATCH;
use tokio::time::Instant;

/// The wait after the first failure, or the first poll that ended early; doubled for each further one.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const FAILED_CAP: Duration = Duration::from_secs(60);
/// The longest wait after polls that ended early: as long as the poll would have been.
const EARLY_CAP: Duration = Duration::from_secs(30);

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// So many messages, dealt with.
    Messages(usize),
    /// None, after the whole wait.
    Empty,
    /// None, long before the wait was over. The service does so to an account with too many polls, and bills each.
    Early,
    /// The service did not do what it was asked for.
    Failed,
    /// The relay stops.
    Stopped,
}

/// Says how many polls there should be, from one to the configured most, and from when on.
#[derive(Debug)]
pub(crate) struct Pace {
    most: usize,
    pollers: usize,
    early: u32,
    failed: u32,
    not_before: Instant,
    /// How often a wait has grown. What one glitch does to many polls at once makes it grow once.
    generation: u64,
}

impl Pace {
    pub(crate) fn new(most: usize, now: Instant) -> Self {
        Self { most, pollers: 1, early: 0, failed: 0, not_before: now, generation: 0 }
    }

    /// To be kept with each poll that begins.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// How many polls should run.
    pub(crate) fn pollers(&self) -> usize {
        self.pollers
    }

    /// The next poll begins no earlier than that.
    pub(crate) fn not_before(&self) -> Instant {
        self.not_before
    }

    /// Takes in what a poll came to that began in that generation; `draw` is a random number from 0 up to 1.
    pub(crate) fn after(&mut self, ended: Ended, began_in: u64, now: Instant, draw: f64) {
        let counts = began_in == self.generation;
        // Never less than half, since a poll that begins at once is billed at once.
        let wait = |times, cap| longest(times, cap).mul_f64(0.5 + draw / 2.0);
        match ended {
            Ended::Messages(count) => {
                self.went_well(now);
                if count >= MAX_BATCH {
                    self.pollers = (self.pollers + 1).min(self.most);
                } else if count == 1 {
                    // Messages that come one by one find a poll waiting for each, and cost two requests each.
                    self.retire_one();
                }
            }
            Ended::Empty => {
                self.went_well(now);
                self.retire_one();
            }
            Ended::Early => {
                self.retire_one();
                if counts {
                    self.early = self.early.saturating_add(1);
                    self.wait_until(now + wait(self.early, EARLY_CAP));
                }
            }
            Ended::Failed => {
                self.pollers = 1;
                if counts {
                    self.failed = self.failed.saturating_add(1);
                    self.wait_until(now + wait(self.failed, FAILED_CAP));
                }
            }
            Ended::Stopped => {}
        }
    }

    fn wait_until(&mut self, moment: Instant) {
        self.not_before = moment;
        self.generation += 1;
    }

    fn went_well(&mut self, now: Instant) {
        (self.early, self.failed, self.not_before) = (0, 0, now);
    }

    fn retire_one(&mut self) {
        self.pollers = self.pollers.saturating_sub(1).max(1);
    }
}

/// The longest wait after so many in a row.
pub(crate) fn longest(times: u32, cap: Duration) -> Duration {
    FIRST.saturating_mul(1 << times.saturating_sub(1).min(16)).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pollers and the wait, in milliseconds, after each of these.
    fn check(most: usize, draw: f64, steps: &[(Ended, usize, u128)]) {
        let now = Instant::now();
        let mut pace = Pace::new(most, now);
        assert_eq!((pace.pollers(), pace.not_before()), (1, now));
        for (place, (ended, pollers, wait)) in steps.iter().enumerate() {
            pace.after(*ended, pace.generation(), now, draw);
            let found = (pace.pollers(), (pace.not_before() - now).as_millis());
            assert_eq!(found, (*pollers, *wait), "step {place}, {ended:?}");
        }
    }

    #[test]
    fn full_batches_add_a_poller_and_empty_polls_retire_one() {
        use Ended::{Empty, Messages};
        check(
            3,
            0.9,
            &[
                (Messages(16), 2, 0),
                (Messages(16), 3, 0),
                (Messages(16), 3, 0),
                (Messages(9), 3, 0),
                (Messages(1), 2, 0),
                (Empty, 1, 0),
                (Empty, 1, 0),
            ],
        );
    }

    #[test]
    fn early_polls_are_backed_off_up_to_the_length_of_a_poll() {
        use Ended::{Early, Messages};
        let steps =
            [(Early, 1, 500), (Early, 1, 1_000), (Early, 1, 2_000), (Early, 1, 4_000), (Early, 1, 8_000)];
        check(1, 0.0, &[&steps[..], &[(Early, 1, 15_000), (Early, 1, 15_000), (Messages(2), 1, 0)]].concat());
        check(1, 1.0, &[(Early, 1, 1_000), (Early, 1, 2_000), (Ended::Empty, 1, 0), (Early, 1, 1_000)]);
    }

    #[test]
    fn failures_leave_one_poller_with_waits_up_to_a_minute() {
        use Ended::{Failed, Messages};
        check(8, 0.0, &[(Failed, 1, 500), (Failed, 1, 1_000)]);
        let waits = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
        let mut steps = vec![(Messages(16), 2, 0)];
        steps.extend(waits.map(|wait| (Failed, 1, wait)));
        steps.push((Messages(16), 2, 0));
        check(8, 1.0, &steps);
    }

    #[test]
    fn polls_that_failed_together_count_once() {
        for (ended, second) in [(Ended::Failed, 2_000), (Ended::Early, 2_000)] {
            let now = Instant::now();
            let mut pace = Pace::new(8, now);
            let wait = |pace: &Pace| (pace.not_before() - now).as_millis();
            let began_in = pace.generation();
            for _ in 0..8 {
                pace.after(ended, began_in, now, 1.0);
                assert_eq!((pace.pollers(), wait(&pace)), (1, 1_000), "{ended:?}");
            }
            pace.after(ended, pace.generation(), now, 1.0);
            assert_eq!(wait(&pace), second, "{ended:?}");
        }
    }
}
