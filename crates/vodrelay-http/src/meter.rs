//! The figures of the receiver. Their handles are looked up once, since a look-up costs more than counting does.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use vodrelay_core::RefusalCause;
use vodrelay_core::event_types::{EVENT_TYPES, place};

use crate::answer::Answer;

const CAUSES: [RefusalCause; 5] = [
    RefusalCause::Missing,
    RefusalCause::Malformed,
    RefusalCause::Mismatch,
    RefusalCause::Stale,
    RefusalCause::Unreadable,
];

/// After this long the provider's patience, five seconds, wears thin.
const LATE: Duration = Duration::from_secs(3);

/// The handles.
pub(crate) struct Meter {
    received: [Counter; Answer::COUNT],
    new: [OnceLock<Counter>; EVENT_TYPES.len()],
    seen_before: [OnceLock<Counter>; EVENT_TYPES.len()],
    failures: [Counter; CAUSES.len()],
    ack: Histogram,
    late: Counter,
    duplicates: Counter,
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
        Self {
            received: Answer::ALL.map(|answer| received("none", answer)),
            new: [const { OnceLock::new() }; EVENT_TYPES.len()],
            seen_before: [const { OnceLock::new() }; EVENT_TYPES.len()],
            failures: CAUSES.map(failures),
            ack: histogram!("vodrelay_ack_duration_seconds"),
            late: counter!("vodrelay_ack_over_3s_total"),
            duplicates: counter!("vodrelay_duplicates_total", "transport" => "http"),
        }
    }

    /// Counts an answer that took so long, from the first byte of the head.
    pub(crate) fn answered(&self, answer: Answer, event_type: Option<&str>, took: Duration) {
        if matches!(answer, Answer::Healthy | Answer::Draining | Answer::NotGet) {
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
            _ => return self.received.get(answer as usize),
        };
        let Some(event_type) = event_type else { return self.received.get(answer as usize) };
        let place = place(event_type);
        let (cell, word) = (table.get(place)?, EVENT_TYPES.get(place)?);
        Some(cell.get_or_init(|| received(word, answer)))
    }

    /// Counts a proof that failed.
    pub(crate) fn failed(&self, cause: RefusalCause) {
        let position = CAUSES.iter().position(|other| *other == cause);
        if let Some(counter) = position.and_then(|position| self.failures.get(position)) {
            counter.increment(1);
        }
    }
}

fn received(event_type: &'static str, answer: Answer) -> Counter {
    let labels = [("transport", "http"), ("event_type", event_type), ("outcome", answer.as_str())];
    counter!("vodrelay_events_received_total", &labels)
}
