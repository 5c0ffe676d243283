//! What dispatchers tell while it happens, for whoever listens. Nothing of it is kept, and while nobody listens it costs one
//! look at a counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use vod_event::EventId;

use crate::name::SinkName;

/// So much waits for a listener that is slow; one that is further behind misses the rest.
const WAITING: usize = 1_024;

/// Where it is told. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sender: broadcast::Sender<Arc<Happening>>,
    listeners: AtomicUsize,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Happening {
    /// A sink was offered a delivery, and answered or not.
    Attempt(AttemptMade),
    /// A delivery is done or given up, and that is durable.
    Settled(DeliverySettled),
}

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptMade {
    /// The event.
    pub event_id: EventId,
    /// The sink.
    pub sink: SinkName,
    /// Which attempt of the delivery it was.
    pub attempt: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took.
    pub took_ms: u64,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// `delivered`, `retry`, `dead_letter`, or `postponed` where the sink put it off.
    pub outcome: &'static str,
    /// What went wrong.
    pub note: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
}

/// A delivery that is settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliverySettled {
    /// The event.
    pub event_id: EventId,
    /// The sink.
    pub sink: SinkName,
    /// `delivered` or `dead_letter`.
    pub state: &'static str,
    /// Why it was given up.
    pub reason: Option<String>,
}

/// Hears what is told from now on.
#[derive(Debug)]
pub struct Listener {
    feed: Feed,
    receiver: broadcast::Receiver<Arc<Happening>>,
}

/// That a listener was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed(pub u64);

impl Feed {
    /// Begins to listen.
    #[must_use]
    pub fn listen(&self) -> Listener {
        self.0.listeners.fetch_add(1, Ordering::Relaxed);
        Listener { feed: self.clone(), receiver: self.0.sender.subscribe() }
    }

    /// Whether there is any use in telling.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.0.listeners.load(Ordering::Relaxed) > 0
    }

    /// Tells those who listen.
    pub fn tell(&self, happening: impl FnOnce() -> Happening) {
        if self.is_heard() {
            // The last of them may have left just now.
            let _ = self.0.sender.send(Arc::new(happening()));
        }
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Inner { sender: broadcast::Sender::new(WAITING), listeners: AtomicUsize::new(0) }))
    }
}

impl Listener {
    /// The next that is told.
    ///
    /// # Errors
    /// If so much was told meanwhile that some of it is lost; those that are left come next.
    pub async fn next(&mut self) -> Result<Arc<Happening>, Missed> {
        match self.receiver.recv().await {
            Ok(happening) => Ok(happening),
            Err(RecvError::Lagged(missed)) => Err(Missed(missed)),
            // The feed is held here, so it is not closed before.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.feed.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(number: u8) -> Happening {
        let sink = SinkName::new("a").unwrap();
        let event_id = EventId::from_bytes([number; 16]);
        Happening::Settled(DeliverySettled { event_id, sink, state: "delivered", reason: None })
    }

    #[tokio::test]
    async fn who_listens_hears_what_comes_and_who_is_slow_is_told_so() {
        let feed = Feed::default();
        feed.tell(|| panic!("nobody listens"));
        let mut listener = feed.listen();
        feed.tell(|| settled(1));
        assert_eq!(*listener.next().await.unwrap(), settled(1));
        for _ in 0..WAITING + 3 {
            feed.tell(|| settled(2));
        }
        assert_eq!(listener.next().await, Err(Missed(3)));
        assert_eq!(*listener.next().await.unwrap(), settled(2));
        drop(listener);
        assert!(!feed.is_heard());
        feed.tell(|| panic!("nobody listens any more"));
    }
}
