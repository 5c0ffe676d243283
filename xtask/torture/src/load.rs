//! The load of callbacks, and what became of each event: who sends knows every event's number, bytes and fate.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vodrelay_core::testing::event_body;

use crate::sender::{Line, Sender};

/// Nothing that is waited for takes longer, or it stalls.
const LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Senders that go on until they are told to stop.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) seen: Arc<Seen>,
    in_flight: Arc<AtomicUsize>,
    senders: JoinSet<()>,
}

/// What the senders saw.
#[derive(Debug)]
pub(crate) struct Seen {
    next: AtomicUsize,
    accepted: AtomicUsize,
    given_up: AtomicUsize,
    unavailable: AtomicU64,
    over_fresh: AtomicU64,
    is_over: AtomicBool,
    fates: Mutex<Fates>,
}

#[derive(Debug)]
struct Fates {
    /// By the event's number: whether it was acknowledged, or given up by its sender.
    acknowledged: Vec<Option<bool>>,
    last: Instant,
    worst_outage: Duration,
}

impl Load {
    /// So many senders, every other one over a new connection for each event.
    pub(crate) fn start(senders: usize, sender: &Sender) -> Self {
        let fates = Fates { acknowledged: Vec::new(), last: Instant::now(), worst_outage: Duration::ZERO };
        let seen = Arc::new(Seen {
            next: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            given_up: AtomicUsize::new(0),
            unavailable: AtomicU64::new(0),
            over_fresh: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            fates: Mutex::new(fates),
        });
        let mut running = JoinSet::new();
        for number in 0..senders {
            let sender = Sender { keeps: number % 2 == 0, ..sender.clone() };
            running.spawn(send(Arc::clone(&seen), sender));
        }
        Self { seen, in_flight: Arc::clone(&sender.in_flight), senders: running }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// Answers of 503 so far.
    pub(crate) fn unavailable(&self) -> u64 {
        self.seen.unavailable.load(Ordering::SeqCst)
    }

    /// Events that were accepted over a connection made for them.
    pub(crate) fn over_fresh(&self) -> u64 {
        self.seen.over_fresh.load(Ordering::SeqCst)
    }

    /// Waits until so many more were accepted over connections that were there already.
    pub(crate) async fn until_accepted_over_kept(&self, more: u64) -> Result<(), String> {
        let over_kept = || (self.accepted() as u64).saturating_sub(self.over_fresh());
        let due = over_kept() + more;
        until("that connections are kept again", || Ok(over_kept() >= due)).await
    }

    pub(crate) async fn until_accepted(&self, more: usize) -> Result<(), String> {
        let due = self.accepted() + more;
        until("that callbacks are accepted", || Ok(self.accepted() >= due)).await
    }

    /// Waits until so many requests are in flight, and answers how many are.
    pub(crate) async fn until_in_flight(&self, least: usize) -> Result<usize, String> {
        until("that requests are in flight", || Ok(self.in_flight() >= least)).await?;
        Ok(self.in_flight())
    }

    /// Stops the senders, each after the event that it has in hand.
    pub(crate) async fn stop(&mut self) {
        self.seen.is_over.store(true, Ordering::SeqCst);
        while self.senders.join_next().await.is_some() {}
    }
}

impl Seen {
    fn fates(&self) -> MutexGuard<'_, Fates> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sent(&self) -> usize {
        self.next.load(Ordering::SeqCst)
    }

    pub(crate) fn given_up(&self) -> usize {
        self.given_up.load(Ordering::SeqCst)
    }

    /// The numbers of those that were acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<usize> {
        let fates = self.fates();
        let acknowledged = fates.acknowledged.iter().enumerate().filter(|(_, fate)| **fate == Some(true));
        acknowledged.map(|(number, _)| number).collect()
    }

    /// The longest time from one acknowledgement to the next.
    pub(crate) fn worst_outage(&self) -> Duration {
        self.fates().worst_outage
    }

    fn ended(&self, number: usize, acknowledged: bool) {
        let mut fates = self.fates();
        if fates.acknowledged.len() <= number {
            fates.acknowledged.resize(number + 1, None);
        }
        if let Some(fate) = fates.acknowledged.get_mut(number) {
            *fate = Some(acknowledged);
        }
        if acknowledged {
            fates.worst_outage = fates.worst_outage.max(fates.last.elapsed());
            fates.last = Instant::now();
        }
        drop(fates);
        let counted = if acknowledged { &self.accepted } else { &self.given_up };
        counted.fetch_add(1, Ordering::SeqCst);
    }
}

async fn send(seen: Arc<Seen>, sender: Sender) {
    let is_fresh = !sender.keeps;
    let mut line = Line::new(sender);
    while !seen.is_over.load(Ordering::SeqCst) {
        let number = seen.next.fetch_add(1, Ordering::SeqCst);
        let mut unavailable = 0;
        let saw = |status, _| unavailable += u64::from(status == Some(503));
        let acknowledged = line.send(&event_body(number), saw).await;
        seen.unavailable.fetch_add(unavailable, Ordering::SeqCst);
        seen.over_fresh.fetch_add(u64::from(is_fresh && acknowledged), Ordering::SeqCst);
        seen.ended(number, acknowledged);
    }
}

/// Waits for something that is to happen.
pub(crate) async fn until(what: &str, done: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    until_within(LIMIT, what, done).await
}

pub(crate) async fn until_within(
    limit: Duration,
    what: &str,
    mut done: impl FnMut() -> Result<bool, String>,
) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    while !done()? {
        if Instant::now() > deadline {
            return Err(format!("waited {limit:?} in vain {what}"));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
