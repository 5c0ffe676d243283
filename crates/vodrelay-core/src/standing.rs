//! What the dispatchers tell of their sinks while they run, and how they are asked to look again. Nothing of it is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::feed::Feed;
use crate::name::SinkName;

/// The sinks that are driven, with how each stands. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    driven: Arc<Mutex<BTreeMap<SinkName, Arc<Standing>>>>,
    feed: Feed,
}

/// How one sink stands.
#[derive(Debug)]
pub(crate) struct Standing {
    breaker: Mutex<BreakerState>,
    /// Where attempts are told.
    pub(crate) feed: Feed,
    probes: watch::Sender<u64>,
}

/// What a sink's breaker lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum BreakerState {
    /// Everything.
    #[default]
    Closed,
    /// One probe now and then.
    Open {
        /// Since when.
        since: Timestamp,
    },
}

impl Standings {
    /// The sink's breaker, if it is driven.
    #[must_use]
    pub fn breaker(&self, sink: &SinkName) -> Option<BreakerState> {
        let standings = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = standings.get(sink)?;
        Some(*standing.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the sink probed at once if its breaker is open; says whether it is driven.
    pub fn probe(&self, sink: &SinkName) -> bool {
        let standings = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        let driven = standings.get(sink);
        driven.inspect(|standing| standing.probes.send_modify(|count| *count += 1)).is_some()
    }

    /// What the dispatchers tell while it happens.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Where the dispatcher of that sink tells.
    pub(crate) fn of(&self, sink: &SinkName) -> Arc<Standing> {
        let mut standings = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = || Arc::new(Standing { feed: self.feed.clone(), ..Standing::default() });
        Arc::clone(standings.entry(sink.clone()).or_insert_with(standing))
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self { breaker: Mutex::default(), feed: Feed::default(), probes: watch::Sender::new(0) }
    }
}

impl Standing {
    pub(crate) fn set_breaker(&self, state: BreakerState) {
        *self.breaker.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Changes when a probe is asked for.
    pub(crate) fn watch_probes(&self) -> watch::Receiver<u64> {
        self.probes.subscribe()
    }
}
