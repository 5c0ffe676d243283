//! What passes through the relay: an `Arrival` (bytes as they came) becomes an `Envelope` (identified), and that a
//! `Delivery` (one envelope, one sink, one attempt).

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use vod_event::{Event, EventId};

use crate::name::{SinkName, SourceName};
use crate::parse::parse;
use crate::trace::{Span, TraceContext};

/// Labels that the configuration gives to a source; routing uses them, and records have them.
pub type Labels = BTreeMap<String, String>;

/// What a journal keeps of labels, as JSON. Every event of a source with more would be refused.
pub const MOST_LABEL_BYTES: usize = 64 << 10;

/// A body as a source received it, proven or admitted by configuration, not yet read.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Where it came from.
    pub source: SourceName,
    /// The bytes, as the provider made them; of a queue message, after its Base64 was taken off.
    pub body: Bytes,
    /// When its first byte was here.
    pub received_at: Timestamp,
    /// The labels of its source.
    pub labels: Arc<Labels>,
    /// The span that brought it, where that is recorded.
    pub trace: Option<TraceContext>,
}

/// An event that is identified, with the bytes that say it.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Which event it is, whatever way and however often it came.
    pub id: EventId,
    /// The source that it came from first.
    pub source: SourceName,
    /// When it was received from that source.
    pub received_at: Timestamp,
    /// The labels of that source.
    pub labels: Arc<Labels>,
    /// The provider's bytes.
    pub body: Bytes,
    /// SHA-256 of the body; checked whenever the journal hands it out.
    pub sha256: [u8; 32],
    /// The span that brought it first, where that is recorded.
    pub trace: Option<TraceContext>,
    event: OnceLock<Result<Arc<Event>, String>>,
}

impl Envelope {
    /// An envelope as the journal kept it; its body is read when somebody asks for the event.
    #[must_use]
    pub fn restore(
        id: EventId,
        source: SourceName,
        received_at: Timestamp,
        labels: Arc<Labels>,
        body: Bytes,
        sha256: [u8; 32],
    ) -> Self {
        Self { id, source, received_at, labels, body, sha256, trace: None, event: OnceLock::new() }
    }

    /// The same, brought by that span.
    #[must_use]
    pub fn with_trace(self, trace: Option<TraceContext>) -> Self {
        Self { trace, ..self }
    }

    /// An envelope around what was just read, or around what could not be (with the reason).
    #[must_use]
    pub fn new(arrival: Arrival, id: EventId, event: Result<Event, String>) -> Self {
        let sha256 = Sha256::digest(&arrival.body).into();
        let Arrival { source, body, received_at, labels, trace } = arrival;
        let event = OnceLock::from(event.map(Arc::new));
        Self { id, source, received_at, labels, body, sha256, trace, event }
    }

    /// What the body says.
    ///
    /// # Errors
    /// With the reason why the body cannot be read as an event.
    pub fn event(&self) -> Result<&Arc<Event>, &str> {
        let read = || parse(&self.body, |reading| Ok(Arc::new(reading.into_event())));
        self.event.get_or_init(read).as_ref().map_err(String::as_str)
    }

    /// How many doubts there are about what the body says; nothing where it cannot be read.
    #[must_use]
    pub fn count_doubts(body: &[u8]) -> Option<u64> {
        parse(body, |reading| Ok(reading.event().doubts.len() as u64)).ok()
    }

    /// Whether the body still is the one that was accepted.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        Sha256::digest(&self.body)[..] == self.sha256
    }
}

/// One envelope on its way to one sink.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What to deliver.
    pub envelope: Arc<Envelope>,
    /// To whom.
    pub sink: SinkName,
    /// Which attempt this is: 1 is the first, and a replay goes on counting.
    pub attempt: u32,
    /// How often it was replayed; 0 for a delivery that never was.
    pub replay: u32,
    /// Attempts already made since acceptance or the last replay: what the backoff grows with. A replay starts at 0
    /// again while `attempt` goes on.
    pub tries: u32,
    /// When the first attempt since acceptance or replay started; nothing before it.
    pub first_attempt_at: Option<Timestamp>,
    /// When the last attempt started.
    pub last_attempt_at: Option<Timestamp>,
    /// The age that counted at the last attempt: time since the first, less what the sink stood still.
    pub age: std::time::Duration,
    /// The span of this attempt; a sink notes there what it knows, and tells whom it calls.
    pub span: Span,
}
