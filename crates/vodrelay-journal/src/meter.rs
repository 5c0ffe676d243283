//! The figures of the writer. Their handles are looked up once.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::key::moment;
use crate::writer::Batch;

/// The handles.
pub(crate) struct Meter {
    appended: Counter,
    settled: Counter,
    sync: Histogram,
    progress: Gauge,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl Meter {
    /// Looks the handles up in the recorder that is installed by now.
    pub(crate) fn new() -> Self {
        Self {
            appended: counter!("vodrelay_journal_events_appended_total"),
            settled: counter!("vodrelay_journal_deliveries_settled_total"),
            sync: histogram!("vodrelay_journal_fsync_duration_seconds"),
            progress: gauge!("vodrelay_last_progress_timestamp_seconds"),
        }
    }

    /// The transaction is durable.
    pub(crate) fn committed(&self, batch: &Batch) {
        self.appended.increment(batch.appended);
        self.settled.increment(batch.settled);
    }

    /// A commit took so long.
    pub(crate) fn synced(&self, took: Duration) {
        self.sync.record(took);
    }

    /// The writer is at work, and not stuck in what it did last.
    pub(crate) fn progressed(&self, now: i64) {
        self.progress.set(moment(now).as_duration().as_secs_f64());
    }
}
