//! Files that somebody takes away, and rows that somebody damaged.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::time::{Instant, sleep, timeout};
use vodrelay_core::{Journal, JournalError, SystemClock};
use vodrelay_journal::{RefusedBounds, SqliteJournal};

use crate::bench::{Bench, config, sink};

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_whose_files_are_taken_away_is_poisoned() {
    for name in ["journal.sqlite3", "journal.sqlite3-wal", "journal.lock"] {
        let bench = Bench::new();
        bench.append(1, &["a"]).await;
        std::fs::rename(bench.folder.path().join(name), bench.folder.path().join("taken")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let error = loop {
            // Looked for about once a second; an append until then goes where the file still is.
            sleep(Duration::from_millis(100)).await;
            match bench.journal.append(&bench.event(2), &[sink("a")]).await {
                Err(error) => break error,
                Ok(_) => assert!(Instant::now() < deadline, "{name} is gone, and appends are still accepted"),
            }
        };
        let JournalError::Poisoned(cause) = &error else { panic!("{error}") };
        assert!(cause.contains(name) && cause.contains("removed or replaced"), "{cause}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_whose_folder_becomes_something_else_is_poisoned() {
    for becomes_a_file in [true, false] {
        let (place, clock) = (tempfile::tempdir().unwrap(), Arc::new(SystemClock));
        let folder = place.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        let journal = SqliteJournal::open(&folder, config(), RefusedBounds::default(), clock).unwrap();
        std::fs::rename(&folder, place.path().join("away")).unwrap();
        if becomes_a_file {
            std::fs::write(&folder, "").unwrap();
        } else {
            std::os::unix::fs::symlink(&folder, &folder).unwrap();
        }
        let mut poisoned = journal.poisoned();
        let cause = timeout(Duration::from_secs(20), poisoned.wait_for(Option::is_some)).await;
        let cause = cause.unwrap().unwrap().clone().unwrap();
        assert!(cause.contains("removed or replaced"), "{cause}");
    }
}

#[tokio::test]
async fn a_row_that_does_not_read_becomes_a_dead_letter_and_holds_up_nobody() {
    let damages = [
        "UPDATE deliveries SET attempts = 'x' WHERE id = (SELECT MIN(id) FROM deliveries)",
        "DELETE FROM events WHERE seq = (SELECT MIN(seq) FROM events)",
        "UPDATE events SET source = 'x' WHERE seq = (SELECT MIN(seq) FROM events)",
    ];
    for damage in damages {
        let bench = Bench::new();
        for number in 0..3 {
            bench.append(number, &["a"]).await;
        }
        let (folder, clock, config, bounds) = (bench.folder, bench.clock, bench.config, bench.bounds);
        bench.journal.close().await.unwrap();
        let conn = Connection::open(folder.path().join("journal.sqlite3")).unwrap();
        // A flipped bit asks no constraint.
        conn.execute_batch(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '');",
        )
        .unwrap();
        drop(conn);
        Connection::open(folder.path().join("journal.sqlite3")).unwrap().execute_batch(damage).unwrap();
        let as_clock = crate::bench::as_clock(&clock);
        let journal = SqliteJournal::open(folder.path(), config, bounds, as_clock).unwrap();
        let bench = Bench { folder, clock, journal, config, bounds };
        assert_eq!(bench.claim("a", 9).await.len(), 2, "{damage}");
        assert_eq!(bench.backlog("a").await.dead_letters, 1, "{damage}");
    }
}
