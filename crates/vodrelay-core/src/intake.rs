//! Where every source hands its events in: parse, route, append. When `accept` has answered, the event is on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use vod_event::EventId;

use crate::envelope::{Arrival, Envelope, PARSER_PANICKED};
use crate::journal::{Appended, Journal, JournalError};
use crate::ledger::{Ledger, Refusal};
use crate::name::SinkName;
use crate::routing::Routes;

/// Refusals that may wait to be written down; under a flood of forgeries the rest is only counted.
const REFUSALS_WAITING: usize = 1024;

/// The one door into the relay. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Intake {
    journal: Arc<dyn Journal>,
    routes: Arc<Routes>,
    refusals: mpsc::Sender<Refusal>,
}

/// What became of an arrival that was accepted. Either way it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Which event it is.
    pub id: EventId,
    /// Whether it was there already.
    pub appended: Appended,
    /// The event's type; nothing where the body cannot be read.
    pub event_type: Option<String>,
    /// The sinks that get it; of a duplicate, those that its own source leads to.
    pub sinks: Vec<SinkName>,
}

impl Intake {
    /// An intake, and the keeper of its refusals, which is to be run beside it.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, routes: Arc<Routes>) -> (Self, RefusalKeeper) {
        let (refusals, waiting) = mpsc::channel(REFUSALS_WAITING);
        (Self { journal, routes, refusals }, RefusalKeeper { waiting })
    }

    /// Reads the arrival, finds its sinks, and makes both durable. A body that cannot be read is kept all the same.
    ///
    /// Dropping the future is safe: the event is then appended wholly or not at all.
    ///
    /// # Errors
    /// If the event is not known to be durable. The provider's retry brings it again, and is a duplicate at worst.
    pub async fn accept(&self, arrival: Arrival) -> Result<Accepted, JournalError> {
        let (envelope, sinks) = self.read_and_route(arrival);
        let appended = self.journal.append(&envelope, &sinks).await?;
        if let (Err(reason), Appended::New) = (envelope.event(), appended) {
            tracing::warn!(event.id = %envelope.id, source = %envelope.source, reason,
                "what came cannot be read as an event; it is kept, and delivered to no sink");
        }
        let event_type = envelope.event().ok().map(|event| event.event_type.clone());
        Ok(Accepted { id: envelope.id, appended, event_type, sinks })
    }

    /// Whether the body can be read as an event at all.
    #[must_use]
    pub fn can_read(body: &[u8]) -> bool {
        catch_unwind(|| vod_event::read(body).is_ok()).unwrap_or(false)
    }

    /// Hands over a request that was turned away. It is written down in the background and never delays an append;
    /// when too many wait, it is only counted.
    pub fn refuse(&self, refusal: Refusal) {
        let cause = refusal.cause.as_str();
        let kept = if self.refusals.try_send(refusal).is_ok() { "yes" } else { "no" };
        metrics::counter!("vodrelay_refusals_total", "cause" => cause, "kept" => kept).increment(1);
    }

    fn read_and_route(&self, arrival: Arrival) -> (Envelope, Vec<SinkName>) {
        let body = arrival.body.clone();
        // A panic of the parser is a bug of ours; the event is kept unreadable, and a mended parser reads it again.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let reading = vod_event::read(&body).map_err(|unreadable| unreadable.to_string())?;
            let sinks = self.routes.sinks_for(&reading, &arrival.source, &arrival.labels);
            Ok((reading.id(), reading.into_event(), sinks))
        }));
        match read.unwrap_or_else(|_| Err(PARSER_PANICKED.to_owned())) {
            Ok((id, event, sinks)) => (Envelope::new(arrival, id, Ok(event)), sinks),
            Err(reason) => (Envelope::new(arrival, EventId::of_raw(&body), Err(reason)), Vec::new()),
        }
    }
}

/// Writes refusals down, in batches, away from the path of an event.
#[derive(Debug)]
pub struct RefusalKeeper {
    waiting: mpsc::Receiver<Refusal>,
}

impl RefusalKeeper {
    /// Runs until the last [`Intake`] is gone and everything handed in is written.
    pub async fn run(mut self, ledger: Arc<dyn Ledger>) {
        let mut batch = Vec::new();
        while self.waiting.recv_many(&mut batch, 64).await > 0 {
            if let Err(error) = ledger.refuse(std::mem::take(&mut batch)).await {
                tracing::warn!(error = %error, "refused requests could not be kept");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
