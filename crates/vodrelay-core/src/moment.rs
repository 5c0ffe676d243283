//! Moments as callers write them, in one form everywhere.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// For `deserialize_with`, beside `default`: a moment in RFC 3339, or nothing.
///
/// # Errors
/// With what stands there instead.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let wrong = |error: jiff::Error| {
        let shown: String = text.chars().take(64).collect();
        serde::de::Error::custom(format!(
            "{shown:?} is not a moment in RFC 3339, like 2026-11-01T10:00:00Z: {error}"
        ))
    };
    text.parse().map(Some).map_err(wrong)
}
