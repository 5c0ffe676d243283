//! The whole of it: looks every few seconds, decides what is told, and puts it where it is delivered from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use vodrelay_core::{Name, SinkName, SourceName};

use crate::channel::Channel;
use crate::groups::Groups;
use crate::outbox::{Outbox, Pace};
use crate::watcher::{Watched, Watcher};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Whom to tell, and what to look for. A reload puts another in its place.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Where alerts go. With none nothing is looked at.
    pub channels: Vec<Channel>,
    /// How the relay is called in them.
    pub relay: String,
    /// The configured sinks.
    pub sinks: Vec<SinkName>,
    /// The configured queues.
    pub queues: Vec<SourceName>,
    /// How often each of these sources is expected to be heard.
    pub expect_every: BTreeMap<SourceName, Duration>,
    /// Below this much free disk the journal gives history up.
    pub min_free: u64,
}

/// Watches and tells until it is stopped. What could not be told by then is told no more.
pub async fn run(watched: Watched, mut plans: watch::Receiver<Plan>, stop: CancellationToken) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut watcher, mut groups) = (Watcher::new(watched.clone()), Groups::default());
    let mut outboxes = BTreeMap::new();
    loop {
        let plan = plans.borrow_and_update().clone();
        rearrange(&mut outboxes, &plan, &watched);
        if plan.channels.is_empty() {
            // Whoever switches alerts on later wants to hear of what happens from then on.
            (watcher, groups) = (Watcher::new(watched.clone()), Groups::default());
            tokio::select! {
                () = stop.cancelled() => return,
                changed = plans.changed() => if changed.is_err() { return },
            }
            continue;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = plans.changed() => if changed.is_err() { return },
            _ = looks.tick() => {
                let sights = watcher.look(&plan).await;
                let clock = &watched.clock;
                for alert in groups.take(sights, clock.now(), clock.steady()) {
                    outboxes.values().for_each(|outbox: &Outbox| outbox.put(&alert));
                }
            }
        }
    }
}

/// What waits for a channel that stays is told by its new settings; what waits for one that goes is not.
fn rearrange(outboxes: &mut BTreeMap<Name, Outbox>, plan: &Plan, watched: &Watched) {
    outboxes.retain(|name, _| plan.channels.iter().any(|channel| channel.name() == name));
    for channel in &plan.channels {
        if let Some(outbox) = outboxes.get(channel.name()) {
            outbox.change(channel.clone());
            continue;
        }
        let (relay, clock) = (plan.relay.as_str().into(), Arc::clone(&watched.clock));
        let outbox = Outbox::open(channel.clone(), relay, clock, Pace::default());
        outboxes.insert(channel.name().clone(), outbox);
    }
}
