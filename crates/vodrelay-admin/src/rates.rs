//! What came and went in each minute of the last hour, for people who look at a relay without a metrics stack. It is
//! counted beside the metrics, from the same calls, and kept in memory only.

mod latency;
mod tap;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::latency::{Arriving, Latency};
pub(crate) use self::tap::Tapped;

/// So many minutes are kept, the one under way among them.
const MINUTES: usize = 60;
const MINUTE: i64 = 60;

/// The causes of refusals, as the metric of them has them.
const CAUSES: [&str; 5] = ["missing", "malformed", "mismatch", "stale", "unreadable"];

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tally {
    Accepted,
    Repeated,
    Delivered,
    Failed,
    /// Answered 503.
    TurnedAway,
    /// By its place among the causes.
    Refused(usize),
}

/// One place for each tally.
const TALLIES: usize = 5 + CAUSES.len();

impl Tally {
    const fn place(self) -> usize {
        match self {
            Self::Accepted => 0,
            Self::Repeated => 1,
            Self::Delivered => 2,
            Self::Failed => 3,
            Self::TurnedAway => 4,
            Self::Refused(cause) => 5 + cause,
        }
    }
}

/// The last hour. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What came since the minutes were brought up to date.
    arriving: [AtomicU64; TALLIES],
    acks: Arriving,
    /// The last one is under way.
    minutes: Mutex<VecDeque<Minute>>,
}

#[derive(Debug)]
struct Minute {
    /// Its number since 1970.
    number: i64,
    counts: [u64; TALLIES],
    acks: Latency,
}

/// The last hour, as people are told of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Hour {
    /// Those in which the relay ran, the oldest first; the last one is under way.
    pub(crate) minutes: Vec<MinuteTold>,
    /// Requests that were refused in them, by cause.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) ack_p50_ms: Option<f64>,
    pub(crate) ack_p99_ms: Option<f64>,
}

/// One minute, as people are told of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct MinuteTold {
    /// When it began.
    at: Timestamp,
    /// Events that are new, and repeats of those that are there.
    accepted: u64,
    repeated: u64,
    /// Requests without a good proof, and those that were answered 503.
    refused: u64,
    turned_away: u64,
    /// Attempts, by what came of them.
    delivered: u64,
    failed: u64,
    /// From the first byte of a callback to its 200.
    ack_p50_ms: Option<f64>,
    ack_p99_ms: Option<f64>,
}

impl Rates {
    fn count(&self, tally: Tally, value: u64) {
        if let Some(count) = self.0.arriving.get(tally.place()) {
            count.fetch_add(value, Ordering::Relaxed);
        }
    }

    fn acknowledged(&self, seconds: f64) {
        self.0.acks.record(seconds);
    }

    /// Puts what has come into its minute. What came just before a minute's end is counted into it only if this is called
    /// soon after, so somebody calls it each second.
    pub(crate) fn turn(&self, now: Timestamp) {
        let number = now.as_second().div_euclid(MINUTE);
        let mut minutes = self.0.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        if minutes.is_empty() {
            minutes.push_back(Minute::new(number));
        }
        if let Some(minute) = minutes.back_mut() {
            for (count, arriving) in minute.counts.iter_mut().zip(&self.0.arriving) {
                *count += arriving.swap(0, Ordering::Relaxed);
            }
            self.0.acks.empty_into(&mut minute.acks);
        }
        // A clock that was set back has minutes that are yet to come; those would be told twice.
        let oldest = number - MINUTES as i64;
        minutes.retain(|minute| minute.number > oldest && minute.number <= number);
        if minutes.back().is_none_or(|minute| minute.number < number) {
            minutes.push_back(Minute::new(number));
        }
    }

    pub(crate) fn hour(&self) -> Hour {
        let minutes = self.0.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut acks = Latency::default();
        minutes.iter().for_each(|minute| acks.add(&minute.acks));
        let of_cause = |place| minutes.iter().map(|minute| minute.count(Tally::Refused(place))).sum::<u64>();
        let refused = CAUSES.iter().enumerate().map(|(place, cause)| (*cause, of_cause(place)));
        Hour {
            minutes: minutes.iter().map(Minute::tell).collect(),
            refused: refused.filter(|(_, count)| *count > 0).collect(),
            ack_p50_ms: acks.quantile_ms(0.5),
            ack_p99_ms: acks.quantile_ms(0.99),
        }
    }
}

impl Minute {
    fn new(number: i64) -> Self {
        Self { number, counts: [0; TALLIES], acks: Latency::default() }
    }

    fn count(&self, tally: Tally) -> u64 {
        self.counts.get(tally.place()).copied().unwrap_or_default()
    }

    fn tell(&self) -> MinuteTold {
        let began = SignedDuration::from_secs(self.number * MINUTE);
        MinuteTold {
            at: Timestamp::from_duration(began).unwrap_or_default(),
            accepted: self.count(Tally::Accepted),
            repeated: self.count(Tally::Repeated),
            refused: (0..CAUSES.len()).map(|cause| self.count(Tally::Refused(cause))).sum(),
            turned_away: self.count(Tally::TurnedAway),
            delivered: self.count(Tally::Delivered),
            failed: self.count(Tally::Failed),
            ack_p50_ms: self.acks.quantile_ms(0.5),
            ack_p99_ms: self.acks.quantile_ms(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-01T{text}Z").parse().unwrap()
    }

    /// The accepted ones of each minute.
    fn told(rates: &Rates) -> Vec<(String, u64)> {
        let minute = |minute: MinuteTold| (minute.at.strftime("%H:%M").to_string(), minute.accepted);
        rates.hour().minutes.into_iter().map(minute).collect()
    }

    #[test]
    fn each_minute_has_what_came_in_it_and_an_hour_is_kept() {
        let rates = Rates::default();
        rates.turn(at("10:00:10"));
        rates.count(Tally::Accepted, 2);
        rates.turn(at("10:00:59"));
        rates.count(Tally::Accepted, 1);
        // What came since the last turn came before the minute ended.
        rates.turn(at("10:01:00"));
        assert_eq!(told(&rates), [("10:00".to_owned(), 3), ("10:01".to_owned(), 0)]);
        rates.count(Tally::Accepted, 4);
        rates.turn(at("11:00:00"));
        assert_eq!(told(&rates), [("10:01".to_owned(), 4), ("11:00".to_owned(), 0)]);
        for minute in 1..59 {
            rates.turn(at(&format!("11:{minute:02}:00")));
        }
        assert_eq!(rates.hour().minutes.len(), 59);
        rates.turn(at("18:00:00"));
        assert_eq!(told(&rates), [("18:00".to_owned(), 0)]);
    }

    #[test]
    fn a_clock_that_is_set_back_tells_no_minute_twice() {
        let rates = Rates::default();
        rates.turn(at("10:00:00"));
        rates.turn(at("10:01:00"));
        rates.count(Tally::Accepted, 1);
        rates.turn(at("10:00:30"));
        rates.count(Tally::Accepted, 5);
        rates.turn(at("10:00:40"));
        assert_eq!(told(&rates), [("10:00".to_owned(), 5)]);
    }

    #[test]
    fn refusals_stand_by_cause_and_latencies_by_minute() {
        let rates = Rates::default();
        rates.turn(at("10:00:00"));
        rates.count(Tally::Refused(2), 3);
        rates.count(Tally::Refused(3), 1);
        (0..99).for_each(|_| rates.acknowledged(0.001));
        rates.acknowledged(1.0);
        rates.turn(at("10:01:00"));
        let hour = rates.hour();
        assert_eq!(hour.refused, [("mismatch", 3), ("stale", 1)].into());
        assert_eq!(hour.minutes[0].refused, 4);
        let p50 = hour.minutes[0].ack_p50_ms.unwrap();
        assert!((0.9..1.1).contains(&p50), "{p50}");
        assert_eq!((hour.ack_p50_ms, hour.minutes[1].ack_p99_ms), (Some(p50), None));
    }
}
