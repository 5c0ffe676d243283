//! The request ledger: what was asked, and what it would have cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::operation::Operation;

/// What was asked since the start, or since the ledger was last cleared. Every request is billed by the provider, an
/// empty poll and one that was answered with an error too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ledger {
    /// By operation; those that were never asked are missing.
    pub operations: BTreeMap<Operation, Tally>,
    /// Requests that were turned away before it was clear what they ask for, by code.
    pub turned_away: BTreeMap<String, u64>,
}

/// What was asked of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tally {
    /// Requests, those included that a fault met.
    pub requests: u64,
    /// Messages sent, received, peeked at, deleted or re-timed by them, whether or not the answer arrived.
    pub messages: u64,
    /// Of receiving and peeking: requests that found nothing.
    pub empty: u64,
    /// Requests that were answered with an error, by code. An empty queue is none.
    pub errors: BTreeMap<String, u64>,
}

impl Ledger {
    /// What was asked of that operation.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Tally {
        self.operations.get(&operation).cloned().unwrap_or_default()
    }

    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let asked: u64 = self.operations.values().map(|tally| tally.requests).sum();
        asked + self.turned_away.values().sum::<u64>()
    }

    /// Receives that found nothing.
    #[must_use]
    pub fn empty_polls(&self) -> u64 {
        self.of(Operation::ReceiveMessage).empty + self.of(Operation::BatchReceiveMessage).empty
    }

    /// Messages that consumers deleted.
    #[must_use]
    pub fn deleted(&self) -> u64 {
        self.of(Operation::DeleteMessage).messages + self.of(Operation::BatchDeleteMessage).messages
    }

    /// What consuming cost: receives, deletes and changes of visibility for each message that was deleted. None while
    /// none was.
    #[must_use]
    pub fn requests_per_message(&self) -> Option<f64> {
        let consuming = [
            Operation::ReceiveMessage,
            Operation::BatchReceiveMessage,
            Operation::DeleteMessage,
            Operation::BatchDeleteMessage,
            Operation::ChangeMessageVisibility,
        ];
        let requests: u64 = consuming.into_iter().map(|operation| self.of(operation).requests).sum();
        (self.deleted() > 0).then(|| requests as f64 / self.deleted() as f64)
    }

    pub(crate) fn tally(&mut self, operation: Operation) -> &mut Tally {
        self.operations.entry(operation).or_default()
    }

    pub(crate) fn turn_away(&mut self, code: &str) {
        *self.turned_away.entry(code.to_owned()).or_default() += 1;
    }
}

impl Tally {
    pub(crate) fn error(&mut self, code: &str) {
        *self.errors.entry(code.to_owned()).or_default() += 1;
    }
}
