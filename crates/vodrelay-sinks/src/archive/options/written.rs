//! The keys of an archive's options as they are written, and which of them belong to which scheme.

use std::path::PathBuf;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use vodrelay_core::config::{ConfigError, SecretSource};

use crate::archive::image_hosts;

/// The keys as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) url: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    #[serde(default, deserialize_with = "yes_or_no")]
    pub(super) internal: Option<bool>,
    #[serde(default, deserialize_with = "yes_or_no")]
    pub(super) path_style: Option<bool>,
    pub(super) access_key_id: Option<SecretSource>,
    pub(super) secret_access_key: Option<SecretSource>,
    pub(super) session_token: Option<SecretSource>,
    pub(super) credentials: Option<aliyun_credentials::Config<SecretSource>>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) sse: Option<Encryption>,
    pub(super) record_storage_class: Option<String>,
    pub(super) image_storage_class: Option<String>,
    #[serde(default, deserialize_with = "places")]
    pub(super) fetches: Option<usize>,
    #[serde(default, deserialize_with = "entries")]
    pub(super) image_hosts: Vec<image_hosts::Written>,
}

/// How the store encrypts what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    /// With keys of its own.
    Aes256,
    /// With a key of its key management service, or with the default one there.
    Kms { key: Option<String> },
}

impl Written {
    pub(super) fn refuse_what_is_of_another_scheme(&self, scheme: &str) -> Result<(), ConfigError> {
        let (s3, oss) = (["s3"].as_slice(), ["oss"].as_slice());
        let buckets = ["s3", "oss"].as_slice();
        let keys = [
            ("endpoint", self.endpoint.is_some(), buckets),
            ("region", self.region.is_some(), buckets),
            ("internal", self.internal.is_some(), oss),
            ("path_style", self.path_style.is_some(), s3),
            ("access_key_id", self.access_key_id.is_some(), s3),
            ("secret_access_key", self.secret_access_key.is_some(), s3),
            ("session_token", self.session_token.is_some(), s3),
            ("credentials", self.credentials.is_some(), oss),
            ("ca_file", self.ca_file.is_some(), buckets),
            ("sse", self.sse.is_some(), buckets),
            ("record_storage_class", self.record_storage_class.is_some(), buckets),
            ("image_storage_class", self.image_storage_class.is_some(), buckets),
        ];
        let is_stray =
            |(_, is_given, schemes): &&(&str, bool, &[&str])| *is_given && !schemes.contains(&scheme);
        let Some((key, _, schemes)) = keys.iter().find(is_stray) else { return Ok(()) };
        let belongs = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" and ");
        let why = match (*key, scheme) {
            (_, "file") => "a folder has no use for it",
            ("path_style", _) => "OSS takes the bucket in the host only",
            ("access_key_id" | "secret_access_key" | "session_token", _) => {
                "keys of Alibaba Cloud stand in credentials"
            }
            ("credentials", _) => "the keys of s3:// stand in access_key_id and secret_access_key",
            _ => "leave it out",
        };
        Err(ConfigError::new(*key, format!("belongs to {belongs}; {why}")))
    }
}

/// The entries, or what is to be written instead of a single table.
fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<image_hosts::Written>, D::Error> {
    deserializer.deserialize_any(EntriesVisitor)
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Vec<image_hosts::Written>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("entries, each below [[sinks.NAME.options.image_hosts]]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        Deserialize::deserialize(SeqAccessDeserializer::new(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom(
            "there may be several entries, so each has two brackets: write [[sinks.NAME.options.image_hosts]]",
        ))
    }
}

/// A boolean, or its text as an environment variable gives it.
fn yes_or_no<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected true or false")]
    enum Given {
        Bool(bool),
        Text(String),
    }
    match Given::deserialize(deserializer)? {
        Given::Bool(value) => Ok(Some(value)),
        Given::Text(text) => match text.as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(D::Error::custom(format!("{text:?} is neither true nor false"))),
        },
    }
}

/// How many at a time: a number, or its text.
fn places<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a number, 1 or more")]
    enum Given {
        Number(usize),
        Text(String),
    }
    let places = match Given::deserialize(deserializer)? {
        Given::Number(number) => Some(number),
        Given::Text(text) => text.parse().ok(),
    };
    match places {
        None | Some(0) => Err(D::Error::custom("expected a number, 1 or more")),
        places => Ok(places),
    }
}

impl<'de> Deserialize<'de> for Encryption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EncryptionVisitor)
    }
}

const ENCRYPTIONS: &str = r#""AES256", "aws:kms" or { kms_key = "…" }"#;

struct EncryptionVisitor;

impl<'de> Visitor<'de> for EncryptionVisitor {
    type Value = Encryption;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(ENCRYPTIONS)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Encryption, E> {
        match text {
            "AES256" => Ok(Encryption::Aes256),
            "aws:kms" => Ok(Encryption::Kms { key: None }),
            _ => Err(E::custom(format!("{text:?} is no encryption; expected {ENCRYPTIONS}"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Encryption, A::Error> {
        let wrong = || A::Error::custom(format!("expected {ENCRYPTIONS}"));
        match map.next_entry::<String, String>()? {
            Some((name, key)) if name == "kms_key" && map.next_key::<String>()?.is_none() => {
                Ok(Encryption::Kms { key: Some(key) })
            }
            _ => Err(wrong()),
        }
    }
}
