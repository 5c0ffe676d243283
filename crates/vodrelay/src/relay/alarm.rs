//! What the alarm is given of the relay: what it looks at, and whom it tells.

use std::sync::Arc;

use vodrelay_alerts::{Channel, Plan, Watched};
use vodrelay_core::{Name, SourceName, Vitals};

use super::crew::Tools;
use crate::config::Loaded;

/// What is looked at, as long as the relay runs.
pub(super) fn watched(tools: &Tools, vitals: Vitals, loaded: &Loaded) -> Watched {
    let folder = loaded.data_dir.clone();
    Watched {
        ledger: Arc::clone(&tools.ledger),
        standings: tools.standings.clone(),
        vitals,
        clock: Arc::clone(&tools.clock),
        free_bytes: Arc::new(move || vodrelay_journal::free_bytes(&folder)),
    }
}

/// Whom to tell and what to look for, by that configuration.
pub(super) fn plan(loaded: &Loaded, channels: Vec<Channel>) -> Plan {
    let config = &loaded.config;
    Plan {
        channels,
        relay: relay_name(),
        sinks: config.sinks.keys().cloned().collect::<Vec<Name>>(),
        queues: config.mns.queues.keys().map(SourceName::queue).collect(),
        expect_every: config.expected(),
        min_free: config.journal.min_free.0,
    }
}

/// The name of this machine: where two relays share an address, people have to know which one it is.
pub(crate) fn relay_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
