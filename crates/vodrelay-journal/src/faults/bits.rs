//! Bits that flip in the files at rest: never a wrong body, never a panic, never an endless loop; and what is gone is
//! refused, a dead letter, or found by `journal verify`.

use std::collections::BTreeSet;
use std::time::Duration;

use vodrelay_core::testing::envelope_of;
use vodrelay_core::{Journal, JournalError, Outcome, Settled};
use vodrelay_fault_vfs::{Dice, flip_bits};

use super::errors::check_message;
use super::model::{Model, SINKS, State};
use super::play::{Belief, body, name, play};
use super::rig::Rig;
use super::{runs, seeds};
use crate::SqliteJournal;

const LEASE: Duration = Duration::from_secs(60);

/// What became of a damaged journal.
#[derive(Debug, Default)]
struct Report {
    refused: u64,
    poisoned: u64,
    /// Worked on, and `verify` finds the damage.
    found: u64,
    /// Worked on, nothing is missing, and nothing is to be found.
    harmless: u64,
}

#[derive(Clone, Copy, Debug)]
enum Where {
    Main,
    Log,
    Both,
}

async fn run(seed: u64, place: Where, report: &mut Report) {
    let (rig, mut model, mut dice) = (Rig::new(), Model::default(), Dice::new(seed));
    let journal = rig.open().unwrap();
    assert_eq!(play(&rig, journal, &mut model, &mut dice, 25, Belief::Answered).await, [""; 0]);
    let flips = 1 + dice.pick(6);
    if matches!(place, Where::Main | Where::Both) {
        flip_bits(&rig.file(), dice.roll(), flips).unwrap();
    }
    if matches!(place, Where::Log | Where::Both) {
        flip_bits(&rig.log(), dice.roll(), flips).unwrap();
    }
    let context = format!("FAULT_SEED={seed}, {place:?}");
    let journal = match rig.open() {
        Ok(journal) => journal,
        Err(error) => {
            check_message(&rig, &error.to_string());
            report.refused += 1;
            return;
        }
    };
    rig.clock.advance(Duration::from_secs(61));
    let got = deliver_all(&journal, &model, &context).await;
    let envelope = envelope_of(body(&mut dice), jiff::Timestamp::UNIX_EPOCH);
    let appended = journal.append(&envelope, &[name(SINKS[0])]).await;
    let cause = journal.poisoned().borrow().clone();
    assert!(cause.as_ref().is_none_or(|cause| !cause.contains("panicked")), "{context}: {cause:?}");
    drop(journal);
    let findings = rig.findings();
    match (cause, got) {
        (Some(_), _) => report.poisoned += 1,
        (None, Err(error)) => panic!("{context}: a claim failed with {error}, and the journal goes on"),
        // A log that was opened has nothing behind the damage.
        (None, Ok(_)) if !findings.is_empty() && !matches!(place, Where::Log) => report.found += 1,
        (None, Ok(got)) => {
            assert!(appended.is_ok(), "{context}: {appended:?}");
            let missing = missing(&rig, &model, &got);
            assert!(missing.is_empty(), "{context}: {missing:?} are gone, and nobody says so");
            let again = settled_again(&model, &got);
            assert!(again.is_empty(), "{context}: {again:?} were settled and came again, and nobody says so");
            report.harmless += 1;
        }
    }
}

/// Claims and settles until nothing comes, and returns the bodies by sink. Each must be one that was appended.
async fn deliver_all(
    journal: &SqliteJournal,
    model: &Model,
    context: &str,
) -> Result<BTreeSet<(&'static str, Vec<u8>)>, JournalError> {
    let bodies: BTreeSet<&[u8]> = model.events.values().map(|event| &event.body[..]).collect();
    let mut got = BTreeSet::new();
    for sink in SINKS {
        for round in 0.. {
            assert!(round < 100, "{context}: claims without end");
            let of = name(sink);
            let claim = journal.claim(&of, 64, LEASE);
            let claimed = tokio::time::timeout(Duration::from_secs(20), claim).await.unwrap()?;
            if claimed.claims.is_empty() {
                break;
            }
            let reached_at = jiff::Timestamp::UNIX_EPOCH;
            let settle = |token| Settled { token, outcome: Outcome::Delivered, attempt: None, reached_at };
            for claim in &claimed.claims {
                let body = &claim.delivery.envelope.body;
                assert!(bodies.contains(&body[..]), "{context}: a body that nobody appended was handed out");
                got.insert((sink, body.to_vec()));
            }
            let settled: Vec<Settled> = claimed.claims.iter().map(|claim| settle(claim.token)).collect();
            journal.settle(&settled).await?;
        }
    }
    Ok(got)
}

/// Deliveries that were pending for sure, did not come, and are no dead letters.
fn missing(rig: &Rig, model: &Model, got: &BTreeSet<(&'static str, Vec<u8>)>) -> Vec<String> {
    let conn = rig.connect();
    let is_dead = |id: &[u8; 16], sink: &str| {
        let sql = "SELECT COUNT(*) FROM deliveries AS d JOIN sinks AS s ON s.id = d.sink
                   WHERE d.id >> 12 = (SELECT seq FROM events WHERE id = ?1) AND s.name = ?2 AND d.state = 3";
        conn.query_row(sql, rusqlite::params![id, sink], |row| row.get::<_, i64>(0)).unwrap() > 0
    };
    let mut missing = Vec::new();
    for (id, event) in model.events.iter().filter(|(_, event)| event.is_acknowledged) {
        for (sink, states) in &event.deliveries {
            let was_pending = *states == BTreeSet::from([State::Pending]);
            if was_pending && !got.contains(&(sink, event.body.to_vec())) && !is_dead(id, sink) {
                missing.push(format!("{id:x?} for {sink}"));
            }
        }
    }
    missing
}

/// Deliveries that were delivered or dead for sure, and came.
fn settled_again(model: &Model, got: &BTreeSet<(&'static str, Vec<u8>)>) -> Vec<String> {
    let deliveries = model.events.iter().flat_map(|(id, event)| {
        event.deliveries.iter().map(move |(sink, states)| (id, &event.body, *sink, states))
    });
    let was_settled = |states: &BTreeSet<State>| {
        [State::Delivered, State::Dead].iter().any(|state| *states == BTreeSet::from([*state]))
    };
    deliveries
        .filter(|(_, body, sink, states)| was_settled(states) && got.contains(&(sink, body.to_vec())))
        .map(|(id, _, sink, _)| format!("{id:x?} for {sink}"))
        .collect()
}

#[test]
fn flipped_bits_are_never_delivered_and_never_hidden() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for place in [Where::Main, Where::Log, Where::Both] {
        let mut report = Report::default();
        for seed in seeds(12, 200) {
            runtime.block_on(run(seed, place, &mut report));
        }
        println!("{place:?}: {report:?}");
        let noticed = report.refused + report.poisoned + report.found;
        assert!(seeds(12, 200).len() == 1 || noticed > runs(0, 20), "{place:?}: {report:?}");
    }
}
