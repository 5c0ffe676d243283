//! A running emulator, and what a test may ask of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::attributes::Attributes;
use crate::clock::Clock;
use crate::connection::serve;
use crate::fault::Injection;
use crate::ledger::Ledger;
use crate::queue::{Counts, Draft, MessageState};
use crate::refusal::Refusal;
use crate::request::checked_name;
use crate::service::Service;
use crate::settings::Settings;

/// A running emulator. Dropping it ends it, and with it everything that it holds: its queues live in memory.
#[derive(Debug)]
pub struct Emulator {
    service: Arc<Service>,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Emulator {
    /// Starts an emulator on the current tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(settings));
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, Arc::clone(&service), stop.clone()));
        Ok(Self { service, address, stop, serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for clients: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The emulator's time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.service.settings.clock
    }

    /// Makes an empty queue, in the place of any that has the name.
    ///
    /// # Errors
    /// If a queue cannot have that name.
    pub fn create_queue(&self, name: &str, attributes: Attributes) -> Result<(), Refusal> {
        let name = checked_name(name)?;
        let now = self.service.now();
        self.service.state().put_queue(&name, attributes, now);
        Ok(())
    }

    /// Sends a message, past the ledger's count of requests and past every fault.
    ///
    /// # Errors
    /// If there is no such queue, or the body is larger than it takes.
    pub fn send(&self, queue: &str, body: &str) -> Result<(), Refusal> {
        let draft = Draft { body: body.to_owned(), ..Draft::default() };
        let now = self.service.now();
        self.service.state().send(queue, vec![draft], false, now).map(drop)
    }

    /// Every message of the queue in whatever state, oldest first; none where there is no such queue.
    #[must_use]
    pub fn messages(&self, queue: &str) -> Vec<MessageState> {
        let now = self.service.now();
        self.service.state().messages(queue, now).unwrap_or_default()
    }

    /// How many messages the queue holds; none where there is no such queue. Costs little, however many there are.
    #[must_use]
    pub fn counts(&self, queue: &str) -> Counts {
        let now = self.service.now();
        self.service.state().counts(queue, now)
    }

    /// What was asked so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.service.state().ledger.clone()
    }

    /// Begins the ledger anew.
    pub fn clear_ledger(&self) {
        self.service.state().ledger = Ledger::default();
    }

    /// Adds a fault to those in force.
    pub fn inject(&self, injection: Injection) {
        self.service.state().plan.injections.push(injection);
    }

    /// From now on nothing goes wrong.
    pub fn clear_faults(&self) {
        self.service.state().plan.injections.clear();
    }

    /// How many long polls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.service.state().waiting()
    }

    /// Waits until at least so many long polls wait: then a message that is sent wakes them, and time can be moved.
    pub async fn wait_for_polls(&self, count: usize) {
        self.wait_until(|service| service.state().waiting() >= count).await;
    }

    /// Waits until no long poll waits any more.
    pub async fn wait_for_no_polls(&self) {
        self.wait_until(|service| service.state().waiting() == 0).await;
    }

    /// Moves the clock ahead, and returns when every long poll has ended that this ends: because its wait is over, or
    /// because a message has become visible.
    pub async fn advance(&self, by: Duration) {
        self.clock().advance(by);
        self.wait_until(|service| {
            let now = service.now();
            service.state().is_settled(now)
        })
        .await;
    }

    async fn wait_until(&self, holds: impl Fn(&Service) -> bool) {
        let mut parking = self.service.parking.subscribe();
        loop {
            parking.mark_unchanged();
            // The sender lives as long as the service, so a change is never an error.
            if holds(&self.service) || parking.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends the emulator: connections are cut off, and the port is free when this returns.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // An error says that it has ended by a panic, which has ended it too.
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
