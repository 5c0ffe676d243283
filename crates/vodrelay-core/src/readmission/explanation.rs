//! What can be said of one kept refusal: how its proof compares with today's configuration, how its body reads, and
//! whether it would be accepted. Never its signature.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use vod_event::EventId;

use super::{Readmission, Rules, Ruling, rule};
use crate::intake::Intake;
use crate::journal::JournalError;
use crate::judge::{Judgement, Match, Resemblance};
use crate::name::SourceName;
use crate::parse::parse;
use crate::refusal::{Refusal, RefusalCause};

/// All there is to say of a kept refusal.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Its id.
    pub id: u64,
    /// When its first byte was here.
    pub received_at: Timestamp,
    /// The callback that it was meant for.
    pub source: SourceName,
    /// Who sent it.
    pub address: String,
    /// Why it was turned away then …
    pub cause: RefusalCause,
    /// … and in words.
    pub detail: String,
    /// `X-VOD-TIMESTAMP` as it came.
    pub timestamp: Option<String>,
    /// The length of the body that is kept.
    pub bytes: u64,
    /// Whether that is only a part of what was sent.
    pub cut_short: bool,
    /// What the proof is worth today.
    pub today: Today,
    /// Which event the body is.
    pub event_id: EventId,
    /// Whether that event is in the journal already.
    pub known: bool,
    /// The event as JSON, none of its numbers rounded; null where the body cannot be read.
    pub event: Option<Box<RawValue>>,
    /// Why the body cannot be read.
    pub unreadable: Option<String>,
    /// Whether accepting takes it.
    pub taken: bool,
    /// Whether accepting takes it with `--stale`.
    pub taken_if_stale: bool,
}

/// What a proof is worth by today's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Today {
    /// `proven`, `stale`, the cause why it shows nothing, or `unknown_callback`.
    pub judgement: &'static str,
    /// The judgement in words.
    pub detail: String,
    /// The name of the key that it was made with, where it is one of today's.
    pub key: Option<String>,
    /// Its time less the time of receipt, in seconds, where a key matches.
    pub off_by_seconds: Option<i64>,
    /// What it would have been right for.
    pub resembles: Option<String>,
}

impl Readmission {
    /// Explains the refusal with that id; nothing where it is not kept, or no longer.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn explain(&self, id: u64) -> Result<Option<Explanation>, JournalError> {
        let Some(refusal) = self.ledger.refusal(id).await? else { return Ok(None) };
        let event_id = Intake::identify(&refusal.body);
        let known = self.ledger.has_events(vec![event_id]).await?.first().copied().unwrap_or(false);
        let rules = self.rules.current();
        let judgement = rules.judge.judge(&refusal);
        let takes = |stale| matches!(rule(judgement.clone(), refusal.cut_short, |_| stale), Ruling::Take(_));
        let (taken, taken_if_stale) = (takes(false), takes(true));
        let (event, unreadable) = match read(&refusal, event_id) {
            Ok(event) => (Some(event), None),
            Err(reason) => (None, Some(reason)),
        };
        let today = rules.today(&refusal, judgement);
        let bytes = refusal.body.len() as u64;
        let Refusal { source, cause, detail, received_at, address, timestamp, cut_short, .. } = refusal;
        Ok(Some(Explanation {
            id,
            received_at,
            source,
            address,
            cause,
            detail,
            timestamp,
            bytes,
            cut_short,
            today,
            event_id,
            known,
            event,
            unreadable,
            taken,
            taken_if_stale,
        }))
    }
}

impl Rules {
    fn today(&self, refusal: &Refusal, judgement: Judgement) -> Today {
        let matching = |judgement, detail: &str, found: Match| Today {
            judgement,
            detail: detail.to_owned(),
            key: Some(found.key),
            off_by_seconds: Some(found.off_by_seconds),
            resembles: None,
        };
        let nothing =
            |judgement, detail| Today { judgement, detail, key: None, off_by_seconds: None, resembles: None };
        match judgement {
            Judgement::Proven(found) => matching("proven", "its sender knew a key of today", found),
            Judgement::Stale(found) => {
                matching("stale", "its sender knew a key of today, at another time", found)
            }
            Judgement::Unproven(RefusalCause::Mismatch, detail) => {
                let resembles = self.judge.find_near_miss(refusal).map(|found| found.to_string());
                Today { resembles, ..nothing("mismatch", detail) }
            }
            Judgement::Unproven(cause, detail) => nothing(cause.as_str(), detail),
            Judgement::UnknownCallback => {
                nothing("unknown_callback", "its callback is not configured today".to_owned())
            }
        }
    }
}

impl std::fmt::Display for Resemblance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spelling(miss) => {
                write!(f, "{} with the key {:?} ({})", miss.url, miss.key, miss.differences.join(", "))
            }
            Self::Callback(name) => write!(f, "the callback {name}, as it is configured"),
        }
    }
}

fn read(refusal: &Refusal, id: EventId) -> Result<Box<RawValue>, String> {
    parse(&refusal.body, |reading| {
        to_raw_value(&reading.event().identified(id)).map_err(|error| error.to_string())
    })
}
