//! Recognises a callback that the provider sends again: the same event, to the same callback, within a minute. It tries
//! three times, some seconds apart, when it did not get its 200, or not in time.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use vod_event::EventId;

/// How far apart tries of one event are at most.
const APART: Duration = Duration::from_secs(60);
/// A power of two. Under a load that fills them within a minute, some repeats are not recognised.
const SLOTS: usize = 16_384;
/// The lower bits of a slot are the second, the upper ones of the hash.
const SECOND: u64 = (1 << 24) - 1;

/// What came within the last minute, as far as there is room.
pub(crate) struct Repeats {
    hasher: RandomState,
    slots: Box<[AtomicU64]>,
    begun: Instant,
}

impl std::fmt::Debug for Repeats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Repeats")
    }
}

impl Repeats {
    pub(crate) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::new(), slots, begun: Instant::now() }
    }

    /// Notes that the event came to that callback, and says whether it had come a short while before.
    pub(crate) fn note(&self, callback: &str, id: &EventId) -> bool {
        let hash = self.hasher.hash_one((callback, id.as_bytes()));
        let Some(slot) = self.slots.get(hash as usize % SLOTS) else { return false };
        let second = self.begun.elapsed().as_secs() & SECOND;
        let before = slot.swap(hash & !SECOND | second, Ordering::Relaxed);
        let is_same = before != 0 && before & !SECOND == hash & !SECOND;
        is_same && (second.wrapping_sub(before) & SECOND) < APART.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_event_to_the_same_callback_within_a_minute_is_a_repeat() {
        let (repeats, id, other) = (Repeats::new(), EventId::of_raw(b"a"), EventId::of_raw(b"b"));
        assert!(!repeats.note("main", &id));
        assert!(!repeats.note("main", &other), "another event");
        assert!(!repeats.note("west", &id), "another callback");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(repeats.note("main", &id));
        tokio::time::advance(APART).await;
        assert!(!repeats.note("main", &id), "long after");
        assert!(repeats.note("main", &id));
    }
}
