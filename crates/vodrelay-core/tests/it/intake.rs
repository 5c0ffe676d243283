//! What the intake makes of arrivals: new, repeated, unreadable, and a journal that says no.

use std::sync::Arc;

use bytes::Bytes;
use vodrelay_core::routing::Filter;
use vodrelay_core::testing::{ManualClock, MemoryJournal, event_body};
use vodrelay_core::{
    Appended, Arrival, Clock, Intake, Journal, JournalError, Labels, Ledger, Name, Refusal, RefusalCause,
    Routes, SourceName, TroubleKind,
};

struct Bench {
    intake: Intake,
    keeper: vodrelay_core::Bookkeeper,
    journal: Arc<MemoryJournal>,
    clock: Arc<ManualClock>,
}

fn bench() -> Bench {
    let clock = Arc::new(ManualClock::default());
    let journal = Arc::new(MemoryJournal::new(clock.clone()));
    let routes = Routes::new(vec![(Name::new("cms").unwrap(), Filter::default())]);
    let (intake, keeper) = Intake::new(journal.clone() as Arc<dyn Journal>, Arc::new(routes));
    Bench { intake, keeper, journal, clock }
}

fn source() -> SourceName {
    SourceName::callback(&Name::new("main").unwrap())
}

impl Bench {
    fn arrival(&self, body: impl Into<Bytes>) -> Arrival {
        let labels = Arc::new(Labels::new());
        Arrival { source: source(), body: body.into(), received_at: self.clock.now(), labels, trace: None }
    }
}

#[tokio::test]
async fn an_event_is_appended_for_its_sinks_and_a_repeat_is_merged() {
    let bench = bench();
    let first = bench.intake.accept(bench.arrival(event_body(1))).await.unwrap();
    let repeat = bench.intake.accept(bench.arrival(event_body(1))).await.unwrap();
    assert_eq!((first.appended, repeat.appended), (Appended::New, Appended::Duplicate));
    assert_eq!(first.id, repeat.id);
    assert_eq!(first.event_type.as_deref(), Some("DynamicImageComplete"));
    assert_eq!(first.sinks, [Name::new("cms").unwrap()]);
}

#[tokio::test]
async fn an_intake_keeps_its_routes_when_others_come() {
    let bench = bench();
    let later = bench.intake.with_routes(Arc::new(Routes::default()));
    assert_eq!(later.accept(bench.arrival(event_body(1))).await.unwrap().sinks, []);
    let sinks = bench.intake.accept(bench.arrival(event_body(2))).await.unwrap().sinks;
    assert_eq!(sinks, [Name::new("cms").unwrap()]);
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_all_the_same() {
    let bench = bench();
    let accepted = bench.intake.accept(bench.arrival(&b"not json"[..])).await.unwrap();
    assert_eq!((accepted.event_type, accepted.sinks), (None, vec![]));
    let kept = bench.journal.events();
    assert_eq!(kept[0].body, &b"not json"[..]);
    assert!(kept[0].event().is_err());
    assert!(!Intake::can_read(b"not json") && Intake::can_read(&event_body(1)));
}

#[tokio::test]
async fn a_journal_that_says_no_is_no() {
    let bench = bench();
    bench.journal.fail_with(Some(JournalError::Full("x".to_owned())));
    let refused = bench.intake.accept(bench.arrival(event_body(1))).await;
    assert_eq!(refused, Err(JournalError::Full("x".to_owned())));
}

#[tokio::test]
async fn refusals_are_kept_in_the_background() {
    let bodies = (0..5).map(event_body).collect();
    assert_eq!(kept(bodies).await, 5);
}

#[tokio::test]
async fn refusals_that_wait_have_a_bound_in_bytes() {
    let mebibyte = Bytes::from(vec![b'x'; 1 << 20]);
    assert_eq!(kept(vec![mebibyte; 20]).await, 7);
    let usual = event_body(1);
    let have_room = (8 << 20) / (usual.len() + 512);
    assert_eq!(kept(vec![usual; 40_000]).await, have_room);
}

#[tokio::test]
async fn a_refusal_larger_than_the_bound_waits_alone() {
    let large = Bytes::from(vec![b'x'; 10 << 20]);
    assert_eq!(kept(vec![large.clone()]).await, 1);
    assert_eq!(kept(vec![large, event_body(1)]).await, 1, "there is room for no other");
}

/// How many are written down of refusals that all come before the first is.
async fn kept(bodies: Vec<Bytes>) -> usize {
    let bench = bench();
    for body in bodies {
        bench.intake.refuse(Refusal {
            source: source(),
            cause: RefusalCause::Mismatch,
            detail: "another key".to_owned(),
            received_at: bench.clock.now(),
            address: "127.0.0.1".to_owned(),
            timestamp: None,
            signature: None,
            body,
            cut_short: false,
        });
    }
    drop(bench.intake);
    bench.keeper.run(bench.journal.clone() as Arc<dyn Ledger>).await;
    bench.journal.refusals().len()
}

#[tokio::test]
async fn when_events_were_turned_away_is_written_down() {
    let bench = bench();
    bench.journal.fail_with(Some(JournalError::Full("x".to_owned())));
    bench.intake.accept(bench.arrival(event_body(1))).await.unwrap_err();
    bench.journal.fail_with(Some(JournalError::Closed));
    bench.intake.accept(bench.arrival(event_body(1))).await.unwrap_err();
    bench.journal.fail_with(None);
    let at = bench.clock.now();
    for _ in 0..3 {
        bench.intake.turned_away(TroubleKind::Busy, &source(), at);
    }
    drop(bench.intake);
    bench.keeper.run(bench.journal.clone() as Arc<dyn Ledger>).await;
    let troubles = bench.journal.history(at).await.unwrap().troubles;
    let counts: Vec<_> = troubles.iter().map(|trouble| (trouble.kind, trouble.count)).collect();
    assert_eq!(counts, [(TroubleKind::Full, 1), (TroubleKind::Failing, 1), (TroubleKind::Busy, 3)]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_now_is_later() {
    let bench = bench();
    bench.journal.fail_with(Some(JournalError::Failed("x".to_owned())));
    let at = bench.clock.now();
    let keeping = tokio::spawn(bench.keeper.run(bench.journal.clone() as Arc<dyn Ledger>));
    for _ in 0..3 {
        bench.intake.turned_away(TroubleKind::Busy, &source(), at);
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    }
    bench.journal.fail_with(None);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let troubles = bench.journal.history(at).await.unwrap().troubles;
    assert_eq!(troubles.iter().map(|trouble| trouble.count).collect::<Vec<_>>(), [3]);
    drop(bench.intake);
    keeping.await.unwrap();
}
