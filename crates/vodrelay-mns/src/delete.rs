//! The last step of a poll: one request that deletes what is durable.

use std::time::Duration;

use mns_client::{EntryError, Error, ErrorKind, ReceiptHandle};
use tokio::time::sleep;

use crate::config::QueueSettings;
use crate::lease::Lease;
use crate::pace::longest;
use crate::poll::Poller;
use crate::standing::Asked;

/// How often an entry of the batch is tried.
const TRIES: u32 = 3;
/// The longest wait between two tries.
const CAP: Duration = Duration::from_secs(1);

impl Poller {
    /// Deletes what is durable, as one request; entries that fail are tried again, and in the end left to come again.
    pub(crate) async fn delete(&self, durable: Vec<Lease>) -> Result<(), Error> {
        let QueueSettings { name, queue, .. } = &self.settings;
        let lost = durable.iter().filter(|lease| lease.handle().is_none()).count();
        self.meter.deleted("gone", lost as u64);
        let mut handles: Vec<ReceiptHandle> =
            durable.iter().filter_map(|lease| lease.handle().cloned()).collect();
        for tries in 1..=TRIES {
            if handles.is_empty() {
                return Ok(());
            }
            let results = match queue.delete_batch(&handles).await {
                Ok(results) => results,
                Err(error) => {
                    self.standing.bad(Asked::Delete, &error, name, &self.meter);
                    self.meter.deleted("failed", handles.len() as u64);
                    return Err(error);
                }
            };
            self.standing.good(Asked::Delete, name, &self.meter);
            handles = handles.into_iter().zip(results).filter_map(|entry| self.undeleted(entry)).collect();
            if tries < TRIES && !handles.is_empty() {
                sleep(longest(tries, CAP).mul_f64(rand::random())).await;
            }
        }
        self.meter.deleted("failed", handles.len() as u64);
        Ok(())
    }

    /// The handle, if its message is there still and another try can do something about it.
    fn undeleted(&self, (handle, result): (ReceiptHandle, Result<(), EntryError>)) -> Option<ReceiptHandle> {
        let Err(error) = result else {
            self.meter.deleted("deleted", 1);
            return None;
        };
        match error.kind() {
            ErrorKind::MessageNotExist => {
                self.meter.deleted("gone", 1);
                None
            }
            ErrorKind::ReceiptHandle => {
                self.meter.deleted("gone", 1);
                tracing::warn!(
                    queue.name = %self.settings.name, error = %error,
                    "the service does not know a handle that it gave out; the message comes again as a duplicate"
                );
                None
            }
            _ => Some(handle),
        }
    }
}
