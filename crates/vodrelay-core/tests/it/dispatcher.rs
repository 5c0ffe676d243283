//! What a dispatcher makes of sinks that fail, hang, panic or come back, on a runtime whose time is paused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use vodrelay_core::config::Span;
use vodrelay_core::dispatcher::Settings;
use vodrelay_core::retry::RetryPolicy;
use vodrelay_core::sink::Retry;
use vodrelay_core::testing::{ManualClock, MemoryJournal, envelope_of, event_body};
use vodrelay_core::{
    Clock, Delivery, Dispatcher, Journal, JournalError, Ledger, Name, Receipt, Sink, SinkError, SinkName,
    Standings,
};

/// A clock that goes with the paused time of the runtime.
#[derive(Debug)]
pub(crate) struct RuntimeClock {
    started: Instant,
    at: Mutex<jiff::Timestamp>,
}

impl RuntimeClock {
    fn starting_now() -> Self {
        Self { started: Instant::now(), at: Mutex::new(ManualClock::default().now()) }
    }

    /// Somebody sets the clock on the wall.
    fn jump(&self, by: jiff::SignedDuration) {
        *self.at.lock().unwrap() += by;
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> jiff::Timestamp {
        *self.at.lock().unwrap() + self.started.elapsed()
    }

    fn steady(&self) -> Duration {
        self.started.elapsed()
    }
}

pub(crate) type Script = Box<dyn Fn(&Delivery, usize) -> Answer + Send + Sync>;

pub(crate) enum Answer {
    Take,
    Fail(SinkError),
    Hang,
    Panic,
    After(Duration),
}

/// Does what its script says for the nth attempt of an event.
pub(crate) struct ScriptedSink {
    script: Script,
    attempts: Mutex<HashMap<String, usize>>,
    pub(crate) started: Mutex<Vec<String>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl std::fmt::Debug for ScriptedSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptedSink")
    }
}

/// Panics before there is a future, then when its future is dropped at the time limit, then takes everything. Keeps
/// which attempt each was said to be.
#[derive(Debug, Default)]
struct Ruthless(Mutex<Vec<u32>>);

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a bug in what cleans up");
    }
}

impl Sink for Ruthless {
    fn deliver<'a, 'b, 'r>(
        &'a self,
        delivery: &'b Delivery,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Receipt, SinkError>> + Send + 'r>>
    where
        'a: 'r,
        'b: 'r,
    {
        let mut attempts = self.0.lock().unwrap();
        attempts.push(delivery.attempt);
        let made = attempts.len();
        drop(attempts);
        match made {
            1 => panic!("a bug before the first await"),
            2 => {
                let bomb = PanicsWhenDropped;
                Box::pin(async move {
                    let _bomb = bomb;
                    std::future::pending().await
                })
            }
            _ => Box::pin(async { Ok(Receipt::default()) }),
        }
    }

    fn check<'a, 'r>(
        &'a self,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Vec<String>, SinkError>> + Send + 'r>>
    where
        'a: 'r,
    {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_where_nothing_is_awaited_is_a_failed_attempt_too() {
    let clock = Arc::new(RuntimeClock::starting_now());
    let journal = Arc::new(MemoryJournal::new(clock.clone()));
    let sink = Arc::new(Ruthless::default());
    let dispatcher = Dispatcher::new(sink_name(), sink.clone(), journal.clone(), clock.clone(), settings(1));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(dispatcher.run(shutdown.clone(), Duration::from_secs(1)));
    journal.append(&envelope_of(event_body(1), clock.now()), &[sink_name()]).await.unwrap();
    let delivered = async {
        while journal.backlogs().await.unwrap().iter().all(|backlog| backlog.delivered == 0) {
            sleep(Duration::from_secs(1)).await;
        }
    };
    // Long before the lease of a lost attempt would have run out.
    timeout(settings(1).timeout.0 + Duration::from_secs(90), delivered).await.expect("it is tried again");
    assert_eq!(*sink.0.lock().unwrap(), [1, 2, 3]);
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[async_trait]
impl Sink for ScriptedSink {
    async fn deliver(&self, delivery: &Delivery) -> Result<Receipt, SinkError> {
        let video = delivery.envelope.event().unwrap().video_id.clone().unwrap();
        self.started.lock().unwrap().push(video.trim_start_matches('0').to_owned());
        let attempt = {
            let mut attempts = self.attempts.lock().unwrap();
            let attempt = attempts.entry(video).or_insert(0);
            *attempt += 1;
            *attempt
        };
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let answer = (self.script)(delivery, attempt);
        let result = match answer {
            Answer::Take => Ok(Receipt::default()),
            Answer::Fail(error) => Err(error),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("the sink's own bug"),
            Answer::After(wait) => {
                sleep(wait).await;
                Ok(Receipt::default())
            }
        };
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        result
    }

    async fn check(&self) -> Result<Vec<String>, SinkError> {
        Ok(Vec::new())
    }
}

pub(crate) struct Bench {
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) sink: Arc<ScriptedSink>,
    pub(crate) clock: Arc<RuntimeClock>,
    pub(crate) standings: Standings,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), JournalError>>,
}

pub(crate) fn sink_name() -> SinkName {
    Name::new("cms").unwrap()
}

impl Bench {
    pub(crate) fn start(
        settings: Settings,
        script: impl Fn(&Delivery, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_through(settings, script, |journal| journal)
    }

    /// The dispatcher sees the journal through what `through` makes of it.
    pub(crate) fn start_through(
        settings: Settings,
        script: impl Fn(&Delivery, usize) -> Answer + Send + Sync + 'static,
        through: impl FnOnce(Arc<MemoryJournal>) -> Arc<dyn Journal>,
    ) -> Self {
        let clock = Arc::new(RuntimeClock::starting_now());
        let journal = Arc::new(MemoryJournal::new(clock.clone()));
        let sink = Arc::new(ScriptedSink {
            script: Box::new(script),
            attempts: Mutex::default(),
            started: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let shutdown = CancellationToken::new();
        let seen = through(journal.clone());
        let dispatcher = Dispatcher::new(sink_name(), sink.clone(), seen, clock.clone(), settings);
        let standings = Standings::default();
        let dispatcher = dispatcher.telling(&standings);
        let running = tokio::spawn(dispatcher.run(shutdown.clone(), Duration::from_secs(10)));
        Self { journal, sink, clock, standings, shutdown, running }
    }

    pub(crate) async fn append(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let envelope = envelope_of(event_body(number), self.clock.now());
            self.journal.append(&envelope, &[sink_name()]).await.unwrap();
        }
    }

    pub(crate) async fn delivered(&self) -> u64 {
        let backlogs = self.journal.backlogs().await.unwrap();
        backlogs.first().map_or(0, |backlog| backlog.delivered)
    }

    pub(crate) async fn until_delivered(&self, number: u64) {
        let waiting = async {
            let mut pause = Duration::from_millis(1);
            while self.delivered().await < number {
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(60));
            }
        };
        timeout(Duration::from_secs(100_000_000), waiting).await.expect("everything is delivered in the end");
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

pub(crate) fn settings(concurrency: usize) -> Settings {
    Settings { concurrency, timeout: Span(Duration::from_secs(15)), retry: RetryPolicy::default() }
}

#[tokio::test(start_paused = true)]
async fn what_is_appended_is_delivered_in_order() {
    let bench = Bench::start(settings(1), |_, _| Answer::Take);
    bench.append(1..10).await;
    bench.until_delivered(9).await;
    assert_eq!(*bench.sink.started.lock().unwrap(), ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_wake_up_is_lost() {
    let bench = Bench::start(settings(4), |_, _| Answer::Take);
    let started = Instant::now();
    for number in 1..500 {
        bench.append(number..number + 1).await;
        tokio::task::yield_now().await;
    }
    bench.until_delivered(499).await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "one was found only by the slow look: {:?}",
        started.elapsed()
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_the_most_at_once_and_is_used() {
    let bench = Bench::start(settings(3), |_, _| Answer::After(Duration::from_secs(1)));
    bench.append(1..31).await;
    bench.until_delivered(30).await;
    assert_eq!(bench.sink.most_at_once.load(Ordering::SeqCst), 3);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_until_it_passes() {
    let bench = Bench::start(settings(2), |_, attempt| {
        if attempt < 4 { Answer::Fail(SinkError::temporary("503")) } else { Answer::Take }
    });
    bench.append(1..4).await;
    bench.until_delivered(3).await;
    assert!(bench.journal.dead_letters(&sink_name()).is_empty());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt() {
    let bench =
        Bench::start(settings(2), |_, attempt| if attempt == 1 { Answer::Panic } else { Answer::Take });
    bench.append(1..3).await;
    bench.until_delivered(2).await;
    assert_eq!(bench.sink.started.lock().unwrap().len(), 4, "one that failed and one that did not, for each");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_attempt_is_dropped_at_the_time_limit() {
    let bench =
        Bench::start(settings(1), |_, attempt| if attempt == 1 { Answer::Hang } else { Answer::Take });
    let started = Instant::now();
    bench.append(1..2).await;
    bench.until_delivered(1).await;
    assert!(started.elapsed() >= Duration::from_secs(15));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_never_passes_becomes_a_dead_letter_and_holds_up_nobody() {
    let bench = Bench::start(settings(2), |delivery, _| {
        let video = delivery.envelope.event().unwrap().video_id.clone().unwrap();
        if video.ends_with('7') { Answer::Fail(SinkError::temporary("poison")) } else { Answer::Take }
    });
    bench.append(1..0x20).await;
    bench.until_delivered(29).await;
    let waiting = async {
        while bench.journal.dead_letters(&sink_name()).len() < 2 {
            sleep(Duration::from_secs(3600)).await;
        }
    };
    timeout(Duration::from_secs(3600 * 24 * 60), waiting).await.expect("given up after the age");
    let reasons = bench.journal.dead_letters(&sink_name());
    assert!(
        reasons.iter().all(|reason| reason.starts_with("poison (") && reason.ends_with("in 7d)")),
        "{reasons:?}"
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_given_up_at_once() {
    let bench = Bench::start(settings(2), |_, _| Answer::Fail(SinkError::permanent("gone")));
    bench.append(1..2).await;
    while bench.journal.dead_letters(&sink_name()).is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(bench.journal.dead_letters(&sink_name()), ["gone"]);
    assert_eq!(bench.sink.started.lock().unwrap().len(), 1);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_gets_probes_and_then_everything() {
    let back_at = Instant::now() + Duration::from_secs(3600);
    let bench = Bench::start(settings(16), move |_, _| {
        if Instant::now() < back_at { Answer::Fail(SinkError::temporary("refused")) } else { Answer::Take }
    });
    bench.append(1..1001).await;
    bench.until_delivered(1000).await;
    let attempts = bench.sink.started.lock().unwrap().len();
    assert!(attempts < 1000 + 150, "an hour of outage cost {} attempts", attempts - 1000);
    assert!(Instant::now() < back_at + Duration::from_secs(3700), "it is found again soon");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_gives_nothing_up() {
    let short = Retry::Temporary { after: None, give_up_after: Some(Duration::from_secs(24 * 3600)) };
    let bench = Bench::start(settings(1), move |_, attempt| match attempt {
        ..6 => Answer::Fail(SinkError { retry: short.clone(), ..SinkError::temporary("413") }),
        6..12 => Answer::Fail(SinkError::temporary("503")),
        _ => Answer::Take,
    });
    bench.append(1..2).await;
    for days in [30, -60, 30] {
        sleep(Duration::from_secs(5)).await;
        bench.clock.jump(jiff::SignedDuration::from_hours(days * 24));
    }
    timeout(Duration::from_secs(24 * 3600), bench.until_delivered(1))
        .await
        .expect("and nothing waits for long");
    assert!(bench.journal.dead_letters(&sink_name()).is_empty());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let asked = Retry::Temporary { after: Some(Duration::from_secs(600)), give_up_after: None };
    let bench = Bench::start(settings(1), move |_, attempt| match attempt {
        1 => Answer::Fail(SinkError { retry: asked.clone(), ..SinkError::temporary("429") }),
        _ => Answer::Take,
    });
    let started = Instant::now();
    bench.append(1..2).await;
    bench.until_delivered(1).await;
    assert!(started.elapsed() >= Duration::from_secs(600), "{:?}", started.elapsed());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_postponed_comes_back_and_nothing_is_counted() {
    let counted = Arc::<Mutex<Vec<_>>>::default();
    let noted = Arc::clone(&counted);
    let bench = Bench::start(settings(2), move |delivery, time| {
        noted.lock().unwrap().push((delivery.attempt, delivery.tries, delivery.first_attempt_at));
        if time <= 40 {
            Answer::Fail(SinkError::postponed(Duration::from_secs(3600), "no place is free"))
        } else {
            Answer::Take
        }
    });
    let started = Instant::now();
    // More than it takes to open the breaker, were they failures.
    bench.append(1..0x10).await;
    bench.until_delivered(15).await;
    let waited = started.elapsed();
    assert!((40 * 3600..40 * 3600 + 120).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(*counted.lock().unwrap(), [(1, 0, None); 15 * 41]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_delivery_is_given_up_for_being_postponed() {
    let bench = Bench::start(settings(1), |_, time| match time {
        1 | 12 => Answer::Fail(SinkError::temporary("503")),
        ..12 => Answer::Fail(SinkError::postponed(Duration::from_secs(24 * 3600), "no place is free")),
        _ => Answer::Take,
    });
    bench.append(1..2).await;
    bench.until_delivered(1).await;
    assert!(bench.journal.dead_letters(&sink_name()).is_empty());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_postponed_lets_the_next_one_try() {
    let back_at = Instant::now() + Duration::from_secs(600);
    let asked = AtomicUsize::new(0);
    let bench = Bench::start(settings(4), move |_, _| match Instant::now() {
        now if now < back_at => Answer::Fail(SinkError::temporary("refused")),
        // The first probes that find the sink back.
        _ if asked.fetch_add(1, Ordering::SeqCst) < 3 => {
            Answer::Fail(SinkError::postponed(Duration::from_secs(600), "no place is free"))
        }
        _ => Answer::Take,
    });
    bench.append(1..0x10).await;
    timeout(Duration::from_secs(3600), bench.until_delivered(15)).await.expect("the next probe is sent");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_held_while_the_journal_is_full() {
    let bench = Bench::start(settings(4), |_, _| Answer::After(Duration::from_secs(1)));
    bench.append(1..9).await;
    sleep(Duration::from_millis(500)).await;
    bench.journal.fail_with(Some(JournalError::Full("no room".to_owned())));
    sleep(Duration::from_secs(30)).await;
    bench.journal.fail_with(None);
    bench.until_delivered(8).await;
    assert_eq!(bench.sink.started.lock().unwrap().len(), 8, "nothing was attempted twice");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_journal_ends_it() {
    let bench = Bench::start(settings(4), |_, _| Answer::Take);
    bench.journal.fail_with(Some(JournalError::Poisoned("EIO".to_owned())));
    let ended = bench.running.await.unwrap();
    assert_eq!(ended, Err(JournalError::Poisoned("EIO".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_in_hand_and_gives_back_the_rest() {
    let bench = Bench::start(settings(2), |delivery, _| {
        let video = delivery.envelope.event().unwrap().video_id.clone().unwrap();
        if video.ends_with('1') { Answer::After(Duration::from_secs(5)) } else { Answer::Hang }
    });
    bench.append(1..6).await;
    sleep(Duration::from_secs(1)).await;
    let journal = bench.journal.clone();
    bench.stop().await;
    let backlog = journal.backlogs().await.unwrap().remove(0);
    assert_eq!((backlog.delivered, backlog.pending), (1, 4));
    let again = journal.claim(&sink_name(), 9, Duration::from_secs(1)).await.unwrap();
    assert_eq!(again.claims.len(), 4, "what was in hand can be claimed at once");
    assert!(again.claims.iter().all(|claim| claim.delivery.attempt == 1), "and counts as untried");
}
