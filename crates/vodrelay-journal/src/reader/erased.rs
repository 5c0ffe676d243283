//! Which events are of a video, for whoever wants them gone, and which went.

use jiff::Timestamp;
use rusqlite::OptionalExtension;
use tokio::time::Instant;
use vod_event::EventId;
use vodrelay_core::JournalError;
use vodrelay_core::forget::Video;
use vodrelay_core::ledger::Page;

use super::events::PAGE_TIME;
use super::{Reader, failed};
use crate::key::moment;

/// So many events are looked at between two looks at the clock, and at most so many are found at once.
const STEP: i64 = 500;
/// A page ends when the bodies of those that were found come to so many bytes: each page of the file that is overwritten
/// goes through the log.
const MOST_BYTES: u64 = 4 << 20;

impl Reader {
    /// A page of the events of a video, as [`vodrelay_core::Ledger::events_of_video`] has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn events_of_video(&self, video: &Video, after: Option<u64>) -> Result<Page<EventId>, JournalError> {
        let begun = Instant::now();
        let mut after = after.map_or(0, |after| i64::try_from(after).unwrap_or(i64::MAX));
        let (mut items, mut bytes) = (Vec::new(), 0);
        while begun.elapsed() < PAGE_TIME && items.is_empty() {
            let looked_at = self.all(
                "SELECT seq, id, received_at, video_id, media_id, length(body),
                 CASE WHEN unreadable IS NOT NULL THEN body END FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                [after, STEP],
                |row| {
                    let text = |column| -> rusqlite::Result<Option<String>> { row.get(column) };
                    let is_meant = moment(row.get(2)?) < video.received_before
                        && match row.get_ref(6)?.as_blob_or_null()? {
                            Some(body) => video.is_named_in(body),
                            None => video.is_that_of(text(3)?.as_deref(), text(4)?.as_deref()),
                        };
                    Ok((row.get(0)?, is_meant.then_some(EventId::from_bytes(row.get(1)?)), row.get(5)?))
                },
            )?;
            if looked_at.is_empty() {
                return Ok(Page { items, next: None });
            }
            for (seq, found, length) in looked_at {
                after = seq;
                bytes += if found.is_some() { length } else { 0_u64 };
                items.extend(found);
                if bytes > MOST_BYTES {
                    break;
                }
            }
        }
        Ok(Page { items, next: Some(after.unsigned_abs()) })
    }

    /// When the event was erased, if it was.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn erased_at(&self, event: EventId) -> Result<Option<Timestamp>, JournalError> {
        if !self.knows_forgotten {
            return Ok(None);
        }
        let at = self
            .conn()
            .query_row("SELECT at FROM forgotten WHERE id = ?1", [event.as_bytes()], |row| row.get(0));
        Ok(at.optional().map_err(failed)?.map(moment))
    }
}
