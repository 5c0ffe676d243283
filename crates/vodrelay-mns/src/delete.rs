//! The last step of a poll: deleting what is durable, in one request where the service lets it.

use std::time::Duration;

use mns_client::{EntryError, Error, ErrorKind, MAX_BATCH, ReceiptHandle};
use tokio::time::sleep;

use crate::lease::Lease;
use crate::pace::longest;
use crate::poll::Poller;
use crate::standing::Asked;

/// How often an entry of the batch is tried.
const TRIES: u32 = 3;
/// The longest wait between two tries.
const CAP: Duration = Duration::from_secs(1);

/// What was not deleted, and why.
struct Undone {
    error: Error,
    left: Vec<ReceiptHandle>,
    /// The request was refused, and no entry of it by itself.
    as_a_whole: bool,
}

impl Poller {
    /// Deletes what is durable, in as few requests as it takes; entries that fail are tried again, and in the end left
    /// to come again.
    ///
    /// # Errors
    /// If the service does not do it.
    pub(crate) async fn delete(&self, durable: Vec<Lease>) -> Result<(), Error> {
        let lost = durable.iter().filter(|lease| lease.handle().is_none()).count();
        self.meter.deleted("gone", lost as u64);
        let handles: Vec<ReceiptHandle> =
            durable.iter().filter_map(|lease| lease.handle().cloned()).collect();
        // A service may hand out more than it was asked for, and takes no more than this at once.
        let mut batches: Vec<Vec<ReceiptHandle>> = handles.chunks(MAX_BATCH).map(<[_]>::to_vec).collect();
        let mut result = Ok(());
        while let Some(batch) = batches.pop() {
            let Err(Undone { error, left, as_a_whole }) = self.delete_batch(batch).await else { continue };
            if as_a_whole && left.len() > 1 && is_about_an_entry(&error) {
                let (first, second) = left.split_at(left.len() / 2);
                batches.extend([second.to_vec(), first.to_vec()]);
            } else if as_a_whole && is_gone(error.kind()) {
                self.note_gone(&error);
            } else {
                // What costs a whole batch, and no entry of it, would cost the next as well.
                let others = if as_a_whole { std::mem::take(&mut batches) } else { Vec::new() };
                let failed = left.len() + others.iter().map(Vec::len).sum::<usize>();
                self.meter.deleted("failed", failed as u64);
                result = Err(error);
            }
        }
        match &result {
            Ok(()) if handles.is_empty() => {}
            Ok(()) => self.answered(Asked::Delete),
            Err(error) => self.failed(Asked::Delete, error),
        }
        result
    }

    /// One request, and further ones for the entries of it that fail.
    async fn delete_batch(&self, mut handles: Vec<ReceiptHandle>) -> Result<(), Undone> {
        let mut tries = 0;
        loop {
            let results = match self.settings.queue.delete_batch(&handles).await {
                Ok(results) => results,
                Err(error) => return Err(Undone { error, left: handles, as_a_whole: true }),
            };
            tries += 1;
            let mut failed = None;
            let entries = handles.into_iter().zip(results);
            handles =
                entries.filter_map(|(handle, result)| self.undeleted(handle, result, &mut failed)).collect();
            let Some(error) = failed else { return Ok(()) };
            if tries == TRIES {
                return Err(Undone { error: error.into(), left: handles, as_a_whole: false });
            }
            sleep(longest(tries, CAP).mul_f64(rand::random())).await;
        }
    }

    /// The handle, if its message is there still and another try can do something about it; why stands in `failed`.
    fn undeleted(
        &self,
        handle: ReceiptHandle,
        result: Result<(), EntryError>,
        failed: &mut Option<EntryError>,
    ) -> Option<ReceiptHandle> {
        let Err(error) = result else {
            self.meter.deleted("deleted", 1);
            return None;
        };
        if is_gone(error.kind()) {
            self.note_gone(&error.into());
            return None;
        }
        *failed = Some(error);
        Some(handle)
    }

    fn note_gone(&self, error: &Error) {
        self.meter.deleted("gone", 1);
        if error.kind() == ErrorKind::ReceiptHandle {
            tracing::warn!(
                queue.name = %self.settings.name, error = %error,
                "the service does not know a handle that it gave out; the message comes again as a duplicate"
            );
        }
    }
}

/// Whether there is nothing left to do with the handle.
fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::MessageNotExist | ErrorKind::ReceiptHandle)
}

/// Whether one entry may have cost the whole batch, so that a smaller one fares better.
fn is_about_an_entry(error: &Error) -> bool {
    is_gone(error.kind()) || error.kind() == ErrorKind::Rejected
}
