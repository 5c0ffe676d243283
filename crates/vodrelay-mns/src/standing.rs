//! How we stand with the service. It is said once when that changes, not at every poll.

use std::mem::discriminant;
use std::sync::{Mutex, PoisonError};

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

/// What goes wrong at the moment, if anything does.
#[derive(Debug, Default)]
pub(crate) struct Standing([Mutex<Option<ErrorKind>>; 2]);

impl Standing {
    /// The service did what it was asked for.
    pub(crate) fn good(&self, asked: Asked, queue: &Name, meter: &Meter) {
        let Some(_) = self.replace(asked, None) else { return };
        meter.up(self.0.iter().all(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).is_none()));
        match asked {
            Asked::Receive => tracing::info!(queue.name = %queue, "events of the queue come in again"),
            Asked::Delete => tracing::info!(queue.name = %queue, "messages of the queue are deleted again"),
        }
    }

    /// It did not. It is asked again until it does.
    pub(crate) fn bad(&self, asked: Asked, error: &Error, queue: &Name, meter: &Meter) {
        let before = self.replace(asked, Some(error.kind()));
        meter.up(false);
        if before.is_some_and(|before| discriminant(&before) == discriminant(&error.kind())) {
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

    fn replace(&self, asked: Asked, now: Option<ErrorKind>) -> Option<ErrorKind> {
        let [receive, delete] = &self.0;
        let slot = if asked == Asked::Receive { receive } else { delete };
        std::mem::replace(&mut *slot.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}
