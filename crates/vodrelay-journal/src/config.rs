//! The `[journal]` table, and the bounds of kept refusals that come from `[http.refused]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use vodrelay_core::config::{ByteSize, Span};

/// The `[journal]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which journal; there is one kind so far.
    pub kind: Kind,
    /// How long an event stays after its last settlement, or after acceptance where it matched no sink.
    pub retention: Span,
    /// How long a dead letter stays.
    pub dead_letter_retention: Keep,
    /// How much room the disk must have for appends to be accepted. A configuration has to leave so much that the journal
    /// gets out of a full disk by itself.
    #[serde(deserialize_with = "min_free")]
    pub min_free: ByteSize,
}

/// The kinds of journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// One file, one process.
    #[default]
    Sqlite,
}

/// How long something stays that nobody else has: `"never"` is removed, or a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// It is never removed.
    #[default]
    Always,
    /// It is removed after that span.
    For(Span),
}

/// How many refused requests are kept, from `[http.refused]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedBounds {
    /// All of them together.
    pub keep: ByteSize,
    /// Each of them.
    pub max_age: Span,
}

const DAY: Duration = Duration::from_secs(86_400);
/// What settlements, and removing what may go, need of the last quarter of `min_free` when appends are refused: the log may
/// hold up to 64 MB that the file has no room for yet, and until these are moved nothing can be written at all.
const LEAST_MIN_FREE: ByteSize = ByteSize(256 << 20);

impl Default for Config {
    fn default() -> Self {
        Self {
            kind: Kind::Sqlite,
            retention: Span(DAY * 30),
            dead_letter_retention: Keep::Always,
            min_free: ByteSize(1 << 30),
        }
    }
}

impl Default for RefusedBounds {
    fn default() -> Self {
        Self { keep: ByteSize(256 << 20), max_age: Span(DAY * 7) }
    }
}

fn min_free<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let asked = ByteSize::deserialize(deserializer)?;
    if asked.0 < LEAST_MIN_FREE.0 {
        return Err(de::Error::custom(format!(
            "{asked} is too little: on a disk that is full to the end the journal could not even remove anything; expected \
             {LEAST_MIN_FREE} or more"
        )));
    }
    Ok(asked)
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Always => serializer.serialize_str("never"),
            Self::For(span) => span.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "never" {
            return Ok(Self::Always);
        }
        let expected =
            |error| de::Error::custom(format!("{error}, or \"never\" to keep dead letters for good"));
        Span::parse(&text).map(Self::For).map_err(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Result<Config, &str>) {
        match (serde_json::from_str::<Config>(json), expected) {
            (Ok(config), Ok(expected)) => assert_eq!(config, expected, "{json}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{json}: {error}"),
            (found, _) => panic!("{json}: {found:?}"),
        }
    }

    #[test]
    fn the_table() {
        check("{}", Ok(Config::default()));
        let week = Span(DAY * 7);
        check(r#"{"retention": "7d"}"#, Ok(Config { retention: week, ..Config::default() }));
        let keep = Keep::For(week);
        check(
            r#"{"dead_letter_retention": "7d"}"#,
            Ok(Config { dead_letter_retention: keep, ..Config::default() }),
        );
        check(r#"{"dead_letter_retention": "never", "kind": "sqlite"}"#, Ok(Config::default()));
        check(r#"{"dead_letter_retention": "soon"}"#, Err("\"never\""));
        check(r#"{"kind": "postgres"}"#, Err("sqlite"));
        check(r#"{"min_fre": "1GiB"}"#, Err("min_fre"));
        let least = ByteSize(256 << 20);
        check(r#"{"min_free": "256MiB"}"#, Ok(Config { min_free: least, ..Config::default() }));
        check(r#"{"min_free": "255MiB"}"#, Err("expected 256MiB or more"));
        check(r#"{"min_free": "0"}"#, Err("expected 256MiB or more"));
    }
}
