//! The figures of one archive. Their handles are looked up once.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use vodrelay_core::SinkName;

use super::failure::Cause;
use super::record::State;

/// The handles.
pub(super) struct Meter {
    kept: Counter,
    linked: Counter,
    failed: [(&'static str, Counter); Cause::ALL.len()],
    bytes: Counter,
    fetch: Histogram,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl Meter {
    /// All are there from the beginning, so that an alert can stand on them.
    pub(super) fn new(sink: &SinkName) -> Self {
        let images = |state: &'static str, cause: &'static str| {
            let labels =
                [("sink", sink.to_string()), ("state", state.to_owned()), ("cause", cause.to_owned())];
            counter!("vodrelay_archive_images_total", &labels)
        };
        Self {
            kept: images("kept", "none"),
            linked: images("linked", "none"),
            failed: Cause::ALL.map(|cause| (cause.word(), images("failed", cause.word()))),
            bytes: counter!("vodrelay_archive_bytes_total", "sink" => sink.to_string()),
            fetch: histogram!("vodrelay_archive_fetch_duration_seconds", "sink" => sink.to_string()),
        }
    }

    /// An image has come to this.
    pub(super) fn came_to(&self, state: &State) {
        let counter = match state {
            State::Kept(_) => Some(&self.kept),
            State::Linked { .. } => Some(&self.linked),
            State::Failed { cause, .. } => {
                self.failed.iter().find(|(word, _)| word == cause).map(|(_, counter)| counter)
            }
            State::Pending => None,
        };
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }

    /// A fetch has ended, with so many bytes in the store where it came to something.
    pub(super) fn fetched(&self, took: Duration, bytes: Option<u64>) {
        self.fetch.record(took);
        self.bytes.increment(bytes.unwrap_or(0));
    }
}
