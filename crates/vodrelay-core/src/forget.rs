//! Forgetting a video: all that came of it goes, but for the ids of its events.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::journal::JournalError;
use crate::ledger::{Erased, Ledger};
use crate::refusal::RefusalFilter;

/// So many refusals are listed at once.
const PAGE: usize = 1_000;

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// Its id, as events have it.
    pub id: String,
    /// What came at that moment or later stays.
    pub received_before: Timestamp,
}

impl Video {
    /// Whether an event with these ids is one of it.
    #[must_use]
    pub fn is_that_of(&self, video_id: Option<&str>, media_id: Option<&str>) -> bool {
        [video_id, media_id].contains(&Some(&self.id))
    }

    /// Whether the bytes have the id in them, as a word or a field of its own and not as a part of something longer.
    #[must_use]
    pub fn is_named_in(&self, body: &[u8]) -> bool {
        let (id, ends) = (self.id.as_bytes(), |byte: Option<&u8>| byte.is_none_or(|byte| !is_of_text(*byte)));
        let is_here = |start: usize| {
            ends(start.checked_sub(1).and_then(|before| body.get(before))) && ends(body.get(start + id.len()))
        };
        !id.is_empty()
            && body.windows(id.len()).enumerate().any(|(start, found)| found == id && is_here(start))
    }
}

/// Whether it may stand beside a word in a text or in a longer id.
fn is_of_text(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'-' | b'_' | b' ' | b'.')
}

/// What went, or would go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Forgotten {
    /// Events.
    pub events: u64,
    /// Events that stayed, since a delivery of theirs is in hand: ask again when it is settled.
    pub in_hand: u64,
    /// Refused requests that were kept.
    pub refused: u64,
}

/// Removes all that the ledger has of the video, or only counts it: its events, and what was refused or cannot be read
/// and has the id in its bytes.
///
/// # Errors
/// If the id is none, or if the ledger fails; what was removed until then is gone.
pub async fn forget(ledger: &dyn Ledger, video: &Video, dry_run: bool) -> Result<Forgotten, JournalError> {
    if video.id.trim().is_empty() {
        return Err(JournalError::Invalid("an empty text is no id of a video".to_owned()));
    }
    let Erased { erased, in_hand } = forget_events(ledger, video, dry_run).await?;
    let refused = forget_refusals(ledger, video, dry_run).await?;
    if !dry_run {
        // An earlier call may have been cut short before its bytes had left the log.
        ledger.erase(Vec::new()).await?;
    }
    Ok(Forgotten { events: erased, in_hand, refused })
}

async fn forget_events(ledger: &dyn Ledger, video: &Video, dry_run: bool) -> Result<Erased, JournalError> {
    let (mut total, mut after) = (Erased::default(), None);
    loop {
        let page = ledger.events_of_video(video, after).await?;
        let step = match (page.items.is_empty(), dry_run) {
            (true, _) => Erased::default(),
            (_, true) => Erased { erased: page.items.len() as u64, in_hand: 0 },
            _ => ledger.erase(page.items).await?,
        };
        total.erased += step.erased;
        total.in_hand += step.in_hand;
        after = page.next;
        if after.is_none() {
            return Ok(total);
        }
    }
}

async fn forget_refusals(ledger: &dyn Ledger, video: &Video, dry_run: bool) -> Result<u64, JournalError> {
    let (mut total, mut before) = (0, None);
    let filter = RefusalFilter { until: Some(video.received_before), ..RefusalFilter::default() };
    loop {
        let page = ledger.list_refusals(filter.clone(), before, PAGE).await?;
        let mut meant = Vec::new();
        for record in &page {
            let refusal = ledger.refusal(record.id).await?;
            if refusal.is_some_and(|refusal| video.is_named_in(&refusal.body)) {
                meant.push(record.id);
            }
        }
        total += match (meant.is_empty(), dry_run) {
            (true, _) => 0,
            (_, true) => meant.len() as u64,
            _ => ledger.remove_refusals(meant).await?,
        };
        before = page.last().map(|record| record.id);
        if page.len() < PAGE {
            return Ok(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::Journal;
    use crate::refusal::{Refusal, RefusalCause};
    use crate::testing::{ManualClock, MemoryJournal, envelope_of, event_body};

    #[test]
    fn an_id_is_found_by_itself() {
        let of = |id: &str| Video { id: id.to_owned(), received_before: Timestamp::MAX };
        let check = |body: &str, expect: bool| {
            assert_eq!(of("ab12").is_named_in(body.as_bytes()), expect, "{body}");
        };
        check(r#"{"VideoId":"ab12"}"#, true);
        check("ab12", true);
        check(r#"{"Info":"{\\"VideoId\\":\\"ab12\\"}""#, true);
        check("xab12&VideoId=ab12", true);
        check("xab12", false);
        check("ab123", false);
        check("ab1", false);
        check("", false);
        for longer in ["ab12-3", "ab12_3", "ab12 the movie", "\u{e9}ab12\u{e9}", "v.ab12"] {
            check(&format!("\"{longer}\""), false);
        }
        assert!(!of("").is_named_in(b"anything"));
    }

    fn refusal(body: &'static str) -> Refusal {
        Refusal {
            source: "callbacks.main".parse().unwrap(),
            cause: RefusalCause::Mismatch,
            detail: String::new(),
            received_at: Timestamp::UNIX_EPOCH,
            address: "192.0.2.1".to_owned(),
            timestamp: None,
            signature: None,
            body: body.as_bytes().into(),
            cut_short: false,
        }
    }

    #[tokio::test]
    async fn what_is_of_the_video_goes_and_the_rest_stays() {
        let journal = MemoryJournal::new(Arc::new(ManualClock::default()));
        let event = envelope_of(event_body(1), Timestamp::UNIX_EPOCH);
        let id = event.event().unwrap().video_id.clone().unwrap();
        let video = |received_before| Video { id: id.clone(), received_before };
        let now = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1);
        journal.append(&event, &[]).await.unwrap();
        let other = br#"{"EventType":"X","VideoId":"another"}"#;
        journal.append(&envelope_of(other[..].into(), Timestamp::UNIX_EPOCH), &[]).await.unwrap();
        let of_video = Refusal { body: event.body.slice(..event.body.len() - 1), ..refusal("") };
        journal.refuse(vec![refusal("another"), of_video]).await.unwrap();

        let before = video(Timestamp::UNIX_EPOCH);
        assert_eq!(forget(&journal, &before, false).await, Ok(Forgotten::default()), "it came later");
        let expect = Forgotten { events: 1, in_hand: 0, refused: 1 };
        assert_eq!(forget(&journal, &video(now), true).await, Ok(expect));
        assert_eq!((journal.events().len(), journal.refusals().len()), (2, 2), "a dry run changes nothing");
        assert_eq!(forget(&journal, &video(now), false).await, Ok(expect));
        assert_eq!((journal.events().len(), journal.refusals().len()), (1, 1));
        assert_eq!(forget(&journal, &video(now), false).await, Ok(Forgotten::default()));
        let nameless = Video { id: " ".to_owned(), received_before: now };
        assert!(matches!(forget(&journal, &nameless, false).await, Err(JournalError::Invalid(_))));
    }
}
