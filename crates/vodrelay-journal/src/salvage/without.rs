//! What many events lack for one reason, told once: a page of names belongs to thousands.

use super::event::UNKNOWN_SOURCE;
use super::{LossKind, Salvage};

/// Events that lack the same.
#[derive(Default)]
pub(super) struct Those {
    count: u64,
    first: i64,
    last: i64,
}

impl Those {
    pub(super) fn add(&mut self, seq: i64) {
        if self.count == 0 || seq < self.first {
            self.first = seq;
        }
        // Each has several words.
        if self.count == 0 || seq != self.last {
            (self.count, self.last) = (self.count + 1, seq);
        }
    }
}

/// Which events lack it.
#[derive(Default)]
pub(super) struct Without {
    pub(super) words: Those,
    pub(super) source: Those,
}

impl Salvage<'_> {
    pub(super) fn tell_without(&mut self) {
        let Without { words, source } = std::mem::take(&mut self.without);
        let left_out = "their labels, type or status do not read, and are left out".to_owned();
        let unknown = format!("their source does not read, and is {UNKNOWN_SOURCE} now");
        for (Those { count, first, last }, what) in [(words, left_out), (source, unknown)] {
            if count > 0 {
                self.tell(LossKind::Mended, format!("{count} events, from {first} to {last}: {what}"));
            }
        }
    }
}
