//! The log by itself: what a cut leaves in it is no damage, and what a disk loses of it is never dropped in silence.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use vodrelay_fault_vfs::{Dice, Fault, File, How, Operation, flip_bit};

use super::power::frames;
use super::seeds;
use super::stage::{FRAME, Stage};
use crate::{SqliteJournal, log};

/// The log begins anew after a checkpoint, over the frames of before. Where a cut leaves the sector with the first words
/// of a frame as it was, the words of an old commit stand before the rest of a frame that is none.
#[test]
fn a_commit_cut_over_an_older_log_is_no_damage() {
    let mut cuts = 0;
    for seed in seeds(60, 400) {
        let (mut stage, mut dice) = (Stage::set(), Dice::new(seed));
        let journal = stage.rig.open().unwrap();
        for number in 0..40 + dice.pick(30) {
            stage.append(&journal, 10 + number).unwrap();
        }
        stage.rig.disk.cut_power_in(10 + dice.below(180));
        let answer = stage.append(&journal, 400_000);
        drop(journal);
        if answer.is_err() {
            stage.rig.disk.power_cut(dice.roll());
            cuts += 1;
            let opened = stage.rig.open();
            opened.unwrap_or_else(|error| panic!("FAULT_SEED={seed}: {error}"));
            assert_eq!(stage.missing(), 0, "FAULT_SEED={seed}");
        }
    }
    assert!(cuts > seeds(20, 200).len(), "{cuts} commits were cut");
}

/// What a large transaction has left on a full disk goes before the commit of a clean stop, too.
#[test]
fn a_clean_stop_over_what_another_left_is_no_damage() {
    const BEFORE_A_HEAD_IN_TWO_SECTORS: u64 = 40;
    let mut stage = Stage::set();
    let mut journal = stage.rig.open().unwrap();
    let mut length = 1;
    while frames(&stage.rig) % 64 != BEFORE_A_HEAD_IN_TWO_SECTORS {
        length += 1;
        if length % 9 == 0 {
            drop(journal);
            journal = stage.rig.open().unwrap();
        } else {
            stage.append(&journal, length).unwrap();
        }
    }
    stage.fill_disk(100);
    stage.append(&journal, 500_000).unwrap_err();
    stage.rig.disk.heal();
    let (before, index) = (std::fs::read(stage.rig.log()).unwrap(), std::fs::read(stage.index()).unwrap());
    let end = (32 + frames(&stage.rig) as usize * FRAME) / 512;
    stage.rig.disk.cut_power_in(6);
    stage.runtime.block_on(journal.close()).unwrap_err();
    let after = std::fs::read(stage.rig.log()).unwrap();
    assert!(after.len() < before.len(), "nothing stands behind what was committed");
    // The cut comes before the sync, and the index has the commit after that.
    std::fs::write(stage.index(), index).unwrap();
    for sector in end..after.len() / 512 {
        let torn = [&after[..sector * 512], &before[sector * 512..after.len()]].concat();
        std::fs::write(stage.rig.log(), torn).unwrap();
        assert_eq!(log::damage(&stage.rig.log()).unwrap(), None, "written up to sector {sector}");
    }
}

/// The header and the head of the first frame are gone together.
#[test]
fn a_first_sector_that_is_gone_is_damage() {
    for filler in [0, 0xff] {
        let mut stage = Stage::set();
        let journal = stage.rig.open().unwrap();
        for number in 0..15 {
            stage.append(&journal, 10 + number).unwrap();
        }
        drop(journal);
        let log = std::fs::File::options().write(true).open(stage.rig.log()).unwrap();
        log.write_all_at(&[filler; 512], 0).unwrap();
        let refused = stage.refused();
        assert!(refused.contains("its header is not what was written"), "{refused}");
        assert_eq!(stage.salvaged(), 15);
    }
}

/// A bit flips in the last commit, and the next transaction fails: the journal goes on, and a later start says so. No
/// checkpoint brings the flipped bit into the file before that.
#[test]
fn a_last_commit_that_rots_under_a_running_journal_is_not_cut_off() {
    for (after, more, is_stopped) in [(0, 4, false), (20, 4, true), (0, 80, false), (20, 80, true)] {
        let mut stage = Stage::set();
        let journal = stage.rig.open().unwrap();
        stage.append(&journal, 300).unwrap();
        stage.append(&journal, 301).unwrap();
        let end = 32 + frames(&stage.rig) * FRAME as u64;
        flip_bit(&stage.rig.log(), end - 2_000, 3).unwrap();
        stage.fill_disk(after);
        stage.append(&journal, 500_000).unwrap_err();
        stage.rig.disk.heal();
        std::thread::sleep(Duration::from_millis(1_500));
        for number in 0..more {
            stage.append(&journal, 20 + number).unwrap();
        }
        match is_stopped {
            true => stage.runtime.block_on(journal.close()).unwrap(),
            false => drop(journal),
        }
        let refused = stage.refused();
        assert!(refused.contains("is not what was written"), "{refused}");
        assert_eq!(stage.salvaged(), 2 + more as u64, "after {after}, {more} more");
    }
}

/// One bit of the number of a page: salvage puts the page where it belongs, but for a few that are like another page.
#[test]
fn a_page_number_that_rots_costs_salvage_little() {
    let stage = Stage::killed(12, 900);
    let whole = std::fs::read(stage.rig.log()).unwrap();
    let (mut flips, mut lost) = (0, Vec::new());
    for frame in 0..frames(&stage.rig) as usize - 3 {
        for bit in 0..6 {
            let mut bytes = whole.clone();
            bytes[32 + frame * FRAME + 3] ^= 1 << bit;
            std::fs::write(stage.rig.log(), &bytes).unwrap();
            let missing = 12_u64.saturating_sub(stage.salvaged());
            flips += 1;
            lost.extend((missing > 0).then_some((frame, bit, missing)));
        }
    }
    println!("{flips} flips, of which {} cost something: {lost:?}", lost.len());
    assert!(lost.len() * 20 < flips, "{lost:?} of {flips}");
}

/// Two bits of the number of a page: nothing says where it belongs, so that is told.
#[test]
fn a_page_that_salvage_cannot_place_is_told() {
    let stage = Stage::killed(12, 900);
    let frame = frames(&stage.rig) / 2;
    for bit in [0, 6] {
        flip_bit(&stage.rig.log(), 32 + frame * FRAME as u64 + 3, bit).unwrap();
    }
    let (to, mut told) = (tempfile::tempdir().unwrap(), Vec::new());
    crate::salvage(stage.rig.folder.path(), to.path(), &mut |loss| told.push(loss.what)).unwrap();
    let damaged = format!("frame {} of the log is damaged", frame + 1);
    assert!(told.iter().any(|what| what.starts_with(&damaged)), "{told:?}");
}

/// The log begins anew over one in which a commit ended there, and a power cut leaves more of the frame as it was than the
/// words that it begins with.
#[test]
fn words_of_an_old_commit_before_half_a_frame_are_no_commit() {
    // Those of 3,000 that were taken for damage once, and some others.
    for seed in [58, 1_597, 1_942, 2_420, 2_535, 2_896].into_iter().chain(seeds(10, 100)) {
        let (mut stage, mut dice) = (Stage::set(), Dice::new(seed));
        let journal = stage.rig.open().unwrap();
        for first in [200, 17_500] {
            let mut length = first;
            while frames(&stage.rig) < 60 {
                length += 1;
                stage.append(&journal, length).unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
            if first == 200 {
                stage.append(&journal, 300).unwrap();
            }
        }
        stage.rig.disk.cut_power_in(90 + dice.below(20));
        let answer = stage.append(&journal, 500_000);
        drop(journal);
        if answer.is_err() {
            stage.rig.disk.power_cut(dice.roll());
        }
        let journal = stage.rig.open().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(stage.missing(), 0, "seed {seed}");
        drop(journal);
    }
}

/// The log has begun anew and has a single commit, which nothing but the header speaks for.
#[test]
fn no_bit_of_the_header_hides_the_first_commit() {
    let mut stage = Stage::set();
    let journal = stage.rig.open().unwrap();
    let mut length = 300;
    let begins_anew = |stage: &mut Stage, length: &mut usize| {
        while frames(&stage.rig) < 60 {
            *length += 1;
            stage.append(&journal, *length).unwrap();
        }
        std::thread::sleep(Duration::from_millis(200));
        *length += 1;
        stage.append(&journal, *length).unwrap();
        assert!(frames(&stage.rig) < 20, "the log has begun anew");
    };
    begins_anew(&mut stage, &mut length);
    let older = std::fs::read(stage.rig.log()).unwrap();
    begins_anew(&mut stage, &mut length);
    drop(journal);
    let end = 32 + frames(&stage.rig) as usize * FRAME;
    let whole = std::fs::read(stage.rig.log()).unwrap()[..end].to_vec();
    for bit in 0..32 * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        check_refused_and_salvaged(&stage, &bytes, &format!("bit {bit}"));
    }
    // A write that was lost: the header is that of before, which is right in itself.
    let mut bytes = whole;
    bytes[..32].copy_from_slice(&older[..32]);
    check_refused_and_salvaged(&stage, &bytes, "a header of before");
}

fn check_refused_and_salvaged(stage: &Stage, log: &[u8], what: &str) {
    std::fs::write(stage.rig.log(), log).unwrap();
    let refused = stage.refused();
    assert!(refused.contains("its header is not what was written"), "{what}: {refused}");
    assert_eq!(stage.salvaged(), stage.acknowledged.len() as u64, "{what}");
}

/// What SQLite would read of a damaged log is not all, so it is no backup.
#[test]
fn a_damaged_log_is_neither_read_nor_backed_up_in_part() {
    let stage = Stage::killed(8, 300);
    flip_bit(&stage.rig.log(), 32 + frames(&stage.rig) / 2 * FRAME as u64 + 500, 3).unwrap();
    let (folder, to) = (stage.rig.folder.path(), tempfile::tempdir().unwrap());
    let refused = crate::backup(folder, to.path(), &mut |_| {}).unwrap_err().to_string();
    assert!(refused.contains("is not what was written"), "{refused}");
    let refused = crate::Reader::open(folder).map(drop).unwrap_err().to_string();
    assert!(refused.contains("is not what was written"), "{refused}");
    assert_eq!(stage.salvaged(), 8);
}

/// Somebody who reads keeps the index of the log over the end of a relay, and with it how much of the log is in the file;
/// the sync of that has failed.
#[test]
fn what_was_moved_without_a_sync_is_moved_again() {
    for seed in seeds(4, 12) {
        let mut stage = Stage::set();
        let journal = stage.rig.open().unwrap();
        let mut lengths = 5_000..;
        let mut append = |stage: &mut Stage, journal: &SqliteJournal| {
            stage.append(journal, lengths.next().unwrap()).is_ok()
        };
        for _ in 0..8 {
            assert!(append(&mut stage, &journal));
        }
        let beside = stage.rig.connect();
        let look = |sql: &str| beside.execute_batch(sql).unwrap();
        look("BEGIN; SELECT COUNT(*) FROM events");
        while frames(&stage.rig) < 66 {
            assert!(append(&mut stage, &journal));
        }
        std::thread::sleep(Duration::from_millis(100));
        look("COMMIT");
        stage.rig.disk.fail(Fault { file: File::Main, ..Fault::once(Operation::Sync, How::Io) });
        let is_poisoned = (0..30).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            !append(&mut stage, &journal)
        });
        assert!(is_poisoned && stage.rig.disk.heal() == 1, "seed {seed}: the sync of the file fails");
        drop(journal);
        let journal = stage.rig.open().unwrap();
        for _ in 0..30 {
            assert!(append(&mut stage, &journal));
        }
        drop(journal);
        drop(beside);
        stage.rig.disk.power_cut(seed);
        let journal = stage.rig.open().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(stage.missing(), 0, "seed {seed}");
        drop(journal);
        assert_eq!(stage.rig.findings(), [] as [String; 0], "seed {seed}");
    }
}
