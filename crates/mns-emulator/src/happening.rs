//! What happens to messages, told to whoever observes the emulator.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// Something that happened to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Happening {
    /// The queue.
    pub queue: String,
    /// The message's id. A duplicate has the id of the message it repeats.
    pub message_id: String,
    /// The message's text as it was sent.
    pub body: String,
    /// When, by the emulator's clock.
    pub at: Timestamp,
    /// What happened.
    pub what: What,
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// It was sent.
    Sent,
    /// It was handed to a consumer, for the `dequeue_count`-th time.
    Received {
        /// How often it has been received, this time included.
        dequeue_count: u32,
    },
    /// A consumer deleted it.
    Deleted,
    /// Its retention period was over, whatever state it was in.
    Expired,
}

/// Is told of everything that happens to messages, in the order in which it happens and before the answer goes out:
/// at `Deleted`, a test can look whether the consumer has its copy.
///
/// It runs while the emulator holds its state, so it must be quick and must not call the emulator.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Happening) + Send + Sync>);

impl Observer {
    /// An observer that calls the closure.
    #[must_use]
    pub fn new(observe: impl Fn(&Happening) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(crate) fn tell(&self, happening: &Happening) {
        (self.0)(happening);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
