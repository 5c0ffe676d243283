//! The figures of one queue.

use metrics::{counter, gauge};
use vodrelay_core::{Accepted, Appended, Name, event_types};

/// Counts for one queue.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    queue: String,
}

impl Meter {
    /// The figures that are there from the beginning, so that an alert can stand on them.
    pub(crate) fn new(queue: &Name) -> Self {
        let meter = Self { queue: queue.to_string() };
        // Until the first answer nobody knows.
        meter.up(false);
        meter.paused(false);
        meter.without_handle(0);
        meter.refused(0);
        for early in ["yes", "no"] {
            counter!("vodrelay_mns_receive_empty_total", "queue" => meter.queue.clone(), "early" => early)
                .increment(0);
        }
        ["renewed", "lost", "failed"].into_iter().for_each(|outcome| meter.renewed(outcome, 0));
        ["deleted", "gone", "failed"].into_iter().for_each(|outcome| meter.deleted(outcome, 0));
        meter
    }

    pub(crate) fn accepted(&self, accepted: &Accepted) {
        let is_new = accepted.appended == Appended::New;
        let outcome = if is_new { "accepted" } else { "duplicate" };
        let event_type = accepted.event_type.as_deref().map_or("none", event_types::label);
        let labels = [("transport", "mns"), ("event_type", event_type), ("outcome", outcome)];
        counter!("vodrelay_events_received_total", &labels).increment(1);
        if !is_new {
            counter!("vodrelay_duplicates_total", "transport" => "mns").increment(1);
        }
    }

    pub(crate) fn empty(&self, early: bool) {
        let early = if early { "yes" } else { "no" };
        counter!("vodrelay_mns_receive_empty_total", "queue" => self.queue.clone(), "early" => early)
            .increment(1);
    }

    /// Messages that came without a handle.
    pub(crate) fn without_handle(&self, count: u64) {
        counter!("vodrelay_mns_without_handle_total", "queue" => self.queue.clone()).increment(count);
    }

    /// Messages that the journal does not take, today or ever.
    pub(crate) fn refused(&self, count: u64) {
        counter!("vodrelay_mns_refused_total", "queue" => self.queue.clone()).increment(count);
    }

    pub(crate) fn wrong_md5(&self) {
        counter!("vodrelay_mns_md5_mismatches_total", "queue" => self.queue.clone()).increment(1);
    }

    /// `outcome` is `renewed`, `lost` or `failed`.
    pub(crate) fn renewed(&self, outcome: &'static str, count: u64) {
        counter!("vodrelay_mns_lease_renewals_total", "queue" => self.queue.clone(), "outcome" => outcome)
            .increment(count);
    }

    /// `outcome` is `deleted`, `gone` or `failed`.
    pub(crate) fn deleted(&self, outcome: &'static str, count: u64) {
        counter!("vodrelay_mns_deletions_total", "queue" => self.queue.clone(), "outcome" => outcome)
            .increment(count);
    }

    pub(crate) fn up(&self, up: bool) {
        gauge!("vodrelay_mns_up", "queue" => self.queue.clone()).set(if up { 1.0 } else { 0.0 });
    }

    pub(crate) fn paused(&self, paused: bool) {
        gauge!("vodrelay_mns_paused", "queue" => self.queue.clone()).set(if paused { 1.0 } else { 0.0 });
    }

    pub(crate) fn pollers(&self, count: usize) {
        gauge!("vodrelay_mns_pollers", "queue" => self.queue.clone()).set(count as f64);
    }
}
