//! The handle: what the rest of the relay holds, and the ports that it implements.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use vod_event::EventId;
use vodrelay_core::forget::Video;
use vodrelay_core::ledger::{
    DeadLetter, Deed, DeedRecord, Erased, EventDetail, EventFilter, EventRecord, Kept, KeptFilter,
    LetterDetail, LetterFilter, Page, ReplayOrder, Replayed, Step,
};
use vodrelay_core::replay::Job;
use vodrelay_core::{
    Appended, Claimed, Clock, Envelope, History, Journal, JournalError, Ledger, Pause, Pauses, Refusal,
    RefusalFilter, RefusalRecord, Seq, SettleResult, Settled, SinkBacklog, SinkName, SourceName, Totals,
    Trouble,
};

use crate::claim::Request;
use crate::config::{Config, RefusedBounds};
use crate::error::OpenError;
use crate::key::nanos;
use crate::op::{Op, Row};
use crate::open::{self, Running};
use crate::order::{Carried, Order};
use crate::reader::Reader;
use crate::storage::Storage;

/// A journal in one SQLite file, owned by this process.
///
/// Cloning is cheap. What `append` and `settle` have answered survives kill -9 and the loss of power. Dropping the last
/// clone without [`SqliteJournal::close`] is an unclean stop: nothing is lost, and the next opening is careful for a
/// minute.
#[derive(Clone, Debug)]
pub struct SqliteJournal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    running: Option<Running>,
    reader: Arc<Mutex<Reader>>,
}

impl SqliteJournal {
    /// Opens the journal in that folder, or makes one.
    ///
    /// # Errors
    /// If another process holds it, if a later version wrote it, or if it cannot be read or written.
    pub fn open(
        folder: &Path,
        config: Config,
        bounds: RefusedBounds,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::open_on(folder, config, bounds, clock, &Storage::default())
    }

    pub(crate) fn open_on(
        folder: &Path,
        config: Config,
        bounds: RefusedBounds,
        clock: Arc<dyn Clock>,
        storage: &Storage,
    ) -> Result<Self, OpenError> {
        let (running, reader) = open::open(folder, &config, bounds, clock, storage)?;
        let reader = Arc::new(Mutex::new(reader));
        Ok(Self { inner: Arc::new(Inner { running: Some(running), reader }) })
    }

    /// Stops cleanly: what was asked before is done, then nothing is in hand any more and the file is closed. Other
    /// clones answer [`JournalError::Closed`].
    ///
    /// # Errors
    /// If the journal is poisoned or closed already, or cannot note that it was stopped cleanly.
    pub async fn close(self) -> Result<(), JournalError> {
        let running = self.running()?;
        running.shared.check_alive()?;
        running.shared.close();
        let (answer, stopped) = oneshot::channel();
        // A thread that has gone already has nothing left to stop.
        let _ = running.claims.send(Request::Stop(answer));
        let _ = stopped.await;
        running.writer.ask(Op::Close).await
    }

    /// Does at once what is done from time to time: removes what has been kept long enough. It goes on in the
    /// background, a small step at a time.
    ///
    /// # Errors
    /// If the journal does not work.
    pub async fn tidy(&self) -> Result<(), JournalError> {
        self.alive()?.writer.ask(Op::Tidy).await
    }

    /// Answers once both threads have got through what was asked before: the one that writes, after a transaction, and
    /// the one that claims. A disk that is full or an error of it is an answer too; one that hangs is none.
    ///
    /// # Errors
    /// If the journal is poisoned or closed.
    pub async fn pulse(&self) -> Result<(), JournalError> {
        let running = self.alive()?;
        self.claims_so_far().await?;
        match running.writer.ask(Op::Pulse).await {
            Err(error @ (JournalError::Poisoned(_) | JournalError::Closed)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Holds the cause once the journal is poisoned; the process is to exit then, with code 74.
    #[must_use]
    pub fn poisoned(&self) -> watch::Receiver<Option<String>> {
        match &self.inner.running {
            Some(running) => running.shared.poison.subscribe(),
            None => watch::channel(None).1,
        }
    }

    /// Waits until what was claimed before is handed out.
    async fn claims_so_far(&self) -> Result<(), JournalError> {
        let (answer, handed_out) = oneshot::channel();
        self.alive()?.claims.send(Request::Pulse(answer)).map_err(|_| JournalError::Closed)?;
        handed_out.await.map_err(|_| JournalError::Closed)
    }

    fn running(&self) -> Result<&Running, JournalError> {
        self.inner.running.as_ref().ok_or(JournalError::Closed)
    }

    fn alive(&self) -> Result<&Running, JournalError> {
        let running = self.running()?;
        running.shared.check_alive()?;
        Ok(running)
    }

    async fn order(&self, order: Order) -> Result<Carried, JournalError> {
        self.alive()?.writer.ask(|answer| Op::Order(Box::new(order), answer)).await
    }

    async fn step(&self, order: Order) -> Result<Step, JournalError> {
        match self.order(order).await? {
            Carried::Step(step) => Ok(step),
            other => Err(odd(&other)),
        }
    }

    /// Reads on a thread that may wait.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Reader) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let reader = Arc::clone(&self.inner.reader);
        let reading = move || query(&reader.lock().unwrap_or_else(PoisonError::into_inner));
        let failed = |error: tokio::task::JoinError| JournalError::Failed(error.to_string());
        tokio::task::spawn_blocking(reading).await.map_err(failed)?
    }

    #[cfg(test)]
    pub(crate) fn fail_next_commit(&self, error: rusqlite::Error) {
        *self.inner.running.as_ref().unwrap().fail_next_commit.lock().unwrap() = Some(error);
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(&self, envelope: &Envelope, sinks: &[SinkName]) -> Result<Appended, JournalError> {
        let running = self.alive()?;
        let row = Box::new(Row::new(envelope, sinks)?);
        running.writer.ask(|answer| Op::Append(row, answer)).await
    }

    async fn claim(&self, sink: &SinkName, limit: usize, lease: Duration) -> Result<Claimed, JournalError> {
        let (answer, claimed) = oneshot::channel();
        let request = Request::Claim(sink.clone(), limit, lease, answer);
        self.alive()?.claims.send(request).map_err(|_| JournalError::Closed)?;
        claimed.await.map_err(|_| JournalError::Closed)?
    }

    async fn settle(&self, outcomes: &[Settled]) -> Result<Vec<SettleResult>, JournalError> {
        let outcomes = outcomes.to_vec();
        self.alive()?.writer.ask(|answer| Op::Settle(outcomes, answer)).await
    }

    fn watch_pauses(&self) -> watch::Receiver<Pauses> {
        match &self.inner.running {
            Some(running) => running.shared.pauses.subscribe(),
            None => watch::channel(Pauses::default()).1,
        }
    }

    fn watch_work(&self) -> watch::Receiver<Seq> {
        match &self.inner.running {
            Some(running) => running.shared.work.subscribe(),
            None => watch::channel(0).1,
        }
    }
}

#[async_trait]
impl Ledger for SqliteJournal {
    async fn refuse(&self, refusals: Vec<Refusal>) -> Result<(), JournalError> {
        self.alive()?.writer.ask(|answer| Op::Refuse(refusals, answer)).await
    }

    async fn list_refusals(
        &self,
        filter: RefusalFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RefusalRecord>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.list_refusals(&filter, before, limit)).await
    }

    async fn refusal(&self, id: u64) -> Result<Option<Refusal>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.refusal(id)).await
    }

    async fn next_refusals(
        &self,
        source: SourceName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Refusal)>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.next_refusals(&source, after, limit)).await
    }

    async fn remove_refusals(&self, ids: Vec<u64>) -> Result<u64, JournalError> {
        self.alive()?.writer.ask(|answer| Op::RemoveRefusals(ids, answer)).await
    }

    async fn has_events(&self, ids: Vec<EventId>) -> Result<Vec<bool>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.has_events(&ids)).await
    }

    async fn note_troubles(&self, troubles: Vec<Trouble>) -> Result<(), JournalError> {
        self.alive()?.writer.ask(|answer| Op::NoteTroubles(troubles, answer)).await
    }

    async fn history(&self, since: Timestamp) -> Result<History, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.history(since)).await
    }

    async fn backlogs(&self) -> Result<Vec<SinkBacklog>, JournalError> {
        self.alive()?;
        self.read(Reader::backlogs).await
    }

    async fn totals(&self) -> Result<Totals, JournalError> {
        self.alive()?;
        self.read(Reader::totals).await
    }

    async fn writable(&self) -> Result<(), JournalError> {
        match self.alive()?.shared.full() {
            Some(cause) => Err(JournalError::Full(cause)),
            None => Ok(()),
        }
    }

    async fn events(
        &self,
        filter: &EventFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<EventRecord>, JournalError> {
        self.alive()?;
        let filter = filter.clone();
        self.read(move |reader| reader.events(&filter, after, limit)).await
    }

    async fn events_since(&self, seq: u64, limit: usize) -> Result<Vec<EventRecord>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.events_since(seq, limit)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.event(id)).await
    }

    async fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<DeadLetter>, JournalError> {
        self.alive()?;
        let filter = filter.clone();
        self.read(move |reader| reader.dead_letters(&filter, after, limit)).await
    }

    async fn letter_details(&self, places: Vec<u64>) -> Result<Vec<LetterDetail>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.letter_details(&places)).await
    }

    async fn purge(&self, places: Vec<u64>) -> Result<u64, JournalError> {
        match self.order(Order::Purge(places)).await? {
            Carried::Purged(count) => Ok(count),
            other => Err(odd(&other)),
        }
    }

    async fn kept(
        &self,
        filter: &KeptFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<Kept>, JournalError> {
        self.alive()?;
        let filter = filter.clone();
        self.read(move |reader| reader.kept(&filter, after, limit)).await
    }

    async fn replay(&self, orders: Vec<ReplayOrder>) -> Result<Replayed, JournalError> {
        match self.order(Order::Replay(orders)).await? {
            Carried::Replayed(replayed) => Ok(replayed),
            other => Err(odd(&other)),
        }
    }

    async fn pause(&self, sink: &SinkName, reason: Option<String>) -> Result<Pause, JournalError> {
        match self.order(Order::Pause(sink.clone(), reason)).await? {
            Carried::Paused(pause) => Ok(pause),
            other => Err(odd(&other)),
        }
    }

    async fn resume(&self, sink: &SinkName) -> Result<bool, JournalError> {
        match self.order(Order::Resume(sink.clone())).await? {
            Carried::Resumed(was_paused) => Ok(was_paused),
            other => Err(odd(&other)),
        }
    }

    async fn retry_now(
        &self,
        sink: &SinkName,
        asked_at: Timestamp,
        limit: usize,
    ) -> Result<Step, JournalError> {
        self.step(Order::RetryNow { sink: sink.clone(), asked_at: nanos(asked_at), limit }).await
    }

    async fn rename(&self, old: &SinkName, new: &SinkName, limit: usize) -> Result<Step, JournalError> {
        self.step(Order::Rename { old: old.clone(), new: new.clone(), limit }).await
    }

    async fn events_of_video(
        &self,
        video: &Video,
        after: Option<u64>,
    ) -> Result<Page<EventId>, JournalError> {
        self.alive()?;
        let video = video.clone();
        self.read(move |reader| reader.events_of_video(&video, after)).await
    }

    async fn erase(&self, events: Vec<EventId>) -> Result<Erased, JournalError> {
        self.order(Order::GiveUp(events.clone())).await?;
        // What a claim had read before that is in hand after this.
        self.claims_so_far().await?;
        match self.order(Order::Erase(events)).await? {
            Carried::Erased(erased) => Ok(erased),
            other => Err(odd(&other)),
        }
    }

    async fn erased_at(&self, event: EventId) -> Result<Option<Timestamp>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.erased_at(event)).await
    }

    async fn note_job(&self, job: Job) -> Result<u64, JournalError> {
        match self.order(Order::NoteJob(Box::new(job))).await? {
            Carried::Job(id) => Ok(id),
            other => Err(odd(&other)),
        }
    }

    async fn job(&self, id: u64) -> Result<Option<Job>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.job(id)).await
    }

    async fn jobs(&self, before: Option<u64>, limit: usize) -> Result<Vec<Job>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.jobs(before, limit)).await
    }

    async fn note_deed(&self, deed: Deed) -> Result<(), JournalError> {
        self.order(Order::NoteDeed(deed)).await.map(drop)
    }

    async fn deeds(&self, before: Option<u64>, limit: usize) -> Result<Vec<DeedRecord>, JournalError> {
        self.alive()?;
        self.read(move |reader| reader.deeds(before, limit)).await
    }

    async fn forget(&self, sink: &SinkName, limit: usize) -> Result<Step, JournalError> {
        self.step(Order::Forget { sink: sink.clone(), limit }).await
    }
}

fn odd(carried: &Carried) -> JournalError {
    JournalError::Failed(format!("an answer of the wrong kind, {carried:?}; please report it"))
}

impl Drop for Inner {
    /// Waits for the threads, which are done after the commit in hand, so that the file can be opened again at once.
    fn drop(&mut self) {
        let Some(Running { writer, claims, threads, .. }) = self.running.take() else { return };
        drop((writer, claims));
        for thread in threads {
            // A panic in it has poisoned the journal already, which is all that can be said.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
