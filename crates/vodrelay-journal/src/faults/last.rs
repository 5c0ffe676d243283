//! The last commit, which has nothing behind it: by the log's index it is known to have been acknowledged.

use rusqlite::Connection;
use vodrelay_fault_vfs::{Fault, File, How, Operation, flip_bit};

use super::power::frames;
use super::seeds;
use super::stage::{FRAME, Stage};

fn events(conn: &Connection) -> i64 {
    conn.query_row("SELECT COUNT(*) FROM events", [], |row| row.get(0)).unwrap()
}

/// In each frame of the last commit a bit of each word of its head, and some of its body.
#[test]
fn a_last_commit_that_rots_is_refused_and_salvaged() {
    let mut stage = Stage::set();
    let journal = stage.rig.open().unwrap();
    for number in 0..6 {
        stage.append(&journal, 300 + number).unwrap();
    }
    let first = 32 + frames(&stage.rig) as usize * FRAME;
    // Of several frames.
    stage.append(&journal, 9_000).unwrap();
    drop(journal);
    let end = 32 + frames(&stage.rig) as usize * FRAME;
    assert!(end > first + 2 * FRAME, "{first} to {end}");
    let (folder, log) = (stage.rig.folder.path(), stage.rig.log());
    let (whole, index) = (std::fs::read(&log).unwrap(), std::fs::read(stage.index()).unwrap());
    for frame in (first..end).step_by(FRAME) {
        for place in [0, 7, 8, 13, 16, 23, 700, FRAME - 1] {
            let what = format!("byte {place} of frame {}", frame / FRAME + 1);
            flip_bit(&log, (frame + place) as u64, 3).unwrap();
            assert!(stage.refused().contains("is not what was written"), "{what}");
            let backup = crate::backup(folder, tempfile::tempdir().unwrap().path(), &mut |_| {});
            assert!(backup.is_err() && crate::Reader::open(folder).is_err(), "{what}");
            let findings = stage.rig.findings();
            assert!(findings[0].contains("acknowledged"), "{what}: {findings:?}");
            assert!(findings[1].contains("journal salvage"), "{what}: {findings:?}");
            // A body in which a bit has flipped is kept out; all else of its page reads.
            assert!(stage.salvaged() >= 6, "{what}");
            if (8..16).contains(&place) {
                assert_eq!(stage.salvaged(), 7, "{what}: the salts say nothing of the page");
            }
            assert!(std::fs::read(stage.index()).unwrap() == index, "{what}: whoever looks leaves the proof");
            std::fs::write(&log, &whole).unwrap();
        }
    }
    drop(stage.rig.open().unwrap());
    assert_eq!(stage.missing(), 0);
}

#[test]
fn a_last_commit_that_is_gone_is_refused() {
    let stage = Stage::killed(6, 300);
    let whole = std::fs::read(stage.rig.log()).unwrap();
    let last = frames(&stage.rig) as usize;
    for left in [last - 1, 1, 0] {
        std::fs::write(stage.rig.log(), &whole[..32 + left * FRAME]).unwrap();
        let (refused, missing) =
            (stage.refused(), format!("frame {} is missing, and by the log's index", left + 1));
        assert!(refused.contains(&missing), "{refused}");
        let (to, mut told) = (tempfile::tempdir().unwrap(), Vec::new());
        let salvaged = crate::salvage(stage.rig.folder.path(), to.path(), &mut |loss| told.push(loss.what));
        let count = format!(
            "are missing at the end of the log: what was written last may be missing ({})",
            last - left
        );
        assert!(told.iter().any(|what| what.contains(&count)), "{told:?}");
        assert!(left < 2 || salvaged.unwrap().events == 5, "all but the last");
    }
}

/// The log is damaged elsewhere, too, and there is no index: the last commit may have been acknowledged.
#[test]
fn a_last_commit_that_nothing_proves_is_told() {
    let stage = Stage::killed(6, 300);
    let end = 32 + frames(&stage.rig) * FRAME as u64;
    for place in [end - 2_000, end / 2] {
        flip_bit(&stage.rig.log(), place, 3).unwrap();
    }
    std::fs::remove_file(stage.index()).unwrap();
    let (to, mut told) = (tempfile::tempdir().unwrap(), Vec::new());
    let salvaged =
        crate::salvage(stage.rig.folder.path(), to.path(), &mut |loss| told.push(loss.what)).unwrap();
    assert_eq!(salvaged.events, 5);
    let is_told = |what: &String| what.starts_with("frames at the end of the log are damaged, and left out");
    assert!(told.iter().any(is_told), "{told:?}");
}

/// A sector that reaches over the end of the commit before the last one takes both with it.
#[test]
fn a_sector_that_both_last_commits_share_is_not_lost_in_silence() {
    let mut stage = Stage::killed(1, 300);
    let journal = stage.rig.open().unwrap();
    let mut length = 400;
    let end = loop {
        let end = 32 + frames(&stage.rig) as usize * FRAME;
        length += 1;
        stage.append(&journal, length).unwrap();
        // The end of a frame and the head of the next.
        if (100..400).contains(&(end % 512)) {
            break end;
        }
    };
    drop(journal);
    let mut bytes = std::fs::read(stage.rig.log()).unwrap();
    bytes[end / 512 * 512..][..512].fill(0);
    std::fs::write(stage.rig.log(), bytes).unwrap();
    assert!(stage.refused().contains("is not what was written"));
}

/// Somebody reads over the end of the relay and the start of the next one.
#[test]
fn a_reader_that_stays_is_not_in_the_way() {
    let stage = Stage::killed(6, 300);
    let beside = stage.rig.connect();
    assert_eq!(events(&beside), 6);
    drop(stage.rig.open().unwrap());
    let end = 32 + frames(&stage.rig) * FRAME as u64;
    flip_bit(&stage.rig.log(), end - 2_000, 3).unwrap();
    for _ in 0..2 {
        assert!(stage.refused().contains("is not what was written"));
    }
    flip_bit(&stage.rig.log(), end - 2_000, 3).unwrap();
    drop(stage.rig.open().unwrap());
    assert_eq!(events(&beside), 6);
}

/// With a reader that stays, SQLite does not look through the log anew, and a commit that was killed does not count.
#[test]
fn what_a_reader_keeps_from_counting_is_cut_off() {
    let mut stage = Stage::set();
    let journal = stage.rig.open().unwrap();
    stage.append(&journal, 300).unwrap();
    let beside = stage.rig.connect();
    assert_eq!(events(&beside), 1);
    stage.rig.disk.fail(Fault { file: File::Log, ..Fault::once(Operation::Sync, How::Io) });
    stage.append(&journal, 50_000).unwrap_err();
    drop(journal);
    stage.rig.disk.heal();
    let written = frames(&stage.rig);
    drop(stage.rig.open().unwrap());
    assert!(frames(&stage.rig) < written, "it was written whole");
    let length = std::fs::metadata(stage.rig.log()).unwrap().len();
    assert_eq!(
        length,
        32 + frames(&stage.rig) * FRAME as u64,
        "what never was stands behind the last commit"
    );
    assert_eq!(events(&beside), 1);
}

/// The reader has looked through the log when the relay was gone, so that the index proves nothing, and stays.
#[test]
fn what_rots_under_a_reader_is_refused() {
    let stage = Stage::killed(6, 300);
    let beside = stage.rig.connect();
    assert_eq!(events(&beside), 6);
    let end = 32 + frames(&stage.rig) * FRAME as u64;
    flip_bit(&stage.rig.log(), end - 2_000, 3).unwrap();
    for _ in 0..2 {
        assert!(
            stage.refused().contains("is not what it was when another process read it"),
            "{}",
            stage.refused()
        );
    }
}

/// A kill may leave one of the index's two notes half written; without either nothing is known.
#[test]
fn either_note_of_the_index_is_enough() {
    let stage = Stage::killed(6, 300);
    let index = std::fs::read(stage.index()).unwrap();
    let end = 32 + frames(&stage.rig) * FRAME as u64;
    flip_bit(&stage.rig.log(), end - 2_000, 3).unwrap();
    for damaged in [0, 48] {
        let mut bytes = index.clone();
        bytes[damaged + 16..damaged + 24].fill(0xff);
        std::fs::write(stage.index(), &bytes).unwrap();
        assert!(stage.refused().contains("by the log's index"), "note at {damaged}");
    }
    std::fs::write(stage.index(), vec![0xff; index.len()]).unwrap();
    drop(stage.rig.open().unwrap());
    assert_eq!(stage.missing(), 1, "it cannot be told from a cut");
}

/// What a process that was killed had written and not synced counts when it reads well, and may be gone after a cut.
#[test]
fn a_look_at_what_was_never_synced_proves_nothing() {
    let mut cut = 0;
    for seed in seeds(12, 60) {
        let mut stage = Stage::set();
        let journal = stage.rig.open().unwrap();
        for number in 0..4 {
            stage.append(&journal, 300 + number).unwrap();
        }
        stage.rig.disk.fail(Fault { file: File::Log, ..Fault::once(Operation::Sync, How::Io) });
        stage.append(&journal, 9_000).unwrap_err();
        drop(journal);
        stage.rig.disk.heal();
        let written = frames(&stage.rig);
        assert_eq!(events(&stage.rig.connect()), 5, "the last one reads well");
        stage.rig.disk.power_cut(seed);
        cut += u64::from(frames(&stage.rig) < written);
        drop(stage.rig.open().unwrap_or_else(|error| panic!("FAULT_SEED={seed}: {error}")));
        assert_eq!(stage.missing(), 0, "FAULT_SEED={seed}");
    }
    assert!(cut > 0 || seeds(12, 60).len() == 1, "no cut took anything back");
}

/// After a power cut the index may be as it was at any time before.
#[test]
fn an_index_of_before_is_no_proof() {
    let mut stage = Stage::set();
    let journal = stage.rig.open().unwrap();
    let mut indexes = Vec::new();
    for length in 300..360 {
        stage.append(&journal, length).unwrap();
        indexes.push(std::fs::read(stage.index()).unwrap());
    }
    assert!(frames(&stage.rig) < 60, "the log has begun anew");
    drop(journal);
    let files = [stage.rig.file(), stage.rig.log()];
    let whole = files.clone().map(|file| std::fs::read(file).unwrap());
    for index in indexes {
        for (file, bytes) in files.iter().zip(&whole) {
            std::fs::write(file, bytes).unwrap();
        }
        std::fs::write(stage.index(), index).unwrap();
        drop(stage.rig.open().unwrap());
        assert_eq!(stage.missing(), 0);
    }
}
