//! Spans while they are open, and what is left of them when they end. Where nothing is recorded a span is nothing at all.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::TraceContext;
use crate::clock::Clock;

/// Spans that may wait for whoever exports them; further ones are dropped and counted.
const WAITING: usize = 4_096;

/// Begins spans. Cloning it is cheap; one by default records nothing.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    clock: Arc<dyn Clock>,
    sample: f64,
    ended: mpsc::Sender<SpanRecord>,
}

/// Something that takes time. It ends when its last clone goes; cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Span(Option<Arc<Open>>);

struct Open {
    tracer: Arc<Inner>,
    context: TraceContext,
    started: Instant,
    record: Mutex<Option<SpanRecord>>,
}

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanRecord {
    /// Which span it is.
    pub context: TraceContext,
    /// The span of the same trace that it is part of.
    pub parent: Option<TraceContext>,
    /// Spans that it goes back to, mostly of other traces.
    pub links: Vec<Link>,
    /// What it is called; few different names, so that they can be grouped.
    pub name: String,
    /// Which side of an exchange it is.
    pub kind: SpanKind,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it failed.
    pub failed: bool,
}

/// The span that another goes back to.
pub type Link = TraceContext;

/// Which side of an exchange a span is, with the numbers of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// None: it stays inside.
    Internal = 1,
    /// It answers a request.
    Server = 2,
    /// It makes a request.
    Client = 3,
    /// It works on a message.
    Consumer = 5,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl Tracer {
    /// A tracer that records this part of all traces, from 0 to 1, and where its spans come out when they have ended.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, sample: f64) -> (Self, mpsc::Receiver<SpanRecord>) {
        let (ended, ends) = mpsc::channel(WAITING);
        (Self(Some(Arc::new(Inner { clock, sample, ended }))), ends)
    }

    /// Whether there is any use in preparing a span.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The first span of a trace, where this one is to be recorded.
    #[must_use]
    pub fn root(&self, kind: SpanKind, name: impl FnOnce() -> String) -> Span {
        match &self.0 {
            Some(tracer) if rand::random::<f64>() < tracer.sample => {
                tracer.open(kind, name(), None, Vec::new())
            }
            _ => Span::default(),
        }
    }

    /// A span within that one, which whoever began it records.
    #[must_use]
    pub fn child(&self, kind: SpanKind, name: impl FnOnce() -> String, parent: Option<TraceContext>) -> Span {
        match (&self.0, parent) {
            (Some(tracer), Some(_)) => tracer.open(kind, name(), parent, Vec::new()),
            _ => Span::default(),
        }
    }

    /// The first span of a trace of its own that goes back to that one, and is recorded if that one was.
    #[must_use]
    pub fn linked(&self, kind: SpanKind, name: impl FnOnce() -> String, link: Option<TraceContext>) -> Span {
        match (&self.0, link) {
            (Some(tracer), Some(link)) => tracer.open(kind, name(), None, vec![link]),
            _ => Span::default(),
        }
    }
}

impl Inner {
    fn open(
        self: &Arc<Self>,
        kind: SpanKind,
        name: String,
        parent: Option<TraceContext>,
        links: Vec<Link>,
    ) -> Span {
        let trace_id = parent.map_or_else(rand::random, |parent| parent.trace_id);
        // One of so many is all zeros; that span is not recorded.
        let Some(context) = TraceContext::new(trace_id, rand::random()) else { return Span::default() };
        let record = SpanRecord {
            context,
            parent,
            links,
            name,
            kind,
            started_at: self.clock.now(),
            took: Duration::ZERO,
            attributes: Vec::new(),
            failed: false,
        };
        let record = Mutex::new(Some(record));
        Span(Some(Arc::new(Open { tracer: Arc::clone(self), context, started: Instant::now(), record })))
    }
}

impl Span {
    /// What names it; nothing where it is not recorded.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|open| open.context)
    }

    /// Notes something about it.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.change(|record| record.attributes.push((key, value.into())));
    }

    /// The same, where working the value out costs something.
    pub fn set_with<V: Into<Value>>(&self, key: &'static str, value: impl FnOnce() -> V) {
        self.change(|record| record.attributes.push((key, value().into())));
    }

    /// It failed, in a way that has this short name.
    pub fn fail(&self, error_type: impl Into<String>) {
        self.change(|record| {
            record.failed = true;
            record.attributes.push(("error.type", Value::Text(error_type.into())));
        });
    }

    /// It goes back to that one as well.
    pub fn link(&self, to: Option<TraceContext>) {
        self.change(|record| record.links.extend(to));
    }

    /// It began so much earlier than it was opened.
    pub fn began_before(&self, by: Duration) {
        self.change(|record| {
            record.started_at = record.started_at.checked_sub(by).unwrap_or(record.started_at);
            record.took += by;
        });
    }

    /// It was nothing worth telling.
    pub fn forget(self) {
        if let Some(open) = &self.0 {
            *open.record() = None;
        }
    }

    fn change(&self, change: impl FnOnce(&mut SpanRecord)) {
        if let Some(open) = &self.0
            && let Some(record) = open.record().as_mut()
        {
            change(record);
        }
    }
}

impl Open {
    fn record(&self) -> MutexGuard<'_, Option<SpanRecord>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    /// Hands the record over, or counts that nobody took it. Nobody ever waits here.
    fn drop(&mut self) {
        let Some(mut record) = self.record().take() else { return };
        record.took += self.started.elapsed();
        if self.tracer.ended.try_send(record).is_err() {
            metrics::counter!("vodrelay_spans_dropped_total", "reason" => "queue").increment(1);
        }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracer({})", if self.is_on() { "on" } else { "off" })
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Open({:?})", self.context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    fn tracer(sample: f64) -> (Tracer, mpsc::Receiver<SpanRecord>) {
        Tracer::new(Arc::new(ManualClock::default()), sample)
    }

    #[test]
    fn what_is_off_prepares_nothing_and_names_nothing() {
        let off = Tracer::default();
        let name = || panic!("nobody asks for a name");
        assert_eq!(off.root(SpanKind::Server, name).context(), None);
        let other = tracer(1.0).0.root(SpanKind::Server, || "x".to_owned()).context();
        assert_eq!(off.linked(SpanKind::Client, name, other).context(), None);
        let (on, _ends) = tracer(0.0);
        let span = on.root(SpanKind::Server, name);
        assert_eq!(span.context(), None);
        span.set_with("x", || -> String { panic!("nobody asks for a value") });
        assert_eq!(on.child(SpanKind::Internal, name, span.context()).context(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn spans_come_out_when_their_last_clone_goes() {
        let (on, mut ends) = tracer(1.0);
        let root = on.root(SpanKind::Server, || "POST /vod/callback".to_owned());
        let child = on.child(SpanKind::Internal, || "append".to_owned(), root.context());
        tokio::time::advance(Duration::from_millis(5)).await;
        child.set("vodrelay.event.id", "evt_1");
        let clone = child.clone();
        drop(child);
        assert!(ends.try_recv().is_err());
        clone.fail("timeout");
        drop(clone);
        let record = ends.try_recv().unwrap();
        assert_eq!(record.parent, root.context());
        assert_eq!(record.context.trace_id(), root.context().unwrap().trace_id());
        assert_eq!((record.took, record.failed), (Duration::from_millis(5), true));
        assert_eq!(record.attributes[1], ("error.type", Value::Text("timeout".to_owned())));

        let attempt = on.linked(SpanKind::Client, || "deliver cms".to_owned(), root.context());
        assert_ne!(attempt.context().unwrap().trace_id(), root.context().unwrap().trace_id());
        drop(attempt);
        assert_eq!(ends.try_recv().unwrap().links, [root.context().unwrap()]);
        root.forget();
        assert!(ends.try_recv().is_err());
    }

    #[test]
    fn whoever_does_not_take_spans_holds_nobody_up() {
        let (on, ends) = tracer(1.0);
        for _ in 0..WAITING + 10 {
            drop(on.root(SpanKind::Client, || "x".to_owned()));
        }
        assert_eq!(ends.len(), WAITING);
        drop(ends);
        drop(on.root(SpanKind::Client, || "x".to_owned()));
    }
}
