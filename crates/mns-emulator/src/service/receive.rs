//! The long poll: tries, waits for a change, tries again.

use super::Service;
use crate::answer::{Answer, Shown};
use crate::connection::Presence;
use crate::refusal::Refusal;
use crate::state::{Attempt, Patience, Place, Receive};

impl Service {
    /// Receives; gives nothing if the client has gone.
    pub(super) async fn receive(
        &self,
        receive: Receive,
        presence: &Presence,
    ) -> Result<Option<Answer>, Refusal> {
        let patience =
            Patience { poll_limit: self.settings.poll_limit, answers_early: self.settings.answers_early };
        let place = self.state().line_up(&receive, patience, self.now())?;
        let mut waiting = Waiting { service: self, queue: receive.queue.clone(), place };
        loop {
            // Marked before the attempt, so that a change in between wakes the wait below.
            waiting.place.changed.mark_unchanged();
            let until = match self.attempt(&receive, &waiting.place, presence)? {
                Attempt::Taken(messages) => {
                    return self.state().list(&messages, Shown::Received, receive.most.is_some()).map(Some);
                }
                Attempt::Over => return Err(Refusal::MESSAGE_NOT_EXIST),
                Attempt::Gone => return Ok(None),
                Attempt::WaitUntil(until) => until,
            };
            tokio::select! {
                changed = waiting.place.changed.changed() => {
                    changed.map_err(|_| Refusal::QUEUE_NOT_EXIST)?;
                }
                () = self.settings.clock.sleep_until(until) => {}
            }
        }
    }

    fn attempt(&self, receive: &Receive, place: &Place, presence: &Presence) -> Result<Attempt, Refusal> {
        let attempt = self.state().attempt(receive, place, || presence.is_gone(), self.now());
        if matches!(attempt, Ok(Attempt::WaitUntil(_))) {
            self.parking.send_replace(());
        }
        attempt
    }
}

/// A receive in line. However it ends, also by being dropped with its connection, it leaves the line.
struct Waiting<'s> {
    service: &'s Service,
    queue: String,
    place: Place,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.service.state().leave(&self.queue, self.place.ticket);
        self.service.parking.send_replace(());
    }
}
