//! Signs of life of the sources, for whoever watches over the relay. Nothing of it is kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::name::SourceName;

/// Proofs that are remembered to tell how far the clock is off.
const PROOFS: usize = 5;
/// So many have to agree before anything is said of the clock …
const AGREEING: usize = 3;
/// … to this many seconds: what a request takes on its way differs from one to the next.
const SPREAD_SECONDS: i64 = 20;

/// What sources tell of themselves. Cloning it is cheap, and telling costs the path of an event a look at a map.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sources: RwLock<BTreeMap<SourceName, Arc<Vital>>>,
    proofs: Mutex<VecDeque<Proof>>,
}

#[derive(Debug, Default)]
struct Vital {
    accepted: AtomicU64,
    out_of_reach: Mutex<Option<Arc<str>>>,
}

/// One proof that was made with a key of ours.
#[derive(Clone, Copy, Debug)]
struct Proof {
    signed_at: i64,
    off_by_seconds: i64,
}

impl Vitals {
    /// An event of the source was accepted, be it new or a repeat.
    pub fn accepted(&self, source: &SourceName) {
        self.of(source).accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// The source answers.
    pub fn in_reach(&self, source: &SourceName) {
        *self.of(source).out_of_reach.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The source does not do what it is asked for; says why, and what mends it.
    pub fn out_of_reach(&self, source: &SourceName, why: impl Into<Arc<str>>) {
        *self.of(source).out_of_reach.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.into());
    }

    /// The provider said that second of its clock, in a proof that was made with a key of ours or in the date of an answer,
    /// and by our clock it was so many seconds less.
    pub fn signed(&self, signed_at: i64, off_by_seconds: i64) {
        let mut proofs = self.0.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        // A proof that is sent again says nothing new: an old one must not pass for a clock that is off.
        if proofs.iter().any(|proof| proof.signed_at == signed_at) {
            return;
        }
        proofs.push_back(Proof { signed_at, off_by_seconds });
        let surplus = proofs.len().saturating_sub(PROOFS);
        proofs.drain(..surplus);
    }

    /// How many events of the source were accepted since the relay started.
    #[must_use]
    pub fn count_accepted(&self, source: &SourceName) -> u64 {
        self.of(source).accepted.load(Ordering::Relaxed)
    }

    /// Why the source is out of reach, if it is.
    #[must_use]
    pub fn why_out_of_reach(&self, source: &SourceName) -> Option<Arc<str>> {
        self.of(source).out_of_reach.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The provider's clock less ours, in seconds, as the last proofs that were signed at different moments agree;
    /// nothing where they do not, or are too few.
    #[must_use]
    pub fn clock_offset_seconds(&self) -> Option<i64> {
        let proofs = self.0.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        let last = proofs.iter().rev().take(AGREEING).map(|proof| proof.off_by_seconds);
        let mut last: Vec<i64> = last.collect();
        last.sort_unstable();
        match last.as_slice() {
            [least, middle, most] if most - least <= SPREAD_SECONDS => Some(*middle),
            _ => None,
        }
    }

    fn of(&self, source: &SourceName) -> Arc<Vital> {
        let known = self.0.sources.read().unwrap_or_else(PoisonError::into_inner).get(source).map(Arc::clone);
        known.unwrap_or_else(|| {
            let mut sources = self.0.sources.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(sources.entry(source.clone()).or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn each_source_has_its_own_signs() {
        let (vitals, main) = (Vitals::default(), SourceName::queue(&Name::new("main").unwrap()));
        let other = SourceName::callback(&Name::new("main").unwrap());
        vitals.accepted(&main);
        vitals.accepted(&main);
        vitals.out_of_reach(&main, "no route");
        assert_eq!((vitals.count_accepted(&main), vitals.count_accepted(&other)), (2, 0));
        assert_eq!(vitals.why_out_of_reach(&main).as_deref(), Some("no route"));
        assert_eq!(vitals.why_out_of_reach(&other), None);
        vitals.in_reach(&main);
        assert_eq!(vitals.why_out_of_reach(&main), None);
    }

    #[test]
    fn the_clock_is_judged_by_proofs_that_agree() {
        let check = |proofs: &[(i64, i64)], expect: Option<i64>| {
            let vitals = Vitals::default();
            proofs.iter().for_each(|(signed_at, off_by)| vitals.signed(*signed_at, *off_by));
            assert_eq!(vitals.clock_offset_seconds(), expect, "{proofs:?}");
        };
        check(&[(1, -90), (2, -91)], None);
        check(&[(1, -90), (2, -91), (3, -95)], Some(-91));
        // The same proof over and over, by whoever has caught one.
        check(&[(1, -90), (1, -91), (1, -92), (1, -93)], None);
        check(&[(1, -90), (2, 0), (3, -1), (4, -86_400)], None);
        check(&[(1, -90), (2, -91), (3, -95), (4, 0), (5, -1), (6, -1)], Some(-1));
    }
}
