//! Which events are of a video, for whoever wants them gone, and which went.

use jiff::Timestamp;
use rusqlite::OptionalExtension;
use tokio::time::Instant;
use vod_event::EventId;
use vodrelay_core::ledger::Page;
use vodrelay_core::{JournalError, forget};

use super::events::PAGE_TIME;
use super::{Reader, failed};
use crate::key::moment;

/// So many events are looked at between two looks at the clock, and at most so many are found at once.
const STEP: i64 = 500;

impl Reader {
    /// A page of the events of a video, as [`vodrelay_core::Ledger::events_of_video`] has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn events_of_video(&self, video_id: &str, after: Option<u64>) -> Result<Page<EventId>, JournalError> {
        let begun = Instant::now();
        let mut after = after.map_or(0, |after| i64::try_from(after).unwrap_or(i64::MAX));
        let mut items = Vec::new();
        while begun.elapsed() < PAGE_TIME && items.is_empty() {
            let looked_at = self.all(
                "SELECT seq, id, video_id, CASE WHEN unreadable IS NOT NULL THEN body END FROM events
                 WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                [after, STEP],
                |row| {
                    let is_of_video = match row.get_ref(3)?.as_blob_or_null()? {
                        Some(body) => forget::names(body, video_id),
                        None => row.get_ref(2)?.as_str_or_null()? == Some(video_id),
                    };
                    Ok((row.get(0)?, EventId::from_bytes(row.get(1)?), is_of_video))
                },
            )?;
            let Some((last, ..)) = looked_at.last() else { return Ok(Page { items, next: None }) };
            after = *last;
            items.extend(looked_at.into_iter().filter(|(.., is_meant)| *is_meant).map(|(_, id, _)| id));
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
