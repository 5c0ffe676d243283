//! Reads, writes, syncs and truncations that fail: the journal says so and stops, or goes on and loses nothing.

use std::time::Duration;

use vodrelay_core::testing::envelope_of;
use vodrelay_core::{Appended, Journal, JournalError};
use vodrelay_fault_vfs::{Dice, Fault, File, How, Operation};

use super::model::{Model, SINKS};
use super::play::{Belief, name, play};
use super::power::compare;
use super::rig::Rig;
use super::runs;
use crate::{SqliteJournal, log};

/// Everything that can fail.
fn faults() -> Vec<Fault> {
    let kinds = [
        (Operation::Read, How::Io),
        (Operation::Write, How::Io),
        (Operation::Write, How::Full),
        (Operation::Write, How::Short),
        (Operation::Sync, How::Io),
        (Operation::Truncate, How::Io),
        (Operation::MapIndex, How::Io),
        (Operation::MapIndex, How::Full),
    ];
    let on =
        |(operation, how)| [File::Main, File::Log].map(|file| Fault { file, ..Fault::once(operation, how) });
    kinds.into_iter().flat_map(on).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A message for people names the journal, says what happened, and what to do.
pub(super) fn check_message(rig: &Rig, message: &str) {
    let names_it = message.contains(&rig.folder.path().display().to_string());
    let advises =
        ["start", "restore", "salvage", "move it away"].iter().any(|advice| message.contains(advice));
    assert!(names_it && advises, "{message}");
}

/// Opens under the fault; a journal that opens is played with. Then all is well again, and nothing is lost.
fn opens_under(fault: Fault, seed: u64) {
    let (rig, mut model, mut dice) = (Rig::new(), Model::default(), Dice::new(seed));
    let play_on = |journal: SqliteJournal, model: &mut Model, dice: &mut Dice| {
        rig.clock.advance(Duration::from_secs(61));
        assert_eq!(
            runtime().block_on(play(&rig, journal, model, dice, 15, Belief::Answered)),
            [""; 0],
            "{fault:?}"
        );
    };
    play_on(rig.open().unwrap(), &mut model, &mut dice);
    rig.disk.fail(fault);
    match rig.open() {
        Ok(journal) => play_on(journal, &mut model, &mut dice),
        Err(error) => check_message(&rig, &error.to_string()),
    }
    rig.disk.heal();
    assert_eq!(compare(&rig, &mut model), [""; 0], "seed {seed}: {fault:?}");
}

#[test]
fn an_opening_that_fails_says_why_and_loses_nothing() {
    for fault in faults() {
        for seed in 0..runs(1, 40) {
            let after = Dice::new(seed).below(24);
            opens_under(Fault { after, ..fault }, seed);
        }
    }
}

/// Plays under the fault, which strikes once or from then on, and then perhaps the power goes too.
fn plays_under(fault: Fault, seed: u64, cut: bool) -> bool {
    let (rig, mut model, mut dice) = (Rig::new(), Model::default(), Dice::new(seed));
    let journal = rig.open().unwrap();
    let mut poisoned = journal.poisoned();
    rig.disk.fail(fault);
    let wrong = runtime().block_on(play(&rig, journal, &mut model, &mut dice, 40, Belief::Answered));
    assert_eq!(wrong, [""; 0], "seed {seed}: {fault:?}");
    if let Some(cause) = &*poisoned.borrow_and_update() {
        assert!(!cause.contains("panicked"), "seed {seed}: {fault:?}: {cause}");
    }
    let struck = rig.disk.heal() > 0;
    if cut {
        // The next process meets what the kernel holds, and the power goes while it opens the journal.
        rig.disk.cut_power_in(dice.below(12));
        if let Err(error) = rig.open() {
            assert!(rig.disk.is_dead(), "seed {seed}: {fault:?}: {error}");
        }
        rig.disk.power_cut(dice.roll());
    }
    assert_eq!(compare(&rig, &mut model), [""; 0], "seed {seed}: {fault:?}, power cut: {cut}");
    struck
}

#[test]
fn whatever_fails_nothing_acknowledged_is_lost() {
    let mut struck = 0;
    for fault in faults() {
        for run in 0..runs(2, 24) {
            let times = if run % 2 == 0 { 1 } else { u64::MAX };
            let after = Dice::new(run).below(60);
            struck += u64::from(plays_under(Fault { after, times, ..fault }, run, false));
        }
    }
    println!("{struck} faults struck");
    assert!(struck > 5, "{struck} is too few to show anything");
}

/// After a sync that failed, the kernel holds pages that read well, are on no disk, and count as clean. What is written
/// behind them must not be lost with them, nor may they be half in the file when the power goes.
#[test]
fn a_failed_sync_and_then_a_power_cut_lose_nothing() {
    let mut struck = 0;
    for seed in 0..runs(16, 400) {
        let after = Dice::new(seed).below(80);
        let file = if seed % 4 == 0 { File::Main } else { File::Log };
        let fault = Fault { after, file, ..Fault::once(Operation::Sync, How::Io) };
        struck += u64::from(plays_under(fault, seed, true));
    }
    println!("{struck} syncs failed");
    assert!(struck > 3, "{struck} is too few to show anything");
}

#[test]
fn a_full_disk_passes() {
    let rig = Rig::new();
    let journal = rig.open().unwrap();
    rig.disk.fail(Fault { after: 40, times: u64::MAX, ..Fault::once(Operation::Write, How::Full) });
    runtime().block_on(async {
        let envelope = |length| envelope_of(vec![b'x'; length].into(), jiff::Timestamp::UNIX_EPOCH);
        let full = journal.append(&envelope(200_000), &[name(SINKS[0])]).await;
        assert!(matches!(full, Err(JournalError::Full(_))), "{full:?}");
        rig.disk.heal();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(journal.append(&envelope(9), &[name(SINKS[0])]).await, Ok(Appended::New));
    });
    let length = std::fs::metadata(rig.log()).unwrap().len();
    assert_eq!(log::look(&rig.log()).unwrap().end, Some(length), "frames of what never was are still there");
}
