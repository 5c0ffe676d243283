//! A message: what was sent, and what has become of it.

use std::time::Duration;

use jiff::Timestamp;
use md5::{Digest, Md5};
use serde::Serialize;

use crate::clock::later;
use crate::mint::Mint;
use crate::xml::Element;

/// What a client asks to send, checked against everything but the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) body: String,
    pub(crate) delay_seconds: Option<u32>,
    pub(crate) priority: Option<u8>,
    /// `UserProperties` and `SystemProperties`, which come back as they were.
    pub(crate) properties: Vec<Element>,
}

/// The priority of a message that names none. 1 comes first, 16 last.
const PRIORITY: u8 = 8;

#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) md5: String,
    pub(crate) priority: u8,
    pub(crate) properties: Vec<Element>,
    pub(crate) enqueued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) first_dequeued_at: Option<Timestamp>,
    pub(crate) dequeue_count: u32,
    /// The one that is good, while there is one.
    pub(crate) handle: Option<String>,
    pub(crate) hidden_until: Option<Timestamp>,
    /// Hidden since it was sent, not since it was received.
    pub(crate) delayed: bool,
}

impl Message {
    pub(crate) fn new(draft: Draft, id: String, now: Timestamp, expires_at: Timestamp) -> Self {
        let Draft { body, priority, properties, .. } = draft;
        let md5 = digest(&body, &properties);
        let priority = priority.unwrap_or(PRIORITY);
        Self { id, body, md5, priority, properties, enqueued_at: now, expires_at, ..Self::default() }
    }

    /// Makes the message invisible for that long, under a new handle.
    pub(crate) fn hide(&mut self, now: Timestamp, span: Duration, mint: &mut Mint) {
        let hidden_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        self.handle = Some(mint.handle(&self.id, now, hidden_ms, self.priority));
        self.hidden_until = Some(later(now, span));
    }

    pub(crate) fn state(&self) -> MessageState {
        let visibility = match self.hidden_until {
            None => Visibility::Active,
            Some(until) if self.delayed => Visibility::Delayed { until },
            Some(until) => Visibility::Inactive { until },
        };
        MessageState {
            message_id: self.id.clone(),
            body: self.body.clone(),
            priority: self.priority,
            dequeue_count: self.dequeue_count,
            enqueued_at: self.enqueued_at,
            visibility,
        }
    }
}

/// `MessageBodyMD5`: of the text as it was sent. With properties the service answers another digest, by a rule that
/// nobody outside knows; here it is one over body and properties, so that a client that insists is found out.
fn digest(body: &str, properties: &[Element]) -> String {
    let mut md5 = Md5::new().chain_update(body);
    for element in properties {
        md5.update(format!("{element:?}"));
    }
    format!("{:032X}", u128::from_be_bytes(md5.finalize().into()))
}

/// A message as a test may look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MessageState {
    /// Its id.
    pub message_id: String,
    /// Its text as it was sent.
    pub body: String,
    /// 1 comes first, 16 last.
    pub priority: u8,
    /// How often it has been received.
    pub dequeue_count: u32,
    /// When it was sent.
    pub enqueued_at: Timestamp,
    /// Whether a receive would find it.
    pub visibility: Visibility,
}

/// Whether a receive would find a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// It would.
    Active,
    /// It has been received and not been deleted.
    Inactive {
        /// When it becomes visible again.
        until: Timestamp,
    },
    /// It was sent with a delay.
    Delayed {
        /// When it becomes visible.
        until: Timestamp,
    },
}

/// How many messages a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// That a receive would find.
    pub active: usize,
    /// That have been received and not been deleted.
    pub inactive: usize,
    /// That were sent with a delay and are not visible yet.
    pub delayed: usize,
}

impl Counts {
    /// All that the queue holds.
    #[must_use]
    pub fn all(self) -> usize {
        self.active + self.inactive + self.delayed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_the_text_as_it_was_sent() {
        let check = |body: &str, expected: &str| assert_eq!(digest(body, &[]), expected);
        check("hello", "5D41402ABC4B2A76B9719D911017C592");
        check("aGVsbG8=", "0733351879B2FA9BD05C7CA3061529C0");
        check("hello error <\"aliyun-mns-go-sdk\">", "911FF56FA65DB8D984C1A502F54DA698");
        let properties = [Element::text("UserProperties", "any")];
        assert_ne!(digest("hello", &properties), digest("hello", &[]));
        assert_eq!(digest("hello", &properties), digest("hello", &properties));
    }
}
