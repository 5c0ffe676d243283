//! Files that are gone, and others that come into their place.

use std::path::Path;
use std::time::Duration;

use vodrelay_fault_vfs::flip_bit;

use super::power::frames;
use super::seeds;
use super::stage::{FRAME, Stage};
use crate::lock::{self, Lock};
use crate::{CopyError, Reader};

/// Zeros sum up to zero, so that a frame of them fits behind a header of them.
#[test]
fn zeros_at_the_beginning_of_the_log_hide_nothing() {
    for lost in [512, 4_151, 4_152, 8_192, 16_384] {
        let stage = Stage::killed(30, 300);
        let end = 32 + (frames(&stage.rig) - 1) * FRAME as u64;
        let mut bytes = std::fs::read(stage.rig.log()).unwrap();
        bytes[..lost].fill(0);
        std::fs::write(stage.rig.log(), &bytes).unwrap();
        assert!(stage.refused().contains("its header is not what was written"), "{lost} bytes");
        assert!(stage.rig.findings()[0].contains("its header is not what was written"), "{lost} bytes");
        // The salts of the last frame, of which only the index says then that it was acknowledged.
        flip_bit(&stage.rig.log(), end + 8, 3).unwrap();
        // What stood in the zeros is lost, each page of it with the events that it had.
        let (to, mut told) = (tempfile::tempdir().unwrap(), Vec::new());
        let salvaged =
            crate::salvage(stage.rig.folder.path(), to.path(), &mut |loss| told.push(loss.what)).unwrap();
        assert_eq!(salvaged.events_lost, 30 - salvaged.events, "{lost} bytes");
        std::fs::remove_file(stage.index()).unwrap();
        assert!(
            stage.refused().contains("its header is not what was written"),
            "{lost} bytes, without the index"
        );
        assert!(
            salvaged.events == 27 && told.iter().any(|what| what.starts_with("frame 1 of the log")),
            "{told:?}"
        );
    }
}

/// Whoever looks says so, and leaves the proof.
#[test]
fn a_log_that_is_gone_is_refused() {
    for left in [None, Some(0), Some(31)] {
        // The log has begun anew, so that the file has most; or never was, so that it has nothing.
        for events in [8, 60] {
            let stage = Stage::killed(events, 300);
            let folder = stage.rig.folder.path();
            let bytes = std::fs::read(stage.rig.log()).unwrap();
            match left {
                None => std::fs::remove_file(stage.rig.log()).unwrap(),
                Some(left) => std::fs::write(stage.rig.log(), &bytes[..left]).unwrap(),
            }
            for _ in 0..2 {
                assert!(
                    stage.refused().contains("it is gone, and by its index"),
                    "{left:?}: {}",
                    stage.refused()
                );
                assert!(stage.rig.findings()[0].contains("it is gone"), "{left:?}");
                let backup = crate::backup(folder, tempfile::tempdir().unwrap().path(), &mut |_| {});
                assert!(backup.is_err() && Reader::open(folder).is_err(), "{left:?}");
            }
            let (to, mut told) = (tempfile::tempdir().unwrap(), Vec::new());
            let _ = crate::salvage(folder, to.path(), &mut |loss| told.push(loss.what));
            assert!(
                told.iter().any(|what| what.contains("are missing at the end of the log")),
                "{left:?}: {told:?}"
            );
            std::fs::write(stage.rig.log(), bytes).unwrap();
            drop(stage.rig.open().unwrap());
            assert_eq!(stage.missing(), 0);
        }
    }
}

/// A power cut after a clean stop leaves an index that counts what the log had.
#[test]
fn a_log_that_was_emptied_is_not_missed() {
    let mut stage = Stage::killed(5, 300);
    let journal = stage.rig.open().unwrap();
    stage.append(&journal, 400).unwrap();
    let index = std::fs::read(stage.index()).unwrap();
    stage.runtime.block_on(journal.close()).unwrap();
    assert_eq!(std::fs::metadata(stage.rig.log()).unwrap().len(), 0);
    let end_again = |journal: crate::SqliteJournal| stage.runtime.block_on(journal.close()).unwrap();
    for left in [None, Some(vec![]), Some(vec![0; 32])] {
        std::fs::write(stage.index(), &index).unwrap();
        match left {
            None => std::fs::remove_file(stage.rig.log()).unwrap(),
            Some(left) => std::fs::write(stage.rig.log(), left).unwrap(),
        }
        assert_eq!(stage.rig.findings(), [] as [String; 0]);
        std::fs::write(stage.index(), &index).unwrap();
        let journal = stage.rig.open().unwrap();
        assert_eq!(stage.missing(), 0);
        assert!(!lock::is_emptied(stage.rig.folder.path()), "from now on it is missed again");
        end_again(journal);
    }
}

/// The log is to begin anew, and there is no room for its header; what it had is in the file. Then the power goes.
#[test]
fn a_log_that_could_not_begin_anew_is_no_damage() {
    for seed in seeds(2, 4) {
        let mut stage = Stage::set();
        let journal = stage.rig.open().unwrap();
        let mut length = 300;
        while frames(&stage.rig) < 60 {
            length += 1;
            stage.append(&journal, length).unwrap();
        }
        std::thread::sleep(Duration::from_millis(200));
        let index = std::fs::read(stage.index()).unwrap();
        stage.fill_disk(0);
        stage.append(&journal, 300).unwrap_err();
        stage.rig.disk.heal();
        std::thread::sleep(Duration::from_millis(1_500));
        stage.rig.disk.cut_power_in(0);
        stage.append(&journal, 301).unwrap_err();
        drop(journal);
        stage.rig.disk.power_cut(seed);
        std::fs::write(stage.index(), &index).unwrap();
        drop(stage.rig.open().unwrap_or_else(|error| panic!("seed {seed}: {error}")));
        assert_eq!(stage.missing(), 0, "seed {seed}");
    }
}

/// A salvage holds the lock, and so does a relay that is still looking: neither has the journal open.
#[test]
fn who_holds_the_lock_has_not_therefore_looked() {
    let stage = Stage::killed(8, 300);
    let folder = stage.rig.folder.path();
    flip_bit(&stage.rig.log(), 32 + (frames(&stage.rig) - 1) * FRAME as u64 + 2_000, 3).unwrap();
    let index = std::fs::read(stage.index()).unwrap();
    let looks = |who: &str| {
        let backup = crate::backup(folder, tempfile::tempdir().unwrap().path(), &mut |_| {});
        assert!(backup.is_err() && Reader::open(folder).is_err(), "beside {who}");
        assert!(stage.rig.findings()[0].contains("acknowledged"), "beside {who}");
    };
    let kept = lock::keep(folder).unwrap();
    assert!(!lock::is_held(folder), "a salvage is no relay");
    looks("a salvage");
    let held = stage.refused();
    assert!(held.contains("is held by"), "{held}");
    drop(kept);
    let starting = Lock::take(folder, jiff::Timestamp::UNIX_EPOCH).unwrap();
    looks("a relay that starts");
    drop(starting);
    assert!(std::fs::read(stage.index()).unwrap() == index);
    assert!(stage.refused().contains("by the log's index"));
}

/// SQLite would read what the old log has into the copy.
#[test]
fn a_copy_is_not_put_beside_the_log_of_another() {
    let stage = Stage::killed(8, 300);
    let folder = stage.rig.folder.path();
    let whole = tempfile::tempdir().unwrap();
    let backup = |from: &Path, to: &Path| crate::backup(from, to, &mut |_| {}).map(drop);
    backup(folder, whole.path()).unwrap();
    std::fs::remove_file(stage.rig.file()).unwrap();
    let refused = [
        backup(whole.path(), folder),
        crate::salvage(whole.path(), folder, &mut |_| {}).map(drop),
        crate::salvage(folder, folder, &mut |_| {}).map(drop),
    ];
    for refused in refused {
        assert!(
            matches!(&refused, Err(CopyError::Exists { path }) if *path == stage.rig.log()),
            "{refused:?}"
        );
    }
}
