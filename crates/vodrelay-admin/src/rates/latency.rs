//! How long something took, as counts in buckets of which each ends a tenth above the one before: a quantile is off by
//! five in a hundred at most.

use std::sync::atomic::{AtomicU32, Ordering};

/// From 20 microseconds to more than a minute.
const BUCKETS: usize = 160;
const FIRST: f64 = 0.000_02;
const STEP: f64 = 1.1;

/// What comes while nobody looks.
#[derive(Debug)]
pub(super) struct Arriving([AtomicU32; BUCKETS]);

/// What has come.
#[derive(Clone, Debug)]
pub(super) struct Latency(Box<[u32; BUCKETS]>);

impl Default for Arriving {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; BUCKETS])
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self(Box::new([0; BUCKETS]))
    }
}

impl Arriving {
    pub(super) fn record(&self, seconds: f64) {
        // A cast from a float stays within the bounds of the integer, and what is no number becomes 0.
        let bucket = (seconds / FIRST).log(STEP).ceil() as usize;
        if let Some(count) = self.0.get(bucket.min(BUCKETS - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn empty_into(&self, latency: &mut Latency) {
        for (count, arriving) in latency.0.iter_mut().zip(&self.0) {
            *count = count.saturating_add(arriving.swap(0, Ordering::Relaxed));
        }
    }
}

impl Latency {
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0.iter()) {
            *count = count.saturating_add(*more);
        }
    }

    /// In milliseconds; nothing where nothing came.
    pub(super) fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let wanted = ((all as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        })?;
        // The middle of the bucket.
        let milliseconds = FIRST * STEP.powi(i32::try_from(bucket).unwrap_or(0)) / STEP.sqrt() * 1e3;
        Some((milliseconds * 1e3).round() / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: &[f64], quantile: f64, expect: Option<f64>) {
        let (arriving, mut latency) = (Arriving::default(), Latency::default());
        seconds.iter().for_each(|seconds| arriving.record(*seconds));
        arriving.empty_into(&mut latency);
        let found = latency.quantile_ms(quantile);
        let close = match (found, expect) {
            (Some(found), Some(expect)) => (found / expect - 1.0).abs() < 0.05,
            (found, expect) => found == expect,
        };
        assert!(close, "{seconds:?} at {quantile}: {found:?}, expected about {expect:?}");
    }

    #[test]
    fn a_quantile_is_close() {
        check(&[], 0.5, None);
        check(&[0.003], 0.5, Some(3.0));
        check(&[0.003], 0.99, Some(3.0));
        check(&[0.001, 0.002, 0.004], 0.5, Some(2.0));
        check(&[0.001, 0.002, 5.0], 0.99, Some(5_000.0));
        check(&[0.0001, 0.0001, 0.0001], 0.99, Some(0.1));
    }

    #[test]
    fn what_is_out_of_bounds_is_counted_all_the_same() {
        for odd in [0.0, -1.0, f64::NAN, 1e9, f64::INFINITY] {
            let (arriving, mut latency) = (Arriving::default(), Latency::default());
            arriving.record(odd);
            arriving.empty_into(&mut latency);
            assert!(latency.quantile_ms(0.5).is_some(), "{odd}");
        }
    }
}
