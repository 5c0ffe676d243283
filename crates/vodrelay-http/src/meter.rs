//! The figures of the receiver. Their handles are looked up once, since a look-up costs more than counting does.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use vodrelay_core::event_types::{EVENT_TYPES, place};
use vodrelay_core::{Name, RefusalCause};

use crate::answer::Answer;
use crate::receiver::{Callback, Settings};

const CAUSES: [RefusalCause; RefusalCause::ALL.len()] = RefusalCause::ALL;
/// The type that a figure is there for from the beginning, so that the first one that comes is seen to come.
const OURS: &str = "DynamicImageComplete";

/// After this long the provider's patience, five seconds, wears thin.
const LATE: Duration = Duration::from_secs(3);

/// The handles.
pub(crate) struct Meter {
    /// Nothing for what is no event: questions after the health.
    received: [Option<Counter>; Answer::COUNT],
    new: [OnceLock<Counter>; EVENT_TYPES.len()],
    seen_before: [OnceLock<Counter>; EVENT_TYPES.len()],
    failures: [Counter; CAUSES.len()],
    ack: Histogram,
    late: Counter,
    duplicates: Counter,
    retries: Counter,
}

/// The figures of each callback.
#[derive(Debug)]
pub(crate) struct Meters(HashMap<Name, MeterOfCallback>);

/// The handles of one callback.
pub(crate) struct MeterOfCallback {
    last_accepted: Gauge,
    clock_offset: Gauge,
    keys: Vec<(String, Gauge)>,
}

impl std::fmt::Debug for MeterOfCallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MeterOfCallback")
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meter")
    }
}

impl Meter {
    /// Looks the handles up in the recorder that is installed by now.
    pub(crate) fn new() -> Self {
        let failures =
            |cause: RefusalCause| counter!("vodrelay_auth_failures_total", "reason" => cause.as_str());
        let meter = Self {
            received: Answer::ALL.map(|answer| answer.is_of_a_callback().then(|| received("none", answer))),
            new: [const { OnceLock::new() }; EVENT_TYPES.len()],
            seen_before: [const { OnceLock::new() }; EVENT_TYPES.len()],
            failures: CAUSES.map(failures),
            ack: histogram!("vodrelay_ack_duration_seconds"),
            late: counter!("vodrelay_ack_over_3s_total"),
            duplicates: counter!("vodrelay_duplicates_total", "transport" => "http"),
            retries: counter!("vodrelay_provider_retries_seen_total", "transport" => "http"),
        };
        for answer in [Answer::Accepted, Answer::Duplicate] {
            meter.received(answer, Some(OURS));
        }
        meter
    }

    /// Counts an answer that took so long, from the first byte of the head.
    pub(crate) fn answered(&self, answer: Answer, event_type: Option<&str>, took: Duration) {
        if !answer.is_of_a_callback() {
            return;
        }
        if let Some(counter) = self.received(answer, event_type) {
            counter.increment(1);
        }
        if answer == Answer::Duplicate {
            self.duplicates.increment(1);
        }
        if matches!(answer, Answer::Accepted | Answer::Duplicate) {
            self.ack.record(took);
        }
        if took >= LATE {
            self.late.increment(1);
        }
    }

    fn received(&self, answer: Answer, event_type: Option<&str>) -> Option<&Counter> {
        let table = match answer {
            Answer::Accepted => &self.new,
            Answer::Duplicate => &self.seen_before,
            _ => return self.received.get(answer as usize)?.as_ref(),
        };
        let Some(event_type) = event_type else { return self.received.get(answer as usize)?.as_ref() };
        let place = place(event_type);
        let (cell, word) = (table.get(place)?, EVENT_TYPES.get(place)?);
        Some(cell.get_or_init(|| received(word, answer)))
    }

    /// Counts a callback whose event had come a short while before.
    pub(crate) fn repeated(&self) {
        self.retries.increment(1);
    }

    /// Counts a proof that failed.
    pub(crate) fn failed(&self, cause: RefusalCause) {
        let position = CAUSES.iter().position(|other| *other == cause);
        if let Some(counter) = position.and_then(|position| self.failures.get(position)) {
            counter.increment(1);
        }
    }
}

impl Meters {
    /// Those of the callbacks that are configured now. What they said before they go on saying.
    pub(crate) fn of(settings: &Settings) -> Self {
        let of = |callback: &Callback| (callback.name.clone(), MeterOfCallback::of(callback));
        Self(settings.callbacks.iter().map(of).collect())
    }

    pub(crate) fn get(&self, callback: &Callback) -> Option<&MeterOfCallback> {
        self.0.get(&callback.name)
    }
}

impl MeterOfCallback {
    fn of(callback: &Callback) -> Self {
        let source = callback.source.to_string();
        let key = |name: &String| {
            let labels = [("callback", callback.name.to_string()), ("key", name.clone())];
            gauge!("vodrelay_callback_key_last_used_timestamp_seconds", &labels)
        };
        let names = callback.endpoint.keys.iter().map(|named| &named.name);
        let meter = Self {
            last_accepted: gauge!("vodrelay_source_last_accepted_timestamp_seconds", "source" => source.clone()),
            clock_offset: gauge!("vodrelay_clock_offset_seconds", "source" => source),
            keys: names.map(|name| (name.clone(), key(name))).collect(),
        };
        // There from the beginning, and untouched where a reload finds them at work.
        meter.last_accepted.increment(0.0);
        meter.clock_offset.increment(0.0);
        meter.keys.iter().for_each(|(_, gauge)| gauge.increment(0.0));
        meter
    }

    /// An event of it is durable.
    pub(crate) fn accepted(&self, at: Timestamp) {
        self.last_accepted.set(seconds(at));
    }

    /// What a proof that some key fits says of our clock.
    pub(crate) fn clock(&self, ahead_seconds: f64) {
        // Nothing may be shown as -0.
        self.clock_offset.set(ahead_seconds + 0.0);
    }

    /// A proof was made with that key.
    pub(crate) fn used(&self, key: &str, at: Timestamp) {
        if let Some((_, gauge)) = self.keys.iter().find(|(name, _)| name == key) {
            gauge.set(seconds(at));
        }
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn received(event_type: &'static str, answer: Answer) -> Counter {
    let labels = [("transport", "http"), ("event_type", event_type), ("outcome", answer.as_str())];
    counter!("vodrelay_events_received_total", &labels)
}
