//! Our hold on one message: invisible to others for a while, renewed as long as its append takes.

use std::time::Duration;

use jiff::Timestamp;
use mns_client::{ErrorKind, Message, Queue, ReceiptHandle};
use tokio::time::{Instant, sleep_until};

use crate::meter::Meter;

/// For how long a message that has to wait is made invisible. It comes back that late after a crash of ours.
const EXTENSION: Duration = Duration::from_secs(120);
/// What the date of an answer leaves out.
const DATE_STEP: Duration = Duration::from_secs(1);
/// The visibility timeouts that queues have, less what the date leaves out; another span is no truth.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(43_200);
/// When to ask again after a renewal that came to nothing.
const AGAIN: Duration = Duration::from_secs(2);

/// A message in hand. Whoever holds the lease is alone with the handle, so that nothing is ever deleted by one that a
/// renewal is just replacing.
#[derive(Debug)]
pub(crate) struct Lease {
    handle: ReceiptHandle,
    /// Nothing once the message has become another's.
    renew_at: Option<Instant>,
    renewals: u32,
}

impl Lease {
    /// The lease of a message that was received just now and is invisible for that long.
    pub(crate) fn new(handle: ReceiptHandle, visibility: Duration, now: Instant) -> Self {
        Self { handle, renew_at: Some(now + visibility / 2), renewals: 0 }
    }

    /// How often it has been renewed.
    pub(crate) fn renewals(&self) -> u32 {
        self.renewals
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
                self.renewals += 1;
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
        self.visible_in(Duration::from_secs(1), queue).await;
    }

    /// Makes the message visible to others again, but not at once, since others can do no more with it.
    pub(crate) async fn put_off(self, queue: &Queue) {
        self.visible_in(EXTENSION, queue).await;
    }

    async fn visible_in(self, span: Duration, queue: &Queue) {
        if self.renew_at.is_none() {
            return;
        }
        if let Err(error) = queue.change_visibility(&self.handle, span).await {
            tracing::debug!(error = %error, "a message could not be given back; it becomes visible by itself");
        }
    }
}

/// For how long a message of that answer is invisible, where the two tell it. All moments are the service's, so that no
/// clock of ours comes in.
pub(crate) fn visibility(message: &Message, answered_at: Option<Timestamp>) -> Option<Duration> {
    let until = message.next_visible_time?;
    let since = |from: Timestamp| Duration::try_from(until.duration_since(from)).ok();
    let span = match message.first_dequeue_time.filter(|_| message.dequeue_count == 1) {
        Some(received_at) => since(received_at),
        // The date of an answer has whole seconds, so the message may have been received up to one later.
        None => since(answered_at?)?.checked_sub(DATE_STEP),
    };
    span.filter(|span| (SHORTEST..=LONGEST).contains(span))
}
