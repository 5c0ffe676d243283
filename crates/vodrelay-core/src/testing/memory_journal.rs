//! A journal in memory: the plainest thing that keeps the contract, for tests of what stands on a journal.

mod browse;
mod redrive;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::yield_now;
use vod_event::EventId;

use crate::clock::Clock;
use crate::envelope::{Delivery, Envelope};
use crate::forget::Video;
use crate::history::{History, Life, LifeEnd, Trouble};
use crate::journal::{
    Appended, Claim, Claimed, Journal, JournalError, Outcome, Pause, Pauses, Seq, SettleResult, Settled,
    Token,
};
use crate::ledger::{
    DeadLetter, Deed, DeedRecord, Erased, EventDetail, EventFilter, EventRecord, FailedAttempt, Kept,
    KeptFilter, Ledger, LetterDetail, LetterFilter, Page, Repeats, ReplayOrder, Replayed, SinkBacklog, Step,
    Totals,
};
use crate::name::{SinkName, SourceName};
use crate::refusal::{Refusal, RefusalFilter, RefusalRecord};
use crate::replay::Job;

/// So much the clock on the wall may drift from the steady one without having been set.
const CLOCK_DRIFT: SignedDuration = SignedDuration::from_secs(2);

/// Keeps the [`Journal`] contract but for durability: everything is gone with the value.
#[derive(Debug)]
pub struct MemoryJournal {
    state: Mutex<State>,
    work: watch::Sender<Seq>,
    pauses: watch::Sender<Pauses>,
    clock: Arc<dyn Clock>,
    started_at: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    events: BTreeMap<EventId, Arc<Envelope>>,
    /// The events in the order of acceptance.
    order: Vec<EventId>,
    /// The sinks by number.
    sinks: Vec<SinkName>,
    deliveries: BTreeMap<u64, Row>,
    /// Events that were erased, and when.
    erased: BTreeMap<EventId, Timestamp>,
    /// Unreadable events that are no dead letters any more.
    purged: BTreeSet<EventId>,
    refusals: BTreeMap<u64, Refusal>,
    last_refusal: u64,
    troubles: Vec<Trouble>,
    deeds: Vec<Deed>,
    jobs: BTreeMap<u64, Job>,
    duplicates: u64,
    /// By which sources events came again.
    repeats: BTreeMap<(EventId, SourceName), Repeats>,
    leases: u64,
    fresh_turn: bool,
    /// What the clocks said at the last call.
    looked_at: Option<(Timestamp, Duration)>,
    failing: Option<JournalError>,
}

#[derive(Debug)]
struct Row {
    delivery: Delivery,
    state: RowState,
    /// Until then by the steady clock.
    lease: Option<(u64, Duration)>,
    settled_at: Option<Timestamp>,
    failed_attempts: Vec<FailedAttempt>,
}

#[derive(Clone, Debug, PartialEq)]
enum RowState {
    Fresh,
    Retry(Timestamp),
    Delivered,
    Dead(String),
    Purged,
}

impl MemoryJournal {
    /// An empty journal on that clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (work, pauses) = (watch::Sender::new(0), watch::Sender::default());
        let started_at = clock.now();
        Self { state: Mutex::default(), work, pauses, clock, started_at }
    }

    /// From now on every call fails with that error, until it is called with nothing.
    pub fn fail_with(&self, error: Option<JournalError>) {
        self.state().failing = error;
    }

    /// The refusals kept so far.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        self.state().refusals.values().cloned().collect()
    }

    /// The envelopes kept so far.
    #[must_use]
    pub fn events(&self) -> Vec<Arc<Envelope>> {
        self.state().events.values().cloned().collect()
    }

    /// The reasons of the sink's dead letters, in the order of acceptance.
    #[must_use]
    pub fn dead_letters(&self, sink: &SinkName) -> Vec<String> {
        let state = self.state();
        let of_sink = state.deliveries.values().filter(|row| row.delivery.sink == *sink);
        of_sink
            .filter_map(
                |row| if let RowState::Dead(reason) = &row.state { Some(reason.clone()) } else { None },
            )
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked with the journal in hand")
    }

    fn working(&self) -> Result<MutexGuard<'_, State>, JournalError> {
        let mut state = self.state();
        if let Some(error) = &state.failing {
            return Err(error.clone());
        }
        state.look_at_clocks(self.clock.now(), self.clock.steady());
        Ok(state)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, envelope: &Envelope, sinks: &[SinkName]) -> Result<Appended, JournalError> {
        let mut state = self.working()?;
        if state.erased.contains_key(&envelope.id) {
            state.duplicates += 1;
            return Ok(Appended::Duplicate);
        }
        let known = state.events.get(&envelope.id).cloned();
        let appended = if known.is_some() { Appended::Duplicate } else { Appended::New };
        let kept = known.unwrap_or_else(|| Arc::new(envelope.clone()));
        if appended == Appended::New {
            state.events.insert(envelope.id, Arc::clone(&kept));
            state.order.push(envelope.id);
        }
        if appended == Appended::Duplicate {
            state.duplicates += 1;
            let key = (envelope.id, envelope.source.clone());
            let (source, first_at) = (envelope.source.clone(), envelope.received_at);
            state.repeats.entry(key).or_insert(Repeats { source, first_at, count: 0 }).count += 1;
        }
        for sink in sinks {
            state.add(&kept, sink);
        }
        drop(state);
        self.work.send_modify(|seq| *seq += 1);
        Ok(appended)
    }

    async fn claim(&self, sink: &SinkName, limit: usize, lease: Duration) -> Result<Claimed, JournalError> {
        let (now, steady) = (self.clock.now(), self.clock.steady());
        let mut state = self.working()?;
        let mut claimed = Claimed::default();
        if self.pauses.borrow().contains_key(sink) {
            return Ok(claimed);
        }
        for _ in 0..limit {
            let Some(key) = state.next_due(sink, now, steady) else { break };
            state.leases += 1;
            let number = state.leases;
            let Some(row) = state.deliveries.get_mut(&key) else { break };
            row.lease = Some((number, steady + lease));
            let token = Token { delivery: key, lease: number };
            claimed.claims.push(Claim { delivery: row.delivery.clone(), token });
        }
        let of_sink = state.deliveries.values().filter(|row| row.delivery.sink == *sink);
        claimed.look_again_at = of_sink.filter_map(|row| row.look_again_at(now, steady)).min();
        Ok(claimed)
    }

    async fn settle(&self, outcomes: &[Settled]) -> Result<Vec<SettleResult>, JournalError> {
        let (now, steady) = (self.clock.now(), self.clock.steady());
        let mut state = self.working()?;
        Ok(outcomes.iter().map(|settled| state.settle(settled, now, steady)).collect())
    }

    fn watch_work(&self) -> watch::Receiver<Seq> {
        self.work.subscribe()
    }

    fn watch_pauses(&self) -> watch::Receiver<Pauses> {
        self.pauses.subscribe()
    }
}

impl State {
    fn note(&mut self, trouble: Trouble) {
        match self.troubles.iter_mut().find(|known| known.joins(&trouble)) {
            Some(known) => known.absorb(&trouble),
            None => self.troubles.push(trouble),
        }
    }

    /// Retries move back with a clock that is set back, so that none waits longer than it was meant to.
    fn look_at_clocks(&mut self, now: Timestamp, steady: Duration) {
        let Some((before, steady_before)) = self.looked_at.replace((now, steady)) else { return };
        let back_by = (before + (steady - steady_before)).duration_since(now);
        if back_by <= CLOCK_DRIFT {
            return;
        }
        for row in self.deliveries.values_mut() {
            if let RowState::Retry(at) = &mut row.state
                && *at > now
            {
                *at = (*at - back_by).max(now);
            }
        }
    }

    /// The next delivery of the sink that may be handed out; fresh and retried ones take turns where both wait.
    fn next_due(&mut self, sink: &SinkName, now: Timestamp, steady: Duration) -> Option<u64> {
        let free =
            |row: &&Row| row.delivery.sink == *sink && row.lease.is_none_or(|(_, until)| until <= steady);
        let rows = || self.deliveries.iter().filter(|(_, row)| free(row));
        let fresh = rows().find(|(_, row)| row.state == RowState::Fresh).map(|(key, _)| *key);
        let retry = rows()
            .filter_map(
                |(key, row)| if let RowState::Retry(at) = row.state { Some((at, *key)) } else { None },
            )
            .filter(|(at, _)| *at <= now)
            .min()
            .map(|(_, key)| key);
        if fresh.is_some() && retry.is_some() {
            self.fresh_turn = !self.fresh_turn;
            return if self.fresh_turn { fresh } else { retry };
        }
        fresh.or(retry)
    }

    fn settle(&mut self, settled: &Settled, now: Timestamp, steady: Duration) -> SettleResult {
        let Some(row) = self.deliveries.get_mut(&settled.token.delivery) else {
            return SettleResult::Unknown;
        };
        if !row.is_pending() {
            return SettleResult::Unknown;
        }
        let in_time = row.lease.is_some_and(|(lease, until)| lease == settled.token.lease && until > steady);
        if !in_time && settled.outcome != Outcome::Delivered {
            return SettleResult::Expired;
        }
        row.lease = None;
        if let Some(attempt) = &settled.attempt {
            row.delivery.attempt += 1;
            row.delivery.tries += 1;
            row.delivery.first_attempt_at.get_or_insert(attempt.started_at);
            row.delivery.last_attempt_at = Some(attempt.started_at);
            row.delivery.age = attempt.age;
            if settled.outcome != Outcome::Delivered {
                row.note(attempt);
            }
        }
        if matches!(settled.outcome, Outcome::Delivered | Outcome::DeadLetter(_)) {
            row.settled_at = Some(now);
        }
        match &settled.outcome {
            Outcome::Delivered => row.state = RowState::Delivered,
            Outcome::RetryAt(at) => row.state = RowState::Retry(settled.due_at(*at, now)),
            Outcome::DeadLetter(reason) => row.state = RowState::Dead(reason.clone()),
            Outcome::Released => {}
        }
        SettleResult::Done
    }
}

impl Row {
    fn new(envelope: &Arc<Envelope>, sink: &SinkName) -> Self {
        let delivery = Delivery {
            envelope: Arc::clone(envelope),
            sink: sink.clone(),
            attempt: 1,
            replay: 0,
            tries: 0,
            first_attempt_at: None,
            last_attempt_at: None,
            age: Duration::ZERO,
            span: crate::trace::Span::default(),
        };
        Self { delivery, state: RowState::Fresh, lease: None, settled_at: None, failed_attempts: Vec::new() }
    }

    fn is_pending(&self) -> bool {
        matches!(self.state, RowState::Fresh | RowState::Retry(_))
    }

    fn look_again_at(&self, now: Timestamp, steady: Duration) -> Option<Timestamp> {
        match (&self.state, self.lease) {
            (RowState::Fresh | RowState::Retry(_), Some((_, until))) => {
                Some(now + until.saturating_sub(steady))
            }
            (RowState::Retry(at), None) => Some(*at),
            _ => None,
        }
    }
}

#[async_trait]
impl Ledger for MemoryJournal {
    async fn refuse(&self, refusals: Vec<Refusal>) -> Result<(), JournalError> {
        let mut state = self.working()?;
        for refusal in refusals {
            state.last_refusal += 1;
            let id = state.last_refusal;
            let mut trouble = Trouble::of_refusal(&refusal);
            (trouble.count, trouble.kept) = (0, 1);
            state.note(trouble);
            state.refusals.insert(id, refusal);
        }
        Ok(())
    }

    async fn list_refusals(
        &self,
        filter: RefusalFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RefusalRecord>, JournalError> {
        let state = self.working()?;
        let older = state.refusals.range(..before.unwrap_or(u64::MAX)).rev();
        let records = older.map(|(id, refusal)| refusal.record(*id)).filter(|record| filter.matches(record));
        Ok(records.take(limit).collect())
    }

    async fn refusal(&self, id: u64) -> Result<Option<Refusal>, JournalError> {
        Ok(self.working()?.refusals.get(&id).cloned())
    }

    async fn next_refusals(
        &self,
        source: SourceName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Refusal)>, JournalError> {
        let state = self.working()?;
        let next = state.refusals.range(after + 1..).filter(|(_, refusal)| refusal.source == source);
        Ok(next.take(limit).map(|(id, refusal)| (*id, refusal.clone())).collect())
    }

    async fn remove_refusals(&self, ids: Vec<u64>) -> Result<u64, JournalError> {
        let mut state = self.working()?;
        let removed: Vec<Refusal> = ids.iter().filter_map(|id| state.refusals.remove(id)).collect();
        for refusal in &removed {
            let one = Trouble::of_refusal(refusal);
            if let Some(trouble) = state.troubles.iter_mut().find(|trouble| trouble.joins(&one)) {
                trouble.kept -= 1;
                trouble.settled += 1;
            }
        }
        Ok(removed.len() as u64)
    }

    async fn has_events(&self, ids: Vec<EventId>) -> Result<Vec<bool>, JournalError> {
        let state = self.working()?;
        let is_known = |id: &EventId| state.events.contains_key(id) || state.erased.contains_key(id);
        Ok(ids.iter().map(is_known).collect())
    }

    async fn note_troubles(&self, troubles: Vec<Trouble>) -> Result<(), JournalError> {
        let mut state = self.working()?;
        troubles.into_iter().for_each(|trouble| state.note(trouble));
        Ok(())
    }

    async fn history(&self, since: Timestamp) -> Result<History, JournalError> {
        let mut troubles = self.working()?.troubles.clone();
        troubles.retain(|trouble| trouble.last_at >= since);
        troubles.sort_by_key(|trouble| trouble.first_at);
        let life = Life { started_at: self.started_at, beat_at: self.clock.now(), end: LifeEnd::Open };
        Ok(History { known_since: Some(self.started_at), lives: vec![life], troubles })
    }

    async fn backlogs(&self) -> Result<Vec<SinkBacklog>, JournalError> {
        let state = self.working()?;
        let mut backlogs: BTreeMap<SinkName, SinkBacklog> = BTreeMap::new();
        for row in state.deliveries.values() {
            let sink = row.delivery.sink.clone();
            let backlog = backlogs.entry(sink.clone()).or_insert_with(|| SinkBacklog::empty(sink));
            match row.state {
                RowState::Purged => {}
                RowState::Delivered => backlog.delivered += 1,
                RowState::Dead(_) => backlog.dead_letters += 1,
                RowState::Fresh | RowState::Retry(_) => {
                    backlog.pending += 1;
                    backlog.oldest_pending_at.get_or_insert(row.delivery.envelope.received_at);
                    if let RowState::Retry(at) = row.state {
                        backlog.retry_due_at = Some(backlog.retry_due_at.map_or(at, |first| first.min(at)));
                    }
                }
            }
        }
        for (sink, pause) in self.pauses.borrow().iter() {
            let backlog = backlogs.entry(sink.clone()).or_insert_with(|| SinkBacklog::empty(sink.clone()));
            backlog.paused = Some(pause.clone());
        }
        Ok(backlogs.into_values().collect())
    }

    async fn totals(&self) -> Result<Totals, JournalError> {
        let state = self.working()?;
        let routed: BTreeSet<EventId> =
            state.deliveries.values().map(|row| row.delivery.envelope.id).collect();
        let unreadable = state.events.values().filter(|event| event.event().is_err()).count() as u64;
        Ok(Totals {
            events: state.events.len() as u64,
            duplicates: state.duplicates,
            unrouted: (state.events.len() - routed.len()) as u64 - unreadable,
            unreadable,
            refusals: state.refusals.len() as u64,
        })
    }

    async fn writable(&self) -> Result<(), JournalError> {
        self.working().map(drop)
    }

    async fn events(
        &self,
        filter: &EventFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<EventRecord>, JournalError> {
        Ok(self.working()?.events(filter, after, limit))
    }

    async fn events_since(&self, seq: u64, limit: usize) -> Result<Vec<EventRecord>, JournalError> {
        Ok(self.working()?.events_since(seq, limit))
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, JournalError> {
        Ok(self.working()?.event(id))
    }

    async fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<DeadLetter>, JournalError> {
        Ok(self.working()?.dead_letters(filter, after, limit))
    }

    async fn letter_details(&self, places: Vec<u64>) -> Result<Vec<LetterDetail>, JournalError> {
        Ok(self.working()?.letter_details(&places))
    }

    async fn purge(&self, places: Vec<u64>) -> Result<u64, JournalError> {
        Ok(self.working()?.purge(&places))
    }

    async fn kept(
        &self,
        filter: &KeptFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<Kept>, JournalError> {
        Ok(self.working()?.kept(filter, after, limit))
    }

    async fn replay(&self, orders: Vec<ReplayOrder>) -> Result<Replayed, JournalError> {
        let replayed = self.working()?.replay(&orders, self.clock.now());
        self.work.send_modify(|seq| *seq += 1);
        Ok(replayed)
    }

    async fn pause(&self, sink: &SinkName, reason: Option<String>) -> Result<Pause, JournalError> {
        drop(self.working()?);
        let mut pauses = (**self.pauses.borrow()).clone();
        let fresh = Pause { since: self.clock.now(), reason: None };
        let pause = pauses.entry(sink.clone()).or_insert(fresh);
        pause.reason = reason.or(pause.reason.take());
        let pause = pause.clone();
        self.pauses.send_replace(Arc::new(pauses));
        // As with a disk, it is done before whoever asked is told, and who asked may have gone by then.
        yield_now().await;
        Ok(pause)
    }

    async fn resume(&self, sink: &SinkName) -> Result<bool, JournalError> {
        drop(self.working()?);
        let mut pauses = (**self.pauses.borrow()).clone();
        let was_paused = pauses.remove(sink).is_some();
        self.pauses.send_replace(Arc::new(pauses));
        self.work.send_modify(|seq| *seq += 1);
        Ok(was_paused)
    }

    async fn retry_now(
        &self,
        sink: &SinkName,
        asked_at: Timestamp,
        limit: usize,
    ) -> Result<Step, JournalError> {
        let step = self.working()?.retry_now(sink, asked_at, self.clock.now(), limit);
        self.work.send_modify(|seq| *seq += 1);
        Ok(step)
    }

    async fn rename(&self, old: &SinkName, new: &SinkName, limit: usize) -> Result<Step, JournalError> {
        let step = self.working()?.rename(old, new, limit)?;
        if !step.more {
            let mut pauses = (**self.pauses.borrow()).clone();
            pauses.remove(old);
            self.pauses.send_replace(Arc::new(pauses));
        }
        self.work.send_modify(|seq| *seq += 1);
        Ok(step)
    }

    async fn note_job(&self, job: Job) -> Result<u64, JournalError> {
        let id = {
            let mut state = self.working()?;
            let newest = state.jobs.last_key_value().map_or(0, |(id, _)| *id);
            let id = if job.id == 0 { newest + 1 } else { job.id };
            state.jobs.insert(id, Job { id, ..job });
            id
        };
        yield_now().await;
        Ok(id)
    }

    async fn job(&self, id: u64) -> Result<Option<Job>, JournalError> {
        Ok(self.working()?.jobs.get(&id).cloned())
    }

    async fn jobs(&self, before: Option<u64>, limit: usize) -> Result<Vec<Job>, JournalError> {
        let state = self.working()?;
        let older = state.jobs.range(..before.unwrap_or(u64::MAX)).rev();
        Ok(older.take(limit).map(|(_, job)| job.clone()).collect())
    }

    async fn events_of_video(
        &self,
        video: &Video,
        after: Option<u64>,
    ) -> Result<Page<EventId>, JournalError> {
        // One at a time, so that whoever asks has to ask again.
        let state = self.working()?;
        let place = usize::try_from(after.unwrap_or(0)).unwrap_or(usize::MAX);
        let Some(id) = state.order.get(place) else { return Ok(Page { items: Vec::new(), next: None }) };
        let is_of_video = |envelope: &&Arc<Envelope>| {
            envelope.received_at < video.received_before
                && match envelope.event() {
                    Ok(event) => video.is_that_of(event.video_id.as_deref(), event.media_id.as_deref()),
                    Err(_) => video.is_named_in(&envelope.body),
                }
        };
        let found = state.events.get(id).filter(is_of_video);
        Ok(Page {
            items: found.map(|envelope| envelope.id).into_iter().collect(),
            next: Some(place as u64 + 1),
        })
    }

    async fn erase(&self, events: Vec<EventId>) -> Result<Erased, JournalError> {
        let (now, steady) = (self.clock.now(), self.clock.steady());
        let mut state = self.working()?;
        let mut erased = Erased::default();
        for id in events {
            match state.erase(id, now, steady) {
                Some(true) => erased.erased += 1,
                Some(false) => erased.in_hand += 1,
                None => {}
            }
        }
        Ok(erased)
    }

    async fn erased_at(&self, event: EventId) -> Result<Option<Timestamp>, JournalError> {
        Ok(self.working()?.erased.get(&event).copied())
    }

    async fn note_deed(&self, deed: Deed) -> Result<(), JournalError> {
        self.working()?.deeds.push(deed);
        Ok(())
    }

    async fn deeds(&self, before: Option<u64>, limit: usize) -> Result<Vec<DeedRecord>, JournalError> {
        let deeds = self.working()?.deeds.clone();
        let records = (1..).zip(deeds).map(|(id, deed)| DeedRecord { id, deed });
        let mut records: Vec<DeedRecord> =
            records.filter(|record| before.is_none_or(|before| record.id < before)).collect();
        records.reverse();
        records.truncate(limit);
        Ok(records)
    }

    async fn forget(&self, sink: &SinkName, limit: usize) -> Result<Step, JournalError> {
        let step = self.working()?.forget(sink, self.clock.now(), limit)?;
        self.resume(sink).await?;
        Ok(step)
    }
}
