//! Messages as they are sent, received and peeked at.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use md5::{Digest, Md5};

use crate::encoding::{Encoding, EncodingError};
use crate::name::ReceiptHandle;
use crate::xml::Element;

/// A message to send. What is absent is left to the queue and the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The text, as it will stand in the queue. See [`Outgoing::encoded`] for bytes.
    pub body: String,
    /// For how long it stays invisible: up to seven days, in whole seconds.
    pub delay: Option<Duration>,
    /// 1 is received first, 16 last; a hint, no promise.
    pub priority: Option<u8>,
    /// The group within which messages of an ordered queue keep their order.
    pub message_group_id: Option<String>,
    /// Properties of the caller's own: at most 50.
    pub user_properties: Vec<Property>,
}

impl Outgoing {
    /// A message with that text.
    #[must_use]
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// A message with that payload, in that encoding.
    ///
    /// # Errors
    /// If the encoding has no form for it.
    pub fn encoded(payload: &[u8], encoding: Encoding) -> Result<Self, EncodingError> {
        encoding.encode(payload).map(Self::new)
    }
}

/// What the service says of a message that it has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The message's id.
    pub message_id: String,
    /// The MD5 of the body as the service has it, in upper-case hex.
    pub body_md5: Option<String>,
    /// The handle of a delayed message, by which it can be deleted or re-timed before it becomes visible.
    pub receipt_handle: Option<ReceiptHandle>,
}

impl Sent {
    pub(crate) fn read(message: &Element) -> Option<Self> {
        Some(Self {
            message_id: text(message, "MessageId").filter(|_| text(message, "ErrorCode").is_none())?,
            body_md5: text(message, "MessageBodyMD5"),
            receipt_handle: text(message, "ReceiptHandle").map(ReceiptHandle::new),
        })
    }
}

/// What came of a receive. An empty queue is no error: there are just no messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Poll {
    /// The messages, invisible to others until their `next_visible_time`.
    pub messages: Vec<Message>,
    /// Entries of the answer that have no handle, so that nothing can be done with them; they become visible again.
    pub unreadable: usize,
    /// How long the service was asked to wait.
    pub wait: Duration,
    /// How long the answer took.
    pub took: Duration,
    /// When the service answered, by its own clock, to the second.
    pub answered_at: Option<Timestamp>,
}

impl Poll {
    /// Whether this poll found nothing and ended long before its time. The service does so to accounts with too many
    /// long polls, and bills it all the same: back off, and poll with fewer.
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.messages.is_empty() && self.unreadable == 0 && self.took < self.wait / 2
    }
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its id. The same message keeps it when it is received again.
    pub message_id: String,
    /// What it is deleted and re-timed by, until `next_visible_time`.
    pub receipt_handle: ReceiptHandle,
    /// Its text as it stands in the queue; see [`Message::decode`].
    pub body: String,
    /// The bytes that came in place of a text, where they are none that XML has: not UTF-8, with references that name
    /// no character, or with elements. `body` is then the text that comes nearest.
    pub raw_body: Option<Vec<u8>>,
    /// What the service says the MD5 of the body is; see [`Message::body_md5_matches`].
    pub body_md5: Option<String>,
    /// When it was sent.
    pub enqueue_time: Option<Timestamp>,
    /// When it was first received.
    pub first_dequeue_time: Option<Timestamp>,
    /// When it becomes visible to others again.
    pub next_visible_time: Option<Timestamp>,
    /// How often it has been received, this time included; 0 if the service did not say.
    pub dequeue_count: u32,
    /// 1 is received first, 16 last; 8, which is the default of messages, if the service did not say.
    pub priority: u8,
    /// The group within which messages of an ordered queue keep their order.
    pub message_group_id: Option<String>,
    /// Properties that the sender gave it.
    pub user_properties: Vec<Property>,
    /// Properties that services gave it, `traceparent` or where a dead letter came from.
    pub system_properties: Vec<Property>,
}

impl Message {
    pub(crate) fn read(element: &Element) -> Option<Self> {
        let receipt_handle = ReceiptHandle::new(text(element, "ReceiptHandle")?);
        let next_visible_time = moment(element, "NextVisibleTime");
        let PeekedMessage {
            message_id,
            body,
            raw_body,
            body_md5,
            enqueue_time,
            first_dequeue_time,
            dequeue_count,
            priority,
            message_group_id,
            user_properties,
            system_properties,
        } = PeekedMessage::read(element);
        Some(Self {
            message_id,
            receipt_handle,
            body,
            raw_body,
            body_md5,
            enqueue_time,
            first_dequeue_time,
            next_visible_time,
            dequeue_count,
            priority,
            message_group_id,
            user_properties,
            system_properties,
        })
    }

    /// The body's bytes: of the text, or those that came in its place.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        self.raw_body.as_deref().unwrap_or(self.body.as_bytes())
    }

    /// The payload, taken out of its encoding. Of a message with a `raw_body` this reads the nearest text.
    ///
    /// # Errors
    /// If it was expected to be Base64 and is not.
    pub fn decode(&self, encoding: Encoding) -> Result<Cow<'_, [u8]>, EncodingError> {
        encoding.decode(&self.body)
    }

    /// Whether the MD5 is the body's; nothing where that cannot be told: of a message with properties the service
    /// answers another digest, and some services send the digest of the decoded body. So a mismatch is something to
    /// count, and no reason to drop a message.
    #[must_use]
    pub fn body_md5_matches(&self) -> Option<bool> {
        if !self.user_properties.is_empty() || !self.system_properties.is_empty() {
            return None;
        }
        self.body_md5.as_ref().map(|digest| is_md5_of(digest, self.body_bytes()))
    }
}

/// A message that was looked at without receiving it. It has no handle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeekedMessage {
    /// Its id.
    pub message_id: String,
    /// Its text as it stands in the queue.
    pub body: String,
    /// The bytes that came in place of a text; see [`Message::raw_body`].
    pub raw_body: Option<Vec<u8>>,
    /// What the service says the MD5 of the body is.
    pub body_md5: Option<String>,
    /// When it was sent.
    pub enqueue_time: Option<Timestamp>,
    /// When it was first received, if it was.
    pub first_dequeue_time: Option<Timestamp>,
    /// How often it has been received.
    pub dequeue_count: u32,
    /// 1 is received first, 16 last; 8 if the service did not say.
    pub priority: u8,
    /// The group within which messages of an ordered queue keep their order.
    pub message_group_id: Option<String>,
    /// Properties that the sender gave it.
    pub user_properties: Vec<Property>,
    /// Properties that services gave it.
    pub system_properties: Vec<Property>,
}

impl PeekedMessage {
    pub(crate) fn read(element: &Element) -> Self {
        let body_md5 = text(element, "MessageBodyMD5");
        let (body, raw_body) = body(element, body_md5.as_deref());
        Self {
            message_id: text(element, "MessageId").unwrap_or_default(),
            body,
            raw_body,
            body_md5,
            enqueue_time: moment(element, "EnqueueTime"),
            first_dequeue_time: moment(element, "FirstDequeueTime"),
            dequeue_count: element.parse("DequeueCount").unwrap_or(0),
            priority: element.parse("Priority").unwrap_or(8),
            message_group_id: text(element, "MessageGroupId"),
            user_properties: properties(element, "UserProperties", "PropertyValue"),
            system_properties: properties(element, "SystemProperties", "SystemPropertyValue"),
        }
    }
}

/// What came of a change of visibility.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retimed {
    /// The handle that is good from now on. The former one is not.
    pub receipt_handle: ReceiptHandle,
    /// When the message becomes visible to others.
    pub next_visible_time: Option<Timestamp>,
}

impl Retimed {
    pub(crate) fn read(element: &Element) -> Option<Self> {
        let receipt_handle = ReceiptHandle::new(text(element, "ReceiptHandle")?);
        Some(Self { receipt_handle, next_visible_time: moment(element, "NextVisibleTime") })
    }
}

/// A property of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Letters, digits, `_`, `-` and `.`; at most 256.
    pub name: String,
    /// At most 4,096 characters; Base64 for `Binary`.
    pub value: String,
    /// What the value is meant to be.
    pub kind: PropertyKind,
}

impl Property {
    /// A property that is text.
    #[must_use]
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), kind: PropertyKind::String }
    }
}

/// What the value of a property is meant to be; the service does not check it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the provider's names say it")]
pub enum PropertyKind {
    String,
    Number,
    Boolean,
    /// In Base64.
    Binary,
    /// Another, which the provider has added.
    Other(String),
}

impl PropertyKind {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::String => "STRING",
            Self::Number => "NUMBER",
            Self::Boolean => "BOOLEAN",
            Self::Binary => "BINARY",
            Self::Other(other) => other,
        }
    }

    fn read(text: &str) -> Self {
        let known = [Self::String, Self::Number, Self::Boolean, Self::Binary];
        known.into_iter().find(|kind| kind.as_str() == text).unwrap_or_else(|| Self::Other(text.to_owned()))
    }
}

fn properties(message: &Element, list: &str, entry: &str) -> Vec<Property> {
    let entries = message.child(list).into_iter().flat_map(|list| list.children_named(entry));
    let property = |entry: &Element| Property {
        name: entry.text_of("Name").unwrap_or_default().to_owned(),
        value: entry.text_of("Value").unwrap_or_default().to_owned(),
        kind: PropertyKind::read(entry.text_of("Type").unwrap_or_default()),
    };
    entries.map(property).collect()
}

/// The text of the body, and its bytes where no text has them.
///
/// XML makes line feeds of the other line ends that stand in a document. A service that writes them as they are means
/// them as they are, which the MD5 tells.
fn body(message: &Element, md5: Option<&str>) -> (String, Option<Vec<u8>>) {
    let Some(body) = message.child("MessageBody") else { return Default::default() };
    let Some(raw) = &body.raw else { return (body.text.clone(), None) };
    let is_meant = |bytes: &Vec<u8>| md5.is_some_and(|md5| is_md5_of(md5, bytes));
    let as_sent = raw.as_sent.as_ref().filter(|sent| is_meant(sent) && !is_meant(&raw.bytes));
    let bytes = as_sent.unwrap_or(&raw.bytes);
    let text = String::from_utf8_lossy(bytes).into_owned();
    (text, raw.odd.then(|| bytes.clone()))
}

fn is_md5_of(digest: &str, bytes: &[u8]) -> bool {
    digest.eq_ignore_ascii_case(&format!("{:032X}", u128::from_be_bytes(Md5::digest(bytes).into())))
}

/// The text of a child, without the blanks around it; nothing if it is empty.
fn text(element: &Element, name: &str) -> Option<String> {
    element.text_of(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A moment in milliseconds since 1970; 0 stands for never.
fn moment(element: &Element, name: &str) -> Option<Timestamp> {
    let milliseconds: i64 = element.parse(name)?;
    Timestamp::from_millisecond(milliseconds).ok().filter(|_| milliseconds != 0)
}
