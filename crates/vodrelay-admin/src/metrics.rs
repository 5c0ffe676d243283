//! The figures of the whole process as Prometheus reads them, with those of the journal fetched at each scrape.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use metrics::{gauge, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use vodrelay_core::metric::{self, Metric};
use vodrelay_core::{Ledger, SinkBacklog, SinkName, Totals};

use crate::process;
use crate::rates::{Hour, Rates, Tapped};

/// Fine below the provider's patience of five seconds and around it, coarse above, where deliveries and images are.
const SECONDS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 30.0, 120.0];

/// How old deliveries are: from at once to the week after which one is given up.
const AGES: [f64; 15] = [
    0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 43_200.0, 86_400.0, 259_200.0,
    604_800.0,
];

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
        let age = Matcher::Full("vodrelay_delivery_age_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(suffix, &SECONDS);
        let builder = builder.and_then(|builder| builder.set_buckets_for_metric(age, &AGES));
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
        let writable = ledger.writable().await.is_ok();
        with_local_recorder(&*self.recorder, || {
            gauge!("vodrelay_journal_writable").set(if writable { 1.0 } else { 0.0 })
        });
        match (ledger.backlogs().await, ledger.totals().await) {
            (Ok(backlogs), Ok(totals)) => with_local_recorder(&*self.recorder, || {
                self.set_backlogs(&backlogs, configured, now);
                set_totals(totals);
            }),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(error = %error, "the journal's figures are missing from a scrape");
            }
        }
        self.handle.render() + &process::scrape()
    }

    fn set_backlogs(&self, backlogs: &[SinkBacklog], configured: &BTreeSet<SinkName>, now: Timestamp) {
        let mut known = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        // A sink that the journal has forgotten would otherwise keep its last figures.
        // A figure that is not there until something goes wrong is one that no alert can be written for.
        known.extend(configured.iter().cloned());
        for known in known.iter().filter(|sink| backlogs.iter().all(|backlog| backlog.sink != **sink)) {
            set_backlog(&SinkBacklog::empty(known.clone()), true, now);
        }
        for backlog in backlogs {
            set_backlog(backlog, configured.contains(&backlog.sink), now);
            known.insert(backlog.sink.clone());
        }
        let oldest = backlogs.iter().filter_map(|backlog| backlog.oldest_pending_at).min();
        gauge!("vodrelay_journal_oldest_pending_seconds").set(age(oldest, now));
    }
}

fn set_backlog(backlog: &SinkBacklog, is_configured: bool, now: Timestamp) {
    let set =
        |name: &'static str, value: f64| gauge!(name, "sink" => backlog.sink.as_str().to_owned()).set(value);
    set("vodrelay_sink_pending", backlog.pending as f64);
    set("vodrelay_sink_dead_letters", backlog.dead_letters as f64);
    set("vodrelay_sink_oldest_pending_seconds", age(backlog.oldest_pending_at, now));
    set("vodrelay_retry_overdue_seconds", age(backlog.retry_due_at, now));
    set("vodrelay_orphaned_deliveries", if is_configured { 0.0 } else { backlog.pending as f64 });
    set("vodrelay_sink_paused", f64::from(u8::from(backlog.paused.is_some())));
}

/// How long ago it was; 0 where it is nothing, or still to come.
fn age(at: Option<Timestamp>, now: Timestamp) -> f64 {
    at.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0))
}

fn set_totals(totals: Totals) {
    gauge!("vodrelay_journal_events").set(totals.events as f64);
    gauge!("vodrelay_unrouted_events").set(totals.unrouted as f64);
    gauge!("vodrelay_unreadable_events").set(totals.unreadable as f64);
    gauge!("vodrelay_refusals_kept").set(totals.refusals as f64);
}

fn describe() {
    metric::all().filter(|metric| metric.name.starts_with("vodrelay_")).for_each(Metric::describe);
    gauge!("vodrelay_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}
