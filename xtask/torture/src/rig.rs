//! The stage of a row with callbacks: one relay, or two behind one address, in the middle of a load.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::account::{self, Account};
use crate::balancer;
use crate::faults::{Fault, Mended};
use crate::load::Load;
use crate::relay::{Programs, Relay};
use crate::secrets;
use crate::sender::{Line, Sender};
use crate::stage::Stage;
use crate::words::Word;

const SENDERS: usize = 32;
/// The least number of requests in flight when a fault strikes.
const STRUCK: usize = 4;

/// What faults strike, and with what they are drawn.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) relay: Relay,
    /// The second one, where there are two.
    pub(crate) other: Option<Relay>,
    pub(crate) load: Load,
    sender: Sender,
    pub(crate) stage: Stage,
    pub(crate) dice: StdRng,
}

impl Rig {
    pub(crate) async fn start(programs: &Programs, seed: u64, fault: Fault) -> Result<Self, String> {
        let stage = Stage::set(fault.manner()).await?;
        let (mut relay, mut other) = if fault == Fault::OneOfTwo {
            (stage.listening(programs, "one")?, Some(stage.listening(programs, "other")?))
        } else {
            (stage.supervised(programs, fault.min_free(stage.folder.path())?, &stage.sinks())?, None)
        };
        relay.keeps_copies = fault == Fault::PowerCut;
        relay.start()?;
        let mut to = relay.http;
        if let Some(other) = &mut other {
            other.start()?;
            to = balancer::start([relay.http, other.http]).await?;
        }
        let key = stage.secrets.value(secrets::CALLBACK_KEY).to_owned();
        let (headers, in_flight) = (String::new(), Arc::default());
        let sender = Sender { to, key, keeps: true, from: None, headers, in_flight };
        let load = Load::start(SENDERS, &sender);
        load.until_accepted(1).await.map_err(|error| format!("{error}: {}", relay.last_words()))?;
        Ok(Self { relay, other, load, sender, stage, dice: StdRng::seed_from_u64(seed) })
    }

    /// Waits for a moment at which a fault strikes something: how many requests are in flight then.
    pub(crate) async fn moment(&mut self) -> Result<usize, String> {
        let more = self.dice.random_range(20..60);
        self.load.until_accepted(more).await?;
        self.load.until_in_flight(STRUCK).await
    }

    /// A connection of its own for what is no part of the load.
    pub(crate) fn line(&self) -> Line {
        Line::new(self.sender.clone())
    }

    /// A while between these, in milliseconds.
    pub(crate) fn while_of(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.dice.random_range(least..most))
    }

    /// Ends the load, waits for the last deliveries, stops the relay, and looks at all that is left.
    pub(crate) async fn finish(&mut self, fault: Fault, in_flight: Vec<usize>) -> Result<Account, String> {
        self.load.stop().await;
        let acknowledged = self.load.seen.acknowledged();
        let owed = match fault.mend(self).await? {
            Mended::Nothing => acknowledged.clone(),
            Mended::AllThatWasSent => (0..self.load.seen.sent()).collect(),
        };
        let left = account::not_delivered(owed, [&self.stage.steady, &self.stage.faulty]).await?;
        let mut account = Account {
            in_flight,
            sent: self.load.seen.sent(),
            acknowledged: acknowledged.len(),
            given_up: self.load.seen.given_up(),
            worst_outage: self.load.seen.worst_outage(),
            ..Account::default()
        };
        let mut dead = Vec::new();
        for relay in [Some(&mut self.relay), self.other.as_mut()].into_iter().flatten() {
            dead.extend(account::dead_letters(relay).await?);
            relay.stop().await?;
            account.syncs += relay.control.told(Word::Syncs)?;
        }
        account.take_up(&self.stage, &left, &dead);
        for relay in [Some(&self.relay), self.other.as_ref()].into_iter().flatten() {
            account.wrong.extend(account::wrong_with(relay, &self.stage).await?);
        }
        if account.given_up > 0 && !fault.may_cost_callbacks() {
            account.wrong.push("callbacks were given up that need not have been".to_owned());
        }
        Ok(account)
    }

    /// Leaves the folder there, and answers where.
    pub(crate) fn keep(self) -> PathBuf {
        self.stage.keep()
    }
}
