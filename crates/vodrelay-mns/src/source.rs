//! A queue as a source: as many polls as it takes, started and stopped by one task.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mns_client::Retry;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use vodrelay_core::{Clock, Intake, Source, SourceError};

use crate::config::QueueSettings;
use crate::meter::Meter;
use crate::pace::{Ended, Pace};
use crate::poll::Poller;
use crate::stall::{Stall, Waiting};
use crate::standing::Standing;

/// How long messages in hand may take to become durable and be deleted when the relay stops.
const GRACE: Duration = Duration::from_secs(8);
/// How long giving back the others may take after that.
const LAST_WORDS: Duration = Duration::from_secs(4);
/// The provider's default visibility timeout, until a message tells the queue's own.
const VISIBILITY_MS: u64 = 30_000;

/// Brings the events of one queue in.
///
/// Dropped in the middle, it loses nothing: what was not deleted comes again.
pub struct QueueSource {
    settings: QueueSettings,
    clock: Arc<dyn Clock>,
}

/// What each poll came to, with the generation of the pace that it began in.
type Polls = JoinSet<(u64, Result<Ended, SourceError>)>;

impl QueueSource {
    /// A source of that queue. The recorder of metrics, if any, is to be installed before it runs.
    #[must_use]
    pub fn new(settings: QueueSettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock }
    }

    fn poller(&self, intake: Intake) -> Arc<Poller> {
        Arc::new(Poller {
            meter: Meter::new(&self.settings.name),
            receiving: self.settings.queue.clone().with_retry(Retry::never()),
            settings: self.settings.clone(),
            intake,
            clock: Arc::clone(&self.clock),
            stall: Stall::default(),
            standing: Standing::default(),
            stop: CancellationToken::new(),
            overdue: CancellationToken::new(),
            visibility_ms: AtomicU64::new(VISIBILITY_MS),
            singly_until: Mutex::default(),
            refusal_said: Mutex::default(),
        })
    }
}

#[async_trait]
impl Source for QueueSource {
    async fn run(&self, intake: Intake, shutdown: CancellationToken) -> Result<(), SourceError> {
        let poller = self.poller(intake);
        let mut polls = JoinSet::new();
        let result = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            error = keep_polling(&poller, &mut polls) => Err(error),
        };
        poller.stop.cancel();
        if timeout(GRACE, finish(&mut polls)).await.is_err() {
            poller.overdue.cancel();
            // Whatever hangs even then is dropped with the set, and comes again.
            let _ = timeout(LAST_WORDS, finish(&mut polls)).await;
        }
        result
    }
}

/// Begins polls at the pace that they set themselves, until one says that none makes sense any more.
async fn keep_polling(poller: &Arc<Poller>, polls: &mut Polls) -> SourceError {
    let mut pace = Pace::new(poller.settings.max_pollers, Instant::now());
    let mut stall = poller.stall.watch();
    let mut paused = false;
    loop {
        paused = note_pause(poller, &stall.borrow_and_update(), paused);
        let wanted = if paused { 0 } else { pace.pollers() };
        while polls.len() < wanted && pace.not_before() <= Instant::now() {
            let (poller, generation) = (Arc::clone(poller), pace.generation());
            polls.spawn(async move { (generation, poller.poll_once().await) });
        }
        poller.meter.pollers(polls.len());
        tokio::select! {
            Some(ended) = polls.join_next() => {
                let (generation, ended) = ended.unwrap_or_else(|panic| (pace.generation(), broken(poller, &panic)));
                match ended {
                    Ok(ended) => pace.after(ended, generation, Instant::now(), rand::random()),
                    Err(error) => return error,
                }
            }
            // The sender lives as long as the poller, so a change is never an error.
            _ = stall.changed() => {}
            () = sleep_until(pace.not_before()), if polls.len() < wanted => {}
        }
    }
}

/// Whether polling pauses; said once when that changes.
fn note_pause(poller: &Poller, waiting: &Waiting, before: bool) -> bool {
    let (queue, paused) = (&poller.settings.name, waiting.messages > 0);
    if paused && !before {
        tracing::error!(
            queue.name = %queue, error = %waiting.why,
            "the journal takes no event, so the queue is not polled; messages wait in it, and polling goes on by itself"
        );
    } else if before && !paused {
        tracing::info!(queue.name = %queue, "the journal takes events again, and the queue is polled again");
    }
    if paused != before {
        poller.meter.paused(paused);
    }
    paused
}

fn broken(poller: &Poller, panic: &JoinError) -> Result<Ended, SourceError> {
    tracing::error!(
        queue.name = %poller.settings.name, error = %panic,
        "a poll broke, which is a bug of ours; its messages become visible again"
    );
    Ok(Ended::Failed)
}

async fn finish(polls: &mut Polls) {
    while polls.join_next().await.is_some() {}
}

impl fmt::Debug for QueueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueSource({})", self.settings.name)
    }
}
