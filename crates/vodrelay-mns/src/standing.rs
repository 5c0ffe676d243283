//! How we stand with the service. It is said once when that changes, not at every poll.

use std::mem::discriminant;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mns_client::{Error, ErrorKind};
use vodrelay_core::Name;

use crate::examine::mend;
use crate::meter::Meter;

/// What was asked of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Receive,
    Delete,
}

/// What one thing that is asked for comes to at the moment.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// It was never answered.
    #[default]
    Unknown,
    Good,
    Bad(ErrorKind),
}

/// What the last answers were, to receives and to deletions.
#[derive(Debug, Default)]
pub(crate) struct Standing([Mutex<State>; 2]);

impl Standing {
    /// The service did what it was asked for.
    pub(crate) fn good(&self, asked: Asked, queue: &Name, meter: &Meter) {
        let before = self.replace(asked, State::Good);
        if matches!(before, State::Good) {
            return;
        }
        meter.up(self.is_up());
        match (before, asked) {
            (State::Bad(_), Asked::Receive) => {
                tracing::info!(queue.name = %queue, "events of the queue come in again");
            }
            (State::Bad(_), Asked::Delete) => {
                tracing::info!(queue.name = %queue, "messages of the queue are deleted again");
            }
            _ => {}
        }
    }

    /// It did not. It is asked again until it does.
    pub(crate) fn bad(&self, asked: Asked, error: &Error, queue: &Name, meter: &Meter) {
        let before = self.replace(asked, State::Bad(error.kind()));
        meter.up(false);
        if matches!(before, State::Bad(before) if discriminant(&before) == discriminant(&error.kind())) {
            tracing::debug!(queue.name = %queue, error = %error, "the queue still does not do what it is asked for");
            return;
        }
        let mend = mend(error);
        match asked {
            Asked::Receive => tracing::error!(
                queue.name = %queue, error = %error, mend,
                "no event comes in from the queue; it is asked again, at most a minute apart, until it answers"
            ),
            Asked::Delete => tracing::error!(
                queue.name = %queue, error = %error, mend,
                "messages that were accepted cannot be deleted; they come again as duplicates until they can"
            ),
        }
    }

    /// Whether receives are answered, and deletions, as far as any was needed, done.
    pub(crate) fn is_up(&self) -> bool {
        let [receive, delete] = [Asked::Receive, Asked::Delete].map(|asked| *self.slot(asked));
        matches!(receive, State::Good) && !matches!(delete, State::Bad(_))
    }

    fn replace(&self, asked: Asked, now: State) -> State {
        std::mem::replace(&mut *self.slot(asked), now)
    }

    fn slot(&self, asked: Asked) -> MutexGuard<'_, State> {
        let [receive, delete] = &self.0;
        let slot = if asked == Asked::Receive { receive } else { delete };
        slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use mns_client::Endpoint;

    use super::*;

    #[test]
    fn it_is_up_from_the_first_answer_on_and_while_both_are_good() {
        let (standing, queue) = (Standing::default(), Name::new("main").unwrap());
        let meter = Meter::new(&queue);
        let error = "no endpoint".parse::<Endpoint>().unwrap_err();
        let check = |asked, good, up| {
            if good {
                standing.good(asked, &queue, &meter);
            } else {
                standing.bad(asked, &error, &queue, &meter);
            }
            assert_eq!(standing.is_up(), up, "{asked:?} {good}");
        };
        assert!(!standing.is_up());
        check(Asked::Delete, true, false);
        check(Asked::Receive, true, true);
        check(Asked::Delete, false, false);
        check(Asked::Receive, true, false);
        check(Asked::Delete, true, true);
        check(Asked::Receive, false, false);
    }
}
