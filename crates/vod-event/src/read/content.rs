//! Unwrapping: which object of a body is the event.

use super::{Embedded, Unreadable};
use crate::json::{Document, ErrorKind, Object, Oddity, OddityKind, Value};

/// The object that is the event, and how it was found.
#[derive(Clone, Copy)]
pub(super) struct Content<'c> {
    pub(super) object: &'c Object<'c>,
    /// The body around it, where it is an envelope.
    pub(super) envelope: Option<&'c Object<'c>>,
    /// What was odd in the text of `MessageBody`, where it is one.
    pub(super) oddities: &'c [Oddity],
    /// Whether that text was the text of a string again.
    pub(super) was_string_in_string: bool,
}

impl Content<'_> {
    pub(super) fn is_lossy(&self) -> bool {
        self.oddities.iter().any(|oddity| oddity.kind == OddityKind::LoneSurrogate)
    }
}

/// Shows the event's object. It may be borrowed from a text that exists only meanwhile, hence the closure.
pub(super) fn with_content<R>(
    root: &Object<'_>,
    look: impl FnOnce(Content<'_>) -> R,
) -> Result<R, Unreadable> {
    let plain = Content { object: root, envelope: None, oddities: &[], was_string_in_string: false };
    match root.get("MessageBody") {
        Some(Value::Object(inner)) => Ok(look(Content { object: inner, envelope: Some(root), ..plain })),
        Some(Value::String(text)) => {
            let embedded = Embedded::in_text(text);
            match embedded.parse() {
                Ok(Document { value: Value::Object(inner), oddities }) => Ok(look(Content {
                    object: &inner,
                    envelope: Some(root),
                    oddities: &oddities,
                    was_string_in_string: embedded.was_string_in_string(),
                })),
                Err(error) if matches!(error.kind, ErrorKind::DuplicateName(_)) => {
                    Err(Unreadable::from(error).inside("MessageBody"))
                }
                _ => Ok(look(plain)),
            }
        }
        _ => Ok(look(plain)),
    }
}
