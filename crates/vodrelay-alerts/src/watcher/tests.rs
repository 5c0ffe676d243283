//! Each kind of alert comes from its cause, and goes with it, on a journal in memory and a clock that is moved by hand.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use vodrelay_core::dispatcher::Settings;
use vodrelay_core::history::{History, Life, LifeEnd};
use vodrelay_core::testing::{ManualClock, MemoryJournal, MockLedger, MockSink, envelope_of, event_body};
use vodrelay_core::{
    Dispatcher, Journal, Name, Receipt, RefusalCause, Sink, SinkError, Trouble, TroubleKind,
};

use super::*;
use crate::groups::Groups;

/// A relay that is watched.
struct Stage {
    clock: Arc<ManualClock>,
    journal: Arc<MemoryJournal>,
    watched: Watched,
    watcher: Watcher,
    groups: Groups,
    plan: Plan,
    free: Arc<AtomicU64>,
}

const GIB: u64 = 1 << 30;

impl Stage {
    fn set() -> Self {
        let clock = Arc::new(ManualClock::default());
        let journal = Arc::new(MemoryJournal::new(Arc::<ManualClock>::clone(&clock)));
        let free = Arc::new(AtomicU64::new(10 * GIB));
        let told = Arc::clone(&free);
        let watched = Watched {
            ledger: Arc::<MemoryJournal>::clone(&journal),
            standings: Standings::default(),
            vitals: Vitals::default(),
            clock: Arc::<ManualClock>::clone(&clock),
            free_bytes: Arc::new(move || Ok(told.load(Ordering::Relaxed))),
        };
        let plan = Plan {
            relay: "relay-1".to_owned(),
            sinks: vec![sink_name()],
            queues: vec![queue()],
            expect_every: BTreeMap::from([(callback(), Duration::from_secs(3_600))]),
            min_free: GIB,
            ..Plan::default()
        };
        let watcher = Watcher::new(watched.clone());
        Self { clock, journal, watched, watcher, groups: Groups::default(), plan, free }
    }

    /// The headlines of the looks at the end of so many seconds, one every five seconds.
    async fn after(&mut self, seconds: u64) -> Vec<String> {
        let mut titles = Vec::new();
        for _ in 0..seconds.div_ceil(5) {
            self.clock.advance(Duration::from_secs(5));
            titles.extend(self.look().await);
        }
        titles
    }

    async fn look(&mut self) -> Vec<String> {
        let sights = self.watcher.look(&self.plan).await;
        let told = self.groups.take(sights, self.clock.now(), self.clock.steady());
        for alert in &told {
            assert!(alert.state == crate::State::Resolved || alert.next.is_some(), "{alert:?}");
        }
        told.into_iter().map(|alert| alert.title).collect()
    }

    async fn append(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let envelope = envelope_of(event_body(number), self.clock.now());
            self.journal.append(&envelope, &[sink_name()]).await.unwrap();
        }
    }

    fn drive(&self, sink: MockSink) -> CancellationToken {
        let (sink, stop): (Arc<dyn Sink>, _) = (Arc::new(sink), CancellationToken::new());
        let journal: Arc<dyn Journal> = Arc::<MemoryJournal>::clone(&self.journal);
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let dispatcher = Dispatcher::new(sink_name(), sink, journal, clock, Settings::default());
        tokio::spawn(dispatcher.telling(&self.watched.standings).run(stop.clone(), Duration::ZERO));
        stop
    }

    async fn note(&self, kind: TroubleKind, count: u64) {
        let once = Trouble::once(kind, callback(), self.clock.now());
        self.journal.note_troubles(vec![Trouble { count, ..once }]).await.unwrap();
    }
}

fn sink_name() -> SinkName {
    Name::new("cms").unwrap()
}

fn callback() -> SourceName {
    SourceName::callback(&Name::new("main").unwrap())
}

fn queue() -> SourceName {
    SourceName::queue(&Name::new("main").unwrap())
}

const NOTHING: [&str; 0] = [];

#[tokio::test(start_paused = true)]
async fn a_sink_is_down_while_its_breaker_is_open() {
    let mut stage = Stage::set();
    let works = Arc::new(AtomicBool::new(false));
    let mut sink = MockSink::new();
    let asked = Arc::clone(&works);
    sink.expect_deliver().returning(move |_| match asked.load(Ordering::Relaxed) {
        true => Ok(Receipt::default()),
        false => Err(SinkError::temporary("no route")),
    });
    assert_eq!(stage.after(5).await, NOTHING);
    stage.drive(sink);
    stage.append(0..5).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.after(60).await, ["sink cms is down"]);
    works.store(true, Ordering::Relaxed);
    stage.clock.advance(Duration::from_secs(60));
    stage.watched.standings.probe(&sink_name());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.after(60).await, ["sink cms takes deliveries again"]);
}

#[tokio::test]
async fn a_sink_is_behind_when_something_waits_for_half_an_hour() {
    let mut stage = Stage::set();
    stage.plan.expect_every.clear();
    stage.append(0..1).await;
    assert_eq!(stage.after(1_800).await, NOTHING);
    assert_eq!(stage.after(600).await, ["sink cms is behind"]);
    stage.journal.pause(&sink_name(), None).await.unwrap();
    assert_eq!(stage.after(5).await, ["sink cms has caught up"]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_told_when_they_grow() {
    let mut stage = Stage::set();
    let mut sink = MockSink::new();
    sink.expect_deliver().returning(|_| Err(SinkError::permanent("gone")));
    stage.append(0..2).await;
    let stop = stage.drive(sink);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.after(10).await, NOTHING, "those from before are no news");
    stage.append(2..3).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.after(5).await, ["sink cms: 1 delivery given up"]);
    stage.append(3..9).await;
    sleep(Duration::from_secs(1)).await;
    stop.cancel();
    assert_eq!(stage.after(290).await, NOTHING);
    assert_eq!(stage.after(10).await, ["sink cms: 6 deliveries given up"]);

    let unreadable = envelope_of("no event".into(), stage.clock.now());
    stage.journal.append(&unreadable, &[]).await.unwrap();
    assert_eq!(stage.after(5).await, ["1 event cannot be read"]);
}

#[tokio::test]
async fn refusals_are_told_when_they_are_many() {
    let mut stage = Stage::set();
    let refused = TroubleKind::Refused(RefusalCause::Mismatch);
    stage.note(refused, 500).await;
    assert_eq!(stage.after(10).await, NOTHING, "those from before are no news");
    stage.note(refused, 9).await;
    assert_eq!(stage.after(10).await, NOTHING);
    stage.note(refused, 1).await;
    assert_eq!(stage.after(5).await, ["callbacks.main: 10 requests refused"]);
    stage.note(refused, 9).await;
    assert_eq!(stage.after(400).await, NOTHING, "nine in five minutes are not many");
}

#[tokio::test]
async fn what_is_answered_503_is_told() {
    let mut stage = Stage::set();
    assert_eq!(stage.after(5).await, NOTHING);
    stage.note(TroubleKind::Full, 3).await;
    assert_eq!(stage.after(5).await, ["callbacks.main: 3 events turned away"]);
}

#[tokio::test]
async fn a_disk_is_low_before_history_goes() {
    let mut stage = Stage::set();
    assert_eq!(stage.after(5).await, NOTHING);
    stage.free.store(2 * GIB - 1, Ordering::Relaxed);
    assert_eq!(stage.after(5).await, ["the journal's disk runs short of room"]);
    stage.free.store(2 * GIB + 1, Ordering::Relaxed);
    assert_eq!(stage.after(60).await, NOTHING);
    stage.free.store(3 * GIB, Ordering::Relaxed);
    assert_eq!(stage.after(5).await, ["the journal's disk has room again"]);
}

#[tokio::test]
async fn a_clock_is_off_when_proofs_say_so() {
    let mut stage = Stage::set();
    for signed_at in 0..3 {
        assert_eq!(stage.after(5).await, NOTHING);
        stage.watched.vitals.signed(signed_at, 90);
    }
    assert_eq!(stage.after(5).await, ["the clock of this machine is off"]);
    for signed_at in 10..12 {
        stage.watched.vitals.signed(signed_at, 0);
        assert_eq!(stage.after(5).await, NOTHING);
    }
    stage.watched.vitals.signed(12, -1);
    assert_eq!(stage.after(5).await, ["the clock of this machine is right again"]);
}

#[tokio::test]
async fn a_queue_is_out_of_reach_when_it_is_for_a_minute() {
    let mut stage = Stage::set();
    stage.watched.vitals.out_of_reach(&queue(), "no route; check the network");
    assert_eq!(stage.after(30).await, NOTHING);
    stage.watched.vitals.in_reach(&queue());
    assert_eq!(stage.after(60).await, NOTHING);
    stage.watched.vitals.out_of_reach(&queue(), "no route; check the network");
    assert_eq!(stage.after(70).await, ["queues.main is out of reach"]);
    stage.watched.vitals.in_reach(&queue());
    assert_eq!(stage.after(5).await, ["queues.main answers again"]);
}

#[tokio::test]
async fn a_source_is_silent_when_it_is_for_longer_than_expected() {
    let mut stage = Stage::set();
    assert_eq!(stage.after(3_600).await, NOTHING);
    assert_eq!(stage.after(10).await, ["callbacks.main is silent"]);
    stage.watched.vitals.accepted(&callback());
    assert_eq!(stage.after(5).await, ["callbacks.main is heard again"]);
}

#[tokio::test]
async fn silence_counts_over_a_restart() {
    let mut stage = Stage::set();
    let envelope = envelope_of(event_body(1), stage.clock.now());
    stage.journal.append(&envelope, &[]).await.unwrap();
    stage.clock.advance(Duration::from_secs(3_000));
    assert_eq!(stage.after(605).await, ["callbacks.main is silent"]);
}

#[tokio::test]
async fn an_end_that_was_no_stop_is_told_at_the_next_start() {
    async fn check(end: Option<LifeEnd>, expect: bool) {
        let at = |minute: i64| Timestamp::from_second(1_700_000_000 + minute * 60).unwrap();
        let life = |from, to, end| Life { started_at: at(from), beat_at: at(to), end };
        let lives = end.map(|end| life(0, 5, end)).into_iter().chain([life(10, 11, LifeEnd::Open)]);
        let lives: Vec<Life> = lives.collect();
        let mut ledger = MockLedger::new();
        ledger.expect_history().returning(move |since| {
            // Those since then, and the one under way or the last one before it.
            let first = lives.iter().rposition(|life| life.started_at <= since).unwrap_or(0);
            Ok(History { lives: lives[first..].to_vec(), ..History::default() })
        });
        let told = counts::unclean_start(&ledger, at(11)).await.unwrap();
        assert_eq!(told.is_some(), expect, "{end:?}");
    }
    check(None, false).await;
    check(Some(LifeEnd::Stopped), false).await;
    check(Some(LifeEnd::ClockJumped), false).await;
    check(Some(LifeEnd::Open), true).await;
}

#[tokio::test]
async fn a_journal_that_does_not_answer_changes_nothing_that_was_said() {
    let mut stage = Stage::set();
    stage.plan.expect_every.clear();
    stage.append(0..1).await;
    assert_eq!(stage.after(1_900).await, ["sink cms is behind"]);
    stage.journal.fail_with(Some(JournalError::Failed("slow".to_owned())));
    assert_eq!(stage.after(60).await, NOTHING);
    stage.journal.fail_with(None);
    assert_eq!(stage.after(60).await, NOTHING);
}
