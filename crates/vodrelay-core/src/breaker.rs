//! The circuit breaker of one sink: pure, told the time, asked before each claim.
//!
//! A receiver that is down gets one probe now and then instead of every event's attempt. What fails is counted by
//! *different* deliveries in a row, so that one poison event cannot open it for all.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

/// Different deliveries that must fail in a row before the breaker opens.
const FAILURES_TO_OPEN: usize = 5;
/// How long it stays open at first; doubled after each probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How long it stays open at most, so that a receiver that is back is found within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Lets deliveries through, or holds them back while the receiver is down.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
    failing: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open {
        since: Timestamp,
        until: Timestamp,
        pause: Duration,
    },
    Probing {
        since: Timestamp,
        pause: Duration,
    },
}

/// How many deliveries may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// As many as there are slots.
    All,
    /// One, to find out.
    Probe,
    /// None before that moment.
    NoneUntil(Timestamp),
    /// None before the probe has come back.
    None,
}

impl Breaker {
    /// Asks what may start now.
    pub fn permit(&mut self, now: Timestamp) -> Permit {
        match self.state {
            State::Closed => Permit::All,
            // A clock that was set back must not hold the breaker open for longer than its pause.
            State::Open { since, until, pause } if now >= until || until - pause > now => {
                self.state = State::Probing { since: since.min(now), pause };
                Permit::Probe
            }
            State::Open { until, .. } => Permit::NoneUntil(until),
            State::Probing { .. } => Permit::None,
        }
    }

    /// The probe was permitted, but there was nothing to send: the next one may try.
    pub fn probe_unused(&mut self, now: Timestamp) {
        if let State::Probing { since, pause } = self.state {
            self.state = State::Open { since, until: now, pause };
        }
    }

    /// Somebody knows that the receiver is back: the next probe may start now, and the pauses begin with the first.
    pub fn probe_now(&mut self, now: Timestamp) {
        if let State::Open { since, .. } = self.state {
            self.state = State::Open { since, until: now, pause: FIRST_PAUSE };
        }
    }

    /// The receiver answered, well or with a refusal of that one event: it is there.
    pub fn succeeded(&mut self) {
        self.failing.clear();
        self.state = State::Closed;
    }

    /// An attempt of that delivery failed in a way that may be the receiver's state.
    pub fn failed(&mut self, delivery: u64, now: Timestamp) {
        match self.state {
            State::Closed => {
                self.failing.insert(delivery);
                if self.failing.len() >= FAILURES_TO_OPEN {
                    self.state = State::Open { since: now, until: now + FIRST_PAUSE, pause: FIRST_PAUSE };
                }
            }
            State::Probing { since, pause } => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                self.state = State::Open { since, until: now + pause, pause };
            }
            // An attempt that was under way when the breaker opened.
            State::Open { .. } => {}
        }
    }

    /// Since when deliveries are held back, if they are.
    #[must_use]
    pub fn open_since(&self) -> Option<Timestamp> {
        match self.state {
            State::Closed => None,
            State::Open { since, .. } | State::Probing { since, .. } => Some(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        (0..5).for_each(|delivery| breaker.failed(delivery, at(0)));
        breaker
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let mut breaker = opened();
        assert_eq!(breaker.permit(at(1)), Permit::NoneUntil(at(2)));
        assert_eq!(breaker.permit(at(2)), Permit::Probe);
        assert_eq!(breaker.permit(at(2)), Permit::None);
        breaker.failed(9, at(3));
        assert_eq!(breaker.permit(at(4)), Permit::NoneUntil(at(7)), "the pause doubles");
        assert_eq!(breaker.permit(at(7)), Permit::Probe);
        assert_eq!(breaker.open_since(), Some(at(0)));
        breaker.succeeded();
        assert_eq!(breaker.permit(at(8)), Permit::All);
        assert_eq!(breaker.open_since(), None);
    }

    #[test]
    fn one_poison_event_does_not_open_it() {
        let mut breaker = Breaker::default();
        (0..100).for_each(|second| breaker.failed(7, at(second)));
        assert_eq!(breaker.permit(at(100)), Permit::All);
    }

    #[test]
    fn an_unused_probe_is_given_to_the_next() {
        let mut breaker = opened();
        assert_eq!(breaker.permit(at(2)), Permit::Probe);
        breaker.probe_unused(at(2));
        assert_eq!(breaker.permit(at(3)), Permit::Probe);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_it_open() {
        let mut breaker = opened();
        assert_eq!(breaker.permit(at(-100_000)), Permit::Probe);
        breaker.failed(9, at(36_000));
        assert_eq!(breaker.permit(at(18_000)), Permit::Probe, "not even when it has been open for longer");
    }

    #[test]
    fn a_probe_that_is_asked_for_does_not_wait() {
        let mut breaker = opened();
        for second in [2, 10, 30] {
            assert_eq!(breaker.permit(at(second)), Permit::Probe);
            breaker.failed(9, at(second));
        }
        assert_eq!(breaker.permit(at(31)), Permit::NoneUntil(at(46)));
        breaker.probe_now(at(31));
        assert_eq!(breaker.permit(at(31)), Permit::Probe);
        breaker.probe_now(at(31));
        assert_eq!(breaker.permit(at(31)), Permit::None, "one is under way");
        breaker.failed(9, at(32));
        assert_eq!(breaker.permit(at(33)), Permit::NoneUntil(at(36)), "the pauses are short again");
    }
}
