//! Probes: empty callbacks by which an operator finds out whether VOD would reach this relay. One is known by a nonce that
//! the relay has issued a moment ago, counts once, and is no event.
//!
//! A probe is proven as any callback is, so nobody gets in by a nonce; whoever does not know one sends an ordinary callback.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::name::SourceName;

/// The header that has the nonce.
pub const HEADER: &str = "vodrelay-probe";
/// So long a nonce counts, and is told of.
pub const LIFE: Duration = Duration::from_secs(60);
/// As many are open at once.
const MOST: usize = 32;

/// The nonces that are open. Cloning it is cheap, and a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Probes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many there are, so that a relay without any looks no further.
    count: AtomicUsize,
    open: Mutex<Vec<Probe>>,
}

/// One nonce.
struct Probe {
    nonce: String,
    ends_at: Instant,
    is_used: bool,
    seen: Option<Sighting>,
}

/// How a probe came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// The callback whose path it has.
    pub source: SourceName,
    /// Who sent it, as far as the proxies in front that are believed say so.
    pub address: String,
    /// `proven`, `unsigned` where the callback admits that, or why its proof was refused.
    pub outcome: &'static str,
}

/// Too many are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Probes {
    /// A nonce that counts once, and for a minute.
    ///
    /// # Errors
    /// If too many are open already.
    pub fn issue(&self) -> Result<String, TooMany> {
        let mut open = self.open();
        if open.len() >= MOST {
            return Err(TooMany);
        }
        let nonce = format!("{:032x}", rand::random::<u128>());
        let ends_at = Instant::now() + LIFE;
        open.push(Probe { nonce: nonce.clone(), ends_at, is_used: false, seen: None });
        self.0.count.store(open.len(), Ordering::Relaxed);
        Ok(nonce)
    }

    /// Whether a request with that nonce is a probe, and not yet used.
    #[must_use]
    pub fn is_open(&self, nonce: &[u8]) -> bool {
        self.0.count.load(Ordering::Relaxed) > 0
            && self.open().iter().any(|probe| !probe.is_used && is_same(probe.nonce.as_bytes(), nonce))
    }

    /// Notes how a probe came that was refused. It may come again, with a proof that is right.
    pub fn note(&self, nonce: &[u8], sighting: Sighting) {
        if let Some(probe) = self.open().iter_mut().find(|probe| is_same(probe.nonce.as_bytes(), nonce)) {
            probe.seen = Some(sighting);
        }
    }

    /// Takes a probe that is proven. It counts once: whoever comes later with the same nonce has none.
    #[must_use]
    pub fn take(&self, nonce: &[u8], sighting: Sighting) -> bool {
        let mut open = self.open();
        let mut unused = open.iter_mut().filter(|probe| !probe.is_used);
        let Some(probe) = unused.find(|probe| is_same(probe.nonce.as_bytes(), nonce)) else { return false };
        (probe.is_used, probe.seen) = (true, Some(sighting));
        true
    }

    /// How the probe with that nonce came, if it did; nothing where there is none, or no longer.
    #[must_use]
    pub fn report(&self, nonce: &str) -> Option<Option<Sighting>> {
        let open = self.open();
        let probe = open.iter().find(|probe| is_same(probe.nonce.as_bytes(), nonce.as_bytes()))?;
        Some(probe.seen.clone())
    }

    /// Without those whose time is over.
    fn open(&self) -> MutexGuard<'_, Vec<Probe>> {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        open.retain(|probe| probe.ends_at > now);
        self.0.count.store(open.len(), Ordering::Relaxed);
        open
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("is_used", &self.is_used)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

/// In a time that does not tell how much of it is right.
fn is_same(nonce: &[u8], other: &[u8]) -> bool {
    nonce.len() == other.len() && nonce.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    fn sighting(outcome: &'static str) -> Sighting {
        let source = SourceName::callback(&Name::new("main").unwrap());
        Sighting { at: Timestamp::UNIX_EPOCH, source, address: "192.0.2.1".to_owned(), outcome }
    }

    #[tokio::test(start_paused = true)]
    async fn a_nonce_counts_once_and_for_a_minute() {
        let probes = Probes::default();
        assert!(!probes.is_open(b"00000000000000000000000000000000"));
        let nonce = probes.issue().unwrap();
        assert!(probes.is_open(nonce.as_bytes()) && !probes.is_open(&nonce.as_bytes()[1..]));
        assert_eq!(probes.report(&nonce), Some(None));
        probes.note(nonce.as_bytes(), sighting("mismatch"));
        assert!(probes.is_open(nonce.as_bytes()), "a refusal does not use it up");
        assert_eq!(probes.report(&nonce), Some(Some(sighting("mismatch"))));
        assert!(probes.take(nonce.as_bytes(), sighting("proven")));
        assert!(!probes.is_open(nonce.as_bytes()) && !probes.take(nonce.as_bytes(), sighting("proven")));
        assert_eq!(probes.report(&nonce), Some(Some(sighting("proven"))));

        let late = probes.issue().unwrap();
        tokio::time::advance(LIFE).await;
        assert!(!probes.is_open(late.as_bytes()) && !probes.take(late.as_bytes(), sighting("proven")));
        assert_eq!(probes.report(&nonce), None);
    }

    #[tokio::test(start_paused = true)]
    async fn not_many_are_open_at_once() {
        let probes = Probes::default();
        let nonces: std::collections::BTreeSet<String> = (0..MOST).map(|_| probes.issue().unwrap()).collect();
        assert_eq!(nonces.len(), MOST);
        assert_eq!(probes.issue(), Err(TooMany));
        tokio::time::advance(LIFE).await;
        assert!(probes.issue().is_ok());
    }
}
