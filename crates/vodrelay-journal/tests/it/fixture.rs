//! Journals of released schemas are opened for ever after.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vodrelay_core::testing::ManualClock;
use vodrelay_core::{Appended, Clock, Journal, Ledger, Outcome};
use vodrelay_journal::{RefusedBounds, SqliteJournal};

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
