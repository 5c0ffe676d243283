//! Back-pressure from the journal: while a message waits for room there, no poll begins.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use vodrelay_core::JournalError;

/// How many messages wait for the journal, and what it said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) messages: usize,
    pub(crate) why: String,
}

/// Counts the messages that wait.
#[derive(Debug, Default)]
pub(crate) struct Stall(watch::Sender<Waiting>);

impl Stall {
    /// Changes with each message that begins or ends to wait.
    pub(crate) fn watch(&self) -> watch::Receiver<Waiting> {
        self.0.subscribe()
    }

    /// A place for one message, which does not wait yet.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { stall: self, waits: AtomicBool::new(false) }
    }
}

/// The place of one message. Dropped, it waits no more.
#[derive(Debug)]
pub(crate) struct Place<'s> {
    stall: &'s Stall,
    waits: AtomicBool,
}

impl Place<'_> {
    /// The message waits from now on, for that reason.
    pub(crate) fn wait(&self, error: &JournalError) {
        let begins = !self.waits.swap(true, Ordering::Relaxed);
        self.stall.0.send_modify(|waiting| {
            waiting.messages += usize::from(begins);
            waiting.why = error.to_string();
        });
    }

    /// Gives the place up, if the message waits and is not the last that does: one has to find out when there is room
    /// again.
    pub(crate) fn leave(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
            && self.stall.0.send_if_modified(|waiting| {
                let leaves = waiting.messages > 1 && self.waits.swap(false, Ordering::Relaxed);
                waiting.messages -= usize::from(leaves);
                leaves
            })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.waits.swap(false, Ordering::Relaxed) {
            self.stall.0.send_modify(|waiting| waiting.messages -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_last_may_leave() {
        let stall = Stall::default();
        let waiting = || stall.watch().borrow().messages;
        let (first, second, third) = (stall.place(), stall.place(), stall.place());
        for place in [&first, &second, &second] {
            place.wait(&JournalError::Closed);
        }
        assert_eq!(waiting(), 2);
        assert!(!third.leave(), "it does not wait");
        assert!(first.leave());
        assert!(!first.leave());
        assert!(!second.leave(), "it is the last");
        drop((first, third));
        assert_eq!(waiting(), 1);
        drop(second);
        assert_eq!(waiting(), 0);
    }
}
