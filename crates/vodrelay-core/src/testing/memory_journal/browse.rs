//! Looking into the journal in memory: pages of events, one event whole.

use std::sync::Arc;

use vod_event::{EventId, Status};

use super::redrive::SINKS;
use super::{Row, RowState, State};
use crate::envelope::Envelope;
use crate::ledger::{DeliveryRecord, DeliveryState, EventDetail, EventFilter, EventRecord, Page, Repeats};
use crate::name::SinkName;

impl State {
    pub(super) fn events(&self, filter: &EventFilter, after: Option<u64>, limit: usize) -> Page<EventRecord> {
        let mut events = self.records();
        events.reverse();
        events.retain(|event| after.is_none_or(|after| event.seq < after) && filter.takes(event));
        let more = events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| more).map(|event| event.seq);
        Page { items: events, next }
    }

    pub(super) fn events_since(&self, seq: u64, limit: usize) -> Vec<EventRecord> {
        let later = self.records().into_iter().filter(|event| event.seq > seq);
        later.take(limit).map(|event| EventRecord { doubts: None, ..event }).collect()
    }

    pub(super) fn event(&self, id: EventId) -> Option<EventDetail> {
        let envelope = self.events.get(&id)?;
        let of_event = self.deliveries.iter().filter(|(_, row)| row.delivery.envelope.id == id);
        let mut deliveries: Vec<DeliveryRecord> =
            of_event.map(|(place, row)| row.as_record(*place)).collect();
        deliveries.sort_by(|one, other| one.sink.cmp(&other.sink));
        Some(EventDetail {
            envelope: (**envelope).clone(),
            seq: self.place_of(id)? / SINKS,
            state: self.state_of(envelope),
            repeats: self.repeats_of(id).cloned().collect(),
            deliveries,
        })
    }

    fn records(&self) -> Vec<EventRecord> {
        let events = self.order.iter().filter_map(|id| self.events.get(id));
        (1..).zip(events).map(|(seq, envelope)| self.record(seq, envelope)).collect()
    }

    fn record(&self, seq: u64, envelope: &Arc<Envelope>) -> EventRecord {
        let event = envelope.event().ok();
        let mut deliveries: Vec<(SinkName, DeliveryState)> =
            self.rows_of(envelope.id).map(|row| (row.delivery.sink.clone(), row.standing())).collect();
        deliveries.sort_by(|one, other| one.0.cmp(&other.0));
        let repeats = self.repeats_of(envelope.id).map(|repeats| repeats.source.clone());
        EventRecord {
            seq,
            id: envelope.id,
            received_at: envelope.received_at,
            state: self.state_of(envelope),
            source: envelope.source.clone(),
            other_sources: repeats.filter(|source| *source != envelope.source).collect(),
            labels: (*envelope.labels).clone(),
            event_type: event.map(|event| event.event_type.clone()),
            status: event.and_then(|event| event.status.as_ref()).map(Status::as_str).map(str::to_owned),
            event_time: event.and_then(|event| event.event_time).map(|time| time.0),
            video_id: event.and_then(|event| event.video_id.clone()),
            media_id: event.and_then(|event| event.media_id.clone()),
            job_id: event.and_then(|event| event.job_id.clone()),
            unreadable: envelope.event().err().map(str::to_owned),
            deliveries,
            doubts: event.map(|event| event.doubts.len() as u64),
        }
    }

    fn repeats_of(&self, id: EventId) -> impl Iterator<Item = &Repeats> {
        self.repeats.iter().filter(move |((event, _), _)| *event == id).map(|(_, repeats)| repeats)
    }
}

impl Row {
    fn as_record(&self, place: u64) -> DeliveryRecord {
        let (due_at, reason) = match &self.state {
            RowState::Retry(at) => (Some(*at), None),
            RowState::Dead(reason) => (None, Some(reason.clone())),
            _ => (None, None),
        };
        DeliveryRecord {
            place,
            sink: self.delivery.sink.clone(),
            state: self.standing(),
            attempts: self.delivery.attempt - 1,
            replays: self.delivery.replay,
            due_at,
            first_attempt_at: self.delivery.first_attempt_at,
            last_attempt_at: self.delivery.last_attempt_at,
            settled_at: self.settled_at,
            status: self.failed_attempts.last().and_then(|attempt| attempt.status),
            took: self.failed_attempts.last().map(|attempt| attempt.took),
            reason,
            failed_attempts: self.failed_attempts.clone(),
        }
    }
}
