//! Journals of released schemas are opened for ever after.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vodrelay_core::ledger::{KeptFilter, LetterFilter};
use vodrelay_core::testing::ManualClock;
use vodrelay_core::{Appended, Clock, Journal, Ledger, Outcome};
use vodrelay_journal::{Reader, RefusedBounds, SqliteJournal};

use crate::bench::{Bench, LEASE, as_clock, config, copy_files, sink};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/journal")
}

/// Writes the fixture of the present schema, when asked by `UPDATE_JOURNAL_FIXTURE=0.1`.
#[tokio::test]
async fn the_present_one_is_written_on_demand() {
    let Some(version) = std::env::vars().find(|(name, _)| name == "UPDATE_JOURNAL_FIXTURE") else { return };
    let bench = Bench::new();
    for number in 0..8 {
        bench.append(number, if number == 7 { &[] } else { &["cms", "archive"] }).await;
    }
    bench.append(0, &["cms"]).await;
    let claims = bench.claim("cms", 4).await;
    bench.settle(&claims[0], Outcome::Delivered).await;
    bench.settle(&claims[1], Outcome::DeadLetter("410 gone".to_owned())).await;
    bench.settle(&claims[2], Outcome::RetryAt("2030-01-01T00:00:00Z".parse().unwrap())).await;
    let (folder, target) = (bench.folder, fixtures().join(version.1));
    bench.journal.close().await.unwrap();
    std::fs::create_dir_all(&target).unwrap();
    std::fs::copy(folder.path().join("journal.sqlite3"), target.join("journal.sqlite3")).unwrap();
}

#[tokio::test]
async fn each_opens_with_everything_in_it() {
    let versions = std::fs::read_dir(fixtures()).unwrap();
    let versions: Vec<PathBuf> =
        versions.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert!(!versions.is_empty());
    for version in versions {
        let folder = tempfile::tempdir().unwrap();
        copy_files(&version, folder.path());
        check(folder.path()).await;
    }
}

/// `check` looks into the journal of a relay that has not been started again since it was replaced.
#[test]
fn each_can_be_read_before_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    copy_files(&fixtures().join("0.1"), folder.path());
    let reader = Reader::open(folder.path()).unwrap();
    let backlogs = reader.backlogs().unwrap();
    assert!(backlogs.iter().all(|backlog| backlog.paused.is_none()));
    let letters = reader.dead_letters(&LetterFilter::default(), None, 9).unwrap().items;
    assert_eq!(letters.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), ["410 gone"]);
    let detail = reader.event(letters[0].event).unwrap().unwrap();
    assert_eq!(detail.deliveries.len(), 2);
    let kept = reader.kept(&KeptFilter::default(), None, 99).unwrap();
    assert_eq!(kept.items.len(), 8);
}

/// The statements by which the version before appends and reads, as it has them.
const BY_VERSION_1: &str = "
    INSERT INTO events (seq, id, source, labels, received_at, state, event_type, event_time, status,
        video_id, media_id, job_id, unreadable, sha256, body)
        SELECT 1000, x'000102030405060708090a0b0c0d0e0f', source, labels, received_at, 0, event_type, event_time, status,
        video_id, media_id, job_id, unreadable, sha256, body FROM events WHERE seq = 1;
    INSERT INTO deliveries (id, sink, state) VALUES ((1000 << 12) + 1, 1, 0) ON CONFLICT (id) DO NOTHING;
    UPDATE sinks SET pending = pending + 1, dead_letters = dead_letters + 0, delivered = delivered + 0 WHERE id = 1;
    UPDATE totals SET events = events + 1, duplicates = duplicates + 0, unrouted = unrouted + 0,
        unreadable = unreadable + 0, refusals = refusals + 0, refusal_bytes = refusal_bytes + 0;
    INSERT OR REPLACE INTO meta (key, value) VALUES ('written_by', '0.1.0');";

#[tokio::test]
async fn up_down_and_up_again() {
    let folder = tempfile::tempdir().unwrap();
    copy_files(&fixtures().join("0.1"), folder.path());
    let clock = Arc::new(ManualClock::default());
    let open =
        || SqliteJournal::open(folder.path(), config(), RefusedBounds::default(), as_clock(&clock)).unwrap();
    let journal = open();
    let letters = journal.dead_letters(&LetterFilter::default(), None, 9).await.unwrap().items;
    assert_eq!(journal.purge(vec![letters[0].place]).await, Ok(1));
    journal.pause(&sink("archive"), None).await.unwrap();
    journal.close().await.unwrap();

    let conn = rusqlite::Connection::open(folder.path().join("journal.sqlite3")).unwrap();
    let readable_from: i64 =
        conn.query_row("SELECT value FROM meta WHERE key = 'readable_from'", [], |row| row.get(0)).unwrap();
    assert_eq!(readable_from, 1, "the version before works with it");
    conn.execute_batch(BY_VERSION_1).unwrap();
    drop(conn);

    let journal = open();
    let totals = journal.totals().await.unwrap();
    assert_eq!((totals.events, totals.duplicates, totals.unrouted), (9, 1, 1));
    let backlogs = journal.backlogs().await.unwrap();
    let figures: Vec<_> = backlogs
        .iter()
        .map(|backlog| (backlog.sink.as_str(), backlog.pending, backlog.dead_letters, backlog.delivered))
        .collect();
    assert_eq!(figures, [("archive", 8, 0, 0), ("cms", 5, 0, 1)], "what was purged does not come back");
    assert!(backlogs[0].paused.is_some(), "and what the version before knows nothing of is still there");
    journal.close().await.unwrap();
}

async fn check(folder: &Path) {
    let clock = Arc::new(ManualClock::default());
    let journal = SqliteJournal::open(folder, config(), RefusedBounds::default(), as_clock(&clock)).unwrap();
    let totals = journal.totals().await.unwrap();
    assert_eq!((totals.events, totals.duplicates, totals.unrouted), (8, 1, 1));
    let backlogs = journal.backlogs().await.unwrap();
    let figures: Vec<_> = backlogs
        .iter()
        .map(|backlog| (backlog.sink.as_str(), backlog.pending, backlog.dead_letters, backlog.delivered))
        .collect();
    assert_eq!(figures, [("archive", 7, 0, 0), ("cms", 5, 1, 1)]);
    let claimed = journal.claim(&sink("cms"), 99, LEASE).await.unwrap();
    assert_eq!(claimed.claims.len(), 4);
    assert!(claimed.claims.iter().all(|claim| claim.delivery.envelope.is_intact()));
    let again = (*claimed.claims[0].delivery.envelope).clone();
    assert_eq!(
        journal.append(&again, &[sink("cms")]).await,
        Ok(Appended::Duplicate),
        "ids are never computed anew"
    );
    let history = journal.history(clock.now()).await.unwrap();
    assert!(!history.lives.is_empty(), "what later schemas added is there, and works");
    journal.close().await.unwrap();
}
