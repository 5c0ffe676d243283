//! All that the emulator remembers. Every method is one step that nothing else can come in between of.

mod messages;
mod poll;
mod queues;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub(crate) use self::poll::{Attempt, Patience, Place, Receive, Ticket};
use crate::fault::Plan;
use crate::happening::{Happening, Observer, What};
use crate::ledger::Ledger;
use crate::mint::Mint;
use crate::queue::{Message, Queue};
use crate::refusal::Refusal;
use crate::settings::{Format, Settings};

#[derive(Debug)]
pub(crate) struct State {
    queues: BTreeMap<String, Queue>,
    /// Names that cannot be taken again before that moment.
    resting: BTreeMap<String, Timestamp>,
    format: Format,
    witness: Witness,
    pub(crate) mint: Mint,
    pub(crate) ledger: Ledger,
    pub(crate) plan: Plan,
    /// Receives that wait, with the moment at which they give up.
    parked: BTreeMap<Ticket, Timestamp>,
    next_ticket: Ticket,
}

impl State {
    pub(crate) fn new(settings: &Settings) -> Self {
        let dice = StdRng::seed_from_u64(settings.seed);
        // Ids do not depend on how often the dice were cast, nor the other way round.
        let ids = StdRng::seed_from_u64(!settings.seed);
        Self {
            queues: BTreeMap::new(),
            resting: BTreeMap::new(),
            format: settings.format,
            witness: Witness(settings.observer.clone()),
            mint: Mint::new(settings.format, ids),
            ledger: Ledger::default(),
            plan: Plan::new(settings.faults.clone(), dice),
            parked: BTreeMap::new(),
            next_ticket: 0,
        }
    }
}

/// The queue of that name, brought to this moment. Takes fields instead of the whole state, so that the caller keeps
/// the others.
fn refreshed<'q>(
    queues: &'q mut BTreeMap<String, Queue>,
    name: &str,
    now: Timestamp,
    witness: &Witness,
) -> Result<&'q mut Queue, Refusal> {
    let queue = queues.get_mut(name).ok_or(Refusal::QUEUE_NOT_EXIST)?;
    for message in queue.refresh(now) {
        witness.tell(name, &message, now, What::Expired);
    }
    Ok(queue)
}

/// Passes on what happens, where anybody wants to know.
#[derive(Debug)]
struct Witness(Option<Observer>);

impl Witness {
    fn tell(&self, queue: &str, message: &Message, at: Timestamp, what: What) {
        let Some(observer) = &self.0 else { return };
        observer.tell(&Happening {
            queue: queue.to_owned(),
            message_id: message.id.clone(),
            body: message.body.clone(),
            at,
            what,
        });
    }
}
