//! What a dispatcher makes of a sink that is paused, resumed, or said to be back, on a runtime whose time is paused.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use vodrelay_core::ledger::LetterFilter;
use vodrelay_core::standing::BreakerState;
use vodrelay_core::testing::MemoryJournal;
use vodrelay_core::{
    Appended, Claimed, Clock, Delivery, Envelope, Journal, JournalError, Ledger, Pauses, Seq, SettleResult,
    Settled, SinkError, SinkName,
};

use crate::dispatcher::{Answer, Bench, settings, sink_name};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(start_paused = true)]
async fn a_paused_sink_finishes_what_is_under_way_and_starts_nothing() {
    let bench = Bench::start(settings(2), |_, _| Answer::After(Duration::from_secs(1)));
    bench.append(1..20).await;
    sleep(Duration::from_millis(500)).await;
    bench.journal.pause(&sink_name(), None).await.unwrap();
    sleep(HOUR).await;
    assert_eq!(bench.delivered().await, 2, "those under way, and none of those claimed beside them");
    assert_eq!(bench.sink.started.lock().unwrap().len(), 2);
    bench.append(20..21).await;
    sleep(HOUR).await;
    assert_eq!(bench.sink.started.lock().unwrap().len(), 2);

    let resumed = Instant::now();
    bench.journal.resume(&sink_name()).await.unwrap();
    bench.until_delivered(20).await;
    assert!(resumed.elapsed() < Duration::from_secs(30), "it goes on at once: {:?}", resumed.elapsed());
    bench.stop().await;
}

/// The sink fails for ever, and is paused for a day, so often, three hours after it was resumed each time.
async fn days_until_given_up(pauses: usize) -> u64 {
    let bench = Bench::start(settings(2), |_, _| Answer::Fail(SinkError::temporary("down")));
    bench.append(1..2).await;
    for _ in 0..pauses {
        sleep(HOUR * 3).await;
        let attempts = bench.sink.started.lock().unwrap().len();
        bench.journal.pause(&sink_name(), None).await.unwrap();
        sleep(DAY).await;
        assert_eq!(bench.sink.started.lock().unwrap().len(), attempts, "no attempt while it is paused");
        bench.journal.resume(&sink_name()).await.unwrap();
    }
    while bench.journal.dead_letters(&sink_name()).is_empty() {
        sleep(HOUR).await;
    }
    let letters = Ledger::dead_letters(bench.journal.as_ref(), &LetterFilter::default(), None, 9).await;
    let given_up_at = letters.unwrap().items.first().unwrap().given_up_at;
    let started = bench.clock.now() - bench.clock.started().elapsed();
    let age = given_up_at.duration_since(started).as_secs().unsigned_abs();
    bench.stop().await;
    age / DAY.as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_no_age() {
    assert_eq!(days_until_given_up(0).await, 7);
    assert_eq!(days_until_given_up(20).await, 7 + 20);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_was_there_before_the_start_is_heeded() {
    let bench = Bench::start(settings(2), |_, _| Answer::Take);
    bench.journal.pause(&sink_name(), None).await.unwrap();
    bench.append(1..5).await;
    sleep(DAY).await;
    assert_eq!(bench.delivered().await, 0);
    bench.journal.resume(&sink_name()).await.unwrap();
    bench.until_delivered(4).await;
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_said_to_be_back_is_probed_at_once() {
    let back_at = Instant::now() + HOUR + Duration::from_secs(1);
    let bench = Bench::start(settings(4), move |_, _| {
        if Instant::now() < back_at { Answer::Fail(SinkError::temporary("down")) } else { Answer::Take }
    });
    assert_eq!(bench.standings.breaker(&sink_name()), Some(BreakerState::Closed));
    bench.append(1..40).await;
    sleep(HOUR).await;
    let open = bench.standings.breaker(&sink_name());
    assert!(matches!(open, Some(BreakerState::Open { since }) if since < bench.clock.now()), "{open:?}");
    sleep(Duration::from_secs(1)).await;

    let asked = Instant::now();
    bench.journal.retry_now(&sink_name(), bench.clock.now(), 99).await.unwrap();
    assert!(bench.standings.probe(&sink_name()));
    bench.until_delivered(39).await;
    assert!(asked.elapsed() < Duration::from_secs(1), "without waiting for a minute: {:?}", asked.elapsed());
    assert_eq!(bench.standings.breaker(&sink_name()), Some(BreakerState::Closed));
    bench.stop().await;
}

/// A journal that takes a while to hand out what is due.
#[derive(Debug)]
struct Slow(Arc<MemoryJournal>);

#[async_trait]
impl Journal for Slow {
    async fn append(&self, envelope: &Envelope, sinks: &[SinkName]) -> Result<Appended, JournalError> {
        self.0.append(envelope, sinks).await
    }

    async fn claim(&self, sink: &SinkName, limit: usize, lease: Duration) -> Result<Claimed, JournalError> {
        let claimed = self.0.claim(sink, limit, lease).await;
        sleep(Duration::from_millis(100)).await;
        claimed
    }

    async fn settle(&self, outcomes: &[Settled]) -> Result<Vec<SettleResult>, JournalError> {
        self.0.settle(outcomes).await
    }

    fn watch_work(&self) -> watch::Receiver<Seq> {
        self.0.watch_work()
    }

    fn watch_pauses(&self) -> watch::Receiver<Pauses> {
        self.0.watch_pauses()
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_a_pause_gave_back_is_made_after_it() {
    let back_at = Instant::now() + HOUR;
    let down_for_an_hour = move |_: &Delivery, _| {
        if Instant::now() < back_at { Answer::Fail(SinkError::temporary("down")) } else { Answer::Take }
    };
    let bench = Bench::start_through(settings(1), down_for_an_hour, |journal| Arc::new(Slow(journal)));
    bench.append(1..10).await;
    sleep(Duration::from_secs(600)).await;
    // A probe is claimed each minute; half of them come back into a pause.
    for _ in 0..1_200 {
        bench.journal.pause(&sink_name(), None).await.unwrap();
        sleep(Duration::from_millis(203)).await;
        bench.journal.resume(&sink_name()).await.unwrap();
        sleep(Duration::from_millis(203)).await;
    }
    sleep(HOUR).await;
    bench.until_delivered(9).await;
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_when_the_pause_came_does_not_start() {
    let bench = Bench::start_through(settings(4), |_, _| Answer::Take, |journal| Arc::new(Slow(journal)));
    sleep(Duration::from_secs(1)).await;
    bench.append(1..4).await;
    sleep(Duration::from_millis(50)).await;
    bench.journal.pause(&sink_name(), None).await.unwrap();
    sleep(HOUR).await;
    assert_eq!(bench.sink.started.lock().unwrap().len(), 0);
    bench.journal.resume(&sink_name()).await.unwrap();
    bench.until_delivered(3).await;
    bench.stop().await;
}
