//! When the relay was there, as the journal remembers it over stops, crashes and clocks that are set.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use vodrelay_core::gaps::{Gaps, Why};
use vodrelay_core::{Clock, Ledger};

use crate::bench::Bench;

/// The windows in which it was not there, in seconds after the start.
async fn windows(bench: &Bench, start: Timestamp) -> Vec<(i64, i64, Why)> {
    let history = bench.journal.history(start).await.unwrap();
    let gaps = Gaps::find(&history, start, bench.clock.now()).gaps;
    let since = |at: Timestamp| at.duration_since(start).as_secs();
    gaps.into_iter().map(|gap| (since(gap.from), since(gap.until), gap.why)).collect()
}

fn down(stopped: bool, clock_set_back: bool) -> Why {
    Why::Down { stopped, clock_set_back }
}

#[tokio::test]
async fn a_stop_and_a_crash_leave_a_window() {
    let bench = Bench::new();
    let start = bench.clock.now();
    let after = |bench: &Bench, seconds| bench.clock.advance(Duration::from_secs(seconds));
    let Bench { folder, clock, journal, config, bounds } = bench;
    journal.close().await.unwrap();
    clock.advance(Duration::from_secs(40));
    let journal =
        vodrelay_journal::SqliteJournal::open(folder.path(), config, bounds, crate::bench::as_clock(&clock))
            .unwrap();
    let bench = Bench { folder, clock, journal, config, bounds };
    assert_eq!(windows(&bench, start).await, [(0, 40, down(true, false))]);
    after(&bench, 20);
    let bench = bench.crash();
    // It was there at second 40, and nothing was written since.
    assert_eq!(windows(&bench, start).await, [(0, 40, down(true, false)), (40, 60, down(false, false))]);
    bench.clock.set(start - Duration::from_secs(100));
    let bench = bench.crash();
    let last = windows(&bench, start - Duration::from_secs(999)).await.remove(0);
    assert_eq!(last, (899, 1059, down(false, true)), "a heartbeat in the future");
}

#[tokio::test]
async fn a_beat_rides_with_a_commit() {
    let bench = Bench::new();
    let start = bench.clock.now();
    bench.clock.advance(Duration::from_millis(1_100));
    bench.append(1, &[]).await;
    let beat_at = bench.journal.history(start).await.unwrap().lives[0].beat_at;
    assert_eq!(beat_at, start + Duration::from_millis(1_100));
}

#[tokio::test]
async fn a_journal_that_nobody_writes_to_beats_all_the_same() {
    let bench = Bench::new();
    let start = bench.clock.now();
    bench.clock.advance(Duration::from_secs(10));
    let opened = Instant::now();
    while bench.journal.history(start).await.unwrap().lives[0].beat_at == start {
        assert!(opened.elapsed() < Duration::from_secs(30), "no beat came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
