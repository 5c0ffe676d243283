//! What holds a sink back: its pause, its breaker. Neither costs a delivery any of its tries or its age.

use std::time::Duration;

use jiff::Timestamp;

use super::Dispatcher;
use super::attempt::Attempted;
use crate::sink::Retry;
use crate::standing::BreakerState;

impl Dispatcher {
    /// While the sink is paused nothing starts and nothing ages; what is under way ends as it does.
    pub(super) fn heed_pause(&mut self) {
        let pause = self.pauses.borrow_and_update().get(&self.name).cloned();
        match &pause {
            Some(pause) if !self.paused => {
                let reason = pause.reason.as_deref().unwrap_or("none given");
                tracing::warn!(sink = %self.name, pause.since = %pause.since, reason, "the sink is paused; what comes for it waits until it is resumed");
                self.standstill.begin(pause.since, self.clock.now());
                if !self.ready.is_empty() {
                    self.breaker.probe_unused(self.clock.now());
                }
                self.give_back_what_is_ready();
            }
            None if self.paused => {
                tracing::info!(sink = %self.name, "the sink is resumed; its deliveries go on");
                self.note_going_on(self.clock.now(), false);
            }
            _ => {}
        }
        self.paused = pause.is_some();
    }

    /// The time that the sink stood still ends only when nothing holds it back any more.
    fn note_going_on(&mut self, now: Timestamp, paused: bool) {
        if !paused && self.breaker.open_since().is_none() {
            self.standstill.end(now);
        }
    }

    pub(super) fn tell_breaker(&mut self, attempted: &Attempted, now: Timestamp) {
        let was_open = self.breaker.open_since().is_some();
        match &attempted.result {
            // What the sink says of this one event says nothing against the sink.
            Ok(_) => self.breaker.succeeded(),
            Err(error) => match error.retry {
                Retry::Temporary { give_up_after: None, .. } => {
                    self.breaker.failed(attempted.token.delivery, now)
                }
                // Where it was the probe, it has found out nothing, and the next one may try.
                Retry::Postponed { .. } => self.breaker.probe_unused(now),
                _ => self.breaker.succeeded(),
            },
        }
        let open_since = self.breaker.open_since();
        self.standing
            .set_breaker(open_since.map_or(BreakerState::Closed, |since| BreakerState::Open { since }));
        if was_open == open_since.is_some() {
            return;
        }
        self.meter.breaker(!was_open);
        if was_open {
            tracing::info!(sink = %self.name, "the sink answers again; its deliveries go on");
            self.note_going_on(now, self.paused);
        } else {
            tracing::warn!(sink = %self.name, "the sink fails for every event; from now on one probe at a time, until it answers");
            self.standstill.begin(now, now);
            self.give_back_what_is_ready();
        }
    }

    /// The time between, less what the sink stood still.
    pub(super) fn elapsed(&self, from: Timestamp, to: Timestamp) -> Duration {
        let by_the_clock = Duration::try_from(to.duration_since(from)).unwrap_or_default();
        by_the_clock.saturating_sub(self.standstill.within(from, to))
    }
}
