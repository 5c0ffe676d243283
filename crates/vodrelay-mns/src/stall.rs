//! Back-pressure from the journal: while a message waits for room there, no poll begins.

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

    /// A message waits until what is returned is dropped.
    pub(crate) fn wait(&self, error: &JournalError) -> Place<'_> {
        self.0.send_modify(|waiting| {
            waiting.messages += 1;
            waiting.why = error.to_string();
        });
        Place(self)
    }
}

/// The place of one message that waits.
#[derive(Debug)]
pub(crate) struct Place<'s>(&'s Stall);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|waiting| waiting.messages -= 1);
    }
}
