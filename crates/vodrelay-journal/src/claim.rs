//! The one thread that reads what is due, for all sinks in turn.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::sync::oneshot;
use vod_event::EventId;
use vodrelay_core::{Claim, Claimed, Delivery, Envelope, JournalError, Labels, SinkName, SourceName, Token};

use crate::error::Fault;
use crate::key::{self, Key};
use crate::lease::View;
use crate::op::{Op, WriterQueue};
use crate::settle;
use crate::shared::{Care, Shared};

/// One claim hands out at most so many, and stops after so many bytes of bodies.
const MOST: usize = 1_024;
const MOST_BYTES: usize = 16 << 20;

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
}

/// What was read for a claim.
#[derive(Default)]
struct Found {
    intact: Vec<(Key, Delivery)>,
    /// How often the process went down in a row with one of these in hand.
    crashes: u32,
    corrupt: Vec<Key>,
    read_to: i64,
    retry_is_next: bool,
    next_due: Option<i64>,
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
        let found = self.read(sink, number, limit, now, &view).map_err(|fault| self.shared.judge(&fault))?;
        self.bury(&found.corrupt);
        if let Some(at) =
            careful.map(|care| care.suspect_waits_until(found.crashes)).filter(|at| steady < *at)
        {
            let look_again_at = Some(key::moment(now.saturating_add(at - steady)));
            return Ok(Claimed { claims: Vec::new(), look_again_at });
        }
        let until = steady.saturating_add(key::nanos_of(lease));
        let claims = self.grant(number, &found, until, &view);
        if careful.is_some() && !claims.is_empty() {
            self.note_in_hand(&claims)?;
        }
        let granted = (!claims.is_empty()).then_some(until);
        let ends = [view.first_lease_end, granted, careful.filter(|_| !claims.is_empty()).map(Care::until)];
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
                delivery.id = key.0,
                "the body of an event is not what was accepted; it is not delivered"
            );
            if let Err(error) = self.writer.ask_blocking(|answer| Op::BuryCorrupt(*key, answer)) {
                self.shared.leases().look_again_from(*key);
                tracing::warn!(journal.error = %error, "a corrupt event could not be made a dead letter yet");
            }
        }
    }

    fn read(
        &mut self,
        sink: &SinkName,
        number: i64,
        limit: usize,
        now: i64,
        view: &View,
    ) -> Result<Found, Fault> {
        // One snapshot for all of it. Dropping it ends it; there is nothing to commit.
        self.conn.prepare_cached("BEGIN")?.execute([])?;
        let found = self.read_snapshot(sink, number, limit, now, view);
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        found
    }

    fn read_snapshot(
        &mut self,
        sink: &SinkName,
        number: i64,
        limit: usize,
        now: i64,
        view: &View,
    ) -> Result<Found, Fault> {
        let fresh = fresh(&self.conn, number, view, limit)?;
        let due = due(&self.conn, number, view, limit, now)?;
        let mut found =
            Found { retry_is_next: view.retry_is_next, read_to: view.read_to, ..Found::default() };
        let (mut fresh, mut due) = (fresh.into_iter().peekable(), due.into_iter().peekable());
        let mut bytes = 0;
        while found.intact.len() < limit && bytes < MOST_BYTES {
            let both = fresh.peek().is_some() && due.peek().is_some();
            let take_due = if both { found.retry_is_next } else { due.peek().is_some() };
            if both {
                found.retry_is_next = !found.retry_is_next;
            }
            let Some(key) = (if take_due { due.next() } else { fresh.next() }) else { break };
            if !take_due {
                found.read_to = key.0;
            }
            let (delivery, crashes) = match self.load(key, sink) {
                Ok(Some(loaded)) => loaded,
                // One row that does not read, or whose event is gone, must not hold up those behind it.
                Ok(None) | Err(Fault::Damaged(_)) => {
                    found.corrupt.push(key);
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            bytes += delivery.envelope.body.len();
            if delivery.envelope.is_intact() {
                found.crashes = found.crashes.max(crashes);
                found.intact.push((key, delivery));
            } else {
                found.corrupt.push(key);
            }
        }
        found.next_due = next_due(&self.conn, number, view, now)?;
        Ok(found)
    }

    fn load(&mut self, key: Key, sink: &SinkName) -> Result<Option<(Delivery, u32)>, Fault> {
        let mut statement = self.conn.prepare_cached(
            "SELECT d.attempts, d.replays, d.tries, d.first_attempt_at, d.last_attempt_at, d.age_ms,
             e.id, e.source, e.received_at, e.labels, e.sha256, e.body, d.crashes
             FROM deliveries AS d JOIN events AS e ON e.seq = ?2 WHERE d.id = ?1",
        )?;
        let mut rows = statement.query([key.0, key.seq()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let envelope = envelope(&self.conn, &mut self.sources, &mut self.labels, row)?;
        let moment = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(key::moment));
        let delivery = Delivery {
            envelope: Arc::new(envelope),
            sink: sink.clone(),
            attempt: row.get::<_, u32>(0)?.saturating_add(1),
            replay: row.get(1)?,
            tries: row.get(2)?,
            first_attempt_at: moment(3)?,
            last_attempt_at: moment(4)?,
            age: settle::span(row.get(5)?),
        };
        Ok(Some((delivery, row.get(12)?)))
    }
}

/// The next fresh ones, in the order of acceptance.
fn fresh(conn: &Connection, sink: i64, view: &View, limit: usize) -> rusqlite::Result<Vec<Key>> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM deliveries WHERE sink = ?1 AND state = 0 AND id > ?2 ORDER BY id LIMIT ?3",
    )?;
    let rows =
        statement.query_map([sink, view.read_to, enough(limit, &view.held)], |row| row.get(0).map(Key))?;
    free(rows, &view.held, limit)
}

/// The retries that are due, the longest due first.
fn due(conn: &Connection, sink: i64, view: &View, limit: usize, now: i64) -> rusqlite::Result<Vec<Key>> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM deliveries WHERE sink = ?1 AND state = 1 AND due_at <= ?2 ORDER BY due_at, id LIMIT ?3",
    )?;
    let rows = statement.query_map([sink, now, enough(limit, &view.held)], |row| row.get(0).map(Key))?;
    free(rows, &view.held, limit)
}

/// When the first retry that is not due yet will be.
fn next_due(conn: &Connection, sink: i64, view: &View, now: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, due_at FROM deliveries WHERE sink = ?1 AND state = 1 AND due_at > ?2 ORDER BY due_at LIMIT ?3",
    )?;
    let mut rows = statement.query([sink, now, enough(1, &view.held)])?;
    while let Some(row) = rows.next()? {
        if !view.held.contains(&Key(row.get(0)?)) {
            return row.get(1).map(Some);
        }
    }
    Ok(None)
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
