//! Who may open a journal, and what they are told who may not.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use vodrelay_core::testing::envelope_of;
use vodrelay_core::{Appended, Clock, Journal, JournalError, Ledger, SystemClock};
use vodrelay_journal::{OpenError, RefusedBounds, SqliteJournal, backup, salvage, verify};

use crate::backup::{Findings, verify_whole};
use crate::bench::{Bench, config, copy_files};

fn open(folder: &Path) -> Result<SqliteJournal, OpenError> {
    SqliteJournal::open(folder, config(), RefusedBounds::default(), Arc::new(SystemClock))
}

#[tokio::test]
async fn a_second_one_is_told_who_holds_it() {
    let bench = Bench::new();
    let error = open(bench.folder.path()).unwrap_err();
    let OpenError::HeldBy { pid, since, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, std::process::id().to_string());
    assert_ne!(since, "unknown");
    let folder = bench.folder;
    bench.journal.close().await.unwrap();
    open(folder.path()).unwrap();
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_clean_stop() {
    let bench = Bench::new();
    assert_eq!(bench.append(1, &["a"]).await, Appended::New);
    let bench = bench.restart().await;
    assert_eq!(bench.append(1, &["a"]).await, Appended::Duplicate);
    assert_eq!(bench.claim("a", 9).await.len(), 1);
}

#[tokio::test]
async fn other_clones_of_a_closed_one_say_so() {
    let bench = Bench::new();
    let clone = bench.journal.clone();
    let event = bench.event(1);
    bench.journal.close().await.unwrap();
    assert_eq!(clone.append(&event, &[]).await, Err(JournalError::Closed));
    assert_eq!(clone.writable().await, Err(JournalError::Closed));
    assert_eq!(clone.close().await, Err(JournalError::Closed));
}

/// Opens a journal that was changed by hand.
async fn check_changed(sql: &str, check: impl FnOnce(Result<SqliteJournal, OpenError>)) {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    let folder = bench.folder;
    bench.journal.close().await.unwrap();
    Connection::open(folder.path().join("journal.sqlite3")).unwrap().execute_batch(sql).unwrap();
    check(open(folder.path()));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let sql = "PRAGMA user_version = 9; UPDATE meta SET value = 9 WHERE key = 'readable_from';
               UPDATE meta SET value = '4.2.0' WHERE key = 'written_by'";
    check_changed(sql, |opened| {
        let error = opened.unwrap_err();
        let OpenError::NewerSchema { found: 9, known: 5, written_by, .. } = &error else { panic!("{error}") };
        assert_eq!(written_by, "4.2.0");
    })
    .await;
}

#[tokio::test]
async fn a_newer_schema_that_only_added_is_opened() {
    let sql =
        "PRAGMA user_version = 9; ALTER TABLE deliveries ADD COLUMN later TEXT; CREATE TABLE later (x);";
    check_changed(sql, |opened| drop(opened.unwrap())).await;
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.sqlite3");
    std::fs::write(&file, "somebody's notes, long enough to be looked at. ".repeat(100)).unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("`vodrelay journal salvage`"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);

    std::fs::remove_file(&file).unwrap();
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("another program's database"), "{error}");
}

/// SQLite would remove the log, and with it what was acknowledged since the last checkpoint.
#[tokio::test]
async fn a_log_that_has_lost_its_file_is_left_alone() {
    let bench = Bench::new();
    for number in 0..100 {
        bench.append(number, &["a"]).await;
    }
    let (file, log) = ("journal.sqlite3", "journal.sqlite3-wal");
    for lose in [|path: &Path| std::fs::remove_file(path), |path: &Path| std::fs::write(path, "")] {
        let (folder, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        copy_files(bench.folder.path(), folder.path());
        lose(&folder.path().join(file)).unwrap();
        let before = std::fs::read(folder.path().join(log)).unwrap();
        let mut ignore = Findings::default();
        let refusals = [
            open(folder.path()).map(drop).unwrap_err().to_string(),
            verify(folder.path(), &mut ignore).map(drop).unwrap_err().to_string(),
            backup(folder.path(), to.path(), &mut |_| {}).map(drop).unwrap_err().to_string(),
        ];
        for refusal in refusals {
            assert!(refusal.contains("what was acknowledged last"), "{refusal}");
        }
        assert_eq!(std::fs::read(folder.path().join(log)).unwrap(), before);
        let salvaged = salvage(folder.path(), to.path(), &mut |_| {}).unwrap();
        assert_eq!(salvaged.events, 100, "nothing of it was in the file yet");
        assert_eq!(std::fs::read(folder.path().join(log)).unwrap(), before);
    }
}

/// SQLite knows its tables by a text in the file; what it does not find by that is found missing before anything depends
/// on it.
#[tokio::test]
async fn a_table_that_is_not_as_it_was_made_is_damage() {
    for (table, letters) in [
        ("deliveries", ["crashes", "crbshes"]),
        ("totals", ["duplicates INTEGER NOT NULL DEFAULT 0", "duplicates INTEGER NOT NULL DEFAULT 8"]),
        ("event_ids", ["seq", "sep"]),
    ] {
        let bench = Bench::new();
        let folder = bench.folder;
        bench.journal.close().await.unwrap();
        let conn = Connection::open(folder.path().join("journal.sqlite3")).unwrap();
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        conn.execute_batch("PRAGMA writable_schema = ON").unwrap();
        let sql = "UPDATE sqlite_schema SET sql = replace(sql, ?2, ?3) WHERE name = ?1";
        assert_eq!(conn.execute(sql, [table, letters[0], letters[1]]).unwrap(), 1);
        drop(conn);
        let error = open(folder.path()).unwrap_err();
        let OpenError::Corrupt { cause, .. } = &error else { panic!("{error}") };
        assert!(cause.contains(&format!("of its table {table} is not as it was made")), "{cause}");
    }
}

/// A power cut took the beginning of the last transaction, and its other frames stand in the log, each continuing from
/// the one before. What is written over some of them, and cut in its turn, would look like damage.
#[tokio::test]
async fn what_stands_behind_the_last_commit_is_gone_before_anything_is_written() {
    const FRAME: usize = 24 + 4_096;
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    let log = |folder: &Path| std::fs::read(folder.join("journal.sqlite3-wal")).unwrap();
    let acknowledged = log(bench.folder.path()).len();
    let body = bytes::Bytes::from(vec![b'x'; 30 * 4_096]);
    bench.journal.append(&envelope_of(body, bench.clock.now()), &[]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy_files(bench.folder.path(), folder.path());
    let mut bytes = log(folder.path());
    let last = bytes[bytes.len() - FRAME..].to_vec();
    assert!(bytes.len() > acknowledged + 30 * FRAME);
    bytes[acknowledged..acknowledged + 512].fill(0);
    std::fs::write(folder.path().join("journal.sqlite3-wal"), bytes).unwrap();

    let journal = open(folder.path()).unwrap();
    assert_eq!(journal.totals().await.unwrap().events, 1);
    let after = log(folder.path());
    assert!(after.windows(FRAME).all(|frame| frame != last), "frames of what never was are still there");
    drop(journal);
    verify_whole(folder.path());
}

/// A power cut took the first start of all but for the header of its log. The settings of an empty file are a commit of
/// their own, which is made in that log before it is cut off.
#[tokio::test]
async fn a_first_start_that_was_cut_is_begun_again() {
    let first = tempfile::tempdir().unwrap();
    drop(open(first.path()).unwrap());
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy_files(first.path(), folder.path());
    let log = folder.path().join("journal.sqlite3-wal");
    let header = &std::fs::read(&log).unwrap()[..32];
    std::fs::write(&log, [header, &[7; 9_000]].concat()).unwrap();

    let journal = open(folder.path()).unwrap();
    journal
        .append(&envelope_of(bytes::Bytes::from_static(b"{}"), jiff::Timestamp::UNIX_EPOCH), &[])
        .await
        .unwrap();
    copy_files(folder.path(), killed.path());
    assert_eq!(open(killed.path()).unwrap().totals().await.unwrap().events, 1);
}

#[tokio::test]
async fn copies_are_for_their_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    let folder = bench.folder;
    bench.journal.close().await.unwrap();
    let to = tempfile::tempdir().unwrap();
    backup(folder.path(), &to.path().join("backup.sqlite3"), &mut |_| {}).unwrap();
    salvage(folder.path(), to.path(), &mut |_| {}).unwrap();
    for name in ["backup.sqlite3", "journal.sqlite3"] {
        let mode = to.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_torn_file_is_named() {
    let bench = Bench::new();
    for number in 0..100 {
        bench.append(number, &["a"]).await;
    }
    let folder = bench.folder;
    bench.journal.close().await.unwrap();
    let file = folder.path().join("journal.sqlite3");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4_096..].fill(0xA5);
    bytes[100..4_096].fill(0xA5);
    std::fs::write(&file, bytes).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}
