//! Requests that are turned away and kept, because our own wrong key, URL or clock may be why.

use bytes::Bytes;
use hyper::body::Incoming;
use tokio::time::Instant;
use vodrelay_core::{Refusal, RefusalCause, TroubleKind};

use crate::answer::Answer;
use crate::body::{self, End};
use crate::hints::Hint;
use crate::proof::{SIGNATURE, TIMESTAMP, Unproven, as_it_came};
use crate::receive::{Ended, Visit};
use crate::receiver::{Callback, Receiver};

impl Receiver {
    /// Answers 401. The body is read and kept, unless its address has failed too often or too much is being kept.
    pub(crate) async fn refuse(
        &self,
        callback: &Callback,
        visit: Visit,
        incoming: Incoming,
        unproven: Unproven,
    ) -> Ended {
        self.count(callback, &visit, unproven.cause);
        let size = self.size(&visit);
        if !self.throttle.keeps(visit.sender, unproven.cause, size, Instant::now()) {
            return Answer::Unproven.into();
        }
        let Some(_place) = self.refused.try_enter(size) else { return Answer::Unproven.into() };
        self.explain(callback, &visit, &unproven);
        let (body, end) = body::read(incoming, self.settings.body_limit, visit.by).await;
        let detail = unproven.detail();
        self.keep(
            callback,
            &visit,
            Refused { cause: unproven.cause, detail, body, cut_short: end != End::Whole },
        );
        Ended { read: end == End::Whole, ..Answer::Unproven.into() }
    }

    /// Answers 400: admitted without a proof, and not an event.
    pub(crate) fn refuse_unreadable(&self, callback: &Callback, visit: &Visit, body: Bytes) -> Ended {
        let cause = RefusalCause::Unreadable;
        self.count(callback, visit, cause);
        if self.throttle.keeps(visit.sender, cause, body.len(), Instant::now()) {
            tracing::warn!(
                callback.name = %callback.name, http.sender = %visit.sender, http.read_bytes = body.len(),
                "a request without a proof is not an event either, so it was refused",
            );
            let detail = "cannot be read as an event, and has no proof".to_owned();
            self.keep(callback, visit, Refused { cause, detail, body, cut_short: false });
        }
        Ended::after_reading(Answer::Unreadable)
    }

    /// Whether it is kept or not, it was refused, and people want to know when.
    fn count(&self, callback: &Callback, visit: &Visit, cause: RefusalCause) {
        self.meter.failed(cause);
        self.intake.turned_away(TroubleKind::Refused(cause), &callback.source, visit.received_at);
    }

    fn keep(&self, callback: &Callback, visit: &Visit, refused: Refused) {
        self.intake.refuse(Refusal {
            source: callback.source.clone(),
            cause: refused.cause,
            detail: refused.detail,
            received_at: visit.received_at,
            address: visit.sender.to_string(),
            timestamp: as_it_came(&visit.headers, TIMESTAMP),
            signature: as_it_came(&visit.headers, SIGNATURE),
            // A copy, since the original may be a small piece of a large read buffer.
            body: Bytes::copy_from_slice(&refused.body),
            cut_short: refused.cut_short,
        });
    }

    /// Says why, and, once a minute for each cause, what would mend it.
    fn explain(&self, callback: &Callback, visit: &Visit, unproven: &Unproven) {
        tracing::info!(
            callback.name = %callback.name, http.sender = %visit.sender, proof.cause = unproven.cause.as_str(), error = unproven.detail(),
            "a callback was refused",
        );
        match (unproven.cause, &unproven.proof) {
            // Looking is slow, and a forgery that resembles nothing must not use up the hint of the minute.
            (RefusalCause::Mismatch, Some(proof)) if self.hints.due(Hint::Search) => {
                if let Some(miss) = callback.endpoint.near_miss(proof)
                    && self.hints.due(Hint::NearMiss)
                {
                    tracing::warn!(
                        callback.name = %callback.name,
                        callback.public_url = callback.endpoint.url,
                        proof.url = miss.url,
                        proof.key = miss.key,
                        proof.differences = miss.differences.join(", "),
                        "a refused proof would be right for another spelling; compare the callback with what VOD has",
                    );
                }
            }
            (RefusalCause::Stale, Some(_)) if self.hints.due(Hint::Clock) => tracing::warn!(
                callback.name = %callback.name, error = %unproven.error, clock.now = %visit.received_at,
                "a refused proof is right but for its age; check the clock of this machine",
            ),
            (RefusalCause::Missing, _) if self.hints.due(Hint::NoProof) => tracing::warn!(
                callback.name = %callback.name,
                "a callback came without a proof; switch authentication on at VOD, or set allow_unsigned",
            ),
            _ => {}
        }
    }
}

struct Refused {
    cause: RefusalCause,
    detail: String,
    body: Bytes,
    cut_short: bool,
}
