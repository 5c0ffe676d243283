//! The one thread that writes: it takes whatever waits, commits it with one sync, answers, and tidies up in between.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::time::Instant;
use vodrelay_core::{JournalError, Pauses, SinkName};

use crate::checkpoint::Checkpoints;
use crate::counters::Counters;
use crate::dues::Dues;
use crate::error::Fault;
use crate::files::Files;
use crate::heart::Heart;
use crate::ids::Ids;
use crate::key::Key;
use crate::meter::Meter;
use crate::op::{Answer, Op, Queued, Reply};
use crate::open::LOG;
use crate::refused::Refusals;
use crate::retention::Retention;
use crate::shared::Shared;
use crate::space::Space;
use crate::storage::Storage;
use crate::words::Words;
use crate::{append, erase, in_hand, indexes, log, settle, troubles};

/// One commit takes at most so many requests, or so many bytes of bodies.
const BATCH: usize = 1_024;
const BATCH_BYTES: usize = 16 << 20;
/// How long the thread waits at most before it looks at the disk again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Owns the connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Receiver<Queued>,
    pub(crate) names: Names,
    pub(crate) ids: Ids,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) space: Space,
    pub(crate) files: Files,
    pub(crate) storage: Storage,
    /// A transaction that failed may have written a part of its frames.
    pub(crate) has_leftovers: bool,
    pub(crate) retention: Retention,
    pub(crate) refusals: Refusals,
    pub(crate) heart: Heart,
    pub(crate) dues: Dues,
    pub(crate) meter: Meter,
    #[cfg(test)]
    pub(crate) fail_next_commit: Arc<std::sync::Mutex<Option<rusqlite::Error>>>,
}

/// What the writer knows by heart.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) words: Words,
    pub(crate) sinks: HashMap<SinkName, i64>,
    pub(crate) last_sink: i64,
    /// Given out in order and never twice, even when the newest event is removed.
    pub(crate) next_seq: i64,
}

/// What one transaction changes outside the file once it is durable.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) now: i64,
    /// By the steady clock.
    pub(crate) steady: i64,
    pub(crate) counters: Counters,
    /// Deliveries whose lease ends.
    pub(crate) ended: HashSet<Key>,
    /// Fresh deliveries of events accepted before, and released ones.
    pub(crate) appeared: Vec<Key>,
    /// Ids of events appended, …
    pub(crate) added: Vec<[u8; 16]>,
    /// … of events removed, …
    pub(crate) removed: Vec<[u8; 16]>,
    /// … and how many of earlier ones went into the table.
    pub(crate) folded: usize,
    /// The sinks that are paused, where that changes.
    pub(crate) pauses: Option<Pauses>,
    /// Whether a dispatcher may have something to do.
    pub(crate) work: bool,
    pub(crate) appended: u64,
    pub(crate) settled: u64,
}

impl Batch {
    /// What a part of the transaction changes, on its own until it is known to stay.
    pub(crate) fn part(&self) -> Self {
        Self { now: self.now, steady: self.steady, removed: self.removed.clone(), ..Self::default() }
    }

    /// Takes a part in.
    pub(crate) fn add(&mut self, part: &Self) {
        let Self { now: _, steady: _, counters, ended, appeared, added, removed, folded, pauses, .. } = part;
        self.counters.add(counters);
        self.ended.extend(ended);
        self.appeared.extend(appeared);
        self.added.extend(added);
        self.removed.clone_from(removed);
        self.folded += folded;
        if pauses.is_some() {
            self.pauses.clone_from(pauses);
        }
        self.work |= part.work;
        self.appended += part.appended;
        self.settled += part.settled;
    }
}

impl Writer {
    /// Works until it is told to close, or until nobody can ask any more. The connection is closed before the answer.
    pub(crate) fn run(mut self) {
        let closing = self.serve();
        let result = match &closing {
            Some(_) => self.stop_clean(),
            None => Ok(()),
        };
        drop(self);
        if let Some(answer) = closing {
            let _ = answer.send(result);
        }
    }

    fn serve(&mut self) -> Option<Answer<()>> {
        let mut ops = Vec::new();
        loop {
            let wait = if self.has_chores() { Duration::ZERO } else { PATIENCE };
            match self.queue.recv_timeout(wait) {
                Ok(queued) => ops.push(queued.op),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            let closing = self.drain(&mut ops);
            self.commit_all(std::mem::take(&mut ops));
            if closing.is_some() {
                return closing;
            }
            self.keep_house();
        }
    }

    /// Takes what waits, as far as one commit goes; what the caller gave up is left out when its turn comes.
    fn drain(&mut self, ops: &mut Vec<Op>) -> Option<Answer<()>> {
        let mut bytes: usize = ops.iter().map(Op::bytes).sum();
        if let Some(Op::Close(_)) = ops.last() {
            return closing(ops.pop());
        }
        while ops.len() < BATCH && bytes < BATCH_BYTES {
            let Ok(queued) = self.queue.try_recv() else { break };
            if matches!(queued.op, Op::Close(_)) {
                return closing(Some(queued.op));
            }
            bytes += queued.op.bytes();
            ops.push(queued.op);
        }
        None
    }

    fn commit_all(&mut self, ops: Vec<Op>) {
        if ops.is_empty() {
            return;
        }
        self.look_around();
        if let Err(error) = self.shared.check_poison() {
            ops.into_iter().for_each(|op| op.answer(Err(error.clone())));
            return;
        }
        match self.transact(|writer, batch| writer.apply_all(&ops, batch)) {
            Ok(replies) => ops.into_iter().zip(replies).for_each(|(op, reply)| op.answer(Ok(reply))),
            Err(fault) => {
                let error = self.shared.judge(&fault);
                ops.into_iter().for_each(|op| op.answer(Err(error.clone())));
            }
        }
        if let Err(fault) = self.checkpoints.run_when_due(&self.conn, &self.shared.folder) {
            self.shared.judge(&fault);
        }
    }

    /// About once a second: how much room there is, and whether the files are still there.
    fn look_around(&mut self) {
        if !self.space.look(&self.shared, &self.conn) {
            return;
        }
        self.meter.progressed(self.shared.now());
        if let Some(path) = self.files.missing() {
            let path = path.display();
            self.shared.poison_with(&format!(
                "{path} was removed or replaced while it was in use; put the journal's folder back, then start again"
            ));
        }
    }

    fn apply_all(&mut self, ops: &[Op], batch: &mut Batch) -> Result<Vec<Reply>, Fault> {
        let full = self.shared.full();
        ops.iter().map(|op| self.apply(op, batch, full.as_deref())).collect()
    }

    fn apply(&mut self, op: &Op, batch: &mut Batch, full: Option<&str>) -> Result<Reply, Fault> {
        match (op, full) {
            (Op::Append(_, answer), _) if answer.is_closed() => Ok(Reply::Skipped),
            (Op::Append(..) | Op::Refuse(..), Some(cause)) => {
                Ok(Reply::Refused(JournalError::Full(cause.to_owned())))
            }
            (Op::Append(row, _), None) => {
                if !self.names.have_room_for(&row.sinks) {
                    let message =
                        "the journal knows as many sinks as it can; start a new one in another data_dir";
                    return Ok(Reply::Refused(JournalError::Invalid(message.to_owned())));
                }
                Ok(Reply::Appended(append::append(&self.conn, &mut self.names, &mut self.ids, batch, row)?))
            }
            (Op::Settle(outcomes, _), _) => {
                let settle = |settled| settle::settle(&self.conn, &self.shared, batch, settled);
                Ok(Reply::Settled(outcomes.iter().map(settle).collect::<Result<_, _>>()?))
            }
            (Op::Refuse(refusals, _), None) => {
                self.refusals.keep(&self.conn, batch, refusals)?;
                Ok(Reply::Done)
            }
            (Op::RemoveRefusals(ids, _), _) => Ok(Reply::Removed(self.erase_refusals(batch, ids)?)),
            (Op::NoteTroubles(found, _), _) => {
                troubles::note_all(&self.conn, found)?;
                Ok(Reply::Done)
            }
            (Op::Order(order, _), _) => self.carry_out_apart(order, batch, full),
            (Op::BuryCorrupt(key, _), _) => {
                settle::bury(&self.conn, batch, *key, "corrupt")?;
                Ok(Reply::Done)
            }
            (Op::MendIndexes(sink, doubt, _), _) => {
                indexes::mend(&self.conn, batch, *sink, *doubt)?;
                Ok(Reply::Done)
            }
            (Op::Tidy(_), _) => {
                self.retention.start_over();
                Ok(Reply::Done)
            }
            // What is in hand is written with each commit that finds it changed.
            (Op::NoteInHand(_) | Op::Pulse(_) | Op::Close(_), _) => Ok(Reply::Done),
        }
    }

    fn erase_refusals(&mut self, batch: &mut Batch, ids: &[u64]) -> rusqlite::Result<u64> {
        let removed = erase::thoroughly(&self.conn, || self.refusals.remove(&self.conn, batch, ids))?;
        self.checkpoints.empty_log_soon();
        Ok(removed)
    }

    /// Runs one transaction, with what rides along, and its effects outside the file once it is durable.
    pub(crate) fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Batch) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut batch = Batch { now: self.shared.now(), steady: self.shared.steady(), ..Batch::default() };
        let done = self.try_transact(&mut batch, work);
        if let Err(fault) = &done {
            self.ids.roll_back(&batch);
            self.heart.roll_back();
            self.dues.roll_back();
            self.roll_back(fault);
            return done;
        }
        self.ids.commit(&batch);
        self.heart.commit();
        let mut leases = self.shared.leases();
        batch.ended.iter().for_each(|key| leases.end_settled(*key));
        batch.appeared.iter().for_each(|key| leases.look_again_from(*key));
        drop(leases);
        if let Some(pauses) = batch.pauses.take() {
            self.shared.pauses.send_replace(pauses);
        }
        let careful = !batch.ended.is_empty() && self.shared.careful(batch.steady).is_some();
        if batch.work || careful || !batch.appeared.is_empty() {
            self.shared.announce_work();
        }
        self.meter.committed(&batch);
        done
    }

    fn try_transact<T>(
        &mut self,
        batch: &mut Batch,
        work: impl FnOnce(&mut Self, &mut Batch) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.begin()?;
        // The beat comes first, so that whatever judges an age knows of a clock that was set.
        if let Some(back_by) = self.heart.ride(&self.conn, batch.now, batch.steady)? {
            self.dues.set_back(&self.conn, back_by)?;
        }
        self.dues.step(&self.conn, batch)?;
        let value = work(self, batch)?;
        self.ids.fold(&self.conn, batch)?;
        batch.counters.flush(&self.conn)?;
        in_hand::write_changed(&self.conn, &self.shared, &batch.ended)?;
        #[cfg(test)]
        if let Some(error) = self.fail_next_commit.lock().unwrap().take() {
            return Err(error.into());
        }
        let begun = Instant::now();
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        self.meter.synced(begun.elapsed());
        Ok(value)
    }

    /// Begins a transaction. What one that failed has left in the log goes before this one writes over it.
    fn begin(&mut self) -> Result<(), Fault> {
        let counted = self.has_leftovers.then(|| log::frames_counted(&self.conn)).transpose()?;
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let Some(counted) = counted else { return Ok(()) };
        let reads_back = log::end_with_counted(&self.shared.folder.join(LOG), counted, &self.storage);
        if !reads_back.map_err(|error| Fault::from_io(LOG, &error))? {
            self.checkpoints.hold();
            tracing::error!(
                "the last commit does not read back from the log: the disk has altered it; events are accepted, and the log \
                 grows, until the relay stops; then run `vodrelay journal salvage`"
            );
        }
        self.has_leftovers = false;
        Ok(())
    }

    fn roll_back(&mut self, fault: &Fault) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            self.shared
                .poison_with(&format!("a transaction can be neither committed nor rolled back: {error}"));
        }
        self.names.forget(&self.conn);
        self.shared.leases().mark_changed();
        self.has_leftovers = true;
        if let Fault::Full(cause) = fault {
            self.space.ran_out(&self.shared, cause);
        }
    }

    fn has_chores(&self) -> bool {
        self.shared.check_poison().is_ok()
            && (self.retention.is_at_work() || self.space.is_shedding() || self.dues.are_moving())
    }

    /// One step of what is done from time to time; appends wait for one step at most.
    fn keep_house(&mut self) {
        if self.shared.check_poison().is_err() {
            return;
        }
        self.look_around();
        let now = self.shared.steady();
        if self.heart.is_due(now) || self.dues.are_moving() {
            self.heart.try_at(now);
            if let Err(fault) = self.transact(|_, _| Ok(())) {
                // A beat that is missing makes a gap look longer than it was, and nothing worse.
                self.shared.judge(&fault);
            }
        }
        let step = if self.space.is_shedding() { self.shed_step() } else { self.retention_step() };
        let step = step.and_then(|()| self.checkpoints.run_when_due(&self.conn, &self.shared.folder));
        if let Err(fault) = step {
            let error = self.shared.judge(&fault);
            self.retention.stop();
            tracing::warn!(journal.error = %error, "the journal could not be tidied up; it is tried again later");
        }
    }

    fn mark_clean(&mut self) -> Result<(), Fault> {
        self.begin()?;
        in_hand::mark_clean(&self.conn, &self.heart, self.shared.now(), self.shared.steady())?;
        Ok(self.conn.execute_batch("COMMIT")?)
    }

    /// Nothing is in hand, and the next start may know it.
    fn stop_clean(&mut self) -> Result<(), JournalError> {
        self.shared.check_poison()?;
        let closed =
            self.mark_clean().and_then(|()| self.checkpoints.finish(&self.conn, &self.shared.folder));
        closed.map_err(|fault| self.shared.judge(&fault))
    }
}

fn closing(op: Option<Op>) -> Option<Answer<()>> {
    match op {
        Some(Op::Close(answer)) => Some(answer),
        _ => None,
    }
}

impl Names {
    /// Reads them from the file.
    pub(crate) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut names = Self::default();
        names.load_sinks(conn)?;
        names.next_seq = conn.query_row(
            "SELECT 1 + MAX(COALESCE((SELECT MAX(seq) FROM events), 0),
                            COALESCE((SELECT value FROM meta WHERE key = 'last_seq'), 0))",
            [],
            |row| row.get(0),
        )?;
        Ok(names)
    }

    fn load_sinks(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.sinks.clear();
        self.last_sink = conn.query_row("SELECT COALESCE(MAX(id), 0) FROM sinks", [], |row| row.get(0))?;
        let mut statement = conn.prepare_cached("SELECT name, id FROM sinks")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Ok(name) = SinkName::new(row.get_ref(0)?.as_str()?) {
                self.sinks.insert(name, row.get(1)?);
            }
        }
        Ok(())
    }

    /// What was given out in a transaction that came to nothing is not true any more. Only `next_seq` may stay: it
    /// leaves a gap.
    pub(crate) fn forget(&mut self, conn: &Connection) {
        self.words.forget();
        if self.load_sinks(conn).is_err() {
            // The names are looked up again one by one.
            self.sinks.clear();
        }
    }
}
