//! The figures of one queue. Those that count events are looked up once, since a look-up costs more than counting does.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use metrics::{Counter, Gauge, counter, gauge};
use vodrelay_core::{Accepted, Appended, Name, event_types};

/// Counts for one queue.
#[derive(Clone)]
pub(crate) struct Meter(Arc<Handles>);

struct Handles {
    up: Gauge,
    paused: Gauge,
    pollers: Gauge,
    polls: ByWord<3>,
    empty: ByWord<2>,
    without_handle: Counter,
    refused: Counter,
    wrong_md5: Counter,
    renewals: ByWord<3>,
    deletions: ByWord<3>,
    duplicates: Counter,
    retries: Counter,
    last_accepted: Gauge,
    clock_offset: Gauge,
}

/// A counter for each of a few words.
type ByWord<const N: usize> = [(&'static str, Counter); N];

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl Meter {
    /// All are there from the beginning, so that an alert can stand on them. The recorder, if any, is to be installed
    /// before.
    pub(crate) fn new(queue: &Name) -> Self {
        let (queue, source) = (queue.to_string(), format!("queues.{queue}"));
        let of = |outcome| [("queue", queue.clone()), ("outcome", String::from(outcome))];
        let early = |early| [("queue", queue.clone()), ("early", String::from(early))];
        let handles = Handles {
            up: gauge!("vodrelay_mns_up", "queue" => queue.clone()),
            paused: gauge!("vodrelay_mns_paused", "queue" => queue.clone()),
            pollers: gauge!("vodrelay_mns_pollers", "queue" => queue.clone()),
            polls: ["messages", "empty", "failed"]
                .map(|word| (word, counter!("vodrelay_mns_polls_total", &of(word)))),
            empty: ["yes", "no"]
                .map(|word| (word, counter!("vodrelay_mns_receive_empty_total", &early(word)))),
            without_handle: counter!("vodrelay_mns_without_handle_total", "queue" => queue.clone()),
            refused: counter!("vodrelay_mns_refused_total", "queue" => queue.clone()),
            wrong_md5: counter!("vodrelay_mns_md5_mismatches_total", "queue" => queue.clone()),
            renewals: ["renewed", "lost", "failed"]
                .map(|word| (word, counter!("vodrelay_mns_lease_renewals_total", &of(word)))),
            deletions: ["deleted", "gone", "failed"]
                .map(|word| (word, counter!("vodrelay_mns_deletions_total", &of(word)))),
            duplicates: counter!("vodrelay_duplicates_total", "transport" => "mns"),
            retries: counter!("vodrelay_provider_retries_seen_total", "transport" => "mns"),
            last_accepted: gauge!("vodrelay_source_last_accepted_timestamp_seconds", "source" => source.clone()),
            clock_offset: gauge!("vodrelay_clock_offset_seconds", "source" => source),
        };
        for outcome in ["accepted", "duplicate"] {
            received("none", outcome).increment(0);
            received("DynamicImageComplete", outcome).increment(0);
        }
        // Until the first answer nobody knows; and nothing waits yet.
        for gauge in [&handles.up, &handles.paused, &handles.pollers] {
            gauge.set(0.0);
        }
        // A reload begins anew, and these go on.
        handles.last_accepted.increment(0.0);
        handles.clock_offset.increment(0.0);
        Self(Arc::new(handles))
    }

    pub(crate) fn accepted(&self, accepted: &Accepted, at: Timestamp) {
        let is_new = accepted.appended == Appended::New;
        let event_type = accepted.event_type.as_deref().map_or("none", event_types::label);
        received(event_type, if is_new { "accepted" } else { "duplicate" }).increment(1);
        if !is_new {
            self.0.duplicates.increment(1);
        }
        self.0.last_accepted.set(at.as_duration().as_secs_f64());
    }

    /// A poll has ended; `outcome` is `messages`, `empty` or `failed`.
    pub(crate) fn polled(&self, outcome: &'static str) {
        add(&self.0.polls, outcome, 1);
    }

    pub(crate) fn empty(&self, early: bool) {
        add(&self.0.empty, if early { "yes" } else { "no" }, 1);
    }

    /// The service said what time it is, just now.
    pub(crate) fn clock(&self, ours: Timestamp, theirs: Timestamp) {
        self.0.clock_offset.set(ours.duration_since(theirs).as_secs_f64());
    }

    /// A message that the queue had handed out before.
    pub(crate) fn repeated(&self) {
        self.0.retries.increment(1);
    }

    /// Messages that came without a handle.
    pub(crate) fn without_handle(&self, count: u64) {
        self.0.without_handle.increment(count);
    }

    /// Messages that the journal does not take, today or ever.
    pub(crate) fn refused(&self, count: u64) {
        self.0.refused.increment(count);
    }

    pub(crate) fn wrong_md5(&self) {
        self.0.wrong_md5.increment(1);
    }

    /// `outcome` is `renewed`, `lost` or `failed`.
    pub(crate) fn renewed(&self, outcome: &'static str, count: u64) {
        add(&self.0.renewals, outcome, count);
    }

    /// `outcome` is `deleted`, `gone` or `failed`.
    pub(crate) fn deleted(&self, outcome: &'static str, count: u64) {
        add(&self.0.deletions, outcome, count);
    }

    pub(crate) fn up(&self, up: bool) {
        self.0.up.set(if up { 1.0 } else { 0.0 });
    }

    pub(crate) fn paused(&self, paused: bool) {
        self.0.paused.set(if paused { 1.0 } else { 0.0 });
    }

    pub(crate) fn pollers(&self, count: usize) {
        self.0.pollers.set(count as f64);
    }
}

fn received(event_type: &'static str, outcome: &'static str) -> Counter {
    let labels = [("transport", "mns"), ("event_type", event_type), ("outcome", outcome)];
    counter!("vodrelay_events_received_total", &labels)
}

fn add(counters: &[(&'static str, Counter)], word: &str, count: u64) {
    if let Some((_, counter)) = counters.iter().find(|(other, _)| *other == word) {
        counter.increment(count);
    }
}
