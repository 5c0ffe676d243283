//! Names of queues, and the handles that messages are deleted by.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The name of a queue: letters, digits and hyphens, beginning with a letter or a digit, at most 120 characters; the
/// provider's former documents had 256, so up to that many are taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(String);

impl QueueName {
    /// A checked name.
    ///
    /// # Errors
    /// If no queue can have that name.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidQueueName> {
        let name = name.into();
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits && !name.starts_with('-') && (1..=256).contains(&name.len()) {
            Ok(Self(name))
        } else {
            Err(InvalidQueueName(name))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for QueueName {
    type Err = InvalidQueueName;

    fn from_str(name: &str) -> Result<Self, InvalidQueueName> {
        Self::new(name)
    }
}

/// No queue can have that name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no name of a queue: it has letters, digits and hyphens, begins with a letter or a digit, and is not longer than 120 characters"
)]
pub struct InvalidQueueName(String);

/// What a received message is deleted or re-timed by. Its content is the service's business. It is good until the
/// message becomes visible again, and each new one makes the former worthless.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReceiptHandle(String);

impl ReceiptHandle {
    /// A handle that was kept somewhere.
    #[must_use]
    pub fn new(handle: impl Into<String>) -> Self {
        Self(handle.into())
    }

    /// The handle as the service wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReceiptHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_stand_in_a_path_as_it_is_is_a_name() {
        let check = |name: &str, expected| assert_eq!(QueueName::new(name).is_ok(), expected, "{name}");
        check("vod-events", true);
        check("0", true);
        check(&"q".repeat(256), true);
        check(&"q".repeat(257), false);
        check("", false);
        check("-q", false);
        check("a/b", false);
        check("..", false);
        check("a b", false);
        check("\u{961f}", false);
    }
}
