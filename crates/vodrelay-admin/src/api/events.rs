//! Events: pages of them by what they say and how they stand, one whole, and its bytes.
//!
//! What an event says was written by whoever sent it, so it is never part of a message, a header or markup here: it leaves
//! as JSON text, or as bytes that no browser shows.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vod_event::{EventId, Status};
use vodrelay_core::ledger::{
    DeliveryRecord, DeliveryState, EventDetail, EventFilter, EventRecord, FailedAttempt, Limit, Repeats,
    Standing,
};
use vodrelay_core::routing::Verdict;
use vodrelay_core::{Labels, SinkName, SourceName, moment};

use super::ask::{Pairs, word, wrong};
use super::letters::written;
use super::{Answer, Problem};
use crate::router::Shared;

/// How many are in a page where nobody says, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;
/// No source has more.
const MOST_LABELS: usize = 16;

/// A page, the last one that was accepted first.
#[derive(Debug, Serialize)]
pub(crate) struct Events {
    events: Vec<Item>,
    /// What to ask `after` for the next page; null where there is none.
    next: Option<u64>,
}

/// An event in a list.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    id: EventId,
    seq: u64,
    received_at: Timestamp,
    event_type: Option<String>,
    status: Option<String>,
    event_time: Option<Timestamp>,
    video_id: Option<String>,
    media_id: Option<String>,
    job_id: Option<String>,
    /// Those that brought it, the first one first.
    sources: Vec<SourceName>,
    labels: Labels,
    state: Standing,
    deliveries: Vec<Delivery>,
    doubts: Option<u64>,
    unreadable: Option<String>,
}

#[derive(Debug, Serialize)]
struct Delivery {
    sink: SinkName,
    state: &'static str,
}

pub(crate) async fn list(State(state): State<Shared>, Pairs(asked): Pairs) -> Answer<Events> {
    let Question { filter, after, limit } = Question::read(asked)?;
    let page = state.ledger.events(&filter, after, limit).await?;
    Ok(Json(Events { events: page.items.into_iter().map(Item::from).collect(), next: page.next }))
}

/// What stands behind the question mark.
#[derive(Debug)]
struct Question {
    filter: EventFilter,
    after: Option<u64>,
    limit: usize,
}

impl Question {
    /// # Errors
    /// With the parameter that makes no sense.
    fn read(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut asked = Self { filter: EventFilter::default(), after: None, limit: PAGE };
        for (name, value) in pairs {
            asked.take(&name, value)?;
        }
        Ok(asked)
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let filter = &mut self.filter;
        match name {
            "type" => filter.event_type = Some(value),
            "status" => filter.status = Some(Status::from_word(&value).as_str().to_owned()),
            "video" => filter.video_id = Some(value),
            "job" => filter.job_id = Some(value),
            "source" => {
                filter.source = Some(value.parse().map_err(|error| wrong(name, &format!("{error}")))?);
            }
            "since" => filter.since = word::<Moment>(name, &value)?.0,
            "until" => filter.until = word::<Moment>(name, &value)?.0,
            "state" => filter.standing = Some(standing(name, &value)?),
            "after" => self.after = Some(word(name, &value)?),
            "limit" => self.limit = Limit::within(Some(word(name, &value)?), PAGE, LARGEST_PAGE),
            _ => {
                let label = name.strip_prefix("label.").filter(|label| !label.is_empty());
                let label = label.ok_or_else(|| wrong(name, "there is no such parameter"))?;
                if filter.labels.len() >= MOST_LABELS {
                    return Err(wrong(name, "there are too many labels"));
                }
                filter.labels.insert(label.to_owned(), value);
            }
        }
        Ok(())
    }
}

/// One that stands alone.
#[derive(Deserialize)]
#[serde(transparent)]
struct Moment(#[serde(deserialize_with = "moment::read")] Option<Timestamp>);

fn standing(name: &str, word: &str) -> Result<Standing, Problem> {
    let all = [
        ("pending", Standing::Pending),
        ("delivered", Standing::Delivered),
        ("dead", Standing::Dead),
        ("purged", Standing::Purged),
        ("unrouted", Standing::Unrouted),
        ("unreadable", Standing::Unreadable),
    ];
    let found = all.into_iter().find(|(known, _)| *known == word).map(|(_, standing)| standing);
    found
        .ok_or_else(|| wrong(name, "it is none of pending, delivered, dead, purged, unrouted and unreadable"))
}

impl From<EventRecord> for Item {
    fn from(record: EventRecord) -> Self {
        let state = Standing::of(record.state, &record.deliveries);
        let EventRecord { deliveries, source, other_sources, .. } = record;
        let delivery = |(sink, state): (SinkName, DeliveryState)| Delivery { sink, state: state.as_str() };
        Self {
            id: record.id,
            seq: record.seq,
            received_at: record.received_at,
            event_type: record.event_type,
            status: record.status,
            event_time: record.event_time,
            video_id: record.video_id,
            media_id: record.media_id,
            job_id: record.job_id,
            sources: std::iter::once(source).chain(other_sources).collect(),
            labels: record.labels,
            state,
            deliveries: deliveries.into_iter().map(delivery).collect(),
            doubts: record.doubts,
            unreadable: record.unreadable,
        }
    }
}

/// An event whole.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    id: EventId,
    seq: u64,
    received_at: Timestamp,
    state: Standing,
    /// The source that brought it first, and its labels.
    source: SourceName,
    labels: Labels,
    /// By which sources it came again.
    repeats: Vec<Repeats>,
    /// How many bytes the body has, their digest, and whether they are still those that were accepted.
    bytes: usize,
    sha256: String,
    is_intact: bool,
    /// The normalised event, none of its numbers rounded; null where the body cannot be read …
    event: Option<Box<RawValue>>,
    /// … and why.
    unreadable: Option<String>,
    deliveries: Vec<WholeDelivery>,
    /// What each sink makes of it by the configuration of today; null where the body cannot be read.
    routing: Option<Vec<Verdict>>,
}

#[derive(Debug, Serialize)]
struct WholeDelivery {
    sink: SinkName,
    /// Names it among the dead letters.
    place: u64,
    state: &'static str,
    attempts: u32,
    replays: u32,
    next_attempt_at: Option<Timestamp>,
    first_attempt_at: Option<Timestamp>,
    last_attempt_at: Option<Timestamp>,
    settled_at: Option<Timestamp>,
    status: Option<u16>,
    took_ms: Option<u64>,
    reason: Option<String>,
    failed_attempts: Vec<FailedAttempt>,
}

pub(crate) async fn whole(
    State(state): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Whole> {
    let EventDetail { envelope, seq, state: became, repeats, deliveries } = find(&state, id).await?;
    let stand: Vec<_> = deliveries.iter().map(|delivery| (delivery.sink.clone(), delivery.state)).collect();
    let event = envelope.event().map(|event| written(&event.identified(envelope.id)));
    let (event, unreadable) = match event {
        Ok(event) => (Some(event?), None),
        Err(reason) => (None, Some(reason.to_owned())),
    };
    Ok(Json(Whole {
        id: envelope.id,
        seq,
        received_at: envelope.received_at,
        state: Standing::of(became, &stand),
        routing: state.routes.current().verdicts(&envelope.body, &envelope.source, &envelope.labels).ok(),
        bytes: envelope.body.len(),
        sha256: envelope.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        is_intact: envelope.is_intact(),
        labels: (*envelope.labels).clone(),
        source: envelope.source,
        repeats,
        event,
        unreadable,
        deliveries: deliveries.into_iter().map(WholeDelivery::from).collect(),
    }))
}

/// The bytes as the provider made them, as something to save and nothing to show.
pub(crate) async fn body(
    State(state): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let EventDetail { envelope, .. } = find(&state, id).await?;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.json\"", envelope.id)),
    ];
    Ok((headers, envelope.body).into_response())
}

pub(super) async fn find(
    state: &Shared,
    id: Result<Path<String>, PathRejection>,
) -> Result<EventDetail, Problem> {
    let Path(id) = id.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let id: EventId = id.parse().map_err(|error| wrong("id", &format!("{error}")))?;
    if let Some(detail) = state.ledger.event(id).await? {
        return Ok(detail);
    }
    Err(Problem::not_found(match state.ledger.erased_at(id).await? {
        Some(at) => {
            format!("event {id} was forgotten at {at:.0}; only its id is left, so that a repeat is merged")
        }
        None => format!("no event {id} is kept, or no longer"),
    }))
}

impl From<DeliveryRecord> for WholeDelivery {
    fn from(record: DeliveryRecord) -> Self {
        Self {
            sink: record.sink,
            place: record.place,
            state: record.state.as_str(),
            attempts: record.attempts,
            replays: record.replays,
            next_attempt_at: record.due_at,
            first_attempt_at: record.first_attempt_at,
            last_attempt_at: record.last_attempt_at,
            settled_at: record.settled_at,
            status: record.status,
            took_ms: record.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            reason: record.reason,
            failed_attempts: record.failed_attempts,
        }
    }
}
