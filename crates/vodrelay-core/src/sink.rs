//! The port to what wants the events: the plugin point.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::{ConfigError, Options};
use crate::envelope::Delivery;
use crate::images::ImageStore;
use crate::name::SinkName;

/// Takes deliveries. One instance serves one `[sinks.NAME]`, many deliveries at a time.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Hands the event over. It is called at least once for each event, so a receiver must bear a repeat.
    ///
    /// The dispatcher puts the time limit around it and drops the future when that has passed; the sink need not.
    ///
    /// # Errors
    /// Says whether trying again can help; the retry policy says when. A sink that is not done yet, and has not failed
    /// either, says so with [`Retry::Postponed`].
    async fn deliver(&self, delivery: &Delivery) -> Result<Receipt, SinkError>;

    /// Finds out whether a delivery would have a chance, without making one. What deliveries can live with and people
    /// should know comes back as remarks, a sentence each; mostly there are none.
    ///
    /// # Errors
    /// Names what is wrong and what to do about it.
    async fn check(&self) -> Result<Vec<String>, SinkError>;
}

/// What the sink said when it took the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The status of its answer, where it has such a thing.
    pub status: Option<u16>,
}

/// Why the sink did not take the event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// Whether trying again can help.
    pub retry: Retry,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// What went wrong, a lower-case fragment that names the thing and the cause.
    pub message: String,
}

/// Whether trying again can help.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// It can.
    Temporary {
        /// How long the receiver asked us to wait.
        after: Option<Duration>,
        /// A shorter age after which to give up: for answers that are seldom mended. Where it is set, the error is one
        /// of this event, and says nothing against the sink.
        give_up_after: Option<Duration>,
    },
    /// It cannot: straight to the dead letters.
    Permanent,
    /// Nothing failed. What can be done at once is done, and the rest has to wait for something else, like a place
    /// among few. The delivery is offered again later, and until then its slot is free for others.
    ///
    /// It is no attempt: it is neither counted nor remembered, says nothing for or against the sink, and however long
    /// it goes on, no delivery is given up for it. Whoever postpones must therefore do so only while the other thing
    /// can be expected to pass.
    Postponed {
        /// When to offer it again: after this long, a tenth of a second at least and a day at most. No jitter is put on
        /// top, so a sink that postpones many spreads them by itself.
        after: Duration,
    },
}

impl SinkError {
    /// An error that may pass.
    #[must_use]
    pub fn temporary(message: impl Into<String>) -> Self {
        let retry = Retry::Temporary { after: None, give_up_after: None };
        Self { retry, status: None, message: message.into() }
    }

    /// An error that may pass, and is one of this event alone: the breaker does not count it against the sink.
    #[must_use]
    pub fn temporary_for_this_event(message: impl Into<String>) -> Self {
        let retry = Retry::Temporary { after: None, give_up_after: Some(Duration::MAX) };
        Self { retry, status: None, message: message.into() }
    }

    /// No error, and not done yet: to be offered again after that long. The message says what it waits for.
    #[must_use]
    pub fn postponed(after: Duration, message: impl Into<String>) -> Self {
        Self { retry: Retry::Postponed { after }, status: None, message: message.into() }
    }

    /// An error that will not.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { retry: Retry::Permanent, status: None, message: message.into() }
    }
}

/// Makes sinks of one kind: what a user's own binary adds to the relay.
pub trait SinkFactory: Send + Sync + std::fmt::Debug {
    /// The word that stands at `kind` in `[sinks.NAME]`.
    fn kind(&self) -> &'static str;

    /// Makes the sink from its `options`.
    ///
    /// # Errors
    /// If the options are wrong; the error names the path and what is expected.
    fn build(&self, name: SinkName, options: Options) -> Result<Arc<dyn Sink>, ConfigError>;

    /// Where people see the images that a sink with these `options` keeps. Mostly a sink keeps none.
    ///
    /// # Errors
    /// As [`SinkFactory::build`].
    fn images(&self, options: &Options) -> Result<Option<Arc<dyn ImageStore>>, ConfigError> {
        let _ = options;
        Ok(None)
    }
}
