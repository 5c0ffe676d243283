//! A recorder of metrics that counts a few of them for the last hour, too. So nobody who counts has to know of it.

use std::sync::Arc;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{CAUSES, Rates, Tally};

/// The recorder, and what is counted beside it.
pub(crate) struct Tapped {
    pub(crate) recorder: PrometheusRecorder,
    pub(crate) rates: Rates,
}

impl Recorder for Tapped {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let counter = self.recorder.register_counter(key, metadata);
        match tally(key) {
            Some(tally) => Counter::from_arc(Arc::new(Counted { counter, tally, rates: self.rates.clone() })),
            None => counter,
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.recorder.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let histogram = self.recorder.register_histogram(key, metadata);
        match key.name() {
            "vodrelay_ack_duration_seconds" => {
                Histogram::from_arc(Arc::new(Acknowledged { histogram, rates: self.rates.clone() }))
            }
            _ => histogram,
        }
    }
}

/// What the last hour calls it, if it is anything to it.
fn tally(key: &Key) -> Option<Tally> {
    let label = |name: &str| key.labels().find(|label| label.key() == name).map(|label| label.value());
    match (key.name(), label("outcome")) {
        ("vodrelay_events_received_total", Some("accepted")) => Some(Tally::Accepted),
        ("vodrelay_events_received_total", Some("duplicate")) => Some(Tally::Repeated),
        ("vodrelay_events_received_total", Some("journal_down" | "busy")) => Some(Tally::TurnedAway),
        ("vodrelay_sink_attempts_total", Some("delivered")) => Some(Tally::Delivered),
        ("vodrelay_sink_attempts_total", Some("retry" | "dead_letter")) => Some(Tally::Failed),
        ("vodrelay_auth_failures_total", _) => {
            let cause = label("reason")?;
            CAUSES.iter().position(|known| *known == cause).map(Tally::Refused)
        }
        _ => None,
    }
}

struct Counted {
    counter: Counter,
    tally: Tally,
    rates: Rates,
}

impl CounterFn for Counted {
    fn increment(&self, value: u64) {
        self.counter.increment(value);
        self.rates.count(self.tally, value);
    }

    fn absolute(&self, value: u64) {
        // None of these is ever set.
        self.counter.absolute(value);
    }
}

struct Acknowledged {
    histogram: Histogram,
    rates: Rates,
}

impl HistogramFn for Acknowledged {
    fn record(&self, seconds: f64) {
        self.histogram.record(seconds);
        self.rates.acknowledged(seconds);
    }
}

#[cfg(test)]
mod tests {
    use metrics::{counter, histogram, with_local_recorder};
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn what_is_counted_once_stands_in_both() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let tapped = Tapped { recorder, rates: Rates::default() };
        let now = "2026-11-01T10:00:00Z".parse().unwrap();
        tapped.rates.turn(now);
        with_local_recorder(&tapped, || {
            for outcome in ["accepted", "duplicate", "busy", "method"] {
                counter!("vodrelay_events_received_total", "transport" => "http", "outcome" => outcome)
                    .increment(2);
            }
            for outcome in ["delivered", "retry", "dead_letter", "released"] {
                counter!("vodrelay_sink_attempts_total", "sink" => "cms", "outcome" => outcome).increment(3);
            }
            counter!("vodrelay_auth_failures_total", "reason" => "stale").increment(1);
            histogram!("vodrelay_ack_duration_seconds").record(0.5);
        });
        tapped.rates.turn(now);
        let hour = tapped.rates.hour();
        let minute = &hour.minutes[0];
        assert_eq!((minute.accepted, minute.repeated, minute.turned_away), (2, 2, 2));
        assert_eq!((minute.delivered, minute.failed, minute.refused), (3, 6, 1));
        assert!(minute.ack_p99_ms.is_some());
        let text = handle.render();
        assert!(text.contains(r#"vodrelay_auth_failures_total{reason="stale"} 1"#), "{text}");
        assert!(text.contains("vodrelay_ack_duration_seconds"), "{text}");
    }
}
