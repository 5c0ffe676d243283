//! JSON text that stands in a string, perhaps as the text of a string again.

use std::borrow::Cow;

use crate::json::{self, Document, Oddity, Value};

/// The text in a string, with one more layer of quotes taken off where it has one.
pub(crate) struct Embedded<'t> {
    text: Cow<'t, str>,
    /// Whether a layer was taken off, and what was odd in it.
    outer_layer: Option<Vec<Oddity>>,
}

impl<'t> Embedded<'t> {
    pub(crate) fn in_text(text: &'t str) -> Self {
        let may_be_a_string = text.trim_start_matches('\u{feff}').trim_ascii_start().starts_with('"');
        if may_be_a_string && let Ok(Document { value: Value::String(inner), oddities }) = json::parse(text) {
            return Self { text: inner, outer_layer: Some(oddities) };
        }
        Self { text: Cow::Borrowed(text), outer_layer: None }
    }

    pub(crate) fn was_string_in_string(&self) -> bool {
        self.outer_layer.is_some()
    }

    pub(crate) fn parse(&self) -> Result<Document<'_>, json::Error> {
        let mut document = json::parse(&self.text)?;
        document.oddities.extend(self.outer_layer.iter().flatten().cloned());
        Ok(document)
    }
}
