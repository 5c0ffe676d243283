//! Our hold on one message: invisible to others for a while, renewed as long as its append takes.

use std::time::Duration;

use mns_client::{ErrorKind, Message, Queue, ReceiptHandle};
use tokio::time::{Instant, sleep_until};

use crate::meter::Meter;

/// For how long a message that has to wait is made invisible. It comes back that late after a crash of ours.
const EXTENSION: Duration = Duration::from_secs(120);
/// When to ask again after a renewal that came to nothing.
const AGAIN: Duration = Duration::from_secs(2);

/// A message in hand. Whoever holds the lease is alone with the handle, so that nothing is ever deleted by one that a
/// renewal is just replacing.
#[derive(Debug)]
pub(crate) struct Lease {
    handle: ReceiptHandle,
    /// Nothing once the message has become another's.
    renew_at: Option<Instant>,
}

impl Lease {
    /// The lease of a message that was received just now and is invisible for that long.
    pub(crate) fn new(handle: ReceiptHandle, visibility: Duration, now: Instant) -> Self {
        Self { handle, renew_at: Some(now + visibility / 2) }
    }

    /// The handle to delete the message by, unless it is ours no more.
    pub(crate) fn handle(&self) -> Option<&ReceiptHandle> {
        self.renew_at.map(|_| &self.handle)
    }

    /// Waits until half of the time is over.
    pub(crate) async fn due(&self) {
        match self.renew_at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Keeps the message invisible, under a new handle.
    pub(crate) async fn renew(&mut self, queue: &Queue, meter: &Meter) {
        let asked_at = Instant::now();
        match queue.change_visibility(&self.handle, EXTENSION).await {
            Ok(retimed) => {
                self.handle = retimed.receipt_handle;
                self.renew_at = Some(asked_at + EXTENSION / 2);
                meter.renewed("renewed", 1);
            }
            Err(error) if matches!(error.kind(), ErrorKind::MessageNotExist | ErrorKind::ReceiptHandle) => {
                self.renew_at = None;
                meter.renewed("lost", 1);
                tracing::debug!(error = %error, "a message is not ours any more; it comes again as a duplicate");
            }
            Err(error) => {
                self.renew_at = Some(Instant::now() + AGAIN);
                meter.renewed("failed", 1);
                tracing::debug!(error = %error, "a message could not be kept invisible; it is tried again");
            }
        }
    }

    /// Makes the message visible to others again, as soon as the service can.
    pub(crate) async fn give_back(self, queue: &Queue) {
        if self.renew_at.is_none() {
            return;
        }
        if let Err(error) = queue.change_visibility(&self.handle, Duration::from_secs(1)).await {
            tracing::debug!(error = %error, "a message could not be given back; it becomes visible by itself");
        }
    }
}

/// The queue's visibility timeout, where the message tells it: both moments are the service's, so that no clock of
/// ours comes in.
pub(crate) fn visibility(message: &Message) -> Option<Duration> {
    let (from, until) = (message.first_dequeue_time?, message.next_visible_time?);
    let span = Duration::try_from(until.duration_since(from)).ok()?;
    (message.dequeue_count == 1 && !span.is_zero()).then_some(span)
}
