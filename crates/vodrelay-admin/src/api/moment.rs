//! Moments as callers give them.

use jiff::Timestamp;

use super::Problem;

/// A moment of a query or a body; nothing where none is given.
pub(crate) fn parse(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |error: jiff::Error| {
        Problem::invalid(format!("{name}: {text:?} is not a moment in RFC 3339: {error}"))
    };
    text.parse().map(Some).map_err(wrong)
}
