//! Backups while the relay works, and what a restored one is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Duration, Instant};
use vodrelay_core::ledger::{Deed, DeliveryState, KeptFilter, LetterFilter, Redelivery, ReplayOrder};
use vodrelay_core::{Appended, Journal, Ledger, Outcome, SystemClock};
use vodrelay_journal::{
    CopyError, Finding, Listener, Progress, Reader, RefusedBounds, SqliteJournal, Verified, backup, salvage,
    verify,
};

use crate::bench::{Bench, LEASE, config, sink};

#[derive(Default)]
pub(crate) struct Findings(pub(crate) Vec<String>);

impl Listener for Findings {
    fn found(&mut self, finding: Finding) {
        assert!(!finding.kind.mend().is_empty());
        self.0.push(format!("{}: {}", finding.kind.name(), finding.what));
    }

    fn progress(&mut self, _: Progress) {}
}

/// Verifies a journal that is to be whole.
pub(crate) fn verify_whole(folder: &Path) -> Verified {
    let mut findings = Findings::default();
    let verified = verify(folder, &mut findings).unwrap();
    assert_eq!(findings.0, [""; 0]);
    assert_eq!(verified.left_out, [""; 0]);
    verified
}

#[tokio::test]
async fn a_backup_is_a_journal_of_its_own() {
    let bench = Bench::new();
    for number in 0..6 {
        bench.append(number, if number == 5 { &[] } else { &["a", "b"] }).await;
    }
    bench.append(0, &["a"]).await;
    let claims = bench.claim("a", 3).await;
    bench.settle(&claims[0], Outcome::Delivered).await;
    bench.settle(&claims[1], Outcome::DeadLetter("gone".to_owned())).await;
    bench.settle(&claims[2], Outcome::RetryAt("2000-01-01T00:00:00Z".parse().unwrap())).await;
    let to = tempfile::tempdir().unwrap();
    let target = to.path().join("restored");
    let made = backup(bench.folder.path(), &target, &mut |_| {}).unwrap();
    assert_eq!((made.events, made.corrupt), (6, 0));
    let verified = verify_whole(&target);
    assert_eq!((verified.events, verified.deliveries), (6, 10));

    let before = (bench.journal.totals().await.unwrap(), bench.journal.backlogs().await.unwrap());
    // Delivered since: a restored backup delivers it again.
    let since = bench.claim("b", 1).await;
    bench.settle(&since[0], Outcome::Delivered).await;
    let clock = crate::bench::as_clock(&bench.clock);
    let restored = SqliteJournal::open(&target, bench.config, bench.bounds, clock).unwrap();
    assert_eq!((restored.totals().await.unwrap(), restored.backlogs().await.unwrap()), before);
    assert_eq!(restored.append(&bench.event(3), &[sink("a")]).await, Ok(Appended::Duplicate));
    assert_eq!(restored.append(&bench.event(9), &[sink("a")]).await, Ok(Appended::New));
    assert_eq!(restored.claim(&sink("b"), 99, LEASE).await.unwrap().claims.len(), 5);
}

#[tokio::test]
async fn nothing_is_written_over_and_nothing_half_is_left() {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    let to = tempfile::tempdir().unwrap();
    let file = to.path().join("one.sqlite3");
    std::fs::write(&file, "somebody's").unwrap();
    let error = backup(bench.folder.path(), &file, &mut |_| {}).unwrap_err();
    assert!(matches!(error, CopyError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"somebody's");
    // The place is taken while the copy is made.
    let late = to.path().join("late.sqlite3");
    let error =
        backup(bench.folder.path(), &late, &mut |_| std::fs::write(&late, "other").unwrap()).unwrap_err();
    assert!(matches!(error, CopyError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 2);
    let error = backup(&to.path().join("nowhere"), &to.path().join("x"), &mut |_| {}).unwrap_err();
    assert!(matches!(error, CopyError::Source(_)) && error.to_string().contains("nowhere"), "{error}");
}

/// Appends as fast as the journal takes them, during a backup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_holds_up_nobody_and_the_log_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let journal =
        SqliteJournal::open(folder.path(), config(), RefusedBounds::default(), Arc::new(SystemClock))
            .unwrap();
    let (stop, bench) = (Arc::new(AtomicBool::new(false)), Bench::new());
    for number in 0..300 {
        journal.append(&bench.event(number), &[sink("a")]).await.unwrap();
    }
    let before = journal.totals().await.unwrap().events;
    let load = {
        let (journal, stop) = (journal.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let (mut worst, mut appended) = (Duration::ZERO, 0);
            for number in 1_000_000.. {
                let event = bench.event(number);
                let begun = Instant::now();
                journal.append(&event, &[sink("a")]).await.unwrap();
                (worst, appended) = (worst.max(begun.elapsed()), appended + 1);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            (worst, appended)
        })
    };
    let (from, to) = (folder.path().to_owned(), tempfile::tempdir().unwrap());
    let target = to.path().join("copy");
    let copy = target.clone();
    let made = tokio::task::spawn_blocking(move || backup(&from, &copy, &mut |_| {})).await.unwrap().unwrap();
    stop.store(true, Ordering::Relaxed);
    let (worst, appended) = load.await.unwrap();
    let log = std::fs::metadata(folder.path().join("journal.sqlite3-wal")).unwrap().len();
    println!(
        "{} events copied while {appended} were appended, the slowest in {worst:?}, log {log} bytes",
        made.events
    );
    assert!(made.events >= before, "everything acknowledged before it began");
    assert!(appended > 0 && worst < Duration::from_secs(2) && log < 16 << 20, "{worst:?}, {log}");
    verify_whole(&target);
}

#[tokio::test]
async fn what_people_have_ordered_is_in_a_backup_and_in_what_is_salvaged() {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    let claims = bench.claim("a", 1).await;
    bench.settle(&claims[0], Outcome::DeadLetter("gone".to_owned())).await;
    let letters = bench.journal.dead_letters(&LetterFilter::default(), None, 9).await.unwrap();
    let places: Vec<u64> = letters.items.iter().map(|letter| letter.place).collect();
    assert_eq!(bench.journal.purge(places).await, Ok(1));
    // Nothing was ever delivered to the one, and nothing waits for the other.
    for name in ["a", "never"] {
        bench.journal.pause(&sink(name), Some("moving".to_owned())).await.unwrap();
    }
    bench.journal.note_deed(deed()).await.unwrap();
    let (folder, clock) = (bench.folder.path(), crate::bench::as_clock(&bench.clock));
    let (backed_up, salvaged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    verify_whole(folder);
    backup(folder, backed_up.path(), &mut |_| {}).unwrap();
    let since = "2000-01-01T00:00:00Z".parse().unwrap();
    let lives = bench.journal.history(since).await.unwrap().lives.len();
    let (event, config, bounds) = (bench.event(1), bench.config, bench.bounds);
    bench.journal.close().await.unwrap();
    salvage(folder, salvaged.path(), &mut |loss| panic!("{loss:?}")).unwrap();
    for copy in [backed_up.path(), salvaged.path()] {
        verify_whole(copy);
        let journal = SqliteJournal::open(copy, config, bounds, Arc::clone(&clock)).unwrap();
        let pauses = journal.watch_pauses().borrow().clone();
        assert_eq!(pauses.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["a", "never"]);
        assert!(pauses.values().all(|pause| pause.reason.as_deref() == Some("moving")));
        assert_eq!(journal.deeds(None, 9).await.unwrap()[0].deed.action, deed().action);
        // What was purged is not brought back by a duplicate.
        assert_eq!(journal.append(&event, &[sink("a")]).await, Ok(Appended::Duplicate));
        assert_eq!(journal.backlogs().await.unwrap()[0].pending, 0);
        assert_eq!(journal.history(since).await.unwrap().lives.len(), lives + 1, "and this one");
    }
}

/// Dead letters are purged and purged ones replayed while the backup is between two pages.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_in_a_backup_is_purged_or_not_and_never_both() {
    let bench = Bench::new();
    for number in 0..260 {
        bench.append(number, &["a"]).await;
    }
    let claims = bench.claim("a", 999).await;
    // Two of the first page, and two of the second.
    let chosen = [10, 20, 240, 250];
    for number in chosen {
        bench.settle(&claims[number], Outcome::DeadLetter("gone".to_owned())).await;
    }
    let places: Vec<u64> = bench.dead_letters().iter().map(|letter| letter.place).collect();
    assert_eq!(bench.journal.purge(vec![places[0], places[2]]).await, Ok(2));
    let again = |number: usize| ReplayOrder {
        event: claims[chosen[number]].delivery.envelope.id,
        reading: None,
        deliveries: vec![Redelivery { sink: sink("a"), from: Some(DeliveryState::Purged) }],
    };
    let (orders, to) = (vec![again(0), again(2)], tempfile::tempdir().unwrap());
    let (journal, from, copy) = (&bench.journal, bench.folder.path(), to.path());
    let runtime = tokio::runtime::Handle::current();
    let mut changed = false;
    let mut change = |_| {
        if !std::mem::replace(&mut changed, true) {
            runtime.block_on(async {
                assert_eq!(journal.purge(vec![places[1], places[3]]).await, Ok(2));
                assert_eq!(journal.replay(orders.clone()).await.unwrap().again, 2);
            });
        }
    };
    tokio::task::block_in_place(|| backup(from, copy, &mut change)).unwrap();
    assert_eq!(verify_whole(copy).deliveries, 258);
    let reader = Reader::open(copy).unwrap();
    let state = |number: usize| {
        let events = vec![claims[chosen[number]].delivery.envelope.id];
        let filter = KeptFilter { events, ..KeptFilter::default() };
        let kept = reader.kept(&filter, None, 9).unwrap().items.remove(0);
        kept.deliveries.iter().map(|(_, state)| *state).collect::<Vec<_>>()
    };
    let (purged, dead) = (DeliveryState::Purged, DeliveryState::DeadLetter);
    assert_eq!([0, 1, 2, 3].map(state), [[purged], [dead], [DeliveryState::Retry], [purged]]);
}

fn deed() -> Deed {
    Deed {
        at: "2026-11-01T10:00:00Z".parse().unwrap(),
        token: None,
        address: None,
        action: "POST /api/v1/sinks/a/pause".to_owned(),
        request: None,
        status: 200,
        result: None,
    }
}
