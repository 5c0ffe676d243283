//! Forgetting a video: all that came of it goes, but for the ids of its events.

use serde::{Deserialize, Serialize};

use crate::journal::JournalError;
use crate::ledger::{Erased, Ledger};
use crate::refusal::RefusalFilter;

/// So many refusals are listed at once.
const PAGE: usize = 1_000;

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
pub async fn forget(ledger: &dyn Ledger, video_id: &str, dry_run: bool) -> Result<Forgotten, JournalError> {
    if !video_id.bytes().any(is_of_word) {
        return Err(JournalError::Invalid(format!("{video_id:?} is no id of a video")));
    }
    let Erased { erased, in_hand } = forget_events(ledger, video_id, dry_run).await?;
    let refused = forget_refusals(ledger, video_id, dry_run).await?;
    Ok(Forgotten { events: erased, in_hand, refused })
}

async fn forget_events(ledger: &dyn Ledger, video_id: &str, dry_run: bool) -> Result<Erased, JournalError> {
    let (mut total, mut after) = (Erased::default(), None);
    loop {
        let page = ledger.events_of_video(video_id, after).await?;
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

async fn forget_refusals(ledger: &dyn Ledger, video_id: &str, dry_run: bool) -> Result<u64, JournalError> {
    let (mut total, mut before) = (0, None);
    loop {
        let page = ledger.list_refusals(RefusalFilter::default(), before, PAGE).await?;
        let mut meant = Vec::new();
        for record in &page {
            let refusal = ledger.refusal(record.id).await?;
            if refusal.is_some_and(|refusal| names(&refusal.body, video_id)) {
                meant.push(record.id);
            }
        }
        total += if dry_run { meant.len() as u64 } else { ledger.remove_refusals(meant).await? };
        before = page.last().map(|record| record.id);
        if page.len() < PAGE {
            return Ok(total);
        }
    }
}

/// Whether the bytes have the id in them, by itself and not as a part of a longer one.
#[must_use]
pub fn names(body: &[u8], video_id: &str) -> bool {
    let (id, ends) = (video_id.as_bytes(), |byte: Option<&u8>| byte.is_none_or(|byte| !is_of_word(*byte)));
    let is_here = |start: usize| {
        ends(start.checked_sub(1).and_then(|before| body.get(before))) && ends(body.get(start + id.len()))
    };
    !id.is_empty() && body.windows(id.len()).enumerate().any(|(start, found)| found == id && is_here(start))
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
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
        let check = |body: &str, expect: bool| assert_eq!(names(body.as_bytes(), "ab12"), expect, "{body}");
        check(r#"{"VideoId":"ab12"}"#, true);
        check("ab12", true);
        check("xab12 ab12", true);
        check("xab12", false);
        check("ab123", false);
        check("ab1", false);
        check("", false);
        assert!(!names(b"anything", ""));
    }

    fn refusal(body: &'static str) -> Refusal {
        Refusal {
            source: "callbacks.main".parse().unwrap(),
            cause: RefusalCause::Mismatch,
            detail: String::new(),
            received_at: jiff::Timestamp::UNIX_EPOCH,
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
        let event = envelope_of(event_body(1), jiff::Timestamp::UNIX_EPOCH);
        let video_id = event.event().unwrap().video_id.clone().unwrap();
        journal.append(&event, &[]).await.unwrap();
        let other = br#"{"EventType":"X","VideoId":"another"}"#;
        journal.append(&envelope_of(other[..].into(), jiff::Timestamp::UNIX_EPOCH), &[]).await.unwrap();
        let of_video = Refusal { body: event.body.slice(..event.body.len() - 1), ..refusal("") };
        journal.refuse(vec![refusal("another"), of_video]).await.unwrap();

        let expect = Forgotten { events: 1, in_hand: 0, refused: 1 };
        assert_eq!(forget(&journal, &video_id, true).await, Ok(expect));
        assert_eq!((journal.events().len(), journal.refusals().len()), (2, 2), "a dry run changes nothing");
        assert_eq!(forget(&journal, &video_id, false).await, Ok(expect));
        assert_eq!((journal.events().len(), journal.refusals().len()), (1, 1));
        assert_eq!(forget(&journal, &video_id, false).await, Ok(Forgotten::default()));
        assert!(matches!(forget(&journal, " ", false).await, Err(JournalError::Invalid(_))));
    }
}
