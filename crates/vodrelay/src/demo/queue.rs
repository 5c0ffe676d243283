//! The demo's queue service: an emulator in this process, and what VOD would write to it.

use mns_emulator::{AccessKey, Attributes, Emulator, Settings};

use super::{QUEUE_ID, QUEUE_SECRET};
use crate::exit::{Code, Failure, io_failure};

const NAME: &str = "vod-events";

/// A queue service with one queue.
pub(super) struct Queue(Emulator);

impl Queue {
    pub(super) async fn start() -> Result<Self, Failure> {
        let access_keys = vec![AccessKey::new(QUEUE_ID, QUEUE_SECRET)];
        let emulator = Emulator::start(Settings { access_keys, ..Settings::default() })
            .await
            .map_err(|error| io_failure("the queue service could not listen", &error))?;
        emulator.create_queue(NAME, Attributes::default()).map_err(|refusal| refused(&refusal))?;
        Ok(Self(emulator))
    }

    pub(super) fn endpoint(&self) -> String {
        self.0.endpoint()
    }

    /// Writes an event to the queue, as VOD does.
    pub(super) fn write(&self, body: &[u8]) -> Result<(), Failure> {
        self.0.send(NAME, &String::from_utf8_lossy(body)).map_err(|refusal| refused(&refusal))
    }

    /// Whether everything was received and deleted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.messages(NAME).is_empty()
    }
}

fn refused(refusal: &mns_emulator::Refusal) -> Failure {
    Failure::new(Code::Internal, format!("the queue service refuses: {refusal}"))
}
