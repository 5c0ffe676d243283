//! What can be set of a queue, and what it says of itself.

use jiff::Timestamp;

use crate::xml::{Element, Writer};

/// What to set of a queue; what is absent stays, or is the provider's default for a new queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChanges {
    /// For how long a received message is invisible to others: 1 to 43,200 seconds, by default 30.
    pub visibility_timeout: Option<u32>,
    /// The longest body that is taken: 1,024 to 65,536 bytes, by default the most.
    pub maximum_message_size: Option<u32>,
    /// For how long a message is kept, whatever its state: 60 to 604,800 seconds, by default four days.
    pub message_retention_period: Option<u32>,
    /// For how long each message stays invisible after it was sent: 0 to 604,800 seconds, by default 0.
    pub delay_seconds: Option<u32>,
    /// How long a receive waits that does not say so itself: 0 to 30 seconds, by default 0.
    pub polling_wait_seconds: Option<u32>,
    /// Whether the provider logs what happens to messages; by default not.
    pub logging_enabled: Option<bool>,
}

impl AttributeChanges {
    pub(crate) fn write(&self) -> String {
        let mut writer = Writer::open("Queue");
        let numbers = [
            ("VisibilityTimeout", self.visibility_timeout),
            ("MaximumMessageSize", self.maximum_message_size),
            ("MessageRetentionPeriod", self.message_retention_period),
            ("DelaySeconds", self.delay_seconds),
            ("PollingWaitSeconds", self.polling_wait_seconds),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                writer.text(name, &number.to_string());
            }
        }
        if let Some(enabled) = self.logging_enabled {
            writer.text("LoggingEnabled", if enabled { "True" } else { "False" });
        }
        writer.close("Queue")
    }
}

/// What a queue says of itself. What the service left out is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueAttributes {
    /// Its name.
    pub queue_name: Option<String>,
    /// When it was created.
    pub create_time: Option<Timestamp>,
    /// When its attributes were last set.
    pub last_modify_time: Option<Timestamp>,
    /// For how long a received message is invisible to others, in seconds.
    pub visibility_timeout: Option<u32>,
    /// The longest body that is taken, in bytes.
    pub maximum_message_size: Option<u32>,
    /// For how long a message is kept, whatever its state, in seconds.
    pub message_retention_period: Option<u32>,
    /// For how long each message stays invisible after it was sent, in seconds.
    pub delay_seconds: Option<u32>,
    /// How long a receive waits that does not say so itself, in seconds.
    pub polling_wait_seconds: Option<u32>,
    /// Whether the provider logs what happens to messages.
    pub logging_enabled: Option<bool>,
    /// Messages that can be received. The three counts lag behind, and the provider means to drop them.
    pub active_messages: Option<u64>,
    /// Messages that have been received and not been deleted.
    pub inactive_messages: Option<u64>,
    /// Messages whose delay is not over.
    pub delay_messages: Option<u64>,
}

impl QueueAttributes {
    pub(crate) fn read(queue: &Element) -> Self {
        let number = |name| queue.parse(name);
        let moment = |name| queue.parse(name).and_then(|seconds| Timestamp::from_second(seconds).ok());
        Self {
            queue_name: queue.text_of("QueueName").map(str::to_owned),
            create_time: moment("CreateTime"),
            last_modify_time: moment("LastModifyTime"),
            visibility_timeout: number("VisibilityTimeout"),
            maximum_message_size: number("MaximumMessageSize"),
            message_retention_period: number("MessageRetentionPeriod"),
            delay_seconds: number("DelaySeconds"),
            polling_wait_seconds: number("PollingWaitSeconds"),
            logging_enabled: queue
                .text_of("LoggingEnabled")
                .map(|text| text.trim().eq_ignore_ascii_case("true")),
            active_messages: queue.parse("ActiveMessages"),
            inactive_messages: queue.parse("InactiveMessages"),
            delay_messages: queue.parse("DelayMessages"),
        }
    }
}
