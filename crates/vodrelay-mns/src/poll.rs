//! One poll, from the request to the deletion: receive, decode, accept, delete.
//!
//! Nothing is deleted that is not durable. Whatever goes wrong on the way, a message that is not deleted becomes
//! visible again, is accepted as a duplicate, and is deleted then.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use mns_client::{Error, MAX_BATCH, MAX_WAIT, Message, Poll};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use vodrelay_core::{Accepted, Arrival, Clock, Intake, JournalError, SourceError};

use crate::config::QueueSettings;
use crate::lease::{Lease, visibility};
use crate::meter::Meter;
use crate::pace::{Ended, longest};
use crate::stall::Stall;
use crate::standing::{Asked, Standing};

/// The longest wait before the journal is asked again whether it has room.
const JOURNAL_CAP: Duration = Duration::from_secs(5);
/// After this long what is durable is deleted, though other messages of the batch are not yet.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// What every poll of a queue shares.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) settings: QueueSettings,
    pub(crate) intake: Intake,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: Meter,
    pub(crate) stall: Stall,
    pub(crate) standing: Standing,
    /// No further poll; what is in hand is finished.
    pub(crate) stop: CancellationToken,
    /// What is not durable by now is given back.
    pub(crate) overdue: CancellationToken,
    /// The queue's visibility timeout in milliseconds, as far as it is known; the provider's default before.
    pub(crate) visibility_ms: AtomicU64,
}

/// What became of a message in hand.
enum Fate {
    Durable(Lease),
    /// It is to be another's.
    GivenUp(Lease),
    /// The journal takes nothing any more.
    Over(JournalError),
}

impl Poller {
    /// One poll.
    ///
    /// # Errors
    /// If the journal is closed or poisoned, so that no poll makes sense any more.
    pub(crate) async fn poll_once(&self) -> Result<Ended, SourceError> {
        let poll = match self.receive().await {
            Ok(Some(poll)) => poll,
            Ok(None) => return Ok(Ended::Stopped),
            Err(_) => return Ok(Ended::Failed),
        };
        if poll.messages.is_empty() {
            return Ok(self.empty(&poll));
        }
        let count = poll.messages.len();
        let messages = self.decode(poll.messages);
        let mut accepting = messages.into_iter().map(|message| self.accept_one(message)).collect();
        let mut ended = Ended::Messages(count);
        while let Some(durable) = self.accept(&mut accepting).await? {
            if self.delete(durable).await.is_err() {
                ended = Ended::Failed;
            }
        }
        Ok(ended)
    }

    /// Nothing if the relay stops meanwhile: the poll is dropped, and what the service hands out at that very moment
    /// becomes visible again.
    async fn receive(&self) -> Result<Option<Poll>, Error> {
        let QueueSettings { name, queue, .. } = &self.settings;
        let received = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(None),
            received = queue.receive_batch(MAX_BATCH, MAX_WAIT) => received,
        };
        match &received {
            Ok(_) => self.standing.good(Asked::Receive, name, &self.meter),
            Err(error) => self.standing.bad(Asked::Receive, error, name, &self.meter),
        }
        received.map(Some)
    }

    fn empty(&self, poll: &Poll) -> Ended {
        if poll.unreadable > 0 {
            tracing::warn!(
                queue.name = %self.settings.name, messages = poll.unreadable,
                "messages came without a handle, so that nothing can be done with them; they become visible again"
            );
        }
        let early = poll.is_early();
        self.meter.empty(early);
        if early { Ended::Early } else { Ended::Empty }
    }

    fn decode(&self, messages: Vec<Message>) -> Vec<(Lease, Arrival)> {
        if let Some(span) = messages.iter().find_map(visibility) {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            self.visibility_ms.store(millis, Ordering::Relaxed);
        }
        let visibility = Duration::from_millis(self.visibility_ms.load(Ordering::Relaxed));
        let (now, received_at) = (Instant::now(), self.clock.now());
        let decode = |message: Message| {
            if message.body_md5_matches() == Some(false) {
                self.meter.wrong_md5();
            }
            let body = match vod_event::queue::decode_body(message.body.as_bytes()) {
                Cow::Owned(decoded) => Bytes::from(decoded),
                Cow::Borrowed(_) => Bytes::from(message.body),
            };
            let QueueSettings { source, labels, .. } = &self.settings;
            let arrival = Arrival { source: source.clone(), body, received_at, labels: Arc::clone(labels) };
            (Lease::new(message.receipt_handle, visibility, now), arrival)
        };
        messages.into_iter().map(decode).collect()
    }

    /// Waits until all are durable, or those that are when some take much longer: the time of these runs as well. What
    /// is not durable by the end of the grace is given back. Nothing when none is left.
    async fn accept(
        &self,
        accepting: &mut FuturesUnordered<impl Future<Output = Fate>>,
    ) -> Result<Option<Vec<Lease>>, SourceError> {
        if accepting.is_empty() {
            return Ok(None);
        }
        let (mut durable, mut given_up) = (Vec::new(), Vec::new());
        let started = Instant::now();
        loop {
            let fate = tokio::select! {
                biased;
                fate = accepting.next() => fate,
                () = sleep_until(started + STRAGGLERS), if !durable.is_empty() => break,
            };
            match fate {
                Some(Fate::Durable(lease)) => durable.push(lease),
                Some(Fate::GivenUp(lease)) => given_up.push(lease),
                Some(Fate::Over(error)) => {
                    let message = format!("queue {} is not polled any more: {error}", self.settings.name);
                    return Err(SourceError { message });
                }
                None => break,
            }
        }
        self.give_back(given_up).await;
        Ok(Some(durable))
    }

    async fn give_back(&self, leases: Vec<Lease>) {
        if leases.is_empty() {
            return;
        }
        tracing::info!(
            queue.name = %self.settings.name, messages = leases.len(),
            "messages are given back to the queue, since the relay stops before they are durable"
        );
        join_all(leases.into_iter().map(|lease| lease.give_back(&self.settings.queue))).await;
    }

    /// While the append takes its time, the message is kept ours.
    async fn accept_one(&self, (mut lease, arrival): (Lease, Arrival)) -> Fate {
        let mut appending = pin!(self.append(arrival));
        let appended = loop {
            tokio::select! {
                biased;
                appended = &mut appending => break appended,
                () = self.overdue.cancelled() => return Fate::GivenUp(lease),
                () = lease.due() => lease.renew(&self.settings.queue, &self.meter).await,
            }
        };
        match appended {
            Ok(accepted) => {
                self.meter.accepted(&accepted);
                tracing::debug!(queue.name = %self.settings.name, event.id = %accepted.id, "a message was accepted");
                Fate::Durable(lease)
            }
            Err(error @ (JournalError::Poisoned(_) | JournalError::Closed)) => Fate::Over(error),
            Err(_) => Fate::GivenUp(lease),
        }
    }

    /// Appends, however often it takes, until the relay stops. While it waits for the journal no poll begins.
    async fn append(&self, arrival: Arrival) -> Result<Accepted, JournalError> {
        let (mut waiting, mut tries) = (None, 0);
        loop {
            let error = match self.intake.accept(arrival.clone()).await {
                Err(error @ (JournalError::Poisoned(_) | JournalError::Closed)) => return Err(error),
                Err(error) => error,
                Ok(accepted) => return Ok(accepted),
            };
            waiting.get_or_insert_with(|| self.stall.wait(&error));
            tries += 1;
            tokio::select! {
                () = sleep(longest(tries, JOURNAL_CAP).mul_f64(rand::random())) => {}
                () = self.stop.cancelled() => return Err(error),
            }
        }
    }
}
