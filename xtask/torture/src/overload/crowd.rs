//! Who sends: by a timetable that waits for no answer, or as many at a time as there are clients.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vodrelay_core::testing::event_body;

use super::books::Books;
use super::tally::{Sent, Tally};
use crate::sender::{Line, Sender};

/// How often the timetable is looked at.
const TICK: Duration = Duration::from_millis(1);
/// A sender that is further behind its timetable leaves out what is due, and offers less.
const BEHIND: Duration = Duration::from_millis(100);

/// How often an event is sent before it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempts {
    /// Once, so that what is offered is exact.
    One,
    /// As the provider does.
    ByContract,
}

/// Senders that share their connections.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) sender: Sender,
    pub(crate) attempts: Attempts,
    /// Whether every other event goes over a connection of its own.
    pub(crate) mixes: bool,
    pub(crate) books: Arc<Books>,
    /// Connections that are kept, and have nothing under way.
    lines: Mutex<Vec<Line>>,
}

impl Crowd {
    pub(crate) fn new(sender: Sender, attempts: Attempts, mixes: bool, books: &Arc<Books>) -> Arc<Self> {
        Arc::new(Self { sender, attempts, mixes, books: Arc::clone(books), lines: Mutex::default() })
    }

    /// So many a second, whatever the answers are, with so many under way at most.
    pub(crate) async fn open_loop(self: &Arc<Self>, per_second: f64, time: Duration, most: usize) -> Tally {
        let behind = (per_second * BEHIND.as_secs_f64()) as usize + 1;
        let (mut sent, mut left_out) = (0, 0);
        let due = |elapsed: Duration, under_way: usize| {
            let due = ((elapsed.as_secs_f64() * per_second) as usize).saturating_sub(sent + left_out);
            let sends = due.min(behind).min(most.saturating_sub(under_way));
            left_out += due - sends;
            sent += sends;
            sends
        };
        let mut tally = self.send(time, due).await;
        tally.left_out = left_out;
        tally
    }

    /// So many clients, each with its next event as soon as the last was answered.
    pub(crate) async fn closed_loop(self: &Arc<Self>, clients: usize, time: Duration) -> Tally {
        self.send(time, move |_, under_way| clients - under_way).await
    }

    async fn send(self: &Arc<Self>, time: Duration, mut due: impl FnMut(Duration, usize) -> usize) -> Tally {
        let (begun, mut tally, mut under_way) = (Instant::now(), Tally::default(), JoinSet::new());
        while begun.elapsed() < time {
            for _ in 0..due(begun.elapsed(), under_way.len()) {
                under_way.spawn(Arc::clone(self).one(begun));
            }
            tally.most_under_way = tally.most_under_way.max(under_way.len());
            sleep(TICK).await;
            while let Some(Ok(sent)) = under_way.try_join_next() {
                tally.note(&sent);
            }
        }
        tally.time = begun.elapsed();
        while let Some(Ok(sent)) = under_way.join_next().await {
            tally.note(&sent);
        }
        tally.sorted()
    }

    async fn one(self: Arc<Self>, begun: Instant) -> Sent {
        let number = self.books.number();
        let mut line = self.line(number);
        let (mut attempts, mut last, mut took) = (0, None, Duration::ZERO);
        let mut saw = |status, time| (attempts, last, took) = (attempts + 1, status, time);
        let body = event_body(number);
        match self.attempts {
            Attempts::ByContract => _ = line.send(&body, saw).await,
            Attempts::One => {
                let begun = Instant::now();
                let status = line.attempt(&body).await;
                saw(status, begun.elapsed());
            }
        }
        if last == Some(200) {
            self.books.acknowledge(number);
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Sent { status: last, attempts, took, at: begun.elapsed() }
    }

    /// A connection that was kept, if there is one that is still open.
    fn line(&self, number: usize) -> Line {
        if self.mixes && number.is_multiple_of(2) {
            return Line::new(Sender { keeps: false, ..self.sender.clone() });
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(line) = lines.pop() {
            if !line.was_closed() {
                return line;
            }
        }
        Line::new(self.sender.clone())
    }
}
