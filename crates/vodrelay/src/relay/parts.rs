//! The tasks that a relay consists of: begun at any time, waited for together, heard of when one fails.

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use vodrelay_core::JournalError;

/// Tasks of one kind. A clone begins tasks of the same kind.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    tasks: TaskTracker,
    failures: mpsc::UnboundedSender<JournalError>,
}

/// What went wrong with tasks.
pub(crate) type Failures = mpsc::UnboundedReceiver<JournalError>;

impl Parts {
    /// Two kinds, and what goes wrong with either.
    pub(crate) fn two_kinds() -> (Self, Self, Failures) {
        let (failures, failed) = mpsc::unbounded_channel();
        let one = Self { tasks: TaskTracker::new(), failures: failures.clone() };
        (one, Self { tasks: TaskTracker::new(), failures }, failed)
    }

    pub(crate) fn spawn(&self, part: impl Future<Output = Result<(), JournalError>> + Send + 'static) {
        let (part, failures) = (tokio::spawn(part), self.failures.clone());
        self.tasks.spawn(async move {
            let ended = part.await.unwrap_or_else(|panic| {
                Err(JournalError::Failed(format!("a part of the relay broke: {panic}")))
            });
            if let Err(error) = ended {
                // Nobody hears of it where the relay ends for another reason already.
                let _ = failures.send(error);
            }
        });
    }

    /// Waits until there is none.
    pub(crate) async fn done(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
