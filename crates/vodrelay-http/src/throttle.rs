//! Bounds what failed proofs of one address may cost. A proven request never gets here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::address::group;

/// So many failures an address may have at once …
const BURST: f64 = 60.0;
/// … and so many a second on top.
const REFILL: f64 = 1.0;
/// Addresses counted one by one; the rest share one bucket while the table is full.
const ADDRESSES: usize = 4096;

/// A token bucket for each address that fails.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    each: HashMap<IpAddr, Bucket>,
    others: Option<Bucket>,
    swept_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    seen_at: Instant,
}

impl Throttle {
    /// Counts a failure of the address. False: it has had too many, and this one is not worth keeping.
    pub(crate) fn keeps(&self, address: IpAddr, now: Instant) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.of(group(address), now).take(now)
    }
}

impl Buckets {
    fn of(&mut self, address: IpAddr, now: Instant) -> &mut Bucket {
        if self.each.len() >= ADDRESSES && !self.each.contains_key(&address) {
            self.sweep(now);
        }
        if self.each.len() >= ADDRESSES && !self.each.contains_key(&address) {
            return self.others.get_or_insert_with(|| Bucket::full(now));
        }
        self.each.entry(address).or_insert_with(|| Bucket::full(now))
    }

    /// Forgets the addresses whose bucket is full again; at most once a second, since it visits each.
    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now.duration_since(at) < Duration::from_secs(1)) {
            return;
        }
        self.swept_at = Some(now);
        self.each.retain(|_, bucket| bucket.level(now) < BURST);
    }
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self { tokens: BURST, seen_at: now }
    }

    fn level(&self, now: Instant) -> f64 {
        (self.tokens + now.duration_since(self.seen_at).as_secs_f64() * REFILL).min(BURST)
    }

    fn take(&mut self, now: Instant) -> bool {
        self.tokens = self.level(now);
        self.seen_at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_a_second() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let kept = |at: Instant, address: &str| throttle.keeps(address.parse().unwrap(), at);
        assert_eq!((0..100).filter(|_| kept(start, "192.0.2.1")).count(), 60);
        assert!(kept(start, "192.0.2.2"), "another address has its own");
        assert_eq!((0..9).filter(|_| kept(start + Duration::from_secs(3), "192.0.2.1")).count(), 3);
    }

    #[test]
    fn the_table_is_bounded() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for number in 0..20_000u32 {
            throttle.keeps(IpAddr::V4(number.into()), start);
        }
        assert_eq!(throttle.0.lock().unwrap().each.len(), ADDRESSES);
        throttle.keeps(IpAddr::V4(1_000_000.into()), start + Duration::from_secs(2));
        assert_eq!(throttle.0.lock().unwrap().each.len(), 1);
    }
}
