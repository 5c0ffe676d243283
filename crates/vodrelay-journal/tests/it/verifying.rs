//! Each kind of damage is found, and told with what to do.

use rusqlite::Connection;
use vodrelay_journal::verify;

use crate::backup::{Findings, verify_whole};
use crate::bench::{Bench, copy_files};

/// Damages a journal by that statement and says what is found first.
async fn check(sql: &str, expected: &str) {
    let bench = Bench::new();
    for number in 0..4 {
        bench.append(number, if number == 3 { &[] } else { &["a"] }).await;
    }
    let folder = tempfile::tempdir().unwrap();
    copy_files(bench.folder.path(), folder.path());
    verify_whole(folder.path());
    Connection::open(folder.path().join("journal.sqlite3")).unwrap().execute_batch(sql).unwrap();
    let mut findings = Findings::default();
    let verified = verify(folder.path(), &mut findings).unwrap();
    assert_eq!(verified.findings, findings.0.len() as u64);
    assert!(findings.0.iter().any(|found| found.contains(expected)), "{sql}: {:?}", findings.0);
}

#[tokio::test]
async fn each_damage_is_found() {
    check("UPDATE events SET body = CAST('{}' AS BLOB) WHERE seq = 1", "body: event 1").await;
    check("UPDATE events SET id = zeroblob(16) WHERE seq = 2", "the id is not that of its body").await;
    check("DELETE FROM events WHERE seq = 1", "its event is not there").await;
    check("DELETE FROM sinks", "its sink is not there").await;
    check("DELETE FROM words WHERE text LIKE 'callbacks%'", "row: event 1").await;
    check("DELETE FROM deliveries WHERE id >> 12 = 1", "it has the state 0 and 0 deliveries").await;
    check("UPDATE deliveries SET state = 7 WHERE id >> 12 = 1", "a state that there is not").await;
    check("UPDATE deliveries SET state = 1 WHERE id >> 12 = 1", "tried again at no time").await;
    check("UPDATE sinks SET pending = 9", "pending of the sink a: the counter says 9, a recount 3").await;
    check("UPDATE totals SET unrouted = 0", "unrouted: the counter says 0, a recount 1").await;
    check("INSERT INTO meta (key, value) VALUES ('ids_folded_to', 2)", "event 1 is not in the table of ids")
        .await;
    check("INSERT INTO event_ids VALUES (zeroblob(16), 1)", "the table of ids names event 1").await;
    check("INSERT INTO attempts VALUES (99, 1, 0, 0, NULL, '')", "attempts of a delivery that is not there")
        .await;
    check("INSERT INTO event_sources VALUES (99, 1, 0, 0)", "sources of an event that is not there").await;
    check(
        "INSERT INTO purged (delivery, attempts, replays, purged_at) SELECT MIN(id), 0, 0, 0 FROM deliveries",
        "purged as dead letters too",
    )
    .await;
    check("INSERT INTO refusal_shares VALUES ('missing', 'x', 5)", "bytes of refusals by cause").await;
}

#[tokio::test]
async fn beside_a_running_relay_the_same_is_found() {
    let bench = Bench::new();
    for number in 0..50 {
        bench.append(number, &["a", "b"]).await;
    }
    let verified = verify_whole(bench.folder.path());
    assert_eq!((verified.events, verified.deliveries), (50, 100));
    let conn = Connection::open(bench.folder.path().join("journal.sqlite3")).unwrap();
    conn.execute_batch(
        "UPDATE events SET body = CAST('{}' AS BLOB) WHERE seq = 9; UPDATE totals SET events = 7",
    )
    .unwrap();
    let mut findings = Findings::default();
    verify(bench.folder.path(), &mut findings).unwrap();
    assert_eq!(findings.0.len(), 2, "{:?}", findings.0);
}
