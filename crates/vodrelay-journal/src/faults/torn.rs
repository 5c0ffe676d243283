//! The log by itself: what a cut leaves in it is no damage, and what a disk loses of it is never dropped in silence.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use tokio::runtime::Runtime;
use vodrelay_core::testing::envelope_of;
use vodrelay_core::{Appended, Journal, JournalError};
use vodrelay_fault_vfs::{Dice, Fault, File, How, Operation, flip_bit};

use super::power::frames;
use super::rig::Rig;
use super::seeds;
use crate::{SqliteJournal, log};

const FRAME: usize = 24 + 4_096;

struct Stage {
    rig: Rig,
    runtime: Runtime,
    acknowledged: Vec<[u8; 16]>,
}

impl Stage {
    fn set() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { rig: Rig::new(), runtime, acknowledged: Vec::new() }
    }

    /// Appends an event whose body has so many bytes, each another one.
    fn append(&mut self, journal: &SqliteJournal, length: usize) -> Result<Appended, JournalError> {
        let event = envelope_of(vec![b'x'; length].into(), jiff::Timestamp::UNIX_EPOCH);
        let answer = self.runtime.block_on(journal.append(&event, &[]));
        self.acknowledged.extend(answer.is_ok().then(|| *event.id.as_bytes()));
        answer
    }

    /// The disk has no room for the log from so many writes on.
    fn fill_disk(&self, after: u64) {
        let full = Fault::once(Operation::Write, How::Full);
        self.rig.disk.fail(Fault { after, times: u64::MAX, file: File::Log, ..full });
    }

    /// How many of those that were acknowledged are not there.
    fn missing(&self) -> usize {
        let conn = self.rig.connect();
        let is_there = |id: &[u8; 16]| {
            conn.query_row("SELECT 1 FROM events WHERE id = ?1", [id], |row| row.get::<_, i64>(0)).is_ok()
        };
        self.acknowledged.iter().filter(|id| !is_there(id)).count()
    }

    /// How many of them a salvage brings to light.
    fn salvaged(&self) -> u64 {
        let to = tempfile::tempdir().unwrap();
        crate::salvage(self.rig.folder.path(), to.path(), &mut |_| {}).unwrap().events
    }
}

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
    let before = std::fs::read(stage.rig.log()).unwrap();
    let end = (32 + frames(&stage.rig) as usize * FRAME) / 512;
    stage.rig.disk.cut_power_in(6);
    stage.runtime.block_on(journal.close()).unwrap_err();
    let after = std::fs::read(stage.rig.log()).unwrap();
    assert!(after.len() < before.len(), "nothing stands behind what was committed");
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
        let refused = stage.rig.open().unwrap_err().to_string();
        assert!(refused.contains("its header is not what was written"), "{refused}");
        assert_eq!(stage.salvaged(), 15);
    }
}

/// A bit flips in the last commit, and the next transaction fails: the journal goes on, and a later start says so.
#[test]
fn a_last_commit_that_rots_under_a_running_journal_is_not_cut_off() {
    for after in [0, 20] {
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
        for number in 0..4 {
            stage.append(&journal, 20 + number).unwrap();
        }
        drop(journal);
        let refused = stage.rig.open().unwrap_err().to_string();
        assert!(refused.contains("is not what was written"), "{refused}");
        assert_eq!(stage.salvaged(), 6, "after {after}");
    }
}

/// One bit of the number of a page: salvage puts the page where it belongs, but for a few that are like another page.
#[test]
fn a_page_number_that_rots_costs_salvage_little() {
    let mut stage = Stage::set();
    let journal = stage.rig.open().unwrap();
    for number in 0..12 {
        stage.append(&journal, 900 + number).unwrap();
    }
    drop(journal);
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
