//! Receiving, and waiting for something to receive.
//!
//! Receives of a queue stand in line. Whoever stands at place n takes messages only beyond the first n, so that each
//! ahead can have one. A message is taken in the same step in which its receive is answered, never on behalf of
//! one that is asleep: a receive that goes away leaves no message behind.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::{State, refreshed};
use crate::clock::later;
use crate::fault::Fault;
use crate::happening::What;
use crate::operation::Operation;
use crate::queue::Message;
use crate::refusal::Refusal;

/// A place in a line. Lower ones were there before.
pub(crate) type Ticket = u64;

/// What a receive asks for.
#[derive(Clone, Debug)]
pub(crate) struct Receive {
    pub(crate) queue: String,
    /// None for a single message.
    pub(crate) most: Option<usize>,
    pub(crate) wait_seconds: Option<u32>,
}

impl Receive {
    pub(crate) fn operation(&self) -> Operation {
        if self.most.is_some() { Operation::BatchReceiveMessage } else { Operation::ReceiveMessage }
    }
}

/// How long receives may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) poll_limit: usize,
    pub(crate) answers_early: bool,
}

/// A place in the line of a queue.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) ticket: Ticket,
    pub(crate) until: Timestamp,
    pub(crate) changed: watch::Receiver<()>,
}

/// What came of trying to receive.
#[derive(Debug)]
pub(crate) enum Attempt {
    Taken(Vec<Message>),
    /// There is nothing, and nobody wants to wait any more.
    Over,
    /// Nothing changes by itself before that moment.
    WaitUntil(Timestamp),
    /// There would be something, but the client is not there any more.
    Gone,
}

impl State {
    /// Takes a place in the line.
    pub(crate) fn line_up(
        &mut self,
        receive: &Receive,
        patience: Patience,
        now: Timestamp,
    ) -> Result<Place, Refusal> {
        let queue = refreshed(&mut self.queues, &receive.queue, now, &self.witness)?;
        if self.plan.strikes(Fault::EarlyEmpty, receive.operation()) {
            return Err(Refusal::MESSAGE_NOT_EXIST);
        }
        let seconds = receive.wait_seconds.unwrap_or(queue.attributes.polling_wait_seconds);
        let mut wait = Duration::from_secs(seconds.into());
        if self.parked.len() >= patience.poll_limit {
            wait = Duration::ZERO;
        }
        if patience.answers_early {
            wait = wait * 4 / 5;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        queue.line.insert(ticket);
        Ok(Place { ticket, until: later(now, wait), changed: queue.changed.subscribe() })
    }

    /// Leaves the line. Those behind may have a turn now.
    pub(crate) fn leave(&mut self, queue: &str, ticket: Ticket) {
        self.parked.remove(&ticket);
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.line.remove(&ticket);
            queue.changed.send_replace(());
        }
    }

    /// Receives what there is for this place in the line.
    pub(crate) fn attempt(
        &mut self,
        receive: &Receive,
        place: &Place,
        is_gone: impl Fn() -> bool,
        now: Timestamp,
    ) -> Result<Attempt, Refusal> {
        let queue = refreshed(&mut self.queues, &receive.queue, now, &self.witness)?;
        if !queue.line.contains(&place.ticket) {
            // The queue was deleted and made anew while this receive waited.
            return Err(Refusal::QUEUE_NOT_EXIST);
        }
        let ahead = queue.line.range(..place.ticket).count();
        let free = queue.available().saturating_sub(ahead);
        let next_visible_at = queue.next_visible_at();
        if free > 0 {
            return Ok(if is_gone() {
                Attempt::Gone
            } else {
                Attempt::Taken(self.take(receive, ahead, now)?)
            });
        }
        if now >= place.until {
            return Ok(Attempt::Over);
        }
        self.parked.insert(place.ticket, place.until);
        Ok(Attempt::WaitUntil(next_visible_at.map_or(place.until, |at| at.min(place.until))))
    }

    /// Takes what comes after the messages of those ahead.
    fn take(&mut self, receive: &Receive, ahead: usize, now: Timestamp) -> Result<Vec<Message>, Refusal> {
        let operation = receive.operation();
        let Self { queues, mint, plan, witness, ledger, .. } = self;
        let queue = refreshed(queues, &receive.queue, now, witness)?;
        let free = queue.available().saturating_sub(ahead);
        let mut count = receive.most.unwrap_or(1).min(free);
        if plan.strikes(Fault::ShortBatch, operation) {
            count = 1 + plan.below(count);
        }
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let reorder = plan.strikes(Fault::Reorder, operation);
            let place = if reorder { plan.below(queue.available().min(64)) } else { ahead };
            let Some(mut message) = queue.receive(place, now, mint) else { break };
            witness.tell(
                &receive.queue,
                &message,
                now,
                What::Received { dequeue_count: message.dequeue_count },
            );
            if plan.strikes(Fault::Duplicate, operation) {
                queue.duplicate(&message);
            }
            if plan.strikes(Fault::WrongMd5, operation) {
                message.md5 = "0".repeat(32);
            }
            taken.push(message);
        }
        ledger.tally(operation).messages += taken.len() as u64;
        Ok(taken)
    }

    /// How many receives wait.
    pub(crate) fn waiting(&self) -> usize {
        self.parked.len()
    }

    /// Whether every receive waits that this moment does not end.
    pub(crate) fn is_settled(&mut self, now: Timestamp) -> bool {
        let names: Vec<String> = self.queues.keys().cloned().collect();
        let unserved = names.iter().any(|name| {
            let queue = refreshed(&mut self.queues, name, now, &self.witness);
            queue.is_ok_and(|queue| !queue.line.is_empty() && queue.available() > 0)
        });
        !unserved && self.parked.values().all(|until| *until > now)
    }
}
