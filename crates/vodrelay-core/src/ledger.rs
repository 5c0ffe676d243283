//! The port to what the journal tells people, and to what they tell it: refusals, backlogs, totals, dead letters,
//! replays, pauses.

mod audit;
mod events;
mod kept;
mod letters;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use vod_event::EventId;

use crate::forget::Video;
use crate::history::{History, Trouble};
use crate::journal::{JournalError, Pause};
use crate::name::{SinkName, SourceName};
use crate::refusal::{Refusal, RefusalFilter, RefusalRecord};
use crate::replay::Job;

pub use self::audit::{Deed, DeedRecord};
pub use self::events::{DeliveryRecord, EventDetail, EventFilter, EventRecord, Repeats, Standing};
pub use self::kept::{DeliveryState, EventState, Kept, KeptFilter, Redelivery, ReplayOrder, Replayed, Step};
pub use self::letters::{DeadLetter, FailedAttempt, LetterDetail, LetterFilter, Limit, Page, TooFew};

/// What people and their tools ask of a journal. Nothing of it stands on the path of an event.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Keeps refusals, within the bounds of size and age that the journal was opened with. When there are too many,
    /// those of the cause and address that hold most of the room go first.
    ///
    /// # Errors
    /// If they cannot be kept; nothing else depends on it.
    async fn refuse(&self, refusals: Vec<Refusal>) -> Result<(), JournalError>;

    /// A page of kept refusals, the newest first; `before` is the id of the last one of the page before.
    ///
    /// # Errors
    /// If the journal cannot be read, or it takes too long.
    async fn list_refusals(
        &self,
        filter: RefusalFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RefusalRecord>, JournalError>;

    /// One kept refusal, whole.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn refusal(&self, id: u64) -> Result<Option<Refusal>, JournalError>;

    /// The next kept refusals of a source, whole, with their ids, in the order in which they were kept: those after
    /// the id, up to `limit`, fewer where their bodies are large, and none only where none is left.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn next_refusals(
        &self,
        source: SourceName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Refusal)>, JournalError>;

    /// Removes kept refusals for good and tells how many there were. An id is never given out twice while the journal
    /// is open, so one that is gone removes nothing else. In the trouble that each belongs to it counts as settled.
    ///
    /// # Errors
    /// If none is removed.
    async fn remove_refusals(&self, ids: Vec<u64>) -> Result<u64, JournalError>;

    /// Which of the events are in the journal, or were erased from it, one answer for each: a repeat of these is merged.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn has_events(&self, ids: Vec<EventId>) -> Result<Vec<bool>, JournalError>;

    /// Notes that events were turned away, within the bounds of what is remembered. A trouble that joins one that is
    /// there becomes one with it. What is kept of a refusal is counted by the journal itself: those that are noted
    /// have none.
    ///
    /// # Errors
    /// If it cannot be noted. It is possible while the journal is full, as long as the disk takes a few bytes.
    async fn note_troubles(&self, troubles: Vec<Trouble>) -> Result<(), JournalError>;

    /// When the relay was there since that moment, and when it turned events away.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn history(&self, since: Timestamp) -> Result<History, JournalError>;

    /// How much waits for each sink that the journal knows, configured or not.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn backlogs(&self) -> Result<Vec<SinkBacklog>, JournalError>;

    /// What the journal holds, from counters that are kept with each commit.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn totals(&self) -> Result<Totals, JournalError>;

    /// Whether an append would be accepted now.
    ///
    /// # Errors
    /// With the reason why not.
    async fn writable(&self) -> Result<(), JournalError>;

    /// A page of events, the last one that was accepted first; `after` is the `next` of the page before. A call looks for
    /// a bounded time, so a page may be short, or empty, while there is a next one.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn events(
        &self,
        filter: &EventFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<EventRecord>, JournalError>;

    /// The next events in the order of acceptance, those behind that `seq`, without their doubts. Whoever asks from the
    /// last one on again and again misses none.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn events_since(&self, seq: u64, limit: usize) -> Result<Vec<EventRecord>, JournalError>;

    /// One event whole.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, JournalError>;

    /// A page of dead letters in the order of acceptance, those that the filter takes; `after` is the `next` of the
    /// page before. A call looks at a bounded number, so a page may be short while there is a next one.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<DeadLetter>, JournalError>;

    /// The dead letters at these places, whole. One that is a dead letter no more is left out.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn letter_details(&self, places: Vec<u64>) -> Result<Vec<LetterDetail>, JournalError>;

    /// Takes these out of the dead letters, in one transaction, and says how many it were. Their events stay as
    /// history until their retention removes them, no duplicate brings the deliveries back, and what is pending or
    /// delivered by now is not touched.
    ///
    /// # Errors
    /// If nothing was changed.
    async fn purge(&self, places: Vec<u64>) -> Result<u64, JournalError>;

    /// A page of kept events in the order of acceptance; otherwise like [`Ledger::dead_letters`]. It is shorter than
    /// `limit` where the bodies are large.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn kept(
        &self,
        filter: &KeptFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<Kept>, JournalError>;

    /// Carries out these orders in one transaction. Each delivery is due at once and counts as retried, so that new
    /// events keep half of the slots; its tries and age start anew, its attempts go on counting. One that was given up
    /// or delivered before counts one replay more; one that is added does not.
    ///
    /// # Errors
    /// If nothing was changed.
    async fn replay(&self, orders: Vec<ReplayOrder>) -> Result<Replayed, JournalError>;

    /// Has nothing claimed for the sink until it is resumed, over restarts too. A sink that is paused already stays
    /// so since then, with the new reason where there is one.
    ///
    /// # Errors
    /// If nothing was changed.
    async fn pause(&self, sink: &SinkName, reason: Option<String>) -> Result<Pause, JournalError>;

    /// Lets the sink's deliveries go on; says whether it was paused.
    ///
    /// # Errors
    /// If nothing was changed.
    async fn resume(&self, sink: &SinkName) -> Result<bool, JournalError>;

    /// Has up to `limit` retries of the sink due now that would be due later, and were tried before `asked_at` last.
    /// What fails again meanwhile waits as the retry policy says.
    ///
    /// # Errors
    /// If this step changed nothing.
    async fn retry_now(
        &self,
        sink: &SinkName,
        asked_at: Timestamp,
        limit: usize,
    ) -> Result<Step, JournalError>;

    /// Gives the deliveries of a sink to another name. Where the journal does not know the new name, all of them go
    /// at once; where it does, up to `limit` that are pending or given up, while what was delivered stays under the old
    /// name. Where an event has a delivery to the new name already, that one stands and the old one goes; one that was
    /// purged does not stand. A pause of the old name ends, and the new one is paused no more than it was.
    ///
    /// Only for a sink that nobody drives: what is claimed is settled under the old name.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where the journal does not know the old name; else if this step changed nothing.
    async fn rename(&self, old: &SinkName, new: &SinkName, limit: usize) -> Result<Step, JournalError>;

    /// Makes dead letters with the reason `forgotten` of up to `limit` pending deliveries of the sink, and ends its
    /// pause. Only for a sink that nobody drives.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where the journal does not know the sink; else if this step changed nothing.
    async fn forget(&self, sink: &SinkName, limit: usize) -> Result<Step, JournalError>;

    /// A page of the events of a video, in the order of acceptance, of which few are large; `after` is the `next` of the page before. A call looks at a bounded number, so a page
    /// may be empty while there is a next one.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn events_of_video(&self, video: &Video, after: Option<u64>)
    -> Result<Page<EventId>, JournalError>;

    /// Removes these events for good: body, deliveries, attempts, and all that was noted of them. Their ids stay, so that
    /// a repeat is a duplicate and brings nothing back. Those of which a delivery is in hand stay; what else of them is
    /// pending becomes a dead letter with the reason `forgotten`, so that they can go once that one is settled. Even
    /// without an event, bytes of what was removed before leave the log.
    ///
    /// # Errors
    /// If the last of its two transactions changed nothing.
    async fn erase(&self, events: Vec<EventId>) -> Result<Erased, JournalError>;

    /// When the event was erased, if it was.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn erased_at(&self, event: EventId) -> Result<Option<Timestamp>, JournalError>;

    /// Remembers who had the relay change something, within the bounds of what is remembered.
    ///
    /// # Errors
    /// If it cannot be noted. It is possible while the journal is full, as long as the disk takes a few bytes.
    async fn note_deed(&self, deed: Deed) -> Result<(), JournalError>;

    /// A page of what is remembered of that, the newest first; `before` is the id of the last one of the page before.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn deeds(&self, before: Option<u64>, limit: usize) -> Result<Vec<DeedRecord>, JournalError>;

    /// Notes how a replay stands that goes on by itself, and says its number: a new one where it has none. When the
    /// journal is opened again, one that was at work is told as interrupted.
    ///
    /// # Errors
    /// If it cannot be noted.
    async fn note_job(&self, job: Job) -> Result<u64, JournalError>;

    /// One of them, as it was noted last.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn job(&self, id: u64) -> Result<Option<Job>, JournalError>;

    /// A page of them, the newest first; `before` is the id of the last one of the page before.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn jobs(&self, before: Option<u64>, limit: usize) -> Result<Vec<Job>, JournalError>;
}

/// What waits for one sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SinkBacklog {
    /// The sink.
    pub sink: SinkName,
    /// Deliveries that are neither delivered nor given up.
    pub pending: u64,
    /// Deliveries given up.
    pub dead_letters: u64,
    /// Deliveries done.
    pub delivered: u64,
    /// When the oldest pending one was accepted.
    pub oldest_pending_at: Option<Timestamp>,
    /// When the retry that is due first is or was due; nothing where no delivery waits for another try.
    #[serde(skip)]
    pub retry_due_at: Option<Timestamp>,
    /// Since when and why it is paused, if it is.
    pub paused: Option<Pause>,
}

impl SinkBacklog {
    /// That of a sink that got nothing yet.
    #[must_use]
    pub fn empty(sink: SinkName) -> Self {
        Self {
            sink,
            pending: 0,
            dead_letters: 0,
            delivered: 0,
            oldest_pending_at: None,
            retry_due_at: None,
            paused: None,
        }
    }
}

/// What became of events that were to go for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Those that went.
    pub erased: u64,
    /// Those that stayed, since a delivery of theirs is in hand.
    pub in_hand: u64,
}

/// What the journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Events accepted and still kept.
    pub events: u64,
    /// Repeats of events that were merged.
    pub duplicates: u64,
    /// Events that matched no sink.
    pub unrouted: u64,
    /// Events whose body cannot be read.
    pub unreadable: u64,
    /// Refusals kept.
    pub refusals: u64,
}
