//! Which event has an id: how duplicates are found.
//!
//! Ids are digests, so each new one belongs on another page of an index, and pages are what a commit has to write. So
//! the ids of new events stay in memory for a while and are folded into the table in their order, where many share a
//! page, a few with each commit. Nothing is lost with the memory: an event carries its id, and those that were not
//! folded yet are read again when the journal is opened.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use vod_event::EventId;

use crate::writer::Batch;

/// So many new ids make a fold. Twice as many are in memory at most, about two megabytes.
const FOLD: usize = 16_384;
/// Ids that are folded for each event appended, so that a fold is done long before the next one is due.
const PACE: usize = 2;

type Id = [u8; 16];

/// The events by id, in memory and in the table.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Of events appended since the fold began.
    recent: HashMap<Id, i64>,
    /// Of the fold, in the order in which they go into the table.
    folding: BTreeMap<Id, i64>,
    /// The newest event of the fold.
    folds_to: i64,
    fold: usize,
}

impl Ids {
    /// Reads those that are not in the table for sure.
    pub(crate) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        Self::load_folding_at(conn, FOLD)
    }

    fn load_folding_at(conn: &Connection, fold: usize) -> rusqlite::Result<Self> {
        let mut statement = conn.prepare(
            "SELECT id, seq FROM events WHERE seq > COALESCE((SELECT value FROM meta WHERE key = 'ids_folded_to'), 0)",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self { recent: rows.collect::<Result<_, _>>()?, folding: BTreeMap::new(), folds_to: 0, fold })
    }

    /// The event that has the id, as the running transaction leaves it.
    pub(crate) fn find(
        &self,
        conn: &Connection,
        batch: &Batch,
        id: &EventId,
    ) -> rusqlite::Result<Option<i64>> {
        let id = id.as_bytes();
        if batch.removed.contains(id) {
            return Ok(None);
        }
        if let Some(seq) = self.recent.get(id).or_else(|| self.folding.get(id)) {
            return Ok(Some(*seq));
        }
        let mut statement = conn.prepare_cached("SELECT seq FROM event_ids WHERE id = ?1")?;
        statement.query_row([id], |row| row.get(0)).optional()
    }

    /// Notes an event that the running transaction appends.
    pub(crate) fn add(&mut self, batch: &mut Batch, id: &EventId, seq: i64) {
        self.recent.insert(*id.as_bytes(), seq);
        batch.added.push(*id.as_bytes());
    }

    /// Folds the next few in the running transaction, as many as what it appends pays for.
    pub(crate) fn fold(&self, conn: &Connection, batch: &mut Batch) -> rusqlite::Result<()> {
        let next = self.folding.iter().take(batch.added.len() * PACE);
        for (id, seq) in next {
            batch.folded += 1;
            if batch.removed.contains(id) {
                continue;
            }
            // After a crash in the middle of a fold some stand in the table already.
            conn.prepare_cached("INSERT OR IGNORE INTO event_ids (id, seq) VALUES (?1, ?2)")?
                .execute(params![id, seq])?;
        }
        if batch.folded > 0 && batch.folded == self.folding.len() {
            conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('ids_folded_to', ?1)")?
                .execute([self.folds_to])?;
        }
        Ok(())
    }

    /// Removes an event's id in the running transaction, from wherever it is.
    pub(crate) fn remove(conn: &Connection, batch: &mut Batch, id: Id) -> rusqlite::Result<()> {
        conn.prepare_cached("DELETE FROM event_ids WHERE id = ?1")?.execute([id])?;
        batch.removed.push(id);
        Ok(())
    }

    /// The transaction is durable.
    pub(crate) fn commit(&mut self, batch: &Batch) {
        for _ in 0..batch.folded {
            self.folding.pop_first();
        }
        for id in &batch.removed {
            self.recent.remove(id);
            self.folding.remove(id);
        }
        if self.folding.is_empty() && self.recent.len() >= self.fold {
            self.folds_to = self.recent.values().copied().max().unwrap_or_default();
            self.folding = std::mem::take(&mut self.recent).into_iter().collect();
        }
    }

    /// The transaction came to nothing.
    pub(crate) fn roll_back(&mut self, batch: &Batch) {
        for id in &batch.added {
            self.recent.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Append(u8),
        Remove(u8),
        Commit,
        RollBack,
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => any::<u8>().prop_map(Step::Append),
            3 => any::<u8>().prop_map(Step::Remove),
            3 => Just(Step::Commit),
            1 => Just(Step::RollBack),
            1 => Just(Step::Reopen),
        ]
    }

    /// A writer's connection, its ids, and what they ought to be.
    struct Writer {
        conn: Connection,
        ids: Ids,
        batch: Batch,
        durable: HashMap<u8, i64>,
        running: HashMap<u8, i64>,
        last_seq: i64,
    }

    fn id(number: u8) -> EventId {
        EventId::of_raw(&[number])
    }

    impl Writer {
        fn new() -> Self {
            let conn = Connection::open_in_memory().unwrap();
            crate::schema::create(&conn).unwrap();
            conn.execute_batch("BEGIN").unwrap();
            let ids = Ids::load_folding_at(&conn, 8).unwrap();
            let (durable, running) = (HashMap::new(), HashMap::new());
            Self { conn, ids, batch: Batch::default(), durable, running, last_seq: 0 }
        }

        fn step(&mut self, step: Step) {
            match step {
                // What a transaction has removed, the same one never appends: its id stays elsewhere.
                Step::Append(number)
                    if self.ids.find(&self.conn, &self.batch, &id(number)).unwrap().is_none()
                        && !self.batch.removed.contains(id(number).as_bytes()) =>
                {
                    self.last_seq += 1;
                    self.insert(number);
                    self.ids.add(&mut self.batch, &id(number), self.last_seq);
                    self.running.insert(number, self.last_seq);
                }
                Step::Append(_) => {}
                Step::Remove(number) if self.running.contains_key(&number) => {
                    self.conn.execute("DELETE FROM events WHERE id = ?1", [id(number).as_bytes()]).unwrap();
                    Ids::remove(&self.conn, &mut self.batch, *id(number).as_bytes()).unwrap();
                    self.running.remove(&number);
                }
                Step::Remove(_) => {}
                Step::Commit => {
                    self.ids.fold(&self.conn, &mut self.batch).unwrap();
                    self.conn.execute_batch("COMMIT; BEGIN").unwrap();
                    self.ids.commit(&std::mem::take(&mut self.batch));
                    self.durable.clone_from(&self.running);
                }
                Step::RollBack => {
                    self.ids.fold(&self.conn, &mut self.batch).unwrap();
                    self.undo();
                    self.ids.roll_back(&std::mem::take(&mut self.batch));
                }
                Step::Reopen => {
                    self.undo();
                    self.batch = Batch::default();
                    self.ids = Ids::load_folding_at(&self.conn, 8).unwrap();
                }
            }
        }

        fn undo(&mut self) {
            self.conn.execute_batch("ROLLBACK; BEGIN").unwrap();
            self.running.clone_from(&self.durable);
        }

        fn insert(&self, number: u8) {
            let sql = "INSERT INTO events (seq, id, source, received_at, state, sha256, body)
                       VALUES (?1, ?2, 1, 0, 0, x'', x'')";
            self.conn.execute(sql, params![self.last_seq, id(number).as_bytes()]).unwrap();
        }

        fn check(&self) {
            for number in 0..=u8::MAX {
                let found = self.ids.find(&self.conn, &self.batch, &id(number)).unwrap();
                assert_eq!(found, self.running.get(&number).copied(), "{number}");
            }
        }
    }

    proptest! {
        #[test]
        fn each_id_is_found_wherever_it_is(steps in proptest::collection::vec(step(), 0..200)) {
            let mut writer = Writer::new();
            for step in steps {
                writer.step(step);
            }
            writer.check();
        }
    }
}
