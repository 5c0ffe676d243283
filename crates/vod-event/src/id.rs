//! Identity of an event: a digest of what it says.
//!
//! There is no id on the wire, so a repeated callback, and the same event over HTTP and over the queue, are one event
//! because they say the same. The id is computed once, when an event is accepted, and stored; it is never computed
//! again. The algorithm is therefore frozen: the digit after `evt_` is its version, and another algorithm is another
//! digit.
//!
//! # Version 1
//!
//! The id is the first 16 bytes of SHA-256 over a UTF-8 text, printed as `evt_1` and 32 lower-case hex digits. The
//! text is the canonical form of the event's *content*, and it is written so:
//!
//! - `null`, `true`, `false` as in JSON; a number as its token stands in the body (`25`, `25.0` and `2.5e1` are
//!   three);
//! - a string between `"`, after unescaping; inside, `"` is written `\"` and `\` is written `\\`, and nothing else is
//!   escaped, control characters neither;
//! - an array as its elements between `[` and `]`, separated by `,`;
//! - an object as its members between `{` and `}`, separated by `,`, each its name as a string, `:`, and its value.
//!   Names are unescaped, then trimmed of U+0009, U+000A, U+000C, U+000D and U+0020 on both sides, then sorted by
//!   their UTF-8 bytes; a name that stands twice (with equal values, or the body is unreadable) is written once;
//! - no blanks anywhere between.
//!
//! The content is the body's object, after these steps in this order:
//!
//! 1. *Unwrapping.* Where the body has a `MessageBody` that is an object, or a string that *holds* an object, that
//!    object is the content. Of the body around it only `EventType` and `EventTime` count, each only where it is not
//!    null and the content has no such member or a null one; it is then written as that member.
//! 2. *Decoding.* Where the content has a `DynamicImageJobInfo` that is a string which holds an object or an array,
//!    that is written in the string's place. No other member is decoded, whatever it holds.
//!
//! A string *holds* a value if it is a JSON text of it, or a JSON text of a string that is one: decoding stops
//! after the second time. Texts inside strings are read with the same tolerance as the body, each with its own depth
//! limit. A string that cannot be read so stays a string.
//!
//! Where a string in the body, or in one of the texts that were decoded, has an escape of half a surrogate pair, what
//! it meant cannot be written in UTF-8. The id is then, as it is of a body that cannot be read, the first 16 bytes of
//! SHA-256 over the bytes of the body. A canonical form never has such an escape, so the two do not meet.

mod canonical;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

pub(crate) use canonical::Canonical;

/// Which event it is: `evt_1` and 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId([u8; 16]);

const PREFIX: &str = "evt_1";

impl EventId {
    /// From its 16 bytes, as a journal stores it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Of a body that cannot be read: a digest of its bytes.
    #[must_use]
    pub fn of_raw(body: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(body).into();
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = from;
        }
        Self(bytes)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an event id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("an event id is {PREFIX} and 32 lower-case hex digits")]
pub struct NotAnEventId;

impl FromStr for EventId {
    type Err = NotAnEventId;

    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        let digits = text.strip_prefix(PREFIX).ok_or(NotAnEventId)?;
        let is_lower_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits.len() != 32 || !is_lower_hex {
            return Err(NotAnEventId);
        }
        u128::from_str_radix(digits, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NotAnEventId)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = EventId::of_raw(b"");
        assert_eq!(id.to_string(), "evt_1e3b0c44298fc1c149afbf4c8996fb924");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(serde_json::from_str::<EventId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        assert_eq!(EventId::from_bytes([0; 16]).to_string(), "evt_100000000000000000000000000000000");
    }

    #[test]
    fn other_texts_are_not_ids() {
        let good = EventId::of_raw(b"").to_string();
        let longer = format!("{good}0");
        for text in ["", "evt_1", &good.to_uppercase(), &good[1..], &longer, &good.replace("evt_1", "evt_2")]
        {
            assert_eq!(text.parse::<EventId>(), Err(NotAnEventId), "{text}");
        }
    }
}
