//! Events in pages, the newest first, and one event whole.
//!
//! A page is looked for from the newest event back, in small steps, until it is full or its time is over. The only indexes
//! that help are those that ingest has anyway: the ones by which dead letters, and events of no sink, are listed. An index
//! by video or job would have each event write one page more.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};
use tokio::time::Instant;
use vod_event::EventId;
use vodrelay_core::ledger::{
    DeliveryRecord, DeliveryState, EventDetail, EventFilter, EventRecord, EventState, Page, Standing,
};
use vodrelay_core::{Envelope, JournalError, Labels, SinkName, SourceName};

use super::records::{delivery, delivery_state, event_head, event_state, number_of, repeats};
use super::{LARGEST_PAGE, Reader, SEQ_OF_ID, failed, sink_name};
use crate::append::LONGEST_WORD;
use crate::claim::parse_labels;
use crate::key::{Key, excerpt, nanos};

/// So many rows are looked at in one statement.
const STEP: i64 = 2_000;
/// So long is looked for one page, as long as there is something to look at; other readers wait for that.
pub(super) const PAGE_TIME: Duration = Duration::from_millis(100);
/// Up to so many pending deliveries are looked up by what waits, beyond that by walking the events.
const FEW_PENDING: u64 = 2_000;
/// A body up to that size is read so that its doubts can be counted, and so many bytes of them for one page.
const LARGEST_READ: usize = 64 << 10;
const MOST_READ: usize = 4 << 20;

const EVENT_COLUMNS: &str = "e.seq, e.id, e.received_at, e.state,
    (SELECT text FROM words WHERE id = e.source), (SELECT text FROM words WHERE id = e.event_type),
    (SELECT text FROM words WHERE id = e.status), e.event_time, e.video_id, e.media_id, e.job_id, e.unreadable,
    (SELECT text FROM words WHERE id = e.labels)";

impl Reader {
    /// A page of events, as [`vodrelay_core::Ledger::events`] has it.
    ///
    /// # Errors
    /// If it cannot be read, or takes too long.
    pub fn events(
        &self,
        filter: &EventFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<EventRecord>, JournalError> {
        let limit = limit.clamp(1, LARGEST_PAGE);
        let mut before = after.and_then(|seq| i64::try_from(seq).ok()).unwrap_or(i64::MAX >> 12);
        let Some(mut search) = self.search(filter)? else { return Ok(Page::default()) };
        let begun = Instant::now();
        let (mut found, mut next) = (Vec::new(), None);
        loop {
            let looked_to = search.step(self, before, limit - found.len(), &mut found)?;
            let Some(looked_to) = looked_to else { break };
            (before, next) = (looked_to, Some(looked_to.unsigned_abs()));
            if found.len() >= limit || begun.elapsed() > PAGE_TIME {
                break;
            }
            next = None;
        }
        let mut read = 0;
        let records = found.into_iter().map(|seq| {
            let record = self.record(seq)?;
            let Some(record) = record else { return Ok(None) };
            let doubts = self.doubts(seq, &record, &mut read)?;
            Ok(Some(EventRecord { doubts, ..record }))
        });
        // What is gone since is left out.
        let items = records.filter_map(Result::transpose).collect::<Result<_, JournalError>>()?;
        Ok(Page { items, next })
    }

    /// The next events, as [`vodrelay_core::Ledger::events_since`] has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn events_since(&self, seq: u64, limit: usize) -> Result<Vec<EventRecord>, JournalError> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit.clamp(1, LARGEST_PAGE)).unwrap_or(i64::MAX);
        let seqs: Vec<i64> =
            self.all("SELECT seq FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2", [seq, limit], |row| {
                row.get(0)
            })?;
        seqs.into_iter().filter_map(|seq| self.record(seq).transpose()).collect()
    }

    /// One event with its deliveries and what is remembered of their attempts.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn event(&self, id: EventId) -> Result<Option<EventDetail>, JournalError> {
        let sql = format!("SELECT seq, state FROM events AS e WHERE e.seq = {SEQ_OF_ID}");
        let found =
            self.conn().query_row(&sql, [id.as_bytes()], |row| Ok((row.get(0)?, event_state(row, 1)?)));
        let Some((seq, state)) = found.optional().map_err(failed)? else { return Ok(None) };
        let Some(envelope) = self.envelope(seq)? else { return Ok(None) };
        let repeats = self.all(
            "SELECT text, first_at, repeats FROM event_sources JOIN words ON words.id = event_sources.source
             WHERE event = ?1 ORDER BY first_at",
            [seq],
            repeats,
        )?;
        let mut deliveries = self.deliveries_of(seq)?;
        for delivery in &mut deliveries {
            let key = Key::from_token(delivery.place);
            delivery.failed_attempts = key.map_or_else(|| Ok(Vec::new()), |key| self.failed_attempts(key))?;
        }
        Ok(Some(EventDetail { envelope, seq: seq.unsigned_abs(), state, repeats, deliveries }))
    }

    /// The bytes of an event as the provider made them.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn body(&self, id: EventId) -> Result<Option<Bytes>, JournalError> {
        let sql = format!("SELECT body FROM events WHERE seq = {SEQ_OF_ID}");
        let body = self.conn().query_row(&sql, [id.as_bytes()], |row| row.get::<_, Vec<u8>>(0));
        Ok(body.optional().map_err(failed)?.map(Bytes::from))
    }

    /// The deliveries of an event as they stand, without their attempts.
    pub(super) fn deliveries_of(&self, seq: i64) -> Result<Vec<DeliveryRecord>, JournalError> {
        let (first, last) = Key::range_of(seq);
        let mut deliveries = self.all(
            "SELECT deliveries.id, sinks.name, state, attempts, replays, due_at, first_attempt_at, last_attempt_at,
             settled_at, status, took_ms, reason FROM deliveries JOIN sinks ON sinks.id = deliveries.sink
             WHERE deliveries.id BETWEEN ?1 AND ?2",
            [first, last],
            delivery,
        )?;
        if self.knows_purged {
            deliveries.extend(self.all(
                "SELECT delivery, sinks.name, 4, attempts, replays, NULL, NULL, NULL, settled_at, status, NULL, reason
                 FROM purged JOIN sinks ON sinks.id = delivery & 4095 WHERE delivery BETWEEN ?1 AND ?2",
                [first, last],
                delivery,
            )?);
        }
        deliveries.sort_by(|one, other| one.sink.cmp(&other.sink));
        Ok(deliveries)
    }

    /// Where the deliveries of an event stand, by the name of the sink.
    pub(super) fn standings(&self, seq: i64) -> Result<Vec<(SinkName, DeliveryState)>, JournalError> {
        let (first, last) = Key::range_of(seq);
        let purged = match self.knows_purged {
            true => {
                "UNION ALL SELECT sinks.name, 4 FROM purged JOIN sinks ON sinks.id = delivery & 4095
                 WHERE delivery BETWEEN ?1 AND ?2"
            }
            false => "",
        };
        self.all(
            &format!(
                "SELECT sinks.name, state FROM deliveries JOIN sinks ON sinks.id = deliveries.sink
                 WHERE deliveries.id BETWEEN ?1 AND ?2 {purged} ORDER BY 1"
            ),
            [first, last],
            |row| Ok((sink_name(row, 0)?, delivery_state(row, 1)?)),
        )
    }

    /// The event as a list has it, but for its doubts.
    fn record(&self, seq: i64) -> Result<Option<EventRecord>, JournalError> {
        let head = {
            let sql = format!("SELECT {EVENT_COLUMNS} FROM events AS e WHERE e.seq = ?1");
            let mut statement = self.conn().prepare_cached(&sql).map_err(failed)?;
            statement.query_row([seq], event_head).optional().map_err(failed)?
        };
        let Some(head) = head else { return Ok(None) };
        let other_sources = self.other_sources(seq, &head.source)?;
        Ok(Some(EventRecord { other_sources, deliveries: self.standings(seq)?, ..head }))
    }

    /// By which sources the event came as well, but for the first one.
    pub(super) fn other_sources(
        &self,
        seq: i64,
        first: &SourceName,
    ) -> Result<Vec<SourceName>, JournalError> {
        let came = self.all(
            "SELECT text, first_at, repeats FROM event_sources JOIN words ON words.id = event_sources.source
             WHERE event = ?1 ORDER BY first_at",
            [seq],
            repeats,
        )?;
        Ok(came.into_iter().map(|repeats| repeats.source).filter(|source| source != first).collect())
    }

    /// How many doubts there are, as long as the bodies that were read for this page are not too much.
    fn doubts(&self, seq: i64, record: &EventRecord, read: &mut usize) -> Result<Option<u64>, JournalError> {
        if record.unreadable.is_some() || *read > MOST_READ {
            return Ok(None);
        }
        let mut statement = self
            .conn()
            .prepare_cached("SELECT CASE WHEN length(body) <= ?2 THEN body END FROM events WHERE seq = ?1")
            .map_err(failed)?;
        let body = statement
            .query_row(params![seq, LARGEST_READ], |row| row.get::<_, Option<Vec<u8>>>(0))
            .optional()
            .map_err(failed)?
            .flatten();
        let Some(body) = body else { return Ok(None) };
        *read += body.len();
        Ok(Envelope::count_doubts(&body))
    }

    /// Prepares to look for what the filter means; nothing where it can mean no event of this journal.
    fn search(&self, filter: &EventFilter) -> Result<Option<Search>, JournalError> {
        let mut search = Search::default();
        let words = [
            ("event_type", filter.event_type.as_deref()),
            ("status", filter.status.as_deref()),
            ("source", filter.source.as_ref().map(|source| source.as_str())),
        ];
        for (column, text) in words {
            let Some(text) = text else { continue };
            let word = self
                .conn()
                .query_row("SELECT id FROM words WHERE text = ?1", [excerpt(text, LONGEST_WORD)], |row| {
                    row.get::<_, i64>(0)
                })
                .optional()
                .map_err(failed)?;
            let Some(word) = word else { return Ok(None) };
            search.demand(&format!("e.{column} ="), Value::Integer(word));
        }
        for (column, text) in [("video_id", &filter.video_id), ("job_id", &filter.job_id)] {
            if let Some(text) = text {
                search.demand(&format!("e.{column} ="), Value::Text(text.clone()));
            }
        }
        if let Some(since) = filter.since {
            search.demand("e.received_at >=", Value::Integer(nanos(since)));
        }
        if let Some(until) = filter.until {
            search.demand("e.received_at <", Value::Integer(nanos(until)));
        }
        search.labels =
            (!filter.labels.is_empty()).then(|| Labelled { wanted: filter.clone(), known: HashMap::new() });
        let Some(standing) = filter.standing else { return Ok(Some(search)) };
        Ok(self.stand(&mut search, standing)?.then_some(search))
    }

    /// Where events that stand so are looked for; says whether there may be any.
    fn stand(&self, search: &mut Search, standing: Standing) -> Result<bool, JournalError> {
        let of_event = |table: &str, id: &str, states: &str| {
            format!(
                "EXISTS (SELECT 1 FROM {table} WHERE {id} BETWEEN e.seq << 12 AND (e.seq << 12 | 4095) {states})"
            )
        };
        let is_open = of_event("deliveries", "id", "AND state <> 2");
        match standing {
            Standing::Unrouted | Standing::Unreadable => {
                let state = if standing == Standing::Unrouted {
                    EventState::Unrouted
                } else {
                    EventState::Unreadable
                };
                search.walk = Walk::Sql(format!(
                    "SELECT seq FROM events WHERE state = {} AND state <> 0 AND seq < ?1 ORDER BY seq DESC LIMIT ?2",
                    number_of(state)
                ));
            }
            Standing::Dead => {
                search.walk = Walk::Sql(
                    "SELECT DISTINCT id >> 12 FROM deliveries WHERE state = 3 AND id < ?1 << 12 ORDER BY id DESC LIMIT ?2"
                        .to_owned(),
                );
            }
            Standing::Pending => {
                let pending: u64 = self
                    .conn()
                    .query_row("SELECT COALESCE(SUM(pending), 0) FROM sinks", [], |row| row.get(0))
                    .map_err(failed)?;
                if pending <= FEW_PENDING {
                    search.walk = Walk::Listed(self.pending_seqs()?);
                }
                search.and(&of_event("deliveries", "id", "AND state < 2"));
                return Ok(pending > 0);
            }
            Standing::Delivered => {
                search.and(&format!(
                    "e.state = 0 AND {} AND NOT {is_open}",
                    of_event("deliveries", "id", "AND state = 2")
                ));
            }
            Standing::Purged if self.knows_purged => {
                search.walk = Walk::Sql(
                    "SELECT DISTINCT delivery >> 12 FROM purged WHERE delivery < ?1 << 12 ORDER BY delivery DESC LIMIT ?2"
                        .to_owned(),
                );
                search.and(&format!("e.state = 0 AND NOT {is_open}"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The events that have something pending, the newest first.
    fn pending_seqs(&self) -> Result<Vec<i64>, JournalError> {
        let mut seqs: Vec<i64> = self.all(
            "SELECT d.id >> 12 FROM sinks JOIN deliveries AS d ON d.sink = sinks.id AND d.state = 0
             UNION SELECT d.id >> 12 FROM sinks JOIN deliveries AS d ON d.sink = sinks.id AND d.state = 1",
            [],
            |row| row.get(0),
        )?;
        seqs.sort_unstable_by(|one, other| other.cmp(one));
        Ok(seqs)
    }
}

/// How the events of a page are looked for.
#[derive(Default)]
struct Search {
    walk: Walk,
    /// What an event has to be, each part beginning with `AND`; its parameters are the third and on.
    demands: String,
    parameters: Vec<Value>,
    labels: Option<Labelled>,
}

/// Which events are looked at.
#[derive(Default)]
enum Walk {
    /// All.
    #[default]
    Events,
    /// Those that this names: the next ones before the first parameter, at most as many as the second says.
    Sql(String),
    /// These, the newest first.
    Listed(Vec<i64>),
}

/// Which sets of labels are meant, as far as that was found out.
struct Labelled {
    wanted: EventFilter,
    known: HashMap<String, bool>,
}

impl Search {
    fn demand(&mut self, what: &str, value: Value) {
        self.parameters.push(value);
        self.and(&format!("{what} ?{}", self.parameters.len() + 2));
    }

    fn and(&mut self, what: &str) {
        self.demands.push_str(" AND ");
        self.demands.push_str(what);
    }

    /// Looks at the next events before that one and notes up to `room` that are meant. Says behind which there may be
    /// more.
    fn step(
        &mut self,
        reader: &Reader,
        before: i64,
        room: usize,
        found: &mut Vec<i64>,
    ) -> Result<Option<i64>, JournalError> {
        let looked_at: Vec<i64> = match &self.walk {
            Walk::Events => return self.step_back(reader, before, room, found),
            Walk::Sql(sql) => reader.all(sql, [before, STEP], |row| row.get(0))?,
            Walk::Listed(seqs) => {
                let later = seqs.iter().copied().skip_while(|seq| *seq >= before);
                later.take(usize::try_from(STEP).unwrap_or(usize::MAX)).collect()
            }
        };
        let wanted = found.len() + room;
        for seq in &looked_at {
            self.look(reader, (*seq, *seq), 1, found)?;
            if found.len() >= wanted {
                return Ok(Some(*seq));
            }
        }
        Ok(looked_at.last().copied())
    }

    /// The rows before that one lie side by side, but for gaps where some were removed.
    fn step_back(
        &mut self,
        reader: &Reader,
        before: i64,
        room: usize,
        found: &mut Vec<i64>,
    ) -> Result<Option<i64>, JournalError> {
        let newest: Option<i64> = reader
            .conn()
            .prepare_cached("SELECT MAX(seq) FROM events WHERE seq < ?1")
            .and_then(|mut statement| statement.query_row([before], |row| row.get(0)))
            .map_err(failed)?;
        let Some(newest) = newest else { return Ok(None) };
        let oldest = newest - STEP + 1;
        let wanted = found.len() + room;
        self.look(reader, (oldest, newest), room, found)?;
        match found.last() {
            Some(last) if found.len() >= wanted => Ok(Some(*last)),
            _ => Ok(Some(oldest)),
        }
    }

    /// Notes which of the events from one to the other are meant, the newest first.
    fn look(
        &mut self,
        reader: &Reader,
        (oldest, newest): (i64, i64),
        room: usize,
        found: &mut Vec<i64>,
    ) -> Result<(), JournalError> {
        let sql = format!(
            "SELECT e.seq, (SELECT text FROM words WHERE id = e.labels) FROM events AS e
             WHERE e.seq BETWEEN ?1 AND ?2{} ORDER BY e.seq DESC",
            self.demands
        );
        let mut statement = reader.conn().prepare_cached(&sql).map_err(failed)?;
        let bounds = [Value::Integer(oldest), Value::Integer(newest)];
        let parameters = params_from_iter(bounds.iter().chain(&self.parameters));
        let mut rows = statement.query(parameters).map_err(failed)?;
        let wanted = found.len() + room;
        while found.len() < wanted {
            let Some(row) = rows.next().map_err(failed)? else { break };
            let is_meant = match &mut self.labels {
                None => true,
                Some(labelled) => {
                    let text: Option<String> = row.get(1).map_err(failed)?;
                    labelled.takes(text.as_deref())?
                }
            };
            if is_meant {
                found.push(row.get(0).map_err(failed)?);
            }
        }
        Ok(())
    }
}

impl Labelled {
    fn takes(&mut self, labels: Option<&str>) -> Result<bool, JournalError> {
        let text = labels.unwrap_or("{}");
        if let Some(known) = self.known.get(text) {
            return Ok(*known);
        }
        let labels: Labels = parse_labels(text).map_err(|fault| fault.to_error())?;
        let takes = self.wanted.takes_labels(&labels);
        self.known.insert(text.to_owned(), takes);
        Ok(takes)
    }
}
