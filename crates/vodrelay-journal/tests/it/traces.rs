//! The span that brought an event: kept over a restart and in a copy, gone with the event, and nothing to earlier versions.

use rusqlite::Connection;
use vodrelay_core::{Journal, TraceContext};
use vodrelay_journal::{SqliteJournal, backup, salvage};

use crate::bench::{Bench, LEASE, as_clock, sink};

fn span(number: u8) -> Option<TraceContext> {
    TraceContext::new([number; 16], [number; 8])
}

/// Which spans brought the events that wait for the sink.
async fn brought(journal: &SqliteJournal) -> Vec<Option<TraceContext>> {
    let claimed = journal.claim(&sink("a"), 99, LEASE).await.unwrap();
    claimed.claims.iter().map(|claim| claim.delivery.envelope.trace).collect()
}

/// Three events, of which the second has no span.
async fn stage() -> Bench {
    let bench = Bench::new();
    for (number, trace) in [(1, span(1)), (2, None), (3, span(3))] {
        let envelope = bench.event(number).with_trace(trace);
        bench.journal.append(&envelope, &[sink("a")]).await.unwrap();
    }
    bench
}

#[tokio::test]
async fn spans_stay_over_a_restart_and_in_a_copy() {
    let expect = [span(1), None, span(3)];
    let bench = stage().await.restart().await;
    let to = tempfile::tempdir().unwrap();
    let (copy, saved) = (to.path().join("copy"), to.path().join("saved"));
    backup(bench.folder.path(), &copy, &mut |_| {}).unwrap();
    assert_eq!(brought(&bench.journal).await, expect);
    salvage(&copy, &saved, &mut |_| {}).unwrap();
    for folder in [copy, saved] {
        let journal =
            SqliteJournal::open(&folder, bench.config, bench.bounds, as_clock(&bench.clock)).unwrap();
        assert_eq!(brought(&journal).await, expect, "{}", folder.display());
    }
}

#[tokio::test]
async fn an_earlier_version_works_with_the_file_and_leaves_no_span_behind() {
    let bench = stage().await;
    let folder = bench.folder;
    bench.journal.close().await.unwrap();
    let conn = Connection::open(folder.path().join("journal.sqlite3")).unwrap();
    let spans = || conn.query_row("SELECT COUNT(*) FROM traces", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(spans(), 2);
    // What the version of schema 3 does when it appends and removes.
    conn.execute_batch(
        "INSERT INTO events (seq, id, source, received_at, state, sha256, body)
             SELECT 4, x'00112233445566778899aabbccddeeff', source, received_at, 1, sha256, body FROM events WHERE seq = 1;
         DELETE FROM events WHERE seq IN (1, 4);",
    )
    .unwrap();
    assert_eq!(spans(), 1);
}

#[tokio::test]
async fn a_file_of_schema_3_is_brought_up_to_it_and_can_be_copied_before() {
    let bench = stage().await;
    let folder = bench.folder;
    bench.journal.close().await.unwrap();
    let file = folder.path().join("journal.sqlite3");
    let back = "DROP TRIGGER trace_goes_with_event; DROP TABLE traces; PRAGMA user_version = 3;";
    Connection::open(&file).unwrap().execute_batch(back).unwrap();
    let to = tempfile::tempdir().unwrap();
    assert_eq!(backup(folder.path(), &to.path().join("copy"), &mut |_| {}).unwrap().events, 3);
    let journal =
        SqliteJournal::open(folder.path(), bench.config, bench.bounds, as_clock(&bench.clock)).unwrap();
    assert_eq!(brought(&journal).await, [None, None, None]);
}
