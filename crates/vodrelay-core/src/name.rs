//! Names that people give to sinks and sources in the configuration.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name as the configuration allows it: `[a-z][a-z0-9]*(_[a-z0-9]+)*`, at most 64 bytes.
///
/// The rule leaves out the double underscore, so that `VODRELAY__SINKS__CMS_EU__TIMEOUT` can only mean one key.
/// Cloning one is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// The name of a sink.
pub type SinkName = Name;

/// Why a text is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name: use lower-case letters and digits, words joined by single underscores, a letter first, at most 64 bytes"
)]
pub struct NameError(String);

impl Name {
    /// Checks the rule.
    ///
    /// # Errors
    /// If the text breaks it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let words_hold = text.split('_').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
        let letter_first = text.starts_with(|first: char| first.is_ascii_lowercase());
        if words_hold && letter_first && text.len() <= 64 {
            Ok(Self(text.into()))
        } else {
            Err(NameError(text.chars().take(80).collect()))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Where an event came from: `callbacks.NAME` or `queues.NAME`, as routing and the journal say it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// The source of the callback with that name.
    #[must_use]
    pub fn callback(name: &Name) -> Self {
        Self(format!("callbacks.{name}").into())
    }

    /// The source of the queue with that name.
    #[must_use]
    pub fn queue(name: &Name) -> Self {
        Self(format!("queues.{name}").into())
    }

    /// The text, for example `callbacks.main`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('.') {
            Some(("callbacks" | "queues", name)) if Name::new(name).is_ok() => Ok(Self(text.into())),
            _ => Err(NameError(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SourceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        for good in ["a", "cms", "cms_eu", "a1_2b"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "_a", "a_", "a__b", "1a", "A", "a-b", "a.b", "é", &"a".repeat(65)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
        assert!("callbacks.main".parse::<SourceName>().is_ok());
        assert!("sinks.main".parse::<SourceName>().is_err());
        assert!("main".parse::<SourceName>().is_err());
    }
}
