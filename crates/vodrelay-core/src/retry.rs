//! When to try again: a pure policy. The sink's error says *whether*, the policy says *when*.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Span;
use crate::sink::{Retry, SinkError};

/// A receiver may ask for a longer wait with `Retry-After`, up to this much.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// A sink that postpones without a wait must not be asked in a circle.
const LEAST_POSTPONEMENT: Duration = Duration::from_millis(100);

/// Exponential backoff with full jitter, a cap, and an age after which a delivery is given up.
///
/// The wait before retry `n` is drawn evenly from nothing up to `first` doubled `n - 1` times, at most `cap`. Full
/// jitter spreads a thousand deliveries that failed together better than a fixed wait with a little noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// The longest wait before the first retry.
    pub first: Span,
    /// The longest wait at all.
    pub cap: Span,
    /// The age at which a delivery becomes a dead letter.
    pub age: Span,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self { first: seconds(5), cap: seconds(3600), age: seconds(7 * 24 * 3600) }
    }
}

/// What is known of a delivery when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// Attempts made since acceptance or the last replay, the failed one included: at least 1.
    pub tries: u32,
    /// Time since the first of them, less what the sink stood still.
    pub age: Duration,
}

/// What to do with a delivery whose attempt has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this wait.
    RetryAfter(Duration),
    /// Give it up, for this reason.
    GiveUp(String),
}

impl RetryPolicy {
    /// Decides; `draw` is a random number from 0 up to 1.
    #[must_use]
    pub fn decide(&self, error: &SinkError, history: &History, draw: f64) -> Decision {
        let (after, give_up_after) = match &error.retry {
            Retry::Temporary { after, give_up_after } => (after, give_up_after),
            Retry::Permanent => return Decision::GiveUp(error.message.clone()),
            Retry::Postponed { after } => {
                return Decision::RetryAfter((*after).clamp(LEAST_POSTPONEMENT, LONGEST_RETRY_AFTER));
            }
        };
        let tries = history.tries;
        if let Some(limit) = give_up_after.filter(|limit| history.age >= *limit) {
            return Decision::GiveUp(format!(
                "{} ({tries} tries in {}, and it is not an error that passes)",
                error.message,
                Span(limit)
            ));
        }
        if history.age >= self.age.0 {
            return Decision::GiveUp(format!("{} ({tries} tries in {})", error.message, self.age));
        }
        let backoff = self.longest_wait(tries).mul_f64(draw.clamp(0.0, 1.0));
        let asked = after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        // What was asked for is the least; the jitter on top keeps all who were asked alike from coming back at once.
        Decision::RetryAfter(if asked.is_zero() { backoff } else { asked + backoff.min(asked / 4) })
    }

    /// How much of the time since the last attempt counts as age. A wait is never longer than this, so a clock that
    /// jumped ahead, or a relay that was down for a week, cannot age a delivery to death between two attempts.
    #[must_use]
    pub fn countable(&self, elapsed: Duration) -> Duration {
        elapsed.min(self.cap.0.saturating_mul(2))
    }

    fn longest_wait(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        self.first.0.saturating_mul(1 << doublings).min(self.cap.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn check(error: &SinkError, tries: u32, age: Duration, draw: f64, expect: &Decision) {
        let history = History { tries, age };
        assert_eq!(&RetryPolicy::default().decide(error, &history, draw), expect);
    }

    fn after(seconds: u64) -> Decision {
        Decision::RetryAfter(Duration::from_secs(seconds))
    }

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_is_drawn_in_full() {
        let down = SinkError::temporary("down");
        check(&down, 1, Duration::ZERO, 1.0, &after(5));
        check(&down, 2, Duration::ZERO, 1.0, &after(10));
        check(&down, 4, Duration::ZERO, 1.0, &after(40));
        check(&down, 4, Duration::ZERO, 0.5, &after(20));
        check(&down, 4, Duration::ZERO, 0.0, &after(0));
        check(&down, 100, Duration::ZERO, 1.0, &after(3600));
        check(&down, u32::MAX, Duration::ZERO, 1.0, &after(3600));
    }

    #[test]
    fn retry_after_is_the_least_wait_up_to_a_day() {
        let asked = |seconds| SinkError {
            retry: Retry::Temporary { after: Some(Duration::from_secs(seconds)), give_up_after: None },
            ..SinkError::temporary("busy")
        };
        check(&asked(100), 1, Duration::ZERO, 0.0, &after(100));
        check(&asked(100), 9, Duration::ZERO, 1.0, &after(125));
        check(&asked(u64::MAX), 1, Duration::ZERO, 0.0, &after(24 * 3600));
    }

    #[test]
    fn it_gives_up_by_age_by_the_shorter_limit_and_at_once() {
        let down = SinkError::temporary("down");
        let give_up = |reason: &str| Decision::GiveUp(reason.to_owned());
        check(&down, 9, HOUR * 24 * 7, 0.0, &give_up("down (9 tries in 7d)"));
        check(&SinkError::permanent("gone"), 1, Duration::ZERO, 0.0, &give_up("gone"));
        let short = SinkError {
            retry: Retry::Temporary { after: None, give_up_after: Some(HOUR) },
            ..SinkError::temporary("refused")
        };
        check(&short, 1, Duration::ZERO, 0.0, &after(0));
        check(&short, 3, HOUR, 0.0, &give_up("refused (3 tries in 1h, and it is not an error that passes)"));
        let of_this_event = SinkError::temporary_for_this_event("denied");
        check(&of_this_event, 3, HOUR, 0.0, &after(0));
        check(&of_this_event, 9, HOUR * 24 * 7, 0.0, &give_up("denied (9 tries in 7d)"));
    }

    #[test]
    fn what_is_postponed_waits_that_long_whatever_its_age() {
        let old = HOUR * 24 * 365;
        let postponed = |after| SinkError::postponed(after, "no place is free");
        check(&postponed(HOUR), 1, Duration::ZERO, 1.0, &after(3600));
        check(&postponed(HOUR), 99, old, 0.0, &after(3600));
        check(&postponed(Duration::MAX), 1, old, 0.5, &after(24 * 3600));
        let at_least = Decision::RetryAfter(Duration::from_millis(100));
        check(&postponed(Duration::ZERO), 1, Duration::ZERO, 1.0, &at_least);
    }

    #[test]
    fn a_jump_of_the_clock_counts_as_two_caps_at_most() {
        assert_eq!(RetryPolicy::default().countable(HOUR * 24 * 365), HOUR * 2);
    }
}
