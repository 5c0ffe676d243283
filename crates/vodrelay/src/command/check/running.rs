//! What `check` finds about the relay that runs, where it is the one of this configuration.

use serde::Deserialize;
use vodrelay_core::{Clock, SystemClock};

use super::{Finding, Verdict, finding, keys};
use crate::command::ask::{NOTHING, RunningRelay};
use crate::config::Loaded;

#[derive(Deserialize)]
struct Now {
    drained: bool,
}

pub(super) async fn findings(loaded: &Loaded) -> Vec<Finding> {
    // What listens there may be the relay of another configuration.
    if !vodrelay_journal::is_held(&loaded.data_dir) {
        return Vec::new();
    }
    let Ok(relay) = RunningRelay::of(loaded, None) else { return Vec::new() };
    let mut findings = keys::findings(loaded, &relay, SystemClock.now()).await;
    if let Ok(Now { drained: true }) = relay.get("/now", NOTHING).await {
        let detail = "it is drained: queues are polled no more, and load balancers look elsewhere, until `vodrelay drain --undo` or a restart";
        findings.push(finding("relay", Verdict::Warning, detail));
    }
    findings
}
