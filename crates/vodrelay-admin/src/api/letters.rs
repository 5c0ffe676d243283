//! Dead letters: pages of them, each whole where that is asked for, and their purge in steps.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use vod_event::{EventId, Identified};
use vodrelay_core::ledger::{DeadLetter, FailedAttempt, LetterDetail, LetterFilter, Limit};
use vodrelay_core::{Ledger, SinkName, moment};

use super::ask::{Asked, Body, By, tell, wrong};
use super::{Answer, Problem};
use crate::router::Shared;

/// How many are in a page where nobody says, and at most; of whole ones, how many are fetched at once.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;
const WHOLE_AT_ONCE: usize = 10;
/// A page of whole ones ends after so many bytes of bodies.
const MOST_BYTES: usize = 4 << 20;
/// One step purges at most so many.
const STEP: usize = 500;

/// Which page of which dead letters; `events` are ids between commas.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Question {
    events: Option<String>,
    sink: Option<SinkName>,
    event_type: Option<String>,
    reason: Option<String>,
    #[serde(deserialize_with = "moment::read")]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "moment::read")]
    until: Option<Timestamp>,
    after: Option<u64>,
    limit: Option<Limit>,
    whole: bool,
}

/// A page, oldest acceptance first.
#[derive(Debug, Serialize)]
pub(crate) struct Letters {
    dead_letters: Vec<Box<RawValue>>,
    next: Option<u64>,
}

pub(crate) async fn list(State(state): State<Shared>, Asked(question): Asked<Question>) -> Answer<Letters> {
    let (after, whole) = (question.after, question.whole);
    let limit = Limit::within(question.limit, PAGE, LARGEST_PAGE);
    let filter = question.filter()?;
    let page = state.ledger.dead_letters(&filter, after, limit).await?;
    if !whole {
        let dead_letters = page.items.iter().map(written).collect::<Result<_, _>>()?;
        return Ok(Json(Letters { dead_letters, next: page.next }));
    }
    let (dead_letters, stopped_at) = details(state.ledger.as_ref(), &page.items).await?;
    Ok(Json(Letters { dead_letters, next: stopped_at.or(page.next) }))
}

impl Question {
    fn filter(self) -> Result<LetterFilter, Problem> {
        let Self { events, sink, event_type, reason, since, until, .. } = self;
        let events = events.unwrap_or_default();
        let events = events.split(',').filter(|id| !id.is_empty()).map(str::parse::<EventId>);
        let events = events.collect::<Result<_, _>>().map_err(|error| wrong("events", &error.to_string()))?;
        Ok(LetterFilter { events, sink, event_type, reason, since, until })
    }
}

/// As many as have room, and where it ended, if it did before the last.
async fn details(
    ledger: &dyn Ledger,
    letters: &[DeadLetter],
) -> Result<(Vec<Box<RawValue>>, Option<u64>), Problem> {
    let mut told = Vec::new();
    let mut bytes = 0;
    for some in letters.chunks(WHOLE_AT_ONCE) {
        if bytes > MOST_BYTES {
            let last = letters.get(told.len().saturating_sub(1)).map(|letter| letter.place);
            return Ok((told, last));
        }
        let details = ledger.letter_details(some.iter().map(|letter| letter.place).collect()).await?;
        bytes += details.iter().map(|detail| detail.envelope.body.len()).sum::<usize>();
        // One that is a dead letter no more since the page was read is told without its body.
        for letter in some {
            let detail = details.iter().find(|detail| detail.letter.place == letter.place);
            told.push(detail.map_or_else(|| written(letter), |detail| written(&Whole::from(detail)))?);
        }
    }
    Ok((told, None))
}

/// As the JSON that it leaves as. A `serde_json::Value` would round the numbers of an event, or refuse them.
pub(super) fn written(told: &impl Serialize) -> Result<Box<RawValue>, Problem> {
    to_raw_value(told).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// A dead letter with all that is needed to act on it elsewhere.
#[derive(Debug, Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    letter: &'a DeadLetter,
    source: &'a str,
    failed_attempts: &'a [FailedAttempt],
    /// The normalised event.
    event: Option<Identified<'a>>,
    /// Why there is none.
    unreadable: Option<&'a str>,
    sha256: String,
    /// `utf-8`: the text is the body; `base64`: the body is what it decodes to.
    body_encoding: &'static str,
    body: String,
}

impl<'a> From<&'a LetterDetail> for Whole<'a> {
    fn from(detail: &'a LetterDetail) -> Self {
        let LetterDetail { letter, envelope, failed_attempts } = detail;
        let (body_encoding, body) = match std::str::from_utf8(&envelope.body) {
            Ok(text) => ("utf-8", text.to_owned()),
            Err(_) => ("base64", STANDARD.encode(&envelope.body)),
        };
        let event = envelope.event();
        Self {
            letter,
            source: envelope.source.as_str(),
            failed_attempts,
            event: event.ok().map(|event| event.identified(envelope.id)),
            unreadable: event.err(),
            sha256: envelope.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            body_encoding,
            body,
        }
    }
}

/// One step of a purge. The filter has to be there, so that nobody purges everything by leaving it out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Purge {
    filter: LetterFilter,
    #[serde(default)]
    after: Option<u64>,
    #[serde(default)]
    limit: Option<Limit>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Purged {
    purged: u64,
    next: Option<u64>,
}

pub(crate) async fn purge(State(state): State<Shared>, by: By, Body(purge): Body<Purge>) -> Answer<Purged> {
    let limit = Limit::within(purge.limit, STEP, STEP);
    let page = state.ledger.dead_letters(&purge.filter, purge.after, limit).await?;
    let places: Vec<u64> = page.items.iter().map(|letter| letter.place).collect();
    let purged = if places.is_empty() { 0 } else { state.ledger.purge(places).await? };
    if purged > 0 {
        tell!(&purge.filter, %by, purged, "dead letters were purged");
    }
    Ok(Json(Purged { purged, next: page.next }))
}
