//! Events that were turned away, counted until they are written down.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::history::{Trouble, TroubleKind};
use crate::name::SourceName;

/// Between two times of writing them down; a crash loses no more than that of them.
const PAUSE: Duration = Duration::from_secs(1);

/// One entry for each kind and source.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    waiting: Mutex<BTreeMap<(TroubleKind, SourceName), Trouble>>,
    some: Notify,
}

impl Troubles {
    /// Counts a request that was turned away.
    pub(super) fn add(&self, kind: TroubleKind, source: &SourceName, at: Timestamp) {
        self.put_back(vec![Trouble::once(kind, source.clone(), at)]);
    }

    /// Counts again what could not be written.
    pub(super) fn put_back(&self, troubles: Vec<Trouble>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for trouble in troubles {
            let key = (trouble.kind, trouble.source.clone());
            waiting.entry(key).and_modify(|known| known.absorb(&trouble)).or_insert(trouble);
        }
        self.some.notify_one();
    }

    /// Takes all that wait.
    pub(super) fn take(&self) -> Vec<Trouble> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).into_values().collect()
    }

    /// Waits until there is something to write, and until the last time is long enough ago.
    pub(super) async fn due(&self, written_at: Option<Instant>) {
        while self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.some.notified().await;
        }
        if let Some(written_at) = written_at {
            sleep_until(written_at + PAUSE).await;
        }
    }
}
