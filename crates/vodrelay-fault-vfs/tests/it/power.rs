//! Power cuts: with full syncs nothing is lost, and with less the loss is found.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use vodrelay_fault_vfs::{Dice, FaultyDisk};

const CUTS: u64 = 60;

/// Writes rows until the power goes, and returns how many were acknowledged and how many are there afterwards; nothing
/// where the database does not read any more.
fn run(seed: u64, synchronous: &str, disk: &FaultyDisk, folder: &Path) -> (i64, Option<i64>) {
    let (file, mut dice) = (folder.join("db"), Dice::new(seed));
    let open = || Connection::open_with_flags_and_vfs(&file, OpenFlags::default(), disk.name()).unwrap();
    let conn = open();
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 20; PRAGMA synchronous = {synchronous};
         CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB);"
    ))
    .unwrap();
    disk.folder_synced(folder);
    disk.cut_power_in(dice.below(200));
    let mut acknowledged = 0;
    while conn.execute("INSERT INTO t (y) VALUES (zeroblob(?1))", [dice.below(6_000).cast_signed()]).is_ok() {
        acknowledged += 1;
    }
    assert!(disk.is_dead());
    drop(conn);
    disk.power_cut(seed);
    let conn = open();
    let whole = conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    let count = conn.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0));
    (acknowledged, count.ok().filter(|_| whole.is_ok_and(|whole| whole == "ok")))
}

/// How many of the cuts lost something that was acknowledged.
fn losses(synchronous: &str, prepare: impl Fn(&FaultyDisk)) -> usize {
    let lost = |seed: &u64| {
        let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().unwrap());
        prepare(&disk);
        let (acknowledged, found) = run(*seed, synchronous, &disk, folder.path());
        found.is_none_or(|found| found < acknowledged)
    };
    (0..CUTS).filter(lost).count()
}

#[test]
fn full_syncs_lose_nothing() {
    assert_eq!(losses("FULL", |_| {}), 0);
}

#[test]
fn less_than_full_syncs_are_found_out() {
    for synchronous in ["NORMAL", "OFF"] {
        let losses = losses(synchronous, |_| {});
        assert!(losses > 0, "synchronous = {synchronous} lost nothing in {CUTS} cuts");
    }
}

#[test]
fn a_disk_whose_syncs_are_lies_is_found_out() {
    assert!(losses("FULL", FaultyDisk::ignore_syncs) > 0);
}

#[test]
fn an_open_file_is_dead_after_the_cut() {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("db");
    let conn = Connection::open_with_flags_and_vfs(&file, OpenFlags::default(), disk.name()).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1);").unwrap();
    disk.folder_synced(folder.path());
    disk.power_cut(1);
    assert!(conn.execute("INSERT INTO t VALUES (2)", []).is_err());
}
