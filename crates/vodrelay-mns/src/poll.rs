//! One poll, from the request to the deletion: receive, decode, accept, delete.
//!
//! Nothing is deleted that is not durable. Whatever goes wrong on the way, a message that is not deleted becomes
//! visible again, is accepted as a duplicate, and is deleted then.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use mns_client::{Error, ErrorKind, MAX_BATCH, MAX_WAIT, Message, Poll, Queue};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use vodrelay_core::{
    Accepted, Arrival, Clock, Intake, JournalError, SourceError, Span, SpanKind, TraceContext,
};

use crate::config::QueueSettings;
use crate::examine::mend;
use crate::lease::{Lease, visibility};
use crate::meter::Meter;
use crate::pace::{Ended, longest};
use crate::stall::{Place, Stall};
use crate::standing::{Asked, Standing};

/// The longest wait before the journal is asked again whether it has room.
const JOURNAL_CAP: Duration = Duration::from_secs(5);
/// How often a message is renewed while the journal has no room, before it is given back: a longer hold costs a request
/// a minute for each message.
const RENEWALS: u32 = 2;
/// For how long messages are received one by one after an answer that could not be read, beside the time after which
/// they come again: as long as a poll may take, and a little more.
const SINGLY: Duration = Duration::from_secs(40);
/// A message that the journal refuses comes again and again; it is said that seldom.
const SAID_AGAIN: Duration = Duration::from_secs(3_600);
/// After this long what is durable is deleted, though other messages of the batch are not yet.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// What every poll of a queue shares.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) settings: QueueSettings,
    /// The queue for receives, which are made again at the source's pace and at no other.
    pub(crate) receiving: Queue,
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
    /// Until then messages are received one by one, so that one which makes an answer unreadable holds up no other.
    pub(crate) singly_until: Mutex<Option<Instant>>,
    /// When it was last said that the journal refuses a message for good.
    pub(crate) refusal_said: Mutex<Option<Instant>>,
}

/// What became of a message in hand.
enum Fate {
    Durable(Lease),
    /// It is to be another's.
    GivenUp(Lease),
    /// It is another's, or will be.
    Left,
    /// The journal takes nothing any more.
    Over(JournalError),
}

impl Poller {
    /// One poll.
    ///
    /// # Errors
    /// If the journal is closed or poisoned, so that no poll makes sense any more.
    pub(crate) async fn poll_once(&self) -> Result<Ended, SourceError> {
        let span = self.intake.tracer().root(SpanKind::Client, || self.span_name("receive"));
        let poll = match self.receive().await {
            Ok(Some(poll)) => poll,
            Ok(None) => {
                span.forget();
                return Ok(Ended::Stopped);
            }
            Err(error) => {
                self.meter.polled("failed");
                self.note(&span, "receive");
                span.fail(error.status().map_or_else(|| "_OTHER".to_owned(), |status| status.to_string()));
                return Ok(Ended::Failed);
            }
        };
        self.note_without_handle(&poll);
        self.meter.polled(if poll.messages.is_empty() { "empty" } else { "messages" });
        if poll.messages.is_empty() {
            // An idle queue is asked twice a minute, day and night.
            span.forget();
            return Ok(self.empty(&poll));
        }
        let count = poll.messages.len();
        self.note(&span, "receive");
        span.set("messaging.batch.message_count", i64::try_from(count).unwrap_or(i64::MAX));
        let messages = self.decode(poll, span.context());
        drop(span);
        let mut accepting = messages.into_iter().map(|message| self.accept_one(message)).collect();
        let (mut accepted, mut failed) = (0, false);
        while let Some(durable) = self.accept(&mut accepting).await? {
            accepted += durable.len();
            failed |= self.delete(durable).await.is_err();
        }
        // Where the journal takes none of them, the next would fare no better.
        Ok(if failed || accepted == 0 { Ended::Failed } else { Ended::Messages(count) })
    }

    /// Nothing if the relay stops meanwhile: the poll is dropped, and what the service hands out at that very moment
    /// becomes visible again.
    async fn receive(&self) -> Result<Option<Poll>, Error> {
        let most = if self.receives_singly() { 1 } else { MAX_BATCH };
        let received = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(None),
            received = self.receiving.receive_batch(most, MAX_WAIT) => received,
        };
        match &received {
            Ok(poll) => {
                self.note_time(poll.answered_at);
                self.answered(Asked::Receive);
            }
            Err(error) => {
                if let ErrorKind::ClockSkew { server_time } = error.kind() {
                    self.note_time(server_time);
                }
                self.failed(Asked::Receive, error);
                if error.kind() == ErrorKind::Unreadable && error.status().is_some_and(|status| status < 300)
                {
                    self.receive_singly();
                }
            }
        }
        received.map(Some)
    }

    /// What time it is for the service tells whether our clock is right.
    fn note_time(&self, theirs: Option<Timestamp>) {
        if let Some(theirs) = theirs {
            let now = self.clock.now();
            self.meter.clock(now, theirs);
            let theirs = theirs.as_second();
            self.intake.vitals().signed(theirs, theirs - now.as_second());
        }
    }

    /// The service did what it was asked for.
    pub(crate) fn answered(&self, asked: Asked) {
        self.standing.good(asked, &self.settings.name, &self.meter);
        if self.standing.is_up() {
            self.intake.vitals().in_reach(&self.settings.source);
        }
    }

    /// It did not.
    pub(crate) fn failed(&self, asked: Asked, error: &Error) {
        self.standing.bad(asked, error, &self.settings.name, &self.meter);
        let why = format!("{error}; {}", mend(error));
        self.intake.vitals().out_of_reach(&self.settings.source, why);
    }

    fn span_name(&self, operation: &str) -> String {
        format!("{operation} {}", self.settings.queue.name())
    }

    /// What OpenTelemetry wants to know of a span about messages.
    fn note(&self, span: &Span, operation: &'static str) {
        span.set("messaging.system", "aliyun_mns");
        span.set("messaging.operation.name", operation);
        span.set("messaging.operation.type", operation);
        span.set_with("messaging.destination.name", || self.settings.queue.name().to_string());
        span.set_with("vodrelay.queue", || self.settings.name.to_string());
    }

    fn receives_singly(&self) -> bool {
        let until = *self.singly_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Until the messages of an answer that could not be read have come again.
    fn receive_singly(&self) {
        let until = Instant::now() + self.visibility() + SINGLY;
        *self.singly_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn note_without_handle(&self, poll: &Poll) {
        if poll.unreadable > 0 {
            self.meter.without_handle(poll.unreadable as u64);
            tracing::warn!(
                queue.name = %self.settings.name, messages = poll.unreadable,
                "messages came without a handle, so that nothing can be done with them; they become visible again"
            );
        }
    }

    fn empty(&self, poll: &Poll) -> Ended {
        // They would come at once, and be billed, without end.
        if poll.unreadable > 0 {
            return Ended::Failed;
        }
        let early = poll.is_early();
        self.meter.empty(early);
        if early { Ended::Early } else { Ended::Empty }
    }

    fn visibility(&self) -> Duration {
        Duration::from_millis(self.visibility_ms.load(Ordering::Relaxed))
    }

    fn decode(&self, poll: Poll, received_by: Option<TraceContext>) -> Vec<(Lease, Arrival, Span)> {
        let (now, received_at) = (Instant::now(), self.clock.now());
        let answered_at = poll.answered_at;
        let told = |message: &Message| visibility(message, answered_at);
        if let Some(span) = poll.messages.iter().find_map(told) {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            self.visibility_ms.store(millis, Ordering::Relaxed);
        }
        let decode = |message: Message| {
            if message.dequeue_count > 1 {
                self.meter.repeated();
            }
            if message.body_md5_matches() == Some(false) {
                self.meter.wrong_md5();
            }
            let visibility = told(&message).unwrap_or_else(|| self.visibility());
            let bytes = message.raw_body.unwrap_or_else(|| message.body.into_bytes());
            let body = match vod_event::queue::decode_body(&bytes) {
                Cow::Owned(decoded) => Bytes::from(decoded),
                Cow::Borrowed(_) => Bytes::from(bytes),
            };
            let QueueSettings { source, labels, .. } = &self.settings;
            let span =
                self.intake.tracer().linked(SpanKind::Consumer, || self.span_name("process"), received_by);
            self.note(&span, "process");
            span.set("messaging.message.id", message.message_id);
            let (source, labels, trace) = (source.clone(), Arc::clone(labels), span.context());
            let arrival = Arrival { source, body, received_at, labels, trace };
            (Lease::new(message.receipt_handle, visibility, now), arrival, span)
        };
        poll.messages.into_iter().map(decode).collect()
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
                Some(Fate::Left) => {}
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

    /// While the append takes its time, the message is kept ours; while the journal has no room, one message is.
    async fn accept_one(&self, (mut lease, arrival, span): (Lease, Arrival, Span)) -> Fate {
        let queue = &self.settings.queue;
        let (place, body) = (self.stall.place(), arrival.body.clone());
        let mut appending = pin!(self.append(arrival, &place));
        let appended = loop {
            tokio::select! {
                biased;
                appended = &mut appending => break appended,
                () = self.overdue.cancelled() => return Fate::GivenUp(lease),
                () = lease.due() => {
                    if lease.renewals() >= RENEWALS && place.leave() {
                        lease.give_back(queue).await;
                        return Fate::Left;
                    }
                    lease.renew(queue, &self.meter).await;
                }
            }
        };
        if appended.is_err() {
            span.fail("journal");
        }
        match appended {
            Ok(accepted) => {
                self.meter.accepted(&accepted, self.clock.now());
                tracing::debug!(queue.name = %self.settings.name, event.id = %accepted.id, "a message was accepted");
                Fate::Durable(lease)
            }
            Err(error @ (JournalError::Poisoned(_) | JournalError::Closed)) => Fate::Over(error),
            Err(error @ JournalError::Invalid(_)) => {
                self.note_refused(&error, &body);
                lease.put_off(queue).await;
                Fate::Left
            }
            Err(_) => Fate::GivenUp(lease),
        }
    }

    /// A message that the journal would refuse again as well holds up no other.
    fn note_refused(&self, error: &JournalError, body: &[u8]) {
        self.meter.refused(1);
        let now = Instant::now();
        let mut said = self.refusal_said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| now - said >= SAID_AGAIN) {
            *said = Some(now);
            tracing::error!(
                queue.name = %self.settings.name, event.id = %Intake::identify(body), error = %error,
                "a message cannot be kept, and could not be when tried again; it stays in the queue, and comes again \
                 every two minutes until the cause is gone or the queue's retention is over"
            );
        }
    }

    /// Appends, however often it takes, until the relay stops. While it waits for the journal no poll begins.
    async fn append(&self, arrival: Arrival, place: &Place<'_>) -> Result<Accepted, JournalError> {
        let mut tries = 0;
        loop {
            let error = match self.intake.accept(arrival.clone()).await {
                Err(
                    error @ (JournalError::Poisoned(_) | JournalError::Closed | JournalError::Invalid(_)),
                ) => {
                    return Err(error);
                }
                Err(error) => error,
                Ok(accepted) => return Ok(accepted),
            };
            place.wait(&error);
            tries += 1;
            tokio::select! {
                () = sleep(longest(tries, JOURNAL_CAP).mul_f64(rand::random())) => {}
                () = self.stop.cancelled() => return Err(error),
            }
        }
    }
}
