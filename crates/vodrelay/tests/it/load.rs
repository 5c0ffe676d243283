//! A load of callbacks by senders that keep the provider's contract and go on until they are told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use vodrelay_core::testing::event_body;

use crate::relay::{client, send_as_vod, until};

/// The senders, and what became of what they sent.
pub(crate) struct Load {
    counts: Arc<Counts>,
    senders: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    next: AtomicUsize,
    in_flight: AtomicUsize,
    accepted: AtomicUsize,
    given_up: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    pub(crate) fn start(senders: usize, to: SocketAddr) -> Self {
        let counts = Arc::<Counts>::default();
        let senders = (0..senders).map(|_| tokio::spawn(send(Arc::clone(&counts), to))).collect();
        Self { counts, senders }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.counts.in_flight.load(Ordering::SeqCst)
    }

    /// Waits until so many more were accepted.
    pub(crate) async fn until_accepted(&self, more: usize) {
        let accepted = || self.counts.accepted.load(Ordering::SeqCst);
        let due = accepted() + more;
        until("the load", Duration::from_secs(60), || accepted() >= due).await;
    }

    /// Ends it: how many events were accepted, and how many given up by their sender. Those that were accepted are the
    /// first so many of `event_body` where none was given up.
    pub(crate) async fn stop(self) -> (usize, usize) {
        self.counts.is_over.store(true, Ordering::SeqCst);
        for sender in self.senders {
            sender.await.unwrap();
        }
        (self.counts.accepted.load(Ordering::SeqCst), self.counts.given_up.load(Ordering::SeqCst))
    }
}

async fn send(counts: Arc<Counts>, to: SocketAddr) {
    let client = client();
    while !counts.is_over.load(Ordering::SeqCst) {
        let event = counts.next.fetch_add(1, Ordering::SeqCst);
        counts.in_flight.fetch_add(1, Ordering::SeqCst);
        let yes = send_as_vod(&client, to, event_body(event)).await;
        counts.in_flight.fetch_sub(1, Ordering::SeqCst);
        let counted = if yes { &counts.accepted } else { &counts.given_up };
        counted.fetch_add(1, Ordering::SeqCst);
    }
}
