//! Dead letters and kept events in pages, in the order of acceptance: each call looks at a bounded number of rows.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, params};
use vod_event::EventId;
use vodrelay_core::ledger::{DeadLetter, EventState, Kept, KeptFilter, LetterDetail, LetterFilter, Page};
use vodrelay_core::{Envelope, JournalError, SinkName};

use super::records::{event_state, number_of};
use super::{LARGEST_PAGE, Reader, SEQ_OF_ID, failed, sink_name};
use crate::claim::{parse, parse_labels};
use crate::key::{Key, moment};

/// So many rows are looked at in one call.
const LOOKED_AT: usize = 2_000;
/// A page of bodies ends after so many bytes.
const MOST_BYTES: usize = 8 << 20;

const LETTER_COLUMNS: &str =
    "e.id, (SELECT text FROM words WHERE id = e.event_type), e.video_id, e.received_at";

impl Reader {
    /// A page of dead letters, as [`vodrelay_core::Ledger::dead_letters`] has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<DeadLetter>, JournalError> {
        let after = place(after);
        let limit = limit.clamp(1, LARGEST_PAGE);
        let found = if filter.events.is_empty() {
            self.letters_after(filter, after)?
        } else {
            self.letters_of(&filter.events, after)?
        };
        Ok(cut(found, limit, |letter| letter.place, |letter| filter.takes(letter)))
    }

    /// The next dead letters, and behind which place there may be more.
    fn letters_after(&self, filter: &LetterFilter, after: i64) -> Result<Found<DeadLetter>, JournalError> {
        let of_sink = "AND sink = (SELECT id FROM sinks WHERE name = ?3)";
        let of_sink = if filter.sink.is_some() { of_sink } else { "AND ?3 IS NULL" };
        let deliveries = self.all(
            &format!(
                "SELECT {LETTER_COLUMNS}, d.id, sinks.name, d.reason, d.settled_at, d.attempts, d.replays
                 FROM (SELECT id FROM deliveries WHERE state = 3 {of_sink} AND id > ?1 ORDER BY id LIMIT ?2) AS found
                 JOIN deliveries AS d ON d.id = found.id
                 JOIN events AS e ON e.seq = d.id >> 12 JOIN sinks ON sinks.id = d.sink ORDER BY d.id"
            ),
            params![after, as_limit(LOOKED_AT), filter.sink.as_ref().map(SinkName::as_str)],
            delivery_letter,
        )?;
        let unreadable = match filter.sink {
            Some(_) => Vec::new(),
            None => self.unreadable_letters("e.seq > ?1", after >> 12, LOOKED_AT)?,
        };
        Ok(Found::merge(deliveries, unreadable, LOOKED_AT, |letter| letter.place))
    }

    fn letters_of(&self, events: &[EventId], after: i64) -> Result<Found<DeadLetter>, JournalError> {
        let mut letters = Vec::new();
        for seq in self.seqs_of(events, after >> 12)? {
            let (first, last) = Key::range_of(seq);
            letters.extend(self.unreadable_letters("e.seq = ?1", seq, 1)?);
            letters.extend(self.all(
                &format!(
                    "SELECT {LETTER_COLUMNS}, d.id, sinks.name, d.reason, d.settled_at, d.attempts, d.replays
                     FROM deliveries AS d JOIN events AS e ON e.seq = ?3 JOIN sinks ON sinks.id = d.sink
                     WHERE d.state = 3 AND d.id BETWEEN ?1 AND ?2 ORDER BY d.id"
                ),
                [first, last, seq],
                delivery_letter,
            )?);
        }
        letters.retain(|letter| letter.place > after.unsigned_abs());
        Ok(Found { items: letters, more_behind: None })
    }

    fn unreadable_letters(
        &self,
        which: &str,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, JournalError> {
        let kept = self.unless_purged();
        // The state is spelled so that the index of the events that no sink has is used.
        self.all(
            &format!(
                "SELECT {LETTER_COLUMNS}, e.seq << 12, e.unreadable FROM events AS e
                 WHERE e.state = 2 AND e.state <> 0 AND {which} {kept} ORDER BY e.seq LIMIT ?2"
            ),
            [seq, as_limit(limit)],
            |row| {
                let mut letter = letter(row)?;
                letter.reason = row.get::<_, Option<String>>(5)?.unwrap_or_default();
                Ok(letter)
            },
        )
    }

    /// The dead letters at these places, whole, as [`vodrelay_core::Ledger::letter_details`] has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn letter_details(&self, places: &[u64]) -> Result<Vec<LetterDetail>, JournalError> {
        let mut details = Vec::new();
        for key in places.iter().filter_map(|place| Key::from_token(*place)) {
            let Some(envelope) = self.envelope(key.seq())? else { continue };
            let of_event = self.letters_of(&[envelope.id], key.0 - 1)?;
            let Some(letter) = of_event.items.into_iter().find(|letter| letter.place == key.token_part())
            else {
                continue;
            };
            let failed_attempts = self.failed_attempts(key)?;
            details.push(LetterDetail { letter, envelope, failed_attempts });
        }
        Ok(details)
    }

    /// A page of kept events, as [`vodrelay_core::Ledger::kept`] has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn kept(
        &self,
        filter: &KeptFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<Kept>, JournalError> {
        let found = self.kept_heads(filter, place(after) >> 12)?;
        let heads = cut(found, limit.clamp(1, LARGEST_PAGE), |head| head.place, |head| head.is_meant(filter));
        let mut page = Page { items: Vec::new(), next: heads.next };
        let mut bytes = 0;
        for head in heads.items {
            if bytes > MOST_BYTES {
                page.next = page.items.last().map(|kept: &Kept| kept.place);
                break;
            }
            // Retention may have removed it since.
            let Some(envelope) = self.envelope(head.seq)? else { continue };
            bytes += envelope.body.len();
            let (place, state) = (head.place, head.state);
            let other_sources = self.other_sources(head.seq, &envelope.source)?;
            let deliveries = self.standings(head.seq)?;
            page.items.push(Kept { place, envelope, other_sources, state, deliveries });
        }
        Ok(page)
    }

    fn kept_heads(&self, filter: &KeptFilter, after: i64) -> Result<Found<Head>, JournalError> {
        let columns = "SELECT seq, received_at, state FROM events AS e";
        if !filter.events.is_empty() {
            let mut items = Vec::new();
            for seq in self.seqs_of(&filter.events, after + 1)? {
                items.extend(self.all(&format!("{columns} WHERE seq = ?1"), [seq], Head::from_row)?);
            }
            return Ok(Found { items, more_behind: None });
        }
        let which = match filter.state {
            // Spelled so that the index of the events that no sink has is used.
            Some(EventState::Unrouted | EventState::Unreadable) => "e.state = ?3 AND e.state <> 0",
            _ => "?3 IS ?3",
        };
        let kept = if filter.state == Some(EventState::Unreadable) { self.unless_purged() } else { "" };
        let items = self.all(
            &format!("{columns} WHERE {which} AND e.seq > ?1 {kept} ORDER BY e.seq LIMIT ?2"),
            params![after, as_limit(LOOKED_AT), filter.state.map(number_of)],
            Head::from_row,
        )?;
        Ok(Found::merge(items, Vec::new(), LOOKED_AT, |head| head.place))
    }

    /// These events in the order of acceptance, from that one on.
    fn seqs_of(&self, events: &[EventId], from: i64) -> Result<Vec<i64>, JournalError> {
        let sql = format!("SELECT {SEQ_OF_ID}");
        let mut statement = self.conn().prepare_cached(&sql).map_err(failed)?;
        let mut seqs = Vec::new();
        for event in events {
            let seq: Option<i64> = statement
                .query_row([event.as_bytes()], |row| row.get(0))
                .optional()
                .map_err(failed)?
                .flatten();
            seqs.extend(seq.filter(|seq| *seq >= from));
        }
        seqs.sort_unstable();
        seqs.dedup();
        Ok(seqs)
    }

    pub(super) fn envelope(&self, seq: i64) -> Result<Option<Envelope>, JournalError> {
        let mut statement = self
            .conn
            .prepare_cached(
                "SELECT id, (SELECT text FROM words WHERE id = source), received_at,
                 (SELECT text FROM words WHERE id = labels), body, sha256 FROM events WHERE seq = ?1",
            )
            .map_err(failed)?;
        let mut rows = statement.query([seq]).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
        let read = || -> rusqlite::Result<_> {
            let body = Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?);
            let (source, labels): (String, Option<String>) = (row.get(1)?, row.get(3)?);
            Ok((EventId::from_bytes(row.get(0)?), source, moment(row.get(2)?), labels, body, row.get(5)?))
        };
        let (id, source, received_at, labels, body, sha256) = read().map_err(failed)?;
        let source = parse(&source).map_err(|fault| fault.to_error())?;
        let labels =
            labels.map(|labels| parse_labels(&labels)).transpose().map_err(|fault| fault.to_error())?;
        let labels = Arc::new(labels.unwrap_or_default());
        Ok(Some(Envelope::restore(id, source, received_at, labels, body, sha256)))
    }

    /// A file that only a version before this one has opened has no such table.
    fn unless_purged(&self) -> &'static str {
        match self.knows_purged {
            true => "AND NOT EXISTS (SELECT 1 FROM purged WHERE delivery = e.seq << 12)",
            false => "",
        }
    }
}

/// What was found in order, and behind which place there may be more that was not looked at.
struct Found<T> {
    items: Vec<T>,
    more_behind: Option<u64>,
}

impl<T> Found<T> {
    /// Of two lists in order, each of them cut at `limit`.
    fn merge(one: Vec<T>, other: Vec<T>, limit: usize, place: impl Fn(&T) -> u64) -> Self {
        let end_of = |list: &[T]| list.last().filter(|_| list.len() == limit).map(&place);
        let more_behind = [end_of(&one), end_of(&other)].into_iter().flatten().min();
        let mut items: Vec<T> = one.into_iter().chain(other).collect();
        items.sort_by_key(|item| place(item));
        items.retain(|item| more_behind.is_none_or(|end| place(item) <= end));
        Self { items, more_behind }
    }
}

/// Those that are meant, at most `limit` of them.
fn cut<T>(
    found: Found<T>,
    limit: usize,
    place: impl Fn(&T) -> u64,
    is_meant: impl Fn(&T) -> bool,
) -> Page<T> {
    let mut items: Vec<T> = found.items.into_iter().filter(|item| is_meant(item)).collect();
    if items.len() <= limit {
        return Page { items, next: found.more_behind };
    }
    items.truncate(limit);
    let next = items.last().map(place);
    Page { items, next }
}

/// An event without its body.
struct Head {
    place: u64,
    seq: i64,
    received_at: i64,
    state: EventState,
}

impl Head {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let seq = row.get(0)?;
        let place = Key::new(seq, 0).token_part();
        Ok(Self { place, seq, received_at: row.get(1)?, state: event_state(row, 2)? })
    }

    fn is_meant(&self, filter: &KeptFilter) -> bool {
        let received_at = moment(self.received_at);
        filter.state.is_none_or(|state| state == self.state)
            && filter.since.is_none_or(|since| received_at >= since)
            && filter.until.is_none_or(|until| received_at < until)
    }
}

/// The columns that all dead letters have.
fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let received_at = moment(row.get(3)?);
    Ok(DeadLetter {
        place: row.get(4)?,
        event: EventId::from_bytes(row.get(0)?),
        event_type: row.get(1)?,
        video_id: row.get(2)?,
        received_at,
        sink: None,
        reason: String::new(),
        given_up_at: received_at,
        attempts: 0,
        replays: 0,
    })
}

fn delivery_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let letter = letter(row)?;
    Ok(DeadLetter {
        sink: Some(sink_name(row, 5)?),
        reason: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        given_up_at: row.get::<_, Option<i64>>(7)?.map_or(letter.received_at, moment),
        attempts: row.get(8)?,
        replays: row.get(9)?,
        ..letter
    })
}

fn place(after: Option<u64>) -> i64 {
    after.and_then(|place| i64::try_from(place).ok()).unwrap_or(0)
}

fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two lists of places, each cut at three, filtered to the even ones, two to a page.
    fn check(one: &[u64], other: &[u64], items: &[u64], next: Option<u64>) {
        let found = Found::merge(one.to_vec(), other.to_vec(), 3, |place| *place);
        let page = cut(found, 2, |place| *place, |place| place % 2 == 0);
        assert_eq!((page.items.as_slice(), page.next), (items, next), "{one:?} {other:?}");
    }

    #[test]
    fn a_page_goes_no_further_than_what_was_looked_at() {
        check(&[2, 8], &[4], &[2, 4], Some(4));
        check(&[2], &[4], &[2, 4], None);
        check(&[1, 2, 3], &[4, 6], &[2], Some(3));
        check(&[1, 3, 5], &[], &[], Some(5));
        check(&[2, 4, 9], &[6], &[2, 4], Some(4));
        check(&[2, 8, 9], &[4, 5, 7], &[2, 4], Some(7));
        check(&[], &[], &[], None);
    }
}
