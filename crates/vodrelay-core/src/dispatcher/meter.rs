//! The figures of one sink. Their handles are looked up once, since a look-up costs more than counting does.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::envelope::Delivery;
use crate::journal::Outcome;
use crate::name::SinkName;

/// The handles.
pub(super) struct Meter {
    delivered: Counter,
    retried: Counter,
    given_up: Counter,
    dead_letters: Counter,
    postponed: Counter,
    duration: Histogram,
    age: Histogram,
    breaker: Gauge,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl Meter {
    /// All are there from the beginning: a figure that is not there until something goes wrong is one that no alert can
    /// be written for.
    pub(super) fn new(sink: &SinkName) -> Self {
        let sink = || sink.to_string();
        let attempts = |outcome: &'static str| {
            let labels = [("sink", sink()), ("outcome", outcome.to_owned())];
            counter!("vodrelay_sink_attempts_total", &labels)
        };
        let meter = Self {
            delivered: attempts("delivered"),
            retried: attempts("retry"),
            given_up: attempts("dead_letter"),
            dead_letters: counter!("vodrelay_dead_letters_total", "sink" => sink()),
            postponed: counter!("vodrelay_sink_postponed_total", "sink" => sink()),
            duration: histogram!("vodrelay_sink_attempt_duration_seconds", "sink" => sink()),
            age: histogram!("vodrelay_delivery_age_seconds", "sink" => sink()),
            breaker: gauge!("vodrelay_breaker_state", "sink" => sink()),
        };
        meter.breaker(false);
        meter
    }

    /// An attempt has ended with that.
    pub(super) fn attempted(&self, delivery: &Delivery, outcome: &Outcome, took: Duration, now: Timestamp) {
        self.duration.record(took);
        match outcome {
            Outcome::Delivered => {
                self.delivered.increment(1);
                // How old a replay is says when somebody asked for it.
                if delivery.replay == 0 {
                    let age = now.duration_since(delivery.envelope.received_at).as_secs_f64();
                    self.age.record(age.max(0.0));
                }
            }
            Outcome::RetryAt(_) => self.retried.increment(1),
            Outcome::DeadLetter(_) => {
                self.given_up.increment(1);
                self.dead_letters.increment(1);
            }
            // Given back without an attempt.
            Outcome::Released => {}
        }
    }

    pub(super) fn postponed(&self) {
        self.postponed.increment(1);
    }

    pub(super) fn breaker(&self, is_open: bool) {
        self.breaker.set(if is_open { 1.0 } else { 0.0 });
    }
}
