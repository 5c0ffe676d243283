//! Pieces of configuration that every crate shares: errors with a path, secrets, durations, sizes, sink options.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::envelope::{Labels, MOST_LABEL_BYTES};

/// Something wrong in the configuration: where it stands, and what is expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigError {
    /// The full path of the key, for example `sinks.cms.options.url`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ConfigError {
    /// An error at that path.
    #[must_use]
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// The same error one level up: `url` in `sinks.cms.options` becomes `sinks.cms.options.url`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.path = if self.path.is_empty() { parent.to_owned() } else { format!("{parent}.{}", self.path) };
        self
    }
}

/// What a deserialiser says of a value of the wrong type, without the value: it may be a secret in the wrong place.
#[must_use]
pub fn without_value(message: &str) -> String {
    let expected = |rest: &str| {
        let rest = rest.strip_prefix("struct ").map_or_else(|| rest.to_owned(), |_| "a table".to_owned());
        rest.replace("a sequence", "a list, like [\"…\"]").replace("a map", "a table")
    };
    match (message.strip_prefix("invalid type: "), message.split_once(", expected ")) {
        (Some(found), Some((_, rest))) => {
            // Only the name of the type comes before the value: `string "…"`, `integer `5``.
            let kind = found.split([' ', ',']).next().unwrap_or("something else");
            format!("expected {}, found {kind}", expected(rest))
        }
        _ => message.to_owned(),
    }
}

/// What configuration is resolved against: the environment and the folder of the file. Passed in, so that tests can
/// fake both.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The environment variables.
    pub environment: Arc<HashMap<String, String>>,
    /// The folder that relative paths count from.
    pub folder: PathBuf,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of the environment are other people's secrets.
        f.debug_struct("Surroundings").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Surroundings {
    /// The path, counted from the folder of the configuration where it is relative.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

/// Where a secret stands: in the file itself, in the environment, or in a file of its own.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The secret itself.
    Plain(String),
    /// The name of an environment variable.
    Env(String),
    /// The path of a file; line ends after it do not count.
    File(PathBuf),
}

impl SecretSource {
    /// Fetches the secret.
    ///
    /// # Errors
    /// If it is missing, empty or only blanks; never prints it. The path of the error is empty: the caller adds it.
    pub fn resolve(&self, surroundings: &Surroundings) -> Result<Secret, ConfigError> {
        let fail = |message: String| Err(ConfigError::new("", message));
        let value = match self {
            Self::Plain(value) => value.clone(),
            Self::Env(name) => match surroundings.environment.get(name) {
                Some(value) => value.clone(),
                None => {
                    return fail(format!("the environment variable {name} is not set; it holds the secret"));
                }
            },
            Self::File(path) => match std::fs::read_to_string(surroundings.resolve(path)) {
                Ok(value) => value.trim_end_matches(['\r', '\n']).to_owned(),
                Err(error) => {
                    let path = surroundings.resolve(path);
                    return fail(format!("cannot read the secret from {}: {error}", path.display()));
                }
            },
        };
        match value.trim().is_empty() {
            true if value.is_empty() => fail("the secret is empty".to_owned()),
            true => fail("the secret is nothing but blanks".to_owned()),
            false => Ok(Secret(value)),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("***"),
            Self::Env(name) => write!(f, "{{ env = {name:?} }}"),
            Self::File(path) => write!(f, "{{ file = {path:?} }}"),
        }
    }
}

/// Where it stands, never what it is.
impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(_) => serializer.serialize_str("***"),
            Self::Env(name) => {
                [("env", name.as_str())].into_iter().collect::<BTreeMap<_, _>>().serialize(serializer)
            }
            Self::File(path) => {
                [("file", path)].into_iter().collect::<BTreeMap<_, _>>().serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

// Written by hand because an untagged enum answers "data did not match any variant", which helps nobody.
impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a secret: a string, { env = "NAME" } or { file = "path" }"#)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::Plain(value.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        let wrong =
            || A::Error::custom(r#"expected a secret: a string, { env = "NAME" } or { file = "path" }"#);
        let key: String = map.next_key()?.ok_or_else(wrong)?;
        let value: String = map.next_value()?;
        let source = match key.as_str() {
            "env" => SecretSource::Env(value),
            "file" => SecretSource::File(value.into()),
            _ => return Err(wrong()),
        };
        if map.next_key::<String>()?.is_some() { Err(wrong()) } else { Ok(source) }
    }
}

/// A secret that does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret with that value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A span of time as people write it: `500ms`, `15s`, `5m`, `1h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes as people write it: `64KiB`, `1MiB`, `1GiB`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Milliseconds in each unit, the smallest first.
const SPAN_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// Bytes in each unit, the smallest first.
const SIZE_UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

impl Span {
    /// Reads a span.
    ///
    /// # Errors
    /// With what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let millis = parse_with_unit(text, &SPAN_UNITS).ok_or_else(|| {
            format!(
                "{text:?} is not a duration: write a whole number and a unit, like 500ms, 15s, 5m, 1h or 7d"
            )
        })?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl ByteSize {
    /// Reads a size.
    ///
    /// # Errors
    /// With what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = text.trim().bytes().all(|byte| byte.is_ascii_digit());
        let bytes = parse_with_unit(text, if plain { &[("", 1)] } else { &SIZE_UNITS }).ok_or_else(|| {
            format!("{text:?} is not a size: write a whole number and a unit, like 64KiB, 1MiB or 1GiB")
        })?;
        Ok(Self(bytes))
    }
}

fn parse_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// In the largest unit that it is a whole number of.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &SPAN_UNITS)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(f, self.0, &SIZE_UNITS)
    }
}

fn write_with_unit(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |(_, factor): &&(&str, u64)| number > 0 && number.is_multiple_of(*factor);
    match units.iter().rev().find(fits).or(units.first()) {
        Some((unit, factor)) => write!(f, "{}{unit}", number / factor),
        None => write!(f, "{number}"),
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected =
            "a duration: a whole number and a unit, like \"500ms\", \"15s\", \"5m\", \"1h\" or \"7d\"";
        Self::parse(&deserializer.deserialize_any(Written(expected))?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a size: a whole number and a unit, like \"64KiB\", \"1MiB\" or \"1GiB\"";
        Self::parse(&deserializer.deserialize_any(Written(expected))?).map_err(D::Error::custom)
    }
}

/// A `tls` table: what a listener shows of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// A file in PEM: the certificate, and those of its issuers.
    pub cert: PathBuf,
    /// Its key, in PEM.
    pub key: SecretSource,
}

impl TlsFiles {
    /// The texts of both.
    ///
    /// # Errors
    /// With `cert` or `key`, whichever cannot be read; the caller adds the path of the table.
    pub fn read(&self, surroundings: &Surroundings) -> Result<(String, Secret), ConfigError> {
        let path = surroundings.resolve(&self.cert);
        let cert = std::fs::read_to_string(&path)
            .map_err(|error| ConfigError::new("cert", format!("cannot read {}: {error}", path.display())))?;
        Ok((cert, self.key.resolve(surroundings).map_err(|error| error.within("key"))?))
    }
}

/// An address to listen on, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// If it is not an address and a port; says how one is written.
pub fn listen_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let expected = "an address and a port, like \"127.0.0.1:8080\", or \"0.0.0.0:8080\" for every address";
    let text = deserializer.deserialize_any(Written(expected))?;
    text.parse().map_err(|_| D::Error::custom(format_args!("{text:?} is not {expected}")))
}

/// Refuses labels of a source that no journal would keep, and with them every event of it.
///
/// # Errors
/// At that path, with how large they are.
pub fn check_labels(path: &str, labels: &Labels) -> Result<(), ConfigError> {
    let bytes = serde_json::to_string(labels).map_or(usize::MAX, |labels| labels.len());
    if bytes <= MOST_LABEL_BYTES {
        return Ok(());
    }
    let message = format!("have {bytes} bytes as JSON, and the journal keeps {MOST_LABEL_BYTES}");
    Err(ConfigError::new(path, message))
}

/// Takes a text, or a whole number as its text, and names what is expected where it is neither.
struct Written(&'static str);

impl Visitor<'_> for Written {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

/// The `options` table of a sink, with what is needed to make sense of it.
#[derive(Clone, Debug)]
pub struct Options {
    table: serde_json::Value,
    surroundings: Surroundings,
}

impl Options {
    /// Options from a table; `surroundings` resolve its secrets and paths.
    #[must_use]
    pub fn new(table: serde_json::Value, surroundings: Surroundings) -> Self {
        Self { table, surroundings }
    }

    /// The typed options.
    ///
    /// # Errors
    /// With the path inside the table and what is expected there.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_path_to_error::deserialize(self.table.clone()).map_err(|error| {
            ConfigError::new(path_of(&error), without_value(&error.into_inner().to_string()))
        })
    }

    /// What secrets and relative paths are resolved against.
    #[must_use]
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }
}

fn path_of(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    if path == "." { String::new() } else { path }
}
