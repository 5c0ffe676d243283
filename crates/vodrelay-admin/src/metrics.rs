//! The figures of the whole process as Prometheus reads them, with those of the journal fetched at each scrape.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use metrics::{gauge, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use vodrelay_core::{Ledger, SinkBacklog, SinkName, Totals};

use crate::rates::{Hour, Rates, Tapped};

/// Fine below the provider's patience of five seconds and around it, coarse above, where deliveries and images are.
const SECONDS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 30.0, 120.0];

/// The recorder that the process counts into. Cloning it is cheap.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<Tapped>,
    handle: PrometheusHandle,
    sinks: Arc<Mutex<BTreeSet<SinkName>>>,
}

/// Why the recorder could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("failed to install the recorder of metrics: {0}")]
pub struct InstallError(String);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Has everything in this process counted here. Call it before anything is built that counts.
    ///
    /// # Errors
    /// If a recorder is installed already.
    pub fn install() -> Result<Self, InstallError> {
        let metrics = Self::detached()?;
        metrics::set_global_recorder(Arc::clone(&metrics.recorder))
            .map_err(|error| InstallError(error.to_string()))?;
        Ok(metrics)
    }

    /// A recorder that only this crate counts into; for tests, where many live in one process.
    ///
    /// # Errors
    /// If its buckets are wrong, which they are not.
    pub fn detached() -> Result<Self, InstallError> {
        let suffix = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(suffix, &SECONDS);
        let recorder = builder.map_err(|error| InstallError(error.to_string()))?.build_recorder();
        let handle = recorder.handle();
        let recorder = Arc::new(Tapped { recorder, rates: Rates::default() });
        let metrics = Self { recorder, handle, sinks: Arc::default() };
        with_local_recorder(&*metrics.recorder, describe);
        Ok(metrics)
    }

    /// Folds what histograms gathered since the last time; without it they grow while nobody scrapes.
    pub(crate) fn tidy(&self) {
        self.handle.run_upkeep();
    }

    /// Puts what was counted into its minute; to be called about once a second.
    pub(crate) fn turn(&self, now: Timestamp) {
        self.recorder.rates.turn(now);
    }

    /// What came and went in the last hour.
    pub(crate) fn hour(&self, now: Timestamp) -> Hour {
        self.turn(now);
        self.recorder.rates.hour()
    }

    /// The text, with the figures of the journal as they are now.
    pub(crate) async fn scrape(
        &self,
        ledger: &dyn Ledger,
        configured: &BTreeSet<SinkName>,
        now: Timestamp,
    ) -> String {
        match (ledger.backlogs().await, ledger.totals().await) {
            (Ok(backlogs), Ok(totals)) => with_local_recorder(&*self.recorder, || {
                self.set_backlogs(&backlogs, configured, now);
                set_totals(totals);
            }),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(error = %error, "the journal's figures are missing from a scrape");
            }
        }
        self.handle.render()
    }

    fn set_backlogs(&self, backlogs: &[SinkBacklog], configured: &BTreeSet<SinkName>, now: Timestamp) {
        let mut known = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        // A sink that the journal has forgotten would otherwise keep its last figures.
        for gone in known.iter().filter(|sink| backlogs.iter().all(|backlog| backlog.sink != **sink)) {
            set_backlog(gone, 0, 0, 0.0);
            set_orphaned(gone, 0);
            set_paused(gone, false);
        }
        // A figure that is not there until something goes wrong is one that no alert can be written for.
        configured.iter().for_each(|sink| set_paused(sink, false));
        for backlog in backlogs {
            let age =
                backlog.oldest_pending_at.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0));
            set_backlog(&backlog.sink, backlog.pending, backlog.dead_letters, age);
            set_orphaned(&backlog.sink, if configured.contains(&backlog.sink) { 0 } else { backlog.pending });
            set_paused(&backlog.sink, backlog.paused.is_some());
            known.insert(backlog.sink.clone());
        }
    }
}

fn set_backlog(sink: &SinkName, pending: u64, dead_letters: u64, oldest_seconds: f64) {
    let label = || ("sink", sink.as_str().to_owned());
    gauge!("vodrelay_sink_pending", &[label()]).set(pending as f64);
    gauge!("vodrelay_dead_letters", &[label()]).set(dead_letters as f64);
    gauge!("vodrelay_sink_oldest_pending_seconds", &[label()]).set(oldest_seconds);
}

fn set_orphaned(sink: &SinkName, deliveries: u64) {
    gauge!("vodrelay_orphaned_deliveries", &[("sink", sink.as_str().to_owned())]).set(deliveries as f64);
}

fn set_paused(sink: &SinkName, paused: bool) {
    gauge!("vodrelay_sink_paused", &[("sink", sink.as_str().to_owned())]).set(f64::from(u8::from(paused)));
}

fn set_totals(totals: Totals) {
    gauge!("vodrelay_journal_events").set(totals.events as f64);
    gauge!("vodrelay_unrouted_events").set(totals.unrouted as f64);
    gauge!("vodrelay_unreadable_events").set(totals.unreadable as f64);
    gauge!("vodrelay_refusals_kept").set(totals.refusals as f64);
}

fn describe() {
    gauge!("vodrelay_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::describe_gauge!("vodrelay_build_info", "Which vodrelay this is; always 1.");
    metrics::describe_gauge!("vodrelay_sink_pending", "Deliveries that are neither done nor given up.");
    metrics::describe_gauge!(
        "vodrelay_dead_letters",
        "Deliveries given up, until somebody replays or purges them."
    );
    metrics::describe_gauge!(
        "vodrelay_sink_oldest_pending_seconds",
        "For how long the oldest pending delivery has waited."
    );
    metrics::describe_gauge!(
        "vodrelay_orphaned_deliveries",
        "Deliveries that wait for a sink that is not configured."
    );
    metrics::describe_gauge!(
        "vodrelay_sink_paused",
        "1 while somebody has the sink paused, else 0; over restarts too."
    );
    metrics::describe_gauge!("vodrelay_journal_events", "Events that the journal holds.");
    metrics::describe_gauge!("vodrelay_unrouted_events", "Events held that matched no sink.");
    metrics::describe_gauge!("vodrelay_unreadable_events", "Events held whose body cannot be read.");
    metrics::describe_gauge!("vodrelay_refusals_kept", "Refused requests that the journal holds.");
    metrics::describe_counter!("vodrelay_events_received_total", "Requests and messages, by how they ended.");
    metrics::describe_counter!("vodrelay_auth_failures_total", "Requests refused for their proof, by cause.");
    metrics::describe_counter!(
        "vodrelay_refusals_total",
        "Refused requests, by cause and by whether they were kept."
    );
    metrics::describe_counter!("vodrelay_sink_attempts_total", "Attempts to deliver, by what came of them.");
    metrics::describe_counter!(
        "vodrelay_sink_postponed_total",
        "How often a sink put a delivery off, which is no attempt."
    );
    metrics::describe_histogram!("vodrelay_sink_attempt_duration_seconds", "How long an attempt took.");
    metrics::describe_gauge!("vodrelay_breaker_state", "1 while the sink fails and is only probed, else 0.");
    metrics::describe_counter!("vodrelay_dead_letters_total", "Deliveries given up since the start.");
    metrics::describe_counter!("vodrelay_archive_images_total", "Images, by what came of each attempt.");
    metrics::describe_gauge!("vodrelay_journal_bytes", "The journal's file.");
    metrics::describe_gauge!("vodrelay_journal_wal_bytes", "The journal's write-ahead log.");
    metrics::describe_counter!("vodrelay_journal_events_appended_total", "Events made durable.");
    metrics::describe_counter!("vodrelay_journal_deliveries_settled_total", "Outcomes made durable.");
    metrics::describe_histogram!(
        "vodrelay_journal_fsync_duration_seconds",
        "How long a commit took, its sync included."
    );
    metrics::describe_counter!("vodrelay_duplicates_total", "Events that were there already.");
    metrics::describe_counter!(
        "vodrelay_ack_over_3s_total",
        "Answers that took three seconds or more of the provider's five."
    );
    metrics::describe_histogram!(
        "vodrelay_ack_duration_seconds",
        "From the first byte of a callback to its 200."
    );
}
