//! Many callers share a sync. With `RUN_SLOW_TESTS` set it measures, and prints what docs/JOURNAL.md quotes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use vodrelay_core::testing::{envelope_of, event_body};
use vodrelay_core::{Clock, Journal, Outcome, Settled, SystemClock};
use vodrelay_journal::{RefusedBounds, SqliteJournal};

use crate::bench::{LEASE, config, sink};

fn open(folder: &std::path::Path) -> SqliteJournal {
    SqliteJournal::open(folder, config(), RefusedBounds::default(), Arc::new(SystemClock)).unwrap()
}

/// Appends from that many tasks until the time is over; returns how many.
async fn append_for(journal: &SqliteJournal, tasks: usize, time: Duration, next: &Arc<AtomicUsize>) -> usize {
    let (begun, before) = (Instant::now(), next.load(Ordering::Relaxed));
    let sinks = [sink("a")];
    let run = |journal: SqliteJournal, next: Arc<AtomicUsize>| {
        let sinks = sinks.clone();
        async move {
            while begun.elapsed() < time {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let envelope = envelope_of(event_body(number), SystemClock.now());
                journal.append(&envelope, &sinks).await.unwrap();
            }
        }
    };
    let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(run(journal.clone(), Arc::clone(next)))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    next.load(Ordering::Relaxed) - before
}

async fn deliver_all(journal: &SqliteJournal) -> usize {
    let mut delivered = 0;
    loop {
        let claimed = journal.claim(&sink("a"), 64, LEASE).await.unwrap();
        if claimed.claims.is_empty() {
            return delivered;
        }
        let settled: Vec<Settled> = claimed
            .claims
            .iter()
            .map(|claim| Settled {
                token: claim.token,
                outcome: Outcome::Delivered,
                attempt: None,
                reached_at: jiff::Timestamp::now(),
            })
            .collect();
        delivered += journal.settle(&settled).await.unwrap().len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_share_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let slow = std::env::vars().any(|(name, _)| name == "RUN_SLOW_TESTS");
    let time = Duration::from_millis(if slow { 4_000 } else { 100 });
    let next = Arc::new(AtomicUsize::new(0));
    for tasks in [1, 32, 256] {
        let appended = append_for(&journal, tasks, time, &next).await;
        println!("{tasks} tasks: {:.0} appends/s", appended as f64 / time.as_secs_f64());
        assert!(appended > 0);
    }
    let begun = Instant::now();
    let delivered = deliver_all(&journal).await;
    println!("claim and settle, 64 at a time: {:.0}/s", delivered as f64 / begun.elapsed().as_secs_f64());
    assert_eq!(delivered, next.load(Ordering::Relaxed));
    journal.close().await.unwrap();
    let file = std::fs::metadata(folder.path().join("journal.sqlite3")).unwrap().len();
    let body = event_body(0).len();
    println!("{} bytes per delivered event of {body} bytes", file / delivered as u64);
}
