//! One attempt: the sink is called under a time limit, and whatever it does becomes a result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::meter::Meter;
use crate::clock::Clock;
use crate::envelope::Delivery;
use crate::feed::AttemptMade;
use crate::journal::{Attempt, Claim, Outcome, Token};
use crate::name::SinkName;
use crate::retry::History;
use crate::sink::{Receipt, Retry, Sink, SinkError};
use crate::trace::Span;

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) token: Token,
    pub(super) delivery: Delivery,
    pub(super) result: Result<Receipt, SinkError>,
    started_at: Timestamp,
    took: Duration,
}

/// Offers the delivery to the sink. A sink that hangs is dropped at the limit, one that panics has failed, be it in
/// the call, while it works, or when it is dropped: every attempt ends with a result.
pub(super) async fn make_attempt(
    claim: Claim,
    sink: Arc<dyn Sink>,
    clock: Arc<dyn Clock>,
    limit: Duration,
) -> Attempted {
    let Claim { mut delivery, token } = claim;
    let (started_at, started) = (clock.now(), Instant::now());
    // The call stands inside the block, since a sink may panic before there is a future to poll.
    let delivering = async { sink.deliver(&delivery).await };
    let mut delivering = Box::pin(AssertUnwindSafe(delivering).catch_unwind());
    let result = match timeout(limit, &mut delivering).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            drop_quietly(panic);
            Err(SinkError::temporary("the sink panicked; this is a bug in it"))
        }
        Err(_elapsed) => Err(SinkError::temporary(format!("no answer within {limit:?}"))),
    };
    drop_quietly(delivering);
    note(&std::mem::take(&mut delivery.span), &result);
    Attempted { token, delivery, result, started_at, took: started.elapsed() }
}

/// What came of it, without the words of an error: those may repeat what a receiver answered.
fn note(span: &Span, result: &Result<Receipt, SinkError>) {
    let status = match result {
        Ok(receipt) => receipt.status,
        Err(error) => error.status,
    };
    if let Some(status) = status {
        span.set("http.response.status_code", status);
    }
    match result {
        Ok(_) => {}
        Err(SinkError { retry: Retry::Postponed { .. }, .. }) => span.set("vodrelay.outcome", "postponed"),
        Err(_) => span.fail(status.map_or_else(|| "_OTHER".to_owned(), |status| status.to_string())),
    }
}

/// Drops what came from a sink, and says so if that panics.
fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        tracing::error!("a sink panicked when what it left was dropped; this is a bug in the sink");
        // What a panic carries may panic in turn.
        std::mem::forget(panic);
    }
}

impl Attempted {
    pub(super) fn history(&self, age: Duration) -> History {
        History { tries: self.delivery.tries.saturating_add(1), age }
    }

    /// Whether the sink has put it off, which is no attempt.
    pub(super) fn is_postponed(&self) -> bool {
        matches!(&self.result, Err(SinkError { retry: Retry::Postponed { .. }, .. }))
    }

    pub(super) fn record(&self, age: Duration) -> Attempt {
        let (status, note) = match &self.result {
            Ok(receipt) => (receipt.status, String::new()),
            Err(error) => (error.status, error.message.clone()),
        };
        Attempt { started_at: self.started_at, took: self.took, age, status, note }
    }

    /// As those hear of it who listen.
    pub(super) fn tell(&self, sink: &SinkName, outcome: &Outcome) -> AttemptMade {
        let (status, note) = match &self.result {
            Ok(receipt) => (receipt.status, None),
            Err(error) => (error.status, Some(error.message.clone())),
        };
        let (outcome, next_attempt_at) = match outcome {
            Outcome::Delivered => ("delivered", None),
            Outcome::DeadLetter(_) => ("dead_letter", None),
            Outcome::RetryAt(at) if self.is_postponed() => ("postponed", Some(*at)),
            Outcome::RetryAt(at) => ("retry", Some(*at)),
            Outcome::Released => ("released", None),
        };
        AttemptMade {
            event_id: self.delivery.envelope.id,
            sink: sink.clone(),
            attempt: self.delivery.attempt,
            started_at: self.started_at,
            took_ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            status,
            outcome,
            note,
            next_attempt_at,
        }
    }

    /// Moves the metrics.
    pub(super) fn count(&self, meter: &Meter, outcome: &Outcome, now: Timestamp) {
        if self.is_postponed() {
            meter.postponed();
        } else {
            meter.attempted(&self.delivery, outcome, self.took, now);
        }
    }

    /// Says once what came of it.
    pub(super) fn log(&self, sink: &SinkName, outcome: &Outcome) {
        let (id, attempt) = (self.delivery.envelope.id, self.delivery.attempt);
        if self.is_postponed() {
            self.log_postponement(sink, outcome);
            return;
        }
        match (outcome, &self.result) {
            (Outcome::RetryAt(at), Err(error)) => {
                tracing::warn!(event.id = %id, %sink, attempt, retry.at = %at, %error, "delivery failed; it is tried again");
            }
            (Outcome::DeadLetter(reason), _) => {
                tracing::error!(event.id = %id, %sink, attempt, %reason, "delivery given up; it stands in the dead letters");
            }
            _ => {
                tracing::debug!(event.id = %id, %sink, attempt, took.ms = self.took.as_millis() as u64, "delivered")
            }
        }
    }

    fn log_postponement(&self, sink: &SinkName, outcome: &Outcome) {
        if let (Outcome::RetryAt(at), Err(error)) = (outcome, &self.result) {
            let (id, attempt) = (self.delivery.envelope.id, self.delivery.attempt);
            tracing::debug!(event.id = %id, %sink, attempt, retry.at = %at, reason = %error, "delivery postponed by the sink");
        }
    }
}
