//! What people tell the journal to do with dead letters, replays and sinks, and how it is carried out.

use vod_event::EventId;
use vodrelay_core::ledger::{Deed, Erased, ReplayOrder, Replayed, Step};
use vodrelay_core::replay::Job;
use vodrelay_core::{JournalError, Pause, SinkName};

use crate::error::Fault;
use crate::op::Reply;
use crate::writer::{Batch, Writer};
use crate::{audit, erase, jobs, replay, sinks};

/// One thing to be done in one transaction.
#[derive(Debug)]
pub(crate) enum Order {
    Replay(Vec<ReplayOrder>),
    Purge(Vec<u64>),
    Pause(SinkName, Option<String>),
    Resume(SinkName),
    RetryNow { sink: SinkName, asked_at: i64, limit: usize },
    Rename { old: SinkName, new: SinkName, limit: usize },
    Forget { sink: SinkName, limit: usize },
    GiveUp(Vec<EventId>),
    Erase(Vec<EventId>),
    NoteDeed(Deed),
    NoteJob(Box<Job>),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Carried {
    Replayed(Replayed),
    Purged(u64),
    Paused(Pause),
    Resumed(bool),
    Step(Step),
    Erased(Erased),
    Noted,
    Job(u64),
}

impl Writer {
    /// Carries it out so that it fails alone: what a person tells the journal, and it cannot do, costs no callback of
    /// the same commit its answer. A full or failing disk is no matter of one order.
    pub(crate) fn carry_out_apart(
        &mut self,
        order: &Order,
        batch: &mut Batch,
        full: Option<&str>,
    ) -> Result<Reply, Fault> {
        self.conn.prepare_cached("SAVEPOINT an_order")?.execute([])?;
        let mut part = batch.part();
        let fault = match self.carry_out(order, &mut part, full) {
            Ok(reply) => {
                self.conn.prepare_cached("RELEASE an_order")?.execute([])?;
                batch.add(&part);
                return Ok(reply);
            }
            Err(fault) => fault,
        };
        // Some failures take the whole transaction back.
        if matches!(fault, Fault::Poison(_) | Fault::Full(_)) || self.conn.is_autocommit() {
            return Err(fault);
        }
        self.conn.execute_batch("ROLLBACK TO an_order; RELEASE an_order")?;
        self.names.forget(&self.conn);
        Ok(Reply::Refused(fault.to_error()))
    }

    fn carry_out(&mut self, order: &Order, batch: &mut Batch, full: Option<&str>) -> Result<Reply, Fault> {
        if let Err(error) = self.check_order(order, full) {
            return Ok(Reply::Refused(error));
        }
        let (conn, names, ids) = (&self.conn, &mut self.names, &self.ids);
        let carried = match order {
            Order::Replay(orders) => Carried::Replayed(replay::replay(conn, names, ids, batch, orders)?),
            Order::Purge(places) => Carried::Purged(replay::purge(conn, batch, places)?),
            Order::Pause(sink, reason) => {
                Carried::Paused(sinks::pause(conn, names, batch, sink, reason.as_deref())?)
            }
            Order::Resume(sink) => Carried::Resumed(sinks::resume(conn, batch, sink)?),
            Order::RetryNow { sink, asked_at, limit } => {
                Carried::Step(sinks::retry_now(conn, names, batch, sink, *asked_at, *limit)?)
            }
            Order::Rename { old, new, limit } => {
                Carried::Step(sinks::rename(conn, names, batch, (old, new), *limit)?)
            }
            Order::GiveUp(events) => {
                erase::give_up(conn, ids, &self.shared.leases(), batch, events)?;
                Carried::Noted
            }
            Order::Erase(events) => {
                let leases = self.shared.leases();
                let erased = erase::thoroughly(conn, || erase::erase(conn, ids, &leases, batch, events))?;
                drop(leases);
                self.checkpoints.empty_log_soon();
                Carried::Erased(erased)
            }
            Order::NoteDeed(deed) => {
                audit::note(conn, deed)?;
                Carried::Noted
            }
            Order::NoteJob(job) => Carried::Job(jobs::note(conn, job)?),
            Order::Forget { sink, limit } => Carried::Step(sinks::forget(conn, names, batch, sink, *limit)?),
        };
        Ok(Reply::Carried(carried))
    }

    /// What cannot be done is refused before anything is written.
    fn check_order(&self, order: &Order, full: Option<&str>) -> Result<(), JournalError> {
        match (order, full) {
            // It adds rows, and what is pending never goes for want of room.
            (Order::Replay(_), Some(cause)) => Err(JournalError::Full(cause.to_owned())),
            (Order::Replay(orders), None) => {
                let sinks = orders.iter().flat_map(|order| &order.deliveries).map(|delivery| &delivery.sink);
                self.check_room_for(sinks)
            }
            (Order::Pause(sink, _), _) => self.check_room_for(std::iter::once(sink)),
            (Order::Rename { old: sink, .. } | Order::Forget { sink, .. }, _)
                if !self.names.sinks.contains_key(sink) =>
            {
                Err(JournalError::Invalid(format!("it has never had a delivery for a sink {sink}")))
            }
            _ => Ok(()),
        }
    }

    fn check_room_for<'a>(&self, sinks: impl Iterator<Item = &'a SinkName>) -> Result<(), JournalError> {
        let mut sinks: Vec<SinkName> = sinks.cloned().collect();
        sinks.sort_unstable();
        sinks.dedup();
        if self.names.have_room_for(&sinks) {
            return Ok(());
        }
        Err(JournalError::Invalid("it knows as many sinks as it can".to_owned()))
    }
}
