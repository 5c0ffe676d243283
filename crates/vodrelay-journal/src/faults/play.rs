//! What goes on over the journal until something stops it: tasks that append, claim, settle, refuse and remove.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::LocalSet;
use vodrelay_core::testing::{ManualClock, envelope_of};
use vodrelay_core::{
    Attempt, Claim, Clock, Journal, Ledger, Name, Outcome, Refusal, RefusalCause, SettleResult, Settled,
    SinkName, SourceName,
};
use vodrelay_fault_vfs::Dice;

use super::model::{Model, SINKS, State};
use super::rig::Rig;
use crate::SqliteJournal;

const LEASE: Duration = Duration::from_secs(3_600);

/// When a caller believes that its event is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// When the journal has answered.
    Answered,
    /// When it was asked: what a relay would do that says yes too early.
    Asked,
}

/// What the tasks share.
#[derive(Clone)]
struct Stage {
    journal: SqliteJournal,
    clock: Arc<ManualClock>,
    model: Rc<RefCell<Model>>,
    wrong: Rc<RefCell<Vec<String>>>,
    belief: Belief,
}

/// Plays until each task has done so many steps or the journal answers with an error. Returns what was wrong.
pub(super) async fn play(
    rig: &Rig,
    journal: SqliteJournal,
    model: &mut Model,
    dice: &mut Dice,
    steps: u64,
    belief: Belief,
) -> Vec<String> {
    let stage = Stage {
        journal,
        clock: Arc::clone(&rig.clock),
        model: Rc::new(RefCell::new(std::mem::take(model))),
        wrong: Rc::default(),
        belief,
    };
    let tasks = LocalSet::new();
    for _ in 0..3 {
        tasks.spawn_local(append_on(stage.clone(), Dice::new(dice.roll()), steps));
    }
    for sink in SINKS {
        tasks.spawn_local(deliver_on(stage.clone(), Dice::new(dice.roll()), steps, sink));
    }
    tasks.spawn_local(tidy_on(stage.clone(), Dice::new(dice.roll()), steps));
    tasks.await;
    *model = stage.model.take();
    stage.wrong.take()
}

async fn append_on(stage: Stage, mut dice: Dice, steps: u64) {
    for _ in 0..steps {
        let known = stage.model.borrow().any(dice.pick(1_000));
        let body = known.filter(|_| dice.one_in(6)).unwrap_or_else(|| body(&mut dice));
        let sinks: &[&'static str] = [&SINKS[..], &SINKS[..1], &SINKS[1..], &[]][dice.pick(4)];
        let envelope = envelope_of(body.clone(), stage.clock.now());
        let (id, names) = (*envelope.id.as_bytes(), sinks.iter().map(|sink| name(sink)).collect::<Vec<_>>());
        stage.model.borrow_mut().append_begins(id, &body, sinks);
        if stage.belief == Belief::Asked {
            stage.model.borrow_mut().append_ends(id, sinks);
        }
        if dice.one_in(12) {
            // A caller who does not wait: wholly there or not at all.
            let _ = tokio::time::timeout(Duration::ZERO, stage.journal.append(&envelope, &names)).await;
            continue;
        }
        if stage.journal.append(&envelope, &names).await.is_err() {
            return;
        }
        stage.model.borrow_mut().append_ends(id, sinks);
    }
}

async fn deliver_on(stage: Stage, mut dice: Dice, steps: u64, sink: &'static str) {
    for _ in 0..steps {
        let Ok(claimed) = stage.journal.claim(&name(sink), 1 + dice.pick(8), LEASE).await else { return };
        tokio::task::yield_now().await;
        let mut settled = Vec::new();
        for claim in &claimed.claims {
            let envelope = &claim.delivery.envelope;
            let id = *envelope.id.as_bytes();
            stage.wrong.borrow_mut().extend(stage.model.borrow_mut().claimed(id, sink, &envelope.body));
            let (outcome, state) = outcome(&mut dice, stage.clock.now());
            stage.model.borrow_mut().settle_begins(id, sink, state);
            settled.push((id, state, settlement(claim, outcome, stage.clock.now())));
        }
        let outcomes: Vec<Settled> = settled.iter().map(|(_, _, settled)| settled.clone()).collect();
        let Ok(results) = stage.journal.settle(&outcomes).await else { return };
        for ((id, state, _), result) in settled.into_iter().zip(results) {
            match result {
                SettleResult::Done => stage.model.borrow_mut().settle_ends(id, sink, state),
                other => stage.wrong.borrow_mut().push(format!("a lease that runs was answered {other:?}")),
            }
        }
    }
}

async fn tidy_on(stage: Stage, mut dice: Dice, steps: u64) {
    for step in 0..steps {
        if dice.one_in(4) {
            stage.clock.advance(Duration::from_millis(10));
            stage.model.borrow_mut().removal_begins();
            if stage.journal.tidy().await.is_err() {
                return;
            }
        }
        let detail = format!("{step} {:x}", dice.roll());
        stage.model.borrow_mut().refuse_begins(&detail);
        if stage.journal.refuse(vec![refusal(&detail, &mut dice, stage.clock.now())]).await.is_err() {
            return;
        }
        stage.model.borrow_mut().refuse_ends(&detail);
    }
}

fn outcome(dice: &mut Dice, now: jiff::Timestamp) -> (Outcome, State) {
    match dice.below(8) {
        0 => (Outcome::DeadLetter("gone".to_owned()), State::Dead),
        1 => (Outcome::Released, State::Pending),
        2 | 3 => (Outcome::RetryAt(now), State::Pending),
        _ => (Outcome::Delivered, State::Delivered),
    }
}

fn settlement(claim: &Claim, outcome: Outcome, now: jiff::Timestamp) -> Settled {
    let attempt = (outcome != Outcome::Released).then(|| Attempt {
        started_at: now,
        took: Duration::from_millis(5),
        age: Duration::from_secs(1),
        status: Some(503),
        note: "busy".to_owned(),
    });
    Settled { token: claim.token, outcome, attempt, reached_at: now }
}

fn refusal(detail: &str, dice: &mut Dice, now: jiff::Timestamp) -> Refusal {
    Refusal {
        source: SourceName::callback(&name("main")),
        cause: RefusalCause::Missing,
        detail: detail.to_owned(),
        received_at: now,
        address: format!("192.0.2.{}", dice.below(4)),
        timestamp: None,
        signature: None,
        body: Bytes::from(vec![b'x'; dice.pick(3_000)]),
        cut_short: false,
    }
}

/// A body of any size that an event may have, now and then one that nobody can read.
pub(super) fn body(dice: &mut Dice) -> Bytes {
    let (number, unreadable) = (dice.roll(), dice.one_in(20));
    let pad = if dice.one_in(5) { dice.pick(20_000) } else { dice.pick(400) };
    let end = if unreadable { "" } else { "}" };
    Bytes::from(format!(
        r#"{{"EventType":"TranscodeComplete","VideoId":"{number:016x}","Extend":"{}"{end}"#,
        "e".repeat(pad)
    ))
}

pub(super) fn name(text: &str) -> SinkName {
    Name::new(text).unwrap()
}
