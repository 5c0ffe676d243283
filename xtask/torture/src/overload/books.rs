//! The books of a run: which number the next event has, and which ones were acknowledged.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shared by all who send.
#[derive(Debug, Default)]
pub(crate) struct Books {
    next: AtomicUsize,
    acknowledged: Mutex<Vec<usize>>,
}

impl Books {
    pub(crate) fn number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn acknowledge(&self, number: usize) {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    pub(crate) fn acknowledged(&self) -> Vec<usize> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
