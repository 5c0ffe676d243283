//! The port to where events come from.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::intake::Intake;

/// Brings events in. It holds an [`Intake`] and nothing else of the relay; it never sees a sink.
#[async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Runs until the token is cancelled, then finishes what is in hand and returns.
    ///
    /// # Errors
    /// Only for what no retry can mend, such as a listener that broke; a service that is away is waited for.
    async fn run(&self, intake: Intake, shutdown: CancellationToken) -> Result<(), SourceError>;
}

/// Why a source had to stop.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What happened, naming the source and the cause.
    pub message: String,
}
