//! Why a body is no event.

use std::borrow::Cow;

use thiserror::Error;

use crate::json;

/// A body that cannot be read as an event, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what}")]
pub struct Unreadable {
    kind: UnreadableKind,
    what: Cow<'static, str>,
}

/// The reasons why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnreadableKind {
    /// No bytes, or nothing but blanks.
    Empty,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON, or not all of it.
    NotJson,
    /// Nested deeper than [`json::MAX_DEPTH`].
    TooDeep,
    /// JSON, but not an object.
    NotAnObject,
    /// The same name twice with different values.
    DuplicateKey,
    /// No `EventType`, or one that is empty or not a string.
    NoEventType,
    /// A DynamicImageComplete with neither `VideoId` nor `JobId`.
    NoMainId,
}

impl Unreadable {
    pub(crate) fn new(kind: UnreadableKind, what: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, what: what.into() }
    }

    /// The same error, met in the text of this member.
    pub(crate) fn inside(self, member: &str) -> Self {
        Self { what: format!("inside the text of {member}: {}", self.what).into(), ..self }
    }

    /// The reason, to decide or count by.
    #[must_use]
    pub fn kind(&self) -> UnreadableKind {
        self.kind
    }
}

impl From<json::Error> for Unreadable {
    fn from(error: json::Error) -> Self {
        match &error.kind {
            json::ErrorKind::Empty => Self::new(UnreadableKind::Empty, "the body is empty"),
            json::ErrorKind::TooDeep => Self::new(UnreadableKind::TooDeep, error.to_string()),
            json::ErrorKind::DuplicateName(_) => Self::new(UnreadableKind::DuplicateKey, error.to_string()),
            _ => Self::new(UnreadableKind::NotJson, format!("not JSON: {error}")),
        }
    }
}
