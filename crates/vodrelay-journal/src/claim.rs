//! The one thread that reads what is due, for all sinks in turn.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::oneshot;
use vod_event::EventId;
use vodrelay_core::{Claim, Claimed, Delivery, Envelope, JournalError, Labels, SinkName, SourceName, Token};

use crate::error::Fault;
use crate::indexes::Doubt;
use crate::key::{self, Key};
use crate::lease::View;
use crate::op::{Op, WriterQueue};
use crate::settle;
use crate::shared::Shared;

/// One claim hands out at most so many, and stops after so many bytes of bodies.
const MOST: usize = 1_024;
const MOST_BYTES: usize = 16 << 20;
/// How long after the indexes of a sink were looked at it is worth doing it again.
const DOUBT_AGAIN_AFTER: Duration = Duration::from_secs(3_600);

/// One request to the claiming thread.
#[derive(Debug)]
pub(crate) enum Request {
    Claim(SinkName, usize, Duration, oneshot::Sender<Result<Claimed, JournalError>>),
    Pulse(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// Owns the connection that reads what is due.
#[derive(Debug)]
pub(crate) struct Claimant {
    pub(crate) conn: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: WriterQueue,
    pub(crate) requests: Receiver<Request>,
    pub(crate) sources: HashMap<i64, SourceName>,
    pub(crate) labels: HashMap<i64, Arc<Labels>>,
    /// When the indexes of a sink were looked at, by the steady clock.
    pub(crate) doubted: HashMap<i64, i64>,
}

/// What is read for a claim.
#[derive(Clone, Copy)]
struct Wanted {
    sink: i64,
    limit: usize,
    now: i64,
    /// After an unclean stop, how often the process may have gone down in a row with what is handed out.
    most_crashes: Option<u32>,
}

/// What was read for a claim.
#[derive(Default)]
struct Found {
    intact: Vec<(Key, Delivery)>,
    corrupt: Vec<Key>,
    read_to: i64,
    retry_is_next: bool,
    next_due: Option<i64>,
    doubt: Option<Doubt>,
}

impl Claimant {
    pub(crate) fn run(mut self) {
        while let Ok(request) = self.requests.recv() {
            match request {
                Request::Claim(sink, limit, lease, answer) => self.answer(&sink, limit, lease, answer),
                Request::Pulse(answer) => drop(answer.send(())),
                Request::Stop(answer) => {
                    drop(self);
                    let _ = answer.send(());
                    return;
                }
            }
        }
    }

    fn answer(
        &mut self,
        sink: &SinkName,
        limit: usize,
        lease: Duration,
        answer: oneshot::Sender<Result<Claimed, JournalError>>,
    ) {
        if answer.is_closed() {
            return;
        }
        let claimed = self.claim(sink, limit, lease);
        if let Err(Ok(unheard)) = answer.send(claimed) {
            // The caller has gone: what it would have got is free again.
            let mut leases = self.shared.leases();
            unheard
                .claims
                .iter()
                .filter_map(|claim| Key::from_token(claim.token.delivery))
                .for_each(|key| leases.revoke(key));
        }
    }

    /// Looks at what is in hand, reads what is due, grants the leases.
    fn claim(&mut self, sink: &SinkName, limit: usize, lease: Duration) -> Result<Claimed, JournalError> {
        self.shared.check_alive()?;
        if self.shared.pauses.borrow().contains_key(sink) {
            return Ok(Claimed::default());
        }
        let (now, steady) = (self.shared.now(), self.shared.steady());
        let number = self.number_of(sink).map_err(|fault| self.shared.judge(&fault))?;
        let Some(number) = number else { return Ok(Claimed::default()) };
        let view = self.shared.leases().view(number, steady);
        let careful = self.shared.careful(steady);
        let limit = match careful {
            Some(_) => usize::from(view.held.is_empty()).min(limit),
            None => limit.min(MOST),
        };
        let most_crashes = careful.map(|care| care.most_crashes(steady));
        let wanted = Wanted { sink: number, limit, now, most_crashes };
        let found = self.read(sink, wanted, &view).map_err(|fault| self.shared.judge(&fault))?;
        self.bury(&found.corrupt);
        if let Some(doubt) = found.doubt {
            self.have_indexes_mended(number, doubt, steady);
        }
        let until = steady.saturating_add(key::nanos_of(lease));
        let claims = self.grant(number, &found, until, &view);
        if careful.is_some() && !claims.is_empty() {
            self.note_in_hand(&claims)?;
        }
        let granted = (!claims.is_empty()).then_some(until);
        let ends = [view.first_lease_end, granted, careful.map(|care| care.next_change(steady))];
        let first_end = ends.into_iter().flatten().min().map(|end| now.saturating_add(end - steady));
        let look_again_at = found.next_due.into_iter().chain(first_end).min().map(key::moment);
        Ok(Claimed { claims, look_again_at })
    }

    fn number_of(&self, sink: &SinkName) -> Result<Option<i64>, Fault> {
        let mut statement = self.conn.prepare_cached("SELECT id FROM sinks WHERE name = ?1")?;
        Ok(statement.query_row([sink.as_str()], |row| row.get(0)).optional()?)
    }

    fn grant(&self, sink: i64, found: &Found, until: i64, view: &View) -> Vec<Claim> {
        let keys: Vec<Key> = found.intact.iter().map(|(key, _)| *key).collect();
        let mut leases = self.shared.leases();
        leases.take_turns(sink, found.retry_is_next);
        let numbers = leases.grant(sink, &keys, until, view, found.read_to);
        let claim = |((key, delivery), lease): (&(Key, Delivery), u64)| Claim {
            delivery: delivery.clone(),
            token: Token { delivery: key.token_part(), lease },
        };
        found.intact.iter().zip(numbers).map(claim).collect()
    }

    /// Makes durable that they are in hand before they are handed out.
    fn note_in_hand(&self, claims: &[Claim]) -> Result<(), JournalError> {
        self.writer.ask_blocking(Op::NoteInHand).inspect_err(|_| {
            let mut leases = self.shared.leases();
            claims
                .iter()
                .filter_map(|claim| Key::from_token(claim.token.delivery))
                .for_each(|key| leases.revoke(key));
        })
    }

    /// Makes dead letters of those whose body is not the one that was accepted. Where that cannot be written now, the
    /// next claim finds them again.
    fn bury(&self, corrupt: &[Key]) {
        for key in corrupt {
            tracing::error!(
                event.id = self.event_id(*key).map(tracing::field::display),
                delivery.id = key.0,
                "the body of an event is not what was accepted; it is not delivered"
            );
            if let Err(error) = self.writer.ask_blocking(|answer| Op::BuryCorrupt(*key, answer)) {
                self.shared.leases().look_again_from(*key);
                tracing::warn!(journal.error = %error, "a corrupt event could not be made a dead letter yet");
            }
        }
    }

    /// For the log; nothing where the event is gone, or its id does not read.
    fn event_id(&self, key: Key) -> Option<EventId> {
        let id = self.conn.query_row("SELECT id FROM events WHERE seq = ?1", [key.seq()], |row| row.get(0));
        id.ok().map(EventId::from_bytes)
    }

    /// Once in a while at most: a counter that is wrong would have it done again and again.
    fn have_indexes_mended(&mut self, sink: i64, doubt: Doubt, steady: i64) {
        let again_at = self.doubted.get(&sink).map(|at| at.saturating_add(key::nanos_of(DOUBT_AGAIN_AFTER)));
        if again_at.is_some_and(|at| steady < at) {
            return;
        }
        self.doubted.insert(sink, steady);
        if let Err(error) = self.writer.ask_blocking(|answer| Op::MendIndexes(sink, doubt, answer)) {
            tracing::warn!(journal.error = %error, "an index of the journal could not be mended");
        }
    }

    fn read(&mut self, sink: &SinkName, wanted: Wanted, view: &View) -> Result<Found, Fault> {
        // One snapshot for all of it. Dropping it ends it; there is nothing to commit.
        self.conn.prepare_cached("BEGIN")?.execute([])?;
        let found = self.read_snapshot(sink, wanted, view);
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        found
    }

    fn read_snapshot(&mut self, sink: &SinkName, wanted: Wanted, view: &View) -> Result<Found, Fault> {
        let fresh = fresh(&self.conn, wanted, view)?;
        let due = due(&self.conn, wanted, view)?;
        let mut found =
            Found { retry_is_next: view.retry_is_next, read_to: view.read_to, ..Found::default() };
        let (mut fresh, mut due) = (fresh.into_iter().peekable(), due.into_iter().peekable());
        let mut bytes = 0;
        while found.intact.len() < wanted.limit && bytes < MOST_BYTES {
            let both = fresh.peek().is_some() && due.peek().is_some();
            let take_due = if both { found.retry_is_next } else { due.peek().is_some() };
            if both {
                found.retry_is_next = !found.retry_is_next;
            }
            let Some(key) = (if take_due { due.next() } else { fresh.next() }) else { break };
            if key.sink() != wanted.sink {
                found.doubt = Some(Doubt::WrongEntry);
                continue;
            }
            // While some are passed over, all are looked at again.
            if !take_due && wanted.most_crashes.is_none() {
                found.read_to = key.0;
            }
            let delivery = match self.load(key, sink) {
                Ok(Some(delivery)) => delivery,
                // One row that does not read, or whose event is gone, must not hold up those behind it.
                Ok(None) | Err(Fault::Damaged(_)) => {
                    found.corrupt.push(key);
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            bytes += delivery.envelope.body.len();
            if delivery.envelope.is_intact() {
                found.intact.push((key, delivery));
            } else {
                found.corrupt.push(key);
            }
        }
        let next = next_due(&self.conn, wanted, view)?;
        found.next_due = next.map(|(_, due_at)| due_at);
        if let Some((key, due_at)) = next
            && !stands_as(&self.conn, key, due_at)?
        {
            found.doubt = Some(Doubt::WrongEntry);
        }
        let finds_nothing = found.intact.is_empty() && found.corrupt.is_empty() && next.is_none();
        // With care some are passed over, and nothing found means nothing.
        let means_something = wanted.limit > 0 && wanted.most_crashes.is_none() && view.held.is_empty();
        if finds_nothing && means_something && pending(&self.conn, wanted.sink)? > 0 {
            found.doubt = found.doubt.or(Some(Doubt::TooFew));
        }
        Ok(found)
    }

    fn load(&mut self, key: Key, sink: &SinkName) -> Result<Option<Delivery>, Fault> {
        let mut statement = self.conn.prepare_cached(
            "SELECT d.attempts, d.replays, d.tries, d.first_attempt_at, d.last_attempt_at, d.age_ms,
             e.id, e.source, e.received_at, e.labels, e.sha256, e.body
             FROM deliveries AS d JOIN events AS e ON e.seq = ?2 WHERE d.id = ?1",
        )?;
        let mut rows = statement.query([key.0, key.seq()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let envelope = envelope(&self.conn, &mut self.sources, &mut self.labels, row)?;
        let moment = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(key::moment));
        Ok(Some(Delivery {
            envelope: Arc::new(envelope),
            sink: sink.clone(),
            attempt: row.get::<_, u32>(0)?.saturating_add(1),
            replay: row.get(1)?,
            tries: row.get(2)?,
            first_attempt_at: moment(3)?,
            last_attempt_at: moment(4)?,
            age: settle::span(row.get(5)?),
        }))
    }
}

/// The next fresh ones, in the order of acceptance.
fn fresh(conn: &Connection, wanted: Wanted, view: &View) -> rusqlite::Result<Vec<Key>> {
    let Wanted { sink, limit, most_crashes, .. } = wanted;
    let mut statement = conn.prepare_cached(
        "SELECT id FROM deliveries WHERE sink = ?1 AND state = 0 AND id > ?2 AND (?4 IS NULL OR crashes <= ?4)
         ORDER BY id LIMIT ?3",
    )?;
    let values = params![sink, view.read_to, enough(limit, &view.held), most_crashes];
    let rows = statement.query_map(values, |row| row.get(0).map(Key))?;
    free(rows, &view.held, limit)
}

/// The retries that are due, the longest due first.
fn due(conn: &Connection, wanted: Wanted, view: &View) -> rusqlite::Result<Vec<Key>> {
    let Wanted { sink, limit, now, most_crashes } = wanted;
    let mut statement = conn.prepare_cached(
        "SELECT id FROM deliveries WHERE sink = ?1 AND state = 1 AND due_at <= ?2 AND (?4 IS NULL OR crashes <= ?4)
         ORDER BY due_at, id LIMIT ?3",
    )?;
    let values = params![sink, now, enough(limit, &view.held), most_crashes];
    let rows = statement.query_map(values, |row| row.get(0).map(Key))?;
    free(rows, &view.held, limit)
}

/// When the first retry that is not due yet will be.
fn next_due(conn: &Connection, wanted: Wanted, view: &View) -> rusqlite::Result<Option<(Key, i64)>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, due_at FROM deliveries WHERE sink = ?1 AND state = 1 AND due_at > ?2 ORDER BY due_at LIMIT ?3",
    )?;
    let mut rows = statement.query([wanted.sink, wanted.now, enough(1, &view.held)])?;
    while let Some(row) = rows.next()? {
        let key = Key(row.get(0)?);
        if !view.held.contains(&key) {
            return Ok(Some((key, row.get(1)?)));
        }
    }
    Ok(None)
}

/// Whether the row says of the retry what the index says.
fn stands_as(conn: &Connection, key: Key, due_at: i64) -> rusqlite::Result<bool> {
    let mut statement = conn.prepare_cached("SELECT due_at FROM deliveries NOT INDEXED WHERE id = ?1")?;
    let row: Option<Option<i64>> = statement.query_row([key.0], |row| row.get(0)).optional()?;
    Ok(row.flatten() == Some(due_at))
}

/// What waits by the counter.
fn pending(conn: &Connection, sink: i64) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT pending FROM sinks WHERE id = ?1")?.query_row([sink], |row| row.get(0))
}

/// How many rows to read so that `limit` are left when those in hand are taken out.
fn enough(limit: usize, held: &HashSet<Key>) -> i64 {
    if limit == 0 { 0 } else { i64::try_from(limit + held.len()).unwrap_or(i64::MAX) }
}

fn free(
    rows: impl Iterator<Item = rusqlite::Result<Key>>,
    held: &HashSet<Key>,
    limit: usize,
) -> rusqlite::Result<Vec<Key>> {
    rows.filter(|key| key.as_ref().map_or(true, |key| !held.contains(key))).take(limit).collect()
}

/// An envelope from the columns that follow those of the delivery.
fn envelope(
    conn: &Connection,
    sources: &mut HashMap<i64, SourceName>,
    labels: &mut HashMap<i64, Arc<Labels>>,
    row: &Row<'_>,
) -> Result<Envelope, Fault> {
    let source = row.get(7)?;
    let source = match sources.get(&source) {
        Some(known) => known.clone(),
        None => sources.entry(source).or_insert(parse(&word(conn, source)?)?).clone(),
    };
    let labels = match row.get::<_, Option<i64>>(9)? {
        None => Arc::clone(labels.entry(0).or_default()),
        Some(number) => match labels.get(&number) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(labels.entry(number).or_insert(Arc::new(parse_labels(&word(conn, number)?)?))),
        },
    };
    let id = EventId::from_bytes(row.get(6)?);
    let body = Bytes::copy_from_slice(row.get_ref(11)?.as_blob().map_err(rusqlite::Error::from)?);
    Ok(Envelope::restore(id, source, key::moment(row.get(8)?), labels, body, row.get(10)?))
}

fn word(conn: &Connection, number: i64) -> rusqlite::Result<String> {
    conn.prepare_cached("SELECT text FROM words WHERE id = ?1")?.query_row([number], |row| row.get(0))
}

pub(crate) fn parse(text: &str) -> Result<SourceName, Fault> {
    text.parse()
        .map_err(|_| Fault::Damaged(format!("the journal names a source {text:?} that cannot be one")))
}

pub(crate) fn parse_labels(text: &str) -> Result<Labels, Fault> {
    serde_json::from_str(text)
        .map_err(|error| Fault::Damaged(format!("the journal has labels that do not read: {error}")))
}
