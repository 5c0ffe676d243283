//! Who works for the sinks and the queues: taken on, told of changes and let go as the configuration wants it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use vodrelay_core::dispatcher::Drive;
use vodrelay_core::{
    Clock, Dispatcher, Intake, Journal, JournalError, Ledger, Name, Routes, SinkName, Source, Standings,
};
use vodrelay_mns::{QueueSettings, QueueSource};

use super::parts::Parts;

/// How long deliveries under way may take to end when the relay stops.
const GRACE: Duration = Duration::from_secs(20);
/// How often it is looked whether a sink that is taken out has anything left.
const LOOK: Duration = Duration::from_millis(200);
/// So long it may have something left before somebody is told.
const SAY_AFTER: Duration = Duration::from_secs(60);

/// A dispatcher for each sink, and a poller for each queue.
#[derive(Debug)]
pub(crate) struct Crew {
    journal: Arc<dyn Journal>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    standings: Standings,
    intake: Intake,
    shutdown: CancellationToken,
    delivering: Parts,
    receiving: Parts,
    sinks: BTreeMap<SinkName, Post>,
    queues: BTreeMap<Name, Stop>,
    /// The routes of earlier configurations that somebody may still hold.
    earlier: Vec<Weak<Routes>>,
}

/// What those need who are taken on.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) standings: Standings,
    pub(crate) intake: Intake,
}

/// Where a dispatcher works.
#[derive(Debug)]
struct Post {
    drive: watch::Sender<Drive>,
    stop: CancellationToken,
    /// Ends it once the sink has nothing left.
    leaving: Option<JoinHandle<()>>,
}

/// Ends a poller, and waits until it has ended.
#[derive(Debug)]
struct Stop {
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Crew {
    pub(crate) fn new(
        tools: Tools,
        shutdown: CancellationToken,
        delivering: Parts,
        receiving: Parts,
    ) -> Self {
        let Tools { journal, ledger, clock, standings, intake } = tools;
        let (sinks, queues, earlier) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self {
            journal,
            ledger,
            clock,
            standings,
            intake,
            shutdown,
            delivering,
            receiving,
            sinks,
            queues,
            earlier,
        }
    }

    /// Has queues that are polled from now on hand in by these routes; answers the intake that does.
    pub(crate) fn reroute(&mut self, routes: Arc<Routes>) -> Intake {
        self.intake = self.intake.with_routes(routes);
        self.intake.clone()
    }

    /// Has each of these sinks driven so from now on. What is under way ends as it began.
    pub(crate) async fn drive(&mut self, drives: BTreeMap<SinkName, Drive>) {
        for (name, drive) in drives {
            if let Some(post) = self.sinks.get_mut(&name)
                && post.stays().await
            {
                post.drive.send_replace(drive);
                continue;
            }
            self.take_on(name, drive);
        }
    }

    fn take_on(&mut self, name: SinkName, drive: Drive) {
        let (told, obeyed) = watch::channel(drive.clone());
        let stop = self.shutdown.child_token();
        let (journal, clock) = (Arc::clone(&self.journal), Arc::clone(&self.clock));
        let dispatcher = Dispatcher::new(name.clone(), drive.sink, journal, clock, drive.settings);
        let dispatcher = dispatcher.telling(&self.standings).obeying(obeyed);
        let dispatcher = dispatcher.tracing(self.intake.tracer().clone());
        self.delivering.spawn(dispatcher.run(stop.clone(), GRACE));
        self.sinks.insert(name, Post { drive: told, stop, leaving: None });
    }

    /// Lets all others go, each when it has nothing left. Until nobody holds the routes of before, nor any earlier ones,
    /// more may come.
    pub(crate) fn let_go_all_but(&mut self, stay: &dyn Fn(&SinkName) -> bool, before: Weak<Routes>) {
        self.earlier.retain(is_held);
        self.earlier.push(before);
        let leaving = self.sinks.iter_mut().filter(|(name, post)| !stay(name) && post.leaving.is_none());
        for (name, post) in leaving {
            let (ledger, stop) = (Arc::clone(&self.ledger), post.stop.clone());
            let (name, earlier) = (name.clone(), self.earlier.clone());
            post.leaving = Some(tokio::spawn(async move {
                tokio::select! {
                    () = until_nothing_is_left(&name, ledger.as_ref(), &earlier) => stop.cancel(),
                    () = stop.cancelled() => {}
                }
            }));
        }
    }

    /// Has these queues polled from now on, and no others. A poller that goes finishes what it has in hand before
    /// another begins in its place.
    pub(crate) fn poll(&mut self, queues: Vec<QueueSettings>) {
        let mut before = std::mem::take(&mut self.queues);
        before.values().for_each(|queue| queue.stop.cancel());
        for settings in queues {
            let (name, goes_first) = (settings.name.clone(), before.remove(&settings.name));
            let (stop, ended) = (self.shutdown.child_token(), CancellationToken::new());
            let source = QueueSource::new(settings, Arc::clone(&self.clock));
            let (intake, token, end) = (self.intake.clone(), stop.clone(), ended.clone().drop_guard());
            self.receiving.spawn(async move {
                let _end = end;
                if let Some(before) = goes_first {
                    before.ended.cancelled().await;
                }
                source.run(intake, token).await.map_err(|error| JournalError::Failed(error.to_string()))
            });
            self.queues.insert(name, Stop { stop, ended });
        }
    }
}

impl Post {
    /// Whether whoever works here stays, were it about to leave or not.
    async fn stays(&mut self) -> bool {
        if let Some(leaving) = self.leaving.take() {
            leaving.abort();
            let _ = leaving.await;
        }
        !self.stop.is_cancelled()
    }
}

fn is_held(routes: &Weak<Routes>) -> bool {
    routes.strong_count() > 0
}

async fn until_nothing_is_left(name: &SinkName, ledger: &dyn Ledger, earlier: &[Weak<Routes>]) {
    let mut said_at = Instant::now();
    while earlier.iter().any(is_held) {
        sleep(LOOK / 10).await;
    }
    loop {
        // A journal that does not answer is asked again.
        if let Ok(backlogs) = ledger.backlogs().await {
            let pending =
                backlogs.iter().find(|backlog| backlog.sink == *name).map_or(0, |backlog| backlog.pending);
            if pending == 0 {
                return tracing::info!(sink = %name, "the sink that was taken out has got all that was its");
            }
            if said_at.elapsed() > SAY_AFTER {
                said_at = Instant::now();
                tracing::warn!(
                    sink = %name, pending,
                    "a sink that was taken out still has deliveries, which go on; a restart would orphan them"
                );
            }
        }
        sleep(LOOK).await;
    }
}
