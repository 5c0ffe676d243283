//! Where every source hands its events in: parse, route, append. When `accept` has answered, the event is on disk.

mod meter;
mod troubles;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep};
use vod_event::EventId;

use self::meter::Meter;
use self::troubles::Troubles;
use crate::envelope::{Arrival, Envelope};
use crate::history::TroubleKind;
use crate::journal::{Appended, Journal, JournalError};
use crate::ledger::Ledger;
use crate::name::{SinkName, SourceName};
use crate::parse::parse;
use crate::refusal::Refusal;
use crate::routing::{Routed, Routes};
use crate::trace::{SpanKind, Tracer};
use crate::vitals::Vitals;

/// Refusals that may wait to be written down, in bytes; under a flood of forgeries the rest is only counted. Ten thousand
/// of the usual size have room, which is what a disk that stalls for a while asks for.
const REFUSED_BYTES_WAITING: usize = 8 << 20;
/// About what a refusal takes besides its body.
const REFUSAL_BYTES: usize = 512;
/// What is written down at once, and in a second: refusals share the journal's syncs with events, and must not fill
/// them.
const REFUSED_BYTES_AT_ONCE: usize = 1 << 20;
const REFUSED_BYTES_A_SECOND: usize = 4 << 20;

/// The one door into the relay. Cloning it is cheap.
///
/// Its routes stay what they are: a source and its intake belong to one configuration, so that a reload never has what is
/// in hand routed by filters that its name and labels were not meant for.
#[derive(Clone, Debug)]
pub struct Intake {
    journal: Arc<dyn Journal>,
    routes: Arc<Routes>,
    refusals: mpsc::Sender<(Refusal, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    troubles: Arc<Troubles>,
    meter: Arc<Meter>,
    vitals: Vitals,
    tracer: Tracer,
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
    /// An intake, and the keeper of its refusals, which is to be run beside it. The recorder of metrics, if any, is to be
    /// installed before.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, routes: impl Into<Arc<Routes>>) -> (Self, Bookkeeper) {
        let (refusals, waiting) = mpsc::channel(REFUSED_BYTES_WAITING / REFUSAL_BYTES);
        let room = Arc::new(Semaphore::new(REFUSED_BYTES_WAITING));
        let troubles = Arc::new(Troubles::default());
        let keeper = Bookkeeper { waiting, troubles: Arc::clone(&troubles) };
        let (meter, vitals) = (Arc::new(Meter::new()), Vitals::default());
        (
            Self {
                journal,
                routes: routes.into(),
                refusals,
                room,
                troubles,
                meter,
                vitals,
                tracer: Tracer::default(),
            },
            keeper,
        )
    }

    /// Has what is accepted recorded there.
    #[must_use]
    pub fn tracing(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Where sources record what they do.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// The same door by other routes, for sources of another configuration.
    #[must_use]
    pub fn with_routes(&self, routes: Arc<Routes>) -> Self {
        Self { routes, ..self.clone() }
    }

    /// Reads the arrival, finds its sinks, and makes both durable. A body that cannot be read is kept all the same.
    ///
    /// Dropping the future is safe: the event is then appended wholly or not at all.
    ///
    /// # Errors
    /// If the event is not known to be durable. The provider's retry brings it again, and is a duplicate at worst.
    pub async fn accept(&self, arrival: Arrival) -> Result<Accepted, JournalError> {
        let (envelope, sinks) = read_and_route(&self.routes, arrival);
        let span = self.tracer.child(SpanKind::Internal, || "append".to_owned(), envelope.trace);
        span.set_with("vodrelay.event.id", || envelope.id.to_string());
        let appended = match self.journal.append(&envelope, &sinks).await {
            Ok(appended) => appended,
            Err(error) => {
                span.fail("journal");
                let kind = match error {
                    JournalError::Full(_) => TroubleKind::Full,
                    _ => TroubleKind::Failing,
                };
                self.turned_away(kind, &envelope.source, envelope.received_at);
                return Err(error);
            }
        };
        if appended == Appended::New {
            self.meter.accepted(envelope.event().is_ok(), !sinks.is_empty());
        }
        if let (Err(reason), Appended::New) = (envelope.event(), appended) {
            tracing::warn!(event.id = %envelope.id, source = %envelope.source, reason,
                "what came cannot be read as an event; it is kept, and delivered to no sink");
        }
        self.vitals.accepted(&envelope.source);
        let event_type = envelope.event().ok().map(|event| event.event_type.clone());
        Ok(Accepted { id: envelope.id, appended, event_type, sinks })
    }

    /// Notes that an event that was received at that moment was turned away, so that people can be told when events
    /// may be missing. It is written down in the background, within about a second. What the journal itself does not
    /// accept is noted by [`Intake::accept`].
    pub fn turned_away(&self, kind: TroubleKind, source: &SourceName, received_at: Timestamp) {
        self.troubles.add(kind, source, received_at);
    }

    /// Where sources tell how they are, and whoever watches over them reads it.
    #[must_use]
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Whether the body can be read as an event at all.
    #[must_use]
    pub fn can_read(body: &[u8]) -> bool {
        parse(body, |_| Ok(())).is_ok()
    }

    /// Which event the body is, as [`Intake::accept`] would find.
    #[must_use]
    pub fn identify(body: &[u8]) -> EventId {
        parse(body, |reading| Ok(reading.id())).unwrap_or_else(|_| EventId::of_raw(body))
    }

    /// Hands over a request that was turned away. It is written down in the background, a few in one commit and not
    /// without pause, so an append waits for one such commit at most; when too many wait, it is only counted.
    pub fn refuse(&self, refusal: Refusal) {
        let cause = refusal.cause;
        // One that is larger than all the room there is waits alone.
        let bytes = size_of_refusal(&refusal).min(REFUSED_BYTES_WAITING) as u32;
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        let is_kept = room.is_ok_and(|room| self.refusals.try_send((refusal, room)).is_ok());
        self.meter.refused(cause, is_kept);
    }
}

fn size_of_refusal(refusal: &Refusal) -> usize {
    refusal.body.len() + REFUSAL_BYTES
}

fn read_and_route(routes: &Routes, arrival: Arrival) -> (Envelope, Vec<SinkName>) {
    match routes.read(&arrival.body, &arrival.source, &arrival.labels) {
        Ok(Routed { id, event, sinks }) => (Envelope::new(arrival, id, Ok(event)), sinks),
        Err(reason) => {
            let id = EventId::of_raw(&arrival.body);
            (Envelope::new(arrival, id, Err(reason)), Vec::new())
        }
    }
}

/// Writes into the ledger what was turned away, and away from the path of an event: refusals, in batches, and when events
/// were turned away and why.
#[derive(Debug)]
pub struct Bookkeeper {
    waiting: mpsc::Receiver<(Refusal, OwnedSemaphorePermit)>,
    troubles: Arc<Troubles>,
}

impl Bookkeeper {
    /// Runs until the last [`Intake`] is gone and everything handed in is written.
    pub async fn run(mut self, ledger: Arc<dyn Ledger>) {
        let mut written_at = None;
        loop {
            tokio::select! {
                // Under a flood of refusals their hour is written down all the same.
                biased;
                () = self.troubles.due(written_at) => {
                    self.write_troubles(ledger.as_ref()).await;
                    written_at = Some(Instant::now());
                }
                received = self.waiting.recv() => match received {
                    Some((first, room)) => self.keep(first, room, ledger.as_ref()).await,
                    None => break,
                },
            }
        }
        self.write_troubles(ledger.as_ref()).await;
    }

    async fn write_troubles(&self, ledger: &dyn Ledger) {
        let troubles = self.troubles.take();
        if !troubles.is_empty() && ledger.note_troubles(troubles.clone()).await.is_err() {
            // Whatever is wrong with the journal is said by those who need it more.
            self.troubles.put_back(troubles);
        }
    }

    async fn keep(&mut self, first: Refusal, room: OwnedSemaphorePermit, ledger: &dyn Ledger) {
        let mut bytes = size_of_refusal(&first);
        let (mut batch, mut rooms) = (vec![first], vec![room]);
        while bytes < REFUSED_BYTES_AT_ONCE
            && let Ok((next, room)) = self.waiting.try_recv()
        {
            bytes += size_of_refusal(&next);
            batch.push(next);
            rooms.push(room);
        }
        if let Err(error) = ledger.refuse(batch).await {
            tracing::warn!(error = %error, "refused requests could not be kept");
            sleep(Duration::from_secs(1)).await;
        }
        drop(rooms);
        // The last ones are written without a pause, so that a stop does not wait.
        if !self.waiting.is_closed() {
            sleep(Duration::from_secs_f64(bytes as f64 / REFUSED_BYTES_A_SECOND as f64)).await;
        }
    }
}
