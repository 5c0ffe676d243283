//! One callback, from head to answer: route, method, head, proof, body, accept.
//!
//! The order is that of the answers: 404, 405, 431 and 415, 401, 413. What costs nothing is judged first, and no byte
//! of a body is read on behalf of an event before its sender has proven to know the key.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout_at};
use vod_event::EventId;
use vodrelay_core::{Appended, Arrival, Intake, RefusalCause, TraceContext, TroubleKind};

use crate::address::sender;
use crate::answer::Answer;
use crate::body::{self, End};
use crate::hints::Hint;
use crate::pace::{BUDGET, Pace};
use crate::proof::{Judged, Standing, Unproven, judge};
use crate::receiver::{Callback, Receiver};
use crate::trace;

/// The largest head that is received. The transport has a harder limit behind it, for heads that never end.
const HEAD_LIMIT: usize = 16 << 10;

/// A request whose head is fine, with what is known of how it came.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) headers: HeaderMap,
    pub(crate) sender: IpAddr,
    /// When its first byte was here, by the clock on the wall …
    pub(crate) received_at: Timestamp,
    /// … and by when it has its answer.
    pub(crate) by: Instant,
    /// What its head promises of the body; nothing of a chunked one.
    pub(crate) length: Option<u64>,
    /// The span of the request, where it is recorded.
    pub(crate) trace: Option<TraceContext>,
}

/// The end of a request, and whether its body was read to the end, so that another may follow on the connection.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) answer: Answer,
    pub(crate) read: bool,
    /// The type of the event, where there is one.
    pub(crate) event_type: Option<String>,
}

impl Receiver {
    /// Answers one request, within the budget.
    pub(crate) async fn receive(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        pace: &Pace,
    ) -> Response<Full<Bytes>> {
        let started = pace.begin();
        let bodiless = request.body().is_end_stream();
        let span = self.span_of(&request, peer, started);
        let steps = self.steps(request, peer, (started, span.context()));
        let ended = steps.await.unwrap_or_else(|ended| ended);
        trace::note(&span, ended.answer);
        self.meter.answered(ended.answer, ended.event_type.as_deref(), started.elapsed());
        let unread = !ended.read && !bodiless;
        pace.answered(unread);
        ended.answer.response(unread || self.is_draining() || self.is_crowded())
    }

    async fn steps(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        began: (Instant, Option<TraceContext>),
    ) -> Result<Ended, Ended> {
        let Some(callback) = self.callback(request.uri().path()) else {
            return Ok(self.elsewhere(request, peer, began).await);
        };
        check_method(&request)?;
        check_head(&request)?;
        let (visit, incoming) = self.visit(request, peer, began);
        let judged = judge(callback, &visit.headers, visit.received_at);
        if let Some(probed) = self.probe(callback, &visit, &judged) {
            return Err(probed);
        }
        self.note_clock(callback, &judged, visit.received_at);
        let judged = match judged {
            Ok(judged) => judged,
            Err(unproven) => return Err(self.refuse(callback, visit, incoming, unproven).await),
        };
        let standing = judged.standing;
        self.note(callback, &visit, &judged);
        self.check_length(callback, &visit)?;
        let size = self.size(&visit);
        let Some(_place) = self.admission.enter(size, visit.by).await else {
            return Err(self.busy(callback, &visit, "to be read"));
        };
        let body = self.read(callback, &visit, incoming).await?;
        if standing != Standing::Proven && !Intake::can_read(&body) {
            return Err(self.refuse_unreadable(callback, &visit, body));
        }
        self.accept(callback, &visit, body).await
    }

    pub(crate) fn visit(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        (started, trace): (Instant, Option<TraceContext>),
    ) -> (Visit, Incoming) {
        let (head, incoming) = request.into_parts();
        let since = SignedDuration::try_from(started.elapsed()).unwrap_or_default();
        let now = self.clock.now();
        let visit = Visit {
            sender: sender(&self.settings.trusted_proxies, peer, &head.headers),
            received_at: now.checked_sub(since).unwrap_or(now),
            by: started + BUDGET,
            length: incoming.size_hint().exact(),
            trace,
            headers: head.headers,
        };
        (visit, incoming)
    }

    fn note(&self, callback: &Callback, visit: &Visit, judged: &Judged<'_>) {
        if let (Some((_, key)), Some(meter)) = (&judged.proven, self.meters.get(callback)) {
            meter.used(key, visit.received_at);
        }
        if judged.standing == Standing::Unjudged && self.hints.due(Hint::Ignored) {
            tracing::warn!(
                callback.name = %callback.name,
                "a request has a proof that is ignored, since no key is set; set the key to have proofs checked",
            );
        }
    }

    /// What is signed with a key of ours tells the provider's time, be it too far off or not.
    fn note_clock(&self, callback: &Callback, judged: &Result<Judged<'_>, Unproven>, received_at: Timestamp) {
        let signed_at = match judged {
            Ok(Judged { proven: Some((proof, _)), .. }) => proof.timestamp,
            Err(Unproven { cause: RefusalCause::Stale, proof: Some(proof), .. }) => proof.timestamp,
            _ => return,
        };
        let behind = signed_at.saturating_sub(received_at.as_second());
        self.intake.vitals().signed(signed_at, behind);
        if let Some(meter) = self.meters.get(callback) {
            meter.clock(-(behind as f64));
        }
    }

    fn check_length(&self, callback: &Callback, visit: &Visit) -> Result<(), Ended> {
        match visit.length {
            Some(length) if length > self.settings.body_limit as u64 => Err(self.too_large(callback, visit)),
            _ => Ok(()),
        }
    }

    /// The room that the body needs at most.
    pub(crate) fn size(&self, visit: &Visit) -> usize {
        let promised = visit.length.and_then(|length| usize::try_from(length).ok());
        promised.unwrap_or(usize::MAX).min(self.settings.body_limit)
    }

    async fn read(&self, callback: &Callback, visit: &Visit, incoming: Incoming) -> Result<Bytes, Ended> {
        let (body, end) = body::read(incoming, self.settings.body_limit, visit.by).await;
        let answer = match end {
            End::Whole => return Ok(body),
            End::TooLarge => return Err(self.too_large(callback, visit)),
            End::Late => Answer::SlowBody,
            End::Broken => Answer::BrokenBody,
        };
        tracing::info!(
            callback.name = %callback.name, http.sender = %visit.sender, http.read_bytes = body.len(), answer = answer.as_str(),
            "a callback's body did not arrive whole, so it was not accepted",
        );
        Err(answer.into())
    }

    async fn accept(&self, callback: &Callback, visit: &Visit, body: Bytes) -> Result<Ended, Ended> {
        let arrival = Arrival {
            source: callback.source.clone(),
            body,
            received_at: visit.received_at,
            labels: Arc::clone(&callback.labels),
            trace: visit.trace,
        };
        // What is not known to be accepted is read once more; that is seldom.
        let (started, bytes) = (Instant::now(), arrival.body.clone());
        // Dropped at the end of the budget, the event is appended wholly or not at all; the retry is a duplicate then.
        let accepted = timeout_at(visit.by, self.intake.accept(arrival)).await;
        self.admission.learn(started.elapsed());
        let accepted = match accepted {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(error)) => {
                let id = Intake::identify(&bytes);
                self.note_repeat(callback, &id);
                if self.hints.due(Hint::Journal) {
                    tracing::error!(callback.name = %callback.name, event.id = %id, error = %error, "failed to accept a callback");
                }
                return Err(Ended::after_reading(Answer::JournalDown));
            }
            Err(_) => {
                self.note_repeat(callback, &Intake::identify(&bytes));
                return Err(Ended { read: true, ..self.busy(callback, visit, "for the journal") });
            }
        };
        self.note_repeat(callback, &accepted.id);
        if let Some(meter) = self.meters.get(callback) {
            meter.accepted(visit.received_at);
        }
        let answer = if accepted.appended == Appended::New { Answer::Accepted } else { Answer::Duplicate };
        tracing::debug!(callback.name = %callback.name, event.id = %accepted.id, answer = answer.as_str(), "a callback was accepted");
        Ok(Ended { answer, read: true, event_type: accepted.event_type })
    }

    fn note_repeat(&self, callback: &Callback, id: &EventId) {
        if self.repeats.note(callback.name.as_str(), id) {
            self.meter.repeated();
        }
    }

    fn too_large(&self, callback: &Callback, visit: &Visit) -> Ended {
        self.intake.turned_away(TroubleKind::TooLarge, &callback.source, visit.received_at);
        if self.hints.due(Hint::TooLarge) {
            tracing::warn!(
                "a callback above http.body_limit was turned away; no event of VOD is known to be that large"
            );
        }
        Answer::TooLarge.into()
    }

    /// Answered 503 before anything of it was read: nobody knows for which callback it was, so it counts for each.
    pub(crate) fn turned_away_unread(&self) {
        let now = self.clock.now();
        for callback in &self.settings.callbacks {
            self.intake.turned_away(TroubleKind::Busy, &callback.source, now);
        }
        self.meter.answered(Answer::Busy, None, Duration::ZERO);
        self.explain_busy("for a connection");
    }

    fn busy(&self, callback: &Callback, visit: &Visit, waited: &'static str) -> Ended {
        self.intake.turned_away(TroubleKind::Busy, &callback.source, visit.received_at);
        self.explain_busy(waited);
        Answer::Busy.into()
    }

    fn explain_busy(&self, waited: &'static str) {
        if self.hints.due(Hint::Busy) {
            tracing::warn!(
                waited,
                "callbacks are answered 503, since their three seconds would not do; the provider tries again"
            );
        }
    }
}

fn check_method(request: &Request<Incoming>) -> Result<(), Ended> {
    if request.method() == Method::POST { Ok(()) } else { Err(Answer::NotPost.into()) }
}

fn check_head(request: &Request<Incoming>) -> Result<(), Ended> {
    let headers = request.headers();
    let lines: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if lines + target > HEAD_LIMIT {
        return Err(Answer::HeadTooLarge.into());
    }
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Answer::Encoded.into());
    }
    Ok(())
}

impl Ended {
    /// An end after the whole body was read.
    pub(crate) fn after_reading(answer: Answer) -> Self {
        Self { answer, read: true, event_type: None }
    }
}

impl From<Answer> for Ended {
    fn from(answer: Answer) -> Self {
        Self { answer, read: false, event_type: None }
    }
}
