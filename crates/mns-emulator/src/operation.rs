//! The operations of the queue API, as the ledger counts them and faults name them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One operation of the API. Serialised, and on the command line, in snake case: `batch_receive_message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the provider's names say it")]
pub enum Operation {
    SendMessage,
    BatchSendMessage,
    ReceiveMessage,
    BatchReceiveMessage,
    PeekMessage,
    BatchPeekMessage,
    DeleteMessage,
    BatchDeleteMessage,
    ChangeMessageVisibility,
    CreateQueue,
    SetQueueAttributes,
    GetQueueAttributes,
    ListQueue,
    DeleteQueue,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 14] = [
        Self::SendMessage,
        Self::BatchSendMessage,
        Self::ReceiveMessage,
        Self::BatchReceiveMessage,
        Self::PeekMessage,
        Self::BatchPeekMessage,
        Self::DeleteMessage,
        Self::BatchDeleteMessage,
        Self::ChangeMessageVisibility,
        Self::CreateQueue,
        Self::SetQueueAttributes,
        Self::GetQueueAttributes,
        Self::ListQueue,
        Self::DeleteQueue,
    ];

    /// The name in snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendMessage => "send_message",
            Self::BatchSendMessage => "batch_send_message",
            Self::ReceiveMessage => "receive_message",
            Self::BatchReceiveMessage => "batch_receive_message",
            Self::PeekMessage => "peek_message",
            Self::BatchPeekMessage => "batch_peek_message",
            Self::DeleteMessage => "delete_message",
            Self::BatchDeleteMessage => "batch_delete_message",
            Self::ChangeMessageVisibility => "change_message_visibility",
            Self::CreateQueue => "create_queue",
            Self::SetQueueAttributes => "set_queue_attributes",
            Self::GetQueueAttributes => "get_queue_attributes",
            Self::ListQueue => "list_queue",
            Self::DeleteQueue => "delete_queue",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|operation| operation.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no operation; there are {names}"))
    }
}
