//! `vodrelay journal`, over a journal that the relay's own code wrote.

use std::path::Path;
use std::sync::Arc;

use vodrelay_core::config::ByteSize;
use vodrelay_core::testing::{envelope_of, event_body};
use vodrelay_core::{Clock, Journal, SinkName, SystemClock};
use vodrelay_journal::{Config, RefusedBounds, SqliteJournal};

use crate::cli::{check_in, vodrelay};

fn open(folder: &Path) -> SqliteJournal {
    let config = Config { min_free: ByteSize(0), ..Config::default() };
    SqliteJournal::open(folder, config, RefusedBounds::default(), Arc::new(SystemClock)).unwrap()
}

/// Three events for one sink.
async fn journal(folder: &Path) -> SqliteJournal {
    let journal = open(&folder.join("data"));
    for number in 0..3 {
        let envelope = envelope_of(event_body(number), SystemClock.now());
        journal.append(&envelope, &[SinkName::new("cms").unwrap()]).await.unwrap();
    }
    std::fs::write(folder.join("vodrelay.toml"), "").unwrap();
    journal
}

fn damage(folder: &Path, sql: &str) {
    rusqlite::Connection::open(folder.join("data/journal.sqlite3")).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_whole_journal_is_verified_and_backed_up_beside_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path()).await;
    let check = |words: &str, code: i32, says: &str| {
        check_in(folder.path(), &words.split(' ').collect::<Vec<_>>(), "", code, says);
    };
    check("journal verify", 0, "3 events, 3 deliveries; findings: 0");
    check("journal verify --json", 0, r#"{"deliveries":3,"events":3,"findings":0,"left_out":[]}"#);
    check("journal backup --to copy", 0, "copy/journal.sqlite3: 3 events, 0 refusals");
    check("journal backup --to copy", 73, "copy/journal.sqlite3 is there already");
    check("journal backup --to one.sqlite3 --json", 0, r#""events":3"#);
    check("journal verify --journal copy", 0, "3 events, 3 deliveries; findings: 0");
    check("journal verify --journal nowhere", 65, "there is no journal in nowhere");
    check("journal verify --journal vodrelay.toml", 65, "cannot look into vodrelay.toml: Not a directory");
    check("journal salvage --to new", 75, "a relay has the journal in");
    check("journal verify --help", 0, "Examples:");
    journal.close().await.unwrap();
    let restored = open(&folder.path().join("copy"));
    let claimed = restored.claim(&SinkName::new("cms").unwrap(), 9, std::time::Duration::from_secs(9)).await;
    assert_eq!(claimed.unwrap().claims.len(), 3);
}

#[tokio::test]
async fn damage_is_told_and_what_reads_is_salvaged() {
    let folder = tempfile::tempdir().unwrap();
    journal(folder.path()).await.close().await.unwrap();
    damage(
        folder.path(),
        "UPDATE events SET body = CAST('{}' AS BLOB) WHERE seq = 2; UPDATE totals SET events = 9",
    );
    let check = |words: &str, code: i32, says: &str| {
        check_in(folder.path(), &words.split(' ').collect::<Vec<_>>(), "", code, says);
    };
    check("journal verify", 65, "the body is not the one that was accepted\n    it is never delivered");
    check("journal verify --json", 65, r#""finding":"counter""#);
    check("journal salvage --to new", 65, "KEPT OUT event 2: its body is not the one that was accepted");
    check("journal verify --journal new", 0, "2 events, 2 deliveries; findings: 0");
    check("journal salvage --to new", 73, "is there already");
    check("journal salvage --to other --json", 65, r#""loss":"kept-out""#);
}

/// The relay was killed, and the file is gone: its log has all that came since it was moved last.
#[tokio::test]
async fn a_journal_that_has_lost_its_file_leads_to_a_salvage() {
    let folder = tempfile::tempdir().unwrap();
    drop(journal(folder.path()).await);
    std::fs::remove_file(folder.path().join("data/journal.sqlite3")).unwrap();
    let check = |words: &str, code: i32, says: &str| {
        check_in(folder.path(), &words.split(' ').collect::<Vec<_>>(), "", code, says);
    };
    check("journal verify", 74, "run `vodrelay journal salvage`");
    check("journal backup --to copy", 74, "run `vodrelay journal salvage`");
    check("journal salvage --to data", 73, "data/journal.sqlite3-wal is there already");
    check("journal salvage --to new", 0, "3 events, 3 deliveries, 0 refusals; events lost: 0");
    check("journal verify --journal new", 0, "3 events, 3 deliveries; findings: 0");
    std::fs::remove_file(folder.path().join("data/journal.sqlite3-wal")).unwrap();
    check("journal salvage --to other", 65, "there is no journal in data");
}

#[tokio::test]
async fn a_file_that_is_damaged_exits_with_74() {
    let folder = tempfile::tempdir().unwrap();
    journal(folder.path()).await.close().await.unwrap();
    let file = folder.path().join("data/journal.sqlite3");
    let mut bytes = std::fs::read(&file).unwrap();
    let events = bytes.windows(9).position(|window| window == b"\"VideoId\"").unwrap() / 4_096 * 4_096;
    bytes[events..events + 8].fill(0xA5);
    std::fs::write(&file, bytes).unwrap();
    let output = vodrelay(folder.path(), &["journal", "verify"], "");
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("`vodrelay journal salvage`"), "{printed}");
    check_in(folder.path(), &["journal", "backup", "--to", "copy"], "", 74, "run `vodrelay journal verify`");
    check_in(folder.path(), &["journal", "salvage", "--to", "new"], "", 65, "LOST events 1 to 3 do not read");
    check_in(folder.path(), &["journal", "verify", "--journal", "new"], "", 0, "findings: 0");
}
