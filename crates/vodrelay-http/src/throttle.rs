//! Bounds what failed proofs of one address may cost. A proven request never gets here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vodrelay_core::RefusalCause;

use crate::address::group;

/// The part of the room for refusals that one address may fill at once with one cause; as much again comes back over
/// so many seconds. A key or URL of our own that is wrong has all of VOD's callbacks refused, at their full rate and
/// often from one proxy, so this must be wide enough for those.
const SHARE: f64 = 32.0;
/// What a refusal costs beside its body.
const ROW_BYTES: f64 = 512.0;
/// Buckets, one for each address and cause; the rest share one while the table is full.
const BUCKETS: usize = 4096;

type Key = (IpAddr, RefusalCause);

/// A token bucket, in bytes, for each address that fails and each cause.
#[derive(Debug)]
pub(crate) struct Throttle {
    burst: f64,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    each: HashMap<Key, Bucket>,
    others: Option<Bucket>,
    swept_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    seen_at: Instant,
}

impl Throttle {
    /// Shares out the room that there is for refusals, in bytes.
    pub(crate) fn new(room: u64) -> Self {
        Self { burst: room as f64 / SHARE, buckets: Mutex::default() }
    }

    /// Counts a failure of the address, with a body of so many bytes. False: it has had too much, and this one is not
    /// worth keeping.
    pub(crate) fn keeps(&self, address: IpAddr, cause: RefusalCause, bytes: usize, now: Instant) -> bool {
        let cost = (ROW_BYTES + bytes as f64).min(self.burst);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.of((group(address), cause), self.burst, now).take(cost, self.burst, now)
    }
}

impl Buckets {
    fn of(&mut self, key: Key, burst: f64, now: Instant) -> &mut Bucket {
        if self.each.len() >= BUCKETS && !self.each.contains_key(&key) {
            self.sweep(burst, now);
        }
        let full = Bucket { tokens: burst, seen_at: now };
        if self.each.len() >= BUCKETS && !self.each.contains_key(&key) {
            return self.others.get_or_insert(full);
        }
        self.each.entry(key).or_insert(full)
    }

    /// Forgets the addresses whose bucket is full again; at most once a second, since it visits each.
    fn sweep(&mut self, burst: f64, now: Instant) {
        if self.swept_at.is_some_and(|at| now.duration_since(at) < Duration::from_secs(1)) {
            return;
        }
        self.swept_at = Some(now);
        self.each.retain(|_, bucket| bucket.level(burst, now) < burst);
    }
}

impl Bucket {
    fn level(&self, burst: f64, now: Instant) -> f64 {
        (self.tokens + now.duration_since(self.seen_at).as_secs_f64() * burst / SHARE).min(burst)
    }

    fn take(&mut self, cost: f64, burst: f64, now: Instant) -> bool {
        self.tokens = self.level(burst, now);
        self.seen_at = now;
        let enough = self.tokens >= cost;
        if enough {
            self.tokens -= cost;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: usize = 512;
    /// Room for 32 bursts of 60 events, each of 1,024 bytes with its row.
    const ROOM: u64 = 32 * 60 * 1024;

    #[test]
    fn a_burst_then_a_trickle_for_each_address_and_cause() {
        let throttle = Throttle::new(ROOM);
        let start = Instant::now();
        let kept =
            |at: Instant, address: &str, cause| throttle.keeps(address.parse().unwrap(), cause, EVENT, at);
        let (missing, mismatch) = (RefusalCause::Missing, RefusalCause::Mismatch);
        assert_eq!((0..100).filter(|_| kept(start, "192.0.2.1", missing)).count(), 60);
        assert!(kept(start, "192.0.2.2", missing), "another address has its own");
        assert!(kept(start, "192.0.2.1", mismatch), "another cause has its own");
        let later = start + Duration::from_secs(16);
        assert_eq!((0..100).filter(|_| kept(later, "192.0.2.1", missing)).count(), 30);
    }

    #[test]
    fn a_large_body_takes_the_room_of_many_small_ones() {
        let throttle = Throttle::new(ROOM);
        let (address, start) = ("192.0.2.1".parse().unwrap(), Instant::now());
        let kept = |bytes| throttle.keeps(address, RefusalCause::Mismatch, bytes, start);
        assert!(kept(1 << 20), "the first is kept, however large");
        assert!(!kept(0));
    }

    #[test]
    fn by_default_a_minute_of_refused_callbacks_fits() {
        let throttle = Throttle::new(crate::config::RefusedConfig::default().keep.0);
        let (address, start) = ("192.0.2.1".parse().unwrap(), Instant::now());
        let kept = (0..60_000).filter(|milli| {
            let at = start + Duration::from_millis(*milli);
            milli % 4 != 0 || throttle.keeps(address, RefusalCause::Mismatch, 700, at)
        });
        assert_eq!(kept.count(), 60_000, "250 a second from one address");
    }

    #[test]
    fn the_table_is_bounded() {
        let throttle = Throttle::new(ROOM);
        let start = Instant::now();
        let keep = |number: u32, at| {
            throttle.keeps(IpAddr::V4(number.into()), RefusalCause::Missing, EVENT, at);
        };
        (0..20_000).for_each(|number| keep(number, start));
        assert_eq!(throttle.buckets.lock().unwrap().each.len(), BUCKETS);
        keep(1_000_000, start + Duration::from_secs(2));
        assert_eq!(throttle.buckets.lock().unwrap().each.len(), 1);
    }
}
