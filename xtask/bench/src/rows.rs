//! The rows of the table, each with its limits and how it is measured.

mod ack;
mod disk;
mod drain;
mod images;
mod ingest;
mod memory;
mod pages;
mod parse;
mod start;
mod through;

use std::time::Duration;

pub(crate) use self::drain::Drained;
use crate::Bench;

/// One number to reach.
#[derive(Debug)]
pub(crate) struct Row {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it is, in the table.
    pub(crate) what: &'static str,
    /// The figure to ship with.
    pub(crate) floor: f64,
    /// The figure aimed at.
    pub(crate) aim: f64,
    /// What follows the figures; nothing after a ratio.
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) measure: fn(&mut Bench) -> Result<Measured, String>,
}

/// Which figures are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What a row came to.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) figure: f64,
    /// The figures behind it.
    pub(crate) raw: String,
}

/// All rows, in the order of the table.
pub(crate) const ROWS: [Row; 14] = [
    Row {
        name: "ingest",
        what: "durable ingest at 256 clients, over a bare axum handler that checks and reads the same body",
        floor: 0.3,
        aim: 0.45,
        unit: "",
        better: Better::Higher,
        measure: ingest::measure,
    },
    Row {
        name: "ack",
        what: "ack latency at 1,000 events/s, open loop, p99, over the p99 of a raw append and fdatasync",
        floor: 10.0,
        aim: 4.0,
        unit: "",
        better: Better::Lower,
        measure: ack::measure,
    },
    Row {
        name: "through",
        what: "events through to a webhook receiver until the last is settled, over durable ingest alone",
        floor: 0.25,
        aim: 0.4,
        unit: "",
        better: Better::Higher,
        measure: through::measure,
    },
    Row {
        name: "drain",
        what: "draining a queue into the journal, over durable ingest at 256 clients",
        floor: 0.5,
        aim: 0.7,
        unit: "",
        better: Better::Higher,
        measure: drain::measure,
    },
    Row {
        name: "requests",
        what: "MNS requests for one message, receiving and deleting, under load",
        floor: 0.2,
        aim: 0.13,
        unit: "",
        better: Better::Lower,
        measure: drain::requests,
    },
    Row {
        name: "start",
        what: "start with 1,000,000 pending events until the first callback is accepted",
        floor: 2.0,
        aim: 0.3,
        unit: " s",
        better: Better::Lower,
        measure: start::measure,
    },
    Row {
        name: "pages",
        what: "the first page of 1,000,000 events in the admin API",
        floor: 100.0,
        aim: 20.0,
        unit: " ms",
        better: Better::Lower,
        measure: pages::measure,
    },
    Row {
        name: "idle",
        what: "memory when idle",
        floor: 40.0,
        aim: 20.0,
        unit: " MB",
        better: Better::Lower,
        measure: memory::idle,
    },
    Row {
        name: "waiting",
        what: "memory while 1,000,000 events wait",
        floor: 120.0,
        aim: 60.0,
        unit: " MB",
        better: Better::Lower,
        measure: memory::waiting,
    },
    Row {
        name: "parse",
        what: "reading one DynamicImageComplete with its inner JSON, over serde_json into a borrowed struct",
        floor: 3.0,
        aim: 1.5,
        unit: "",
        better: Better::Lower,
        measure: parse::measure,
    },
    Row {
        name: "binary",
        what: "the release binary",
        floor: 30.0,
        aim: 20.0,
        unit: " MB",
        better: Better::Lower,
        measure: disk::binary,
    },
    Row {
        name: "disk",
        what: "disk for a delivered event before retention, over its body's size",
        floor: 4.0,
        aim: 2.5,
        unit: "",
        better: Better::Lower,
        measure: disk::delivered,
    },
    Row {
        name: "images",
        what: "2,000 images of 1 KB to 20 MB from callback to store, bytes a second, over a plain streaming copy",
        floor: 0.7,
        aim: 0.9,
        unit: "",
        better: Better::Higher,
        measure: images::speed,
    },
    Row {
        name: "images-memory",
        what: "memory over idle while those images pass, four at a time",
        // 64 and 32 MiB.
        floor: 67.1,
        aim: 33.5,
        unit: " MB",
        better: Better::Lower,
        measure: images::memory,
    },
];

/// The figure in the middle; the higher of two.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The latency that this part of all stays within, in milliseconds.
fn quantile(mut latencies: Vec<Duration>, part: f64) -> f64 {
    latencies.sort_unstable();
    let place = (latencies.len() as f64 * part).ceil() as usize;
    let latency = latencies.get(place.saturating_sub(1));
    latency.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0)
}

/// Bytes as megabytes of a million.
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert!(median(vec![]).is_nan());
        let latencies: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(quantile(latencies.clone(), 0.99), 198.0);
        assert_eq!(quantile(latencies, 0.5), 100.0);
    }
}
