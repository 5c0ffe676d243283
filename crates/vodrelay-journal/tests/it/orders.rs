//! What people order, beside what callbacks and sinks do at the same time.

use std::time::Duration;

use rusqlite::Connection;
use tokio::time::sleep;
use vodrelay_core::{Appended, Journal, JournalError, Ledger, Outcome};

use crate::bench::{Bench, sink};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_fails_takes_nothing_of_its_commit_along() {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    for claim in bench.claim("a", 1).await {
        bench.settle(&claim, Outcome::DeadLetter("gone".to_owned())).await;
    }
    let places: Vec<u64> = bench.dead_letters().iter().map(|letter| letter.place).collect();
    let conn = Connection::open(bench.folder.path().join("journal.sqlite3")).unwrap();
    conn.execute_batch(
        "CREATE TRIGGER no_purge BEFORE INSERT ON purged BEGIN SELECT RAISE(ABORT, 'it cannot be'); END;
         CREATE TRIGGER no_pause BEFORE UPDATE OF paused_at ON sinks BEGIN SELECT RAISE(ABORT, 'nor this'); END;",
    )
    .unwrap();
    // While somebody else writes, the first of them waits for its turn, and the others gather behind it.
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let journal = &bench.journal;
    let (events, sinks) = ([2, 3, 4].map(|number| bench.event(number)), [sink("a"), sink("b")]);
    let (unknown, release) = (sink("c"), async {
        sleep(Duration::from_millis(200)).await;
        conn.execute_batch("ROLLBACK").unwrap();
    });
    let (first, second, third, purged, paused, ()) = tokio::join!(
        journal.append(&events[0], &sinks[..1]),
        journal.append(&events[1], &sinks),
        journal.append(&events[2], &sinks),
        journal.purge(places.clone()),
        journal.pause(&unknown, None),
        release,
    );
    assert_eq!([first, second, third], [const { Ok(Appended::New) }; 3]);
    assert!(
        matches!(&purged, Err(JournalError::Failed(cause)) if cause.contains("it cannot be")),
        "{purged:?}"
    );
    assert!(matches!(&paused, Err(JournalError::Failed(cause)) if cause.contains("nor this")), "{paused:?}");
    let a = bench.backlog("a").await;
    assert_eq!((a.pending, a.dead_letters), (3, 1), "and nothing of what failed is there");
    assert!(journal.backlogs().await.unwrap().iter().all(|backlog| backlog.sink != unknown));

    conn.execute_batch("DROP TRIGGER no_purge; DROP TRIGGER no_pause").unwrap();
    assert_eq!(journal.purge(places).await, Ok(1));
    journal.pause(&unknown, None).await.unwrap();
    // Its number was given out anew, and to nobody else.
    journal.append(&bench.event(5), &[unknown.clone(), sink("d")]).await.unwrap();
    for name in ["c", "d"] {
        assert_eq!(bench.backlog(name).await.pending, 1, "{name}");
    }
    assert_eq!(bench.claim("d", 9).await.len(), 1);
    assert_eq!(bench.claim("c", 9).await.len(), 0);
}
