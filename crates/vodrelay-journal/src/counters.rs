//! Counters that are kept in the transaction that changes what they count, so that no figure needs a walk.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

/// What one transaction changes in the counters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) events: i64,
    pub(crate) duplicates: i64,
    pub(crate) unrouted: i64,
    pub(crate) unreadable: i64,
    pub(crate) refusals: i64,
    pub(crate) refusal_bytes: i64,
    sinks: BTreeMap<i64, SinkCounters>,
}

/// The same for one sink.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SinkCounters {
    pub(crate) pending: i64,
    pub(crate) dead_letters: i64,
    pub(crate) delivered: i64,
}

impl Counters {
    pub(crate) fn sink(&mut self, sink: i64) -> &mut SinkCounters {
        self.sinks.entry(sink).or_default()
    }

    /// Adds those of a part of the transaction.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { events, duplicates, unrouted, unreadable, refusals, refusal_bytes, sinks } = other;
        self.events += events;
        self.duplicates += duplicates;
        self.unrouted += unrouted;
        self.unreadable += unreadable;
        self.refusals += refusals;
        self.refusal_bytes += refusal_bytes;
        for (sink, SinkCounters { pending, dead_letters, delivered }) in sinks {
            let counters = self.sink(*sink);
            counters.pending += pending;
            counters.dead_letters += dead_letters;
            counters.delivered += delivered;
        }
    }

    /// Writes the changes into the running transaction.
    pub(crate) fn flush(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let counters = std::mem::take(self);
        for (sink, change) in &counters.sinks {
            conn.prepare_cached(
                "UPDATE sinks SET pending = pending + ?2, dead_letters = dead_letters + ?3,
                 delivered = delivered + ?4 WHERE id = ?1",
            )?
            .execute([*sink, change.pending, change.dead_letters, change.delivered])?;
        }
        if counters.totals_are_as_before() {
            return Ok(());
        }
        conn.prepare_cached(
            "UPDATE totals SET events = events + ?1, duplicates = duplicates + ?2, unrouted = unrouted + ?3,
             unreadable = unreadable + ?4, refusals = refusals + ?5, refusal_bytes = refusal_bytes + ?6",
        )?
        .execute(params![
            counters.events,
            counters.duplicates,
            counters.unrouted,
            counters.unreadable,
            counters.refusals,
            counters.refusal_bytes,
        ])?;
        Ok(())
    }

    /// Settlements change none of them, and each table that is touched is a page more to write.
    fn totals_are_as_before(&self) -> bool {
        let Self { events, duplicates, unrouted, unreadable, refusals, refusal_bytes, sinks: _ } = self;
        [events, duplicates, unrouted, unreadable, refusals, refusal_bytes].iter().all(|change| **change == 0)
    }
}
