//! Power cuts at any moment: what was acknowledged is there, and what was not is there whole or not at all.

use rusqlite::Connection;
use vodrelay_core::Journal;
use vodrelay_core::testing::envelope_of;
use vodrelay_fault_vfs::{Cut, Dice};

use super::model::Model;
use super::play::{Belief, play};
use super::rig::Rig;
use super::seeds;
use crate::log;

/// One journal lives so often: a delivery in hand at five crashes in a row would become a dead letter.
const LIVES: u64 = 3;

/// What the cuts of one journal came to.
#[derive(Debug, Default)]
struct Report {
    cuts: u64,
    /// Cuts that left something else than what was written last.
    with_losses: u64,
    wrong: Vec<String>,
}

/// Plays, cuts the power, opens and compares, a few times over.
fn run(seed: u64, rig: &Rig, belief: Belief) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut dice, mut model, mut report) = (Dice::new(seed), Model::default(), Report::default());
    for _ in 0..LIVES {
        // A quarter of the cuts may come while the journal is being opened.
        let early = dice.one_in(4);
        if early {
            rig.disk.cut_power_in(dice.below(30));
        }
        match rig.open() {
            Ok(journal) => {
                rig.clock.advance(std::time::Duration::from_secs(61));
                if !early {
                    rig.disk.cut_power_in(dice.below(400));
                }
                let wrong = runtime.block_on(play(rig, journal, &mut model, &mut dice, 60, belief));
                report.wrong.extend(wrong);
            }
            Err(error) if rig.disk.is_dead() => drop(error),
            Err(error) => report.wrong.push(format!("it does not open: {error}")),
        }
        let cut = rig.disk.power_cut(dice.roll());
        report.cuts += 1;
        report.with_losses += u64::from(cut != Cut::default());
        report.wrong.extend(compare(rig, &mut model));
        if !report.wrong.is_empty() {
            break;
        }
    }
    report
}

/// Opens what the cut has left, and compares; a journal that does not open keeps no promise.
pub(super) fn compare(rig: &Rig, model: &mut Model) -> Vec<String> {
    let journal = match rig.open() {
        Ok(journal) => journal,
        Err(error) => return vec![format!("it does not open after the cut: {error}")],
    };
    let conn = rig.connect();
    let mut wrong = model.compare(&conn);
    wrong.extend(integrity(&conn));
    wrong.extend(rig.findings());
    drop((conn, journal));
    wrong
}

fn integrity(conn: &Connection) -> Vec<String> {
    let mut statement = conn.prepare("PRAGMA integrity_check").unwrap();
    let said = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    said.map(Result::unwrap).filter(|said| said != "ok").collect()
}

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    let (mut cuts, mut with_losses) = (0, 0);
    for seed in seeds(12, 120) {
        let report = run(seed, &Rig::new(), Belief::Answered);
        assert!(report.wrong.is_empty(), "FAULT_SEED={seed}: {:#?}", report.wrong);
        (cuts, with_losses) = (cuts + report.cuts, with_losses + report.with_losses);
    }
    println!("{cuts} power cuts, {with_losses} of which took back something that was written");
    assert!(with_losses * 2 > cuts, "most cuts have to take something back, or they show nothing");
}

/// A cut leaves frames of a large transaction behind the last commit. The next opening's commit is written over the first
/// of them and cut in its turn, where a sector ends between the words of a frame that say it is a commit and those that
/// sum it up: the new words stand before the old sum then, and the old frames go on from that.
#[test]
fn a_commit_cut_over_what_another_left_is_no_damage() {
    /// Counted from 1: the second frame of such a commit is one whose head is in two sectors.
    const BEFORE_A_HEAD_IN_TWO_SECTORS: u64 = 40;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut met = 0_u64;
    for seed in seeds(60, 600) {
        let (rig, mut dice) = (Rig::new(), Dice::new(seed));
        let journal = rig.open().unwrap();
        let event = |length| envelope_of(vec![b'x'; length].into(), jiff::Timestamp::UNIX_EPOCH);
        let mut length = 0;
        while frames(&rig) % 2 == 1 {
            length += 1;
            runtime.block_on(journal.append(&event(length), &[])).unwrap();
        }
        rig.disk.cut_power_in(200 + dice.below(20));
        runtime.block_on(journal.append(&event(500_000), &[])).unwrap_err();
        drop(journal);
        rig.disk.power_cut(dice.roll());
        // Each opening has a commit of two frames.
        while frames(&rig) % 64 != BEFORE_A_HEAD_IN_TWO_SECTORS {
            drop(rig.open().unwrap());
        }
        rig.disk.cut_power_in(2 + dice.below(2));
        let is_met = frames(&rig) % 64 == BEFORE_A_HEAD_IN_TWO_SECTORS && rig.open().is_err();
        rig.disk.power_cut(dice.roll());
        met += u64::from(is_met);
        rig.open().unwrap_or_else(|error| panic!("FAULT_SEED={seed}: {error}"));
    }
    assert!(met > 0, "no commit was cut there, which shows nothing");
}

/// How many frames the log has up to its last commit.
pub(super) fn frames(rig: &Rig) -> u64 {
    log::look(&rig.log()).unwrap().end.unwrap_or(32).saturating_sub(32) / (24 + 4_096)
}

/// A check that cannot fail shows nothing: on a disk whose syncs are lies, as with `synchronous = OFF`, it has to.
#[test]
fn syncs_that_are_lies_are_found_out() {
    let is_found = |seed| {
        let rig = Rig::new();
        rig.disk.ignore_syncs();
        !run(seed, &rig, Belief::Answered).wrong.is_empty()
    };
    assert!((0..40).any(is_found));
}

/// The same for a relay that says yes before the commit.
#[test]
fn a_yes_before_the_commit_is_found_out() {
    assert!((0..100).any(|seed| !run(seed, &Rig::new(), Belief::Asked).wrong.is_empty()));
}
