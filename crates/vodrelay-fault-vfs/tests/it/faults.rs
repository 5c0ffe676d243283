//! Operations that fail say what SQLite's own VFS would say, and as often as they were told to.

use rusqlite::{Connection, OpenFlags, ffi};
use vodrelay_fault_vfs::{Fault, FaultyDisk, File, How, Operation, flip_bits};

/// The extended code of a commit under that fault, and what happens to the next one.
fn check(fault: Fault, expected: i32) {
    let (disk, folder) = (FaultyDisk::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("db");
    let conn = Connection::open_with_flags_and_vfs(&file, OpenFlags::default(), disk.name()).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x);").unwrap();
    disk.fail(fault);
    let error = conn.execute("INSERT INTO t VALUES (1)", []).unwrap_err();
    assert_eq!(error.sqlite_extended_error_code(), Some(expected), "{fault:?}");
    assert_eq!(disk.heal(), 1, "{fault:?}");
    conn.execute("INSERT INTO t VALUES (2)", []).unwrap();
}

#[test]
fn each_fails_as_it_would() {
    check(Fault::once(Operation::Write, How::Io), ffi::SQLITE_IOERR_WRITE);
    check(Fault::once(Operation::Write, How::Full), ffi::SQLITE_FULL);
    check(Fault::once(Operation::Write, How::Short), ffi::SQLITE_FULL);
    check(Fault::once(Operation::Sync, How::Io), ffi::SQLITE_IOERR_FSYNC);
    check(
        Fault { file: File::Log, after: 1, ..Fault::once(Operation::Write, How::Io) },
        ffi::SQLITE_IOERR_WRITE,
    );
}

#[test]
fn bits_flip_where_the_seed_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let damaged = |seed| {
        std::fs::write(&file, [0; 1_000]).unwrap();
        let offsets = flip_bits(&file, seed, 3).unwrap();
        assert_eq!(offsets.len(), 3);
        std::fs::read(&file).unwrap()
    };
    assert_eq!(damaged(5), damaged(5));
    assert!(damaged(5).iter().any(|byte| *byte != 0));
}
