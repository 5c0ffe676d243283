//! Dead letters, replays and renamed sinks of the journal in memory.

use std::sync::Arc;

use std::time::Duration;

use jiff::Timestamp;
use vod_event::EventId;

use super::{Row, RowState, State};
use crate::envelope::Envelope;
use crate::journal::{Attempt, JournalError};
use crate::ledger::{
    DeadLetter, DeliveryState, EventState, FailedAttempt, Kept, KeptFilter, LetterDetail, LetterFilter, Page,
    ReplayOrder, Replayed, Step,
};
use crate::name::{SinkName, SourceName};

/// Sinks that an event's place has room for.
pub(super) const SINKS: u64 = 4096;

impl State {
    /// Adds the delivery if it is not there, and names its place.
    pub(super) fn add(&mut self, envelope: &Arc<Envelope>, sink: &SinkName) -> Option<u64> {
        let place = self.place_of(envelope.id)? + self.number_of(sink);
        if self.deliveries.contains_key(&place) {
            return None;
        }
        self.deliveries.insert(place, Row::new(envelope, sink));
        Some(place)
    }

    pub(super) fn place_of(&self, event: EventId) -> Option<u64> {
        let index = self.order.iter().position(|id| *id == event)?;
        Some((index as u64 + 1) * SINKS)
    }

    fn number_of(&mut self, sink: &SinkName) -> u64 {
        let index = self.sinks.iter().position(|name| name == sink).unwrap_or_else(|| {
            self.sinks.push(sink.clone());
            self.sinks.len() - 1
        });
        index as u64 + 1
    }

    pub(super) fn rows_of(&self, event: EventId) -> impl Iterator<Item = &Row> {
        self.deliveries.values().filter(move |row| row.delivery.envelope.id == event)
    }

    fn other_sources(&self, event: &Envelope) -> Vec<SourceName> {
        let others = self.repeats.keys().filter(|(id, source)| *id == event.id && *source != event.source);
        others.map(|(_, source)| source.clone()).collect()
    }

    pub(super) fn state_of(&self, event: &Envelope) -> EventState {
        match (self.rows_of(event.id).next(), event.event()) {
            (Some(_), _) => EventState::Routed,
            (None, Ok(_)) => EventState::Unrouted,
            (None, Err(_)) => EventState::Unreadable,
        }
    }

    pub(super) fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Page<DeadLetter> {
        let deliveries = self.deliveries.iter().filter_map(|(place, row)| row.as_letter(*place));
        let unreadable = self.events.values().filter_map(|event| self.unreadable_letter(event));
        let mut letters: Vec<DeadLetter> = deliveries.chain(unreadable).collect();
        letters.sort_by_key(|letter| letter.place);
        letters.retain(|letter| letter.place > after.unwrap_or(0) && filter.takes(letter));
        page(letters, limit, |letter| letter.place)
    }

    fn unreadable_letter(&self, event: &Envelope) -> Option<DeadLetter> {
        let reason = event.event().err()?.to_owned();
        if self.state_of(event) != EventState::Unreadable || self.purged.contains(&event.id) {
            return None;
        }
        let (place, received_at) = (self.place_of(event.id)?, event.received_at);
        Some(DeadLetter {
            place,
            event: event.id,
            event_type: None,
            video_id: None,
            received_at,
            sink: None,
            reason,
            given_up_at: received_at,
            attempts: 0,
            replays: 0,
        })
    }

    pub(super) fn letter_details(&self, places: &[u64]) -> Vec<LetterDetail> {
        let letters = self.dead_letters(&LetterFilter::default(), None, usize::MAX).items;
        let detail = |letter: DeadLetter| {
            let attempts = self.deliveries.get(&letter.place).map(|row| row.failed_attempts.clone());
            let envelope = (**self.events.get(&letter.event)?).clone();
            Some(LetterDetail { letter, envelope, failed_attempts: attempts.unwrap_or_default() })
        };
        letters.into_iter().filter(|letter| places.contains(&letter.place)).filter_map(detail).collect()
    }

    pub(super) fn purge(&mut self, places: &[u64]) -> u64 {
        let letters = self.letter_details(places);
        for LetterDetail { letter, .. } in &letters {
            match self.deliveries.get_mut(&letter.place) {
                Some(row) => row.state = RowState::Purged,
                None => drop(self.purged.insert(letter.event)),
            }
        }
        letters.len() as u64
    }

    pub(super) fn kept(&self, filter: &KeptFilter, after: Option<u64>, limit: usize) -> Page<Kept> {
        let kept = |event: &EventId| {
            let envelope = self.events.get(event)?;
            let deliveries = self.rows_of(*event).map(|row| (row.delivery.sink.clone(), row.standing()));
            Some(Kept {
                place: self.place_of(*event)?,
                envelope: (**envelope).clone(),
                other_sources: self.other_sources(envelope),
                state: self.state_of(envelope),
                deliveries: deliveries.collect(),
            })
        };
        let mut events: Vec<Kept> = self.order.iter().filter_map(kept).collect();
        events.retain(|kept| {
            kept.place > after.unwrap_or(0)
                && (filter.events.is_empty() || filter.events.contains(&kept.envelope.id))
                && filter.state.is_none_or(|state| state == kept.state)
                && (filter.state.is_none() || !self.purged.contains(&kept.envelope.id))
                && filter.since.is_none_or(|since| kept.envelope.received_at >= since)
                && filter.until.is_none_or(|until| kept.envelope.received_at < until)
        });
        page(events, limit, |kept| kept.place)
    }

    pub(super) fn replay(&mut self, orders: &[ReplayOrder], now: Timestamp) -> Replayed {
        let mut replayed = Replayed::default();
        for order in orders {
            let Some(envelope) = self.events.get(&order.event).cloned() else { continue };
            let envelope = match &order.reading {
                Some(_) if self.state_of(&envelope) == EventState::Unreadable => {
                    replayed.read += 1;
                    self.read_again(&envelope)
                }
                _ => envelope,
            };
            for redelivery in &order.deliveries {
                let Some(place) =
                    self.place_of(order.event).map(|place| place + self.number_of(&redelivery.sink))
                else {
                    continue;
                };
                let stands = self.deliveries.get(&place).map(Row::standing);
                if stands != redelivery.from || stands.is_some_and(DeliveryState::is_pending) {
                    continue;
                }
                self.add(&envelope, &redelivery.sink);
                if let Some(row) = self.deliveries.get_mut(&place) {
                    row.begin_anew(now, stands.is_some());
                }
                *(if stands.is_some() { &mut replayed.again } else { &mut replayed.added }) += 1;
            }
        }
        replayed
    }

    fn read_again(&mut self, event: &Envelope) -> Arc<Envelope> {
        let Envelope { id, source, received_at, labels, body, sha256, trace, .. } = event.clone();
        let restored = Envelope::restore(id, source, received_at, labels, body, sha256);
        let restored = Arc::new(restored.with_trace(trace));
        self.events.insert(id, Arc::clone(&restored));
        restored
    }

    pub(super) fn retry_now(
        &mut self,
        sink: &SinkName,
        asked_at: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Step {
        let later = self.deliveries.values_mut().filter(|row| {
            let tried_since =
                row.delivery.last_attempt_at.is_some_and(|last| (asked_at..=now).contains(&last));
            row.delivery.sink == *sink && !tried_since && matches!(row.state, RowState::Retry(at) if at > now)
        });
        let mut changed = 0;
        for row in later.take(limit) {
            row.state = RowState::Retry(now);
            changed += 1;
        }
        Step { changed, more: changed == limit as u64 }
    }

    pub(super) fn rename(
        &mut self,
        old: &SinkName,
        new: &SinkName,
        limit: usize,
    ) -> Result<Step, JournalError> {
        self.check_known(old)?;
        let all_at_once = !self.sinks.contains(new);
        let (from, to) = (self.number_of(old), self.number_of(new));
        let moves =
            |row: &Row| row.delivery.sink == *old && (all_at_once || row.is_pending() || row.is_dead());
        let places: Vec<u64> =
            self.deliveries.iter().filter(|(_, row)| moves(row)).map(|(place, _)| *place).collect();
        let limit = if all_at_once { places.len() } else { limit };
        let step = Step { changed: places.len().min(limit) as u64, more: places.len() > limit };
        for place in places.into_iter().take(limit) {
            let Some(mut row) = self.deliveries.remove(&place) else { continue };
            row.delivery.sink = new.clone();
            let stands = self.deliveries.get(&(place - from + to)).is_some_and(|row| !row.is_purged());
            if !stands {
                self.deliveries.insert(place - from + to, row);
            }
        }
        Ok(step)
    }

    pub(super) fn forget(
        &mut self,
        sink: &SinkName,
        now: Timestamp,
        limit: usize,
    ) -> Result<Step, JournalError> {
        self.check_known(sink)?;
        let pending =
            self.deliveries.values_mut().filter(|row| row.delivery.sink == *sink && row.is_pending());
        let mut changed = 0;
        for row in pending.take(limit) {
            (row.state, row.settled_at, row.lease) =
                (RowState::Dead("forgotten".to_owned()), Some(now), None);
            changed += 1;
        }
        Ok(Step { changed, more: changed == limit as u64 })
    }

    /// Says whether it went; nothing where there is none.
    pub(super) fn erase(&mut self, id: EventId, now: Timestamp, steady: Duration) -> Option<bool> {
        self.events.get(&id)?;
        let mut in_hand = false;
        for row in
            self.deliveries.values_mut().filter(|row| row.delivery.envelope.id == id && row.is_pending())
        {
            if row.lease.is_some_and(|(_, until)| until > steady) {
                in_hand = true;
            } else {
                (row.state, row.settled_at) = (RowState::Dead("forgotten".to_owned()), Some(now));
            }
        }
        if in_hand {
            return Some(false);
        }
        self.events.remove(&id);
        self.deliveries.retain(|_, row| row.delivery.envelope.id != id);
        self.repeats.retain(|(event, _), _| *event != id);
        self.purged.remove(&id);
        self.erased.insert(id, now);
        Some(true)
    }

    fn check_known(&self, sink: &SinkName) -> Result<(), JournalError> {
        if self.sinks.contains(sink) {
            return Ok(());
        }
        Err(JournalError::Invalid(format!("it knows no sink {sink}")))
    }
}

impl Row {
    fn is_dead(&self) -> bool {
        matches!(self.state, RowState::Dead(_))
    }

    fn is_purged(&self) -> bool {
        self.state == RowState::Purged
    }

    pub(super) fn standing(&self) -> DeliveryState {
        match self.state {
            RowState::Fresh => DeliveryState::Fresh,
            RowState::Retry(_) => DeliveryState::Retry,
            RowState::Delivered => DeliveryState::Delivered,
            RowState::Dead(_) => DeliveryState::DeadLetter,
            RowState::Purged => DeliveryState::Purged,
        }
    }

    fn as_letter(&self, place: u64) -> Option<DeadLetter> {
        let RowState::Dead(reason) = &self.state else { return None };
        let envelope = &self.delivery.envelope;
        let event = envelope.event().ok();
        Some(DeadLetter {
            place,
            event: envelope.id,
            event_type: event.map(|event| event.event_type.clone()),
            video_id: event.and_then(|event| event.video_id.clone()),
            received_at: envelope.received_at,
            sink: Some(self.delivery.sink.clone()),
            reason: reason.clone(),
            given_up_at: self.settled_at.unwrap_or(envelope.received_at),
            attempts: self.delivery.attempt - 1,
            replays: self.delivery.replay,
        })
    }

    pub(super) fn note(&mut self, attempt: &Attempt) {
        let Attempt { started_at, took, status, note, .. } = attempt.clone();
        let number = self.delivery.attempt - 1;
        self.failed_attempts.push(FailedAttempt { number, started_at, took, status, note });
    }

    fn begin_anew(&mut self, now: Timestamp, is_replay: bool) {
        (self.state, self.settled_at) = (RowState::Retry(now), None);
        let delivery = &mut self.delivery;
        delivery.replay += u32::from(is_replay);
        (delivery.tries, delivery.age) = (0, Duration::ZERO);
        (delivery.first_attempt_at, delivery.last_attempt_at) = (None, None);
    }
}

fn page<T>(mut items: Vec<T>, limit: usize, place: impl Fn(&T) -> u64) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(place);
    Page { items, next }
}
