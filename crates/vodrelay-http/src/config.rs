//! The `[http]` table, and how it becomes the settings of a receiver.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vod_event::{Endpoint, NamedKey, PrivateKey};
use vodrelay_core::config::{
    ByteSize, ConfigError, SecretSource, Span, Surroundings, TlsFiles, check_labels, listen_address,
};
use vodrelay_core::network::Networks;
use vodrelay_core::{Labels, Name, SourceName};
use vodrelay_tls::{Identity, IdentityError};

use crate::receiver::{Callback, Settings};

/// The longest callback URL that VOD takes.
const LONGEST_URL: usize = 256;

/// The `[http]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where callbacks are received.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// The largest body that is accepted, and as much as is kept of a refused one.
    pub body_limit: ByteSize,
    /// Answers GET and HEAD for load balancers, which cannot reach the admin listener.
    pub health_path: String,
    /// Addresses and networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// How much is kept of what was refused.
    pub refused: RefusedConfig,
    /// What the listener shows of itself; without it, it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// One for each callback URL that is configured at VOD.
    pub callbacks: BTreeMap<Name, CallbackConfig>,
}

/// The `[http.refused]` table.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefusedConfig {
    /// The room for refused requests in the journal.
    pub keep: ByteSize,
    /// How long they are kept at most.
    pub max_age: Span,
}

/// One `[http.callbacks.NAME]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CallbackConfig {
    /// The URL exactly as it is configured at VOD: it is part of what VOD signs.
    pub public_url: String,
    /// The path under which it arrives here; by default that of `public_url`.
    #[serde(default)]
    pub path: Option<String>,
    /// The keys that may have signed; several while a key is being changed.
    #[serde(default, deserialize_with = "one_or_more_keys")]
    pub keys: Vec<KeyConfig>,
    /// How far the timestamp of a proof may be from our clock.
    #[serde(default = "five_minutes")]
    pub max_skew: Span,
    /// Whether requests without a proof are admitted.
    #[serde(default)]
    pub allow_unsigned: bool,
    /// Labels for routing and records.
    #[serde(default)]
    pub labels: Labels,
    /// An event is expected at least this often; without it, silence means nothing.
    #[serde(default)]
    pub expect_every: Option<Span>,
}

/// One of the keys: a secret, with a name for logs or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    /// How logs call it; by default its place in the list, counted from 1.
    pub name: Option<String>,
    /// Where it stands.
    pub secret: SecretSource,
}

const fn five_minutes() -> Span {
    Span(Duration::from_secs(300))
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            body_limit: ByteSize(1 << 20),
            health_path: "/healthz".to_owned(),
            trusted_proxies: Networks::default(),
            refused: RefusedConfig::default(),
            tls: None,
            callbacks: BTreeMap::new(),
        }
    }
}

impl Default for RefusedConfig {
    fn default() -> Self {
        Self { keep: ByteSize(256 << 20), max_age: Span(Duration::from_secs(7 * 86_400)) }
    }
}

impl Config {
    /// Checks everything and fetches the keys.
    ///
    /// # Errors
    /// With the full path of the first thing that is wrong.
    pub fn resolve(&self, surroundings: &Surroundings) -> Result<Settings, ConfigError> {
        check_path("http.health_path", &self.health_path)?;
        let Ok(body_limit @ 1..=MOST_BODY) = usize::try_from(self.body_limit.0) else {
            return Err(ConfigError::new("http.body_limit", "must be between 1B and 64MiB"));
        };
        let mut settings = Settings {
            body_limit,
            health_path: self.health_path.clone(),
            refused_room: self.refused.keep.0,
            trusted_proxies: self.trusted_proxies.clone(),
            identity: self.identity(surroundings)?,
            callbacks: Vec::with_capacity(self.callbacks.len()),
            warnings: Vec::new(),
        };
        for (name, callback) in &self.callbacks {
            let callback = callback.resolve(name, surroundings, &mut settings.warnings)?;
            settings.callbacks.push(callback);
        }
        check_paths_differ(&settings)?;
        Ok(settings)
    }

    /// What the listener shows of itself, as the files have it now.
    ///
    /// # Errors
    /// If it is no pair.
    pub fn identity(&self, surroundings: &Surroundings) -> Result<Option<Identity>, ConfigError> {
        let Some(files) = &self.tls else { return Ok(None) };
        let (cert, key) = files.read(surroundings).map_err(|error| error.within("http.tls"))?;
        let identity = Identity::from_pem(&cert, key.expose());
        let wrong =
            |error: IdentityError| ConfigError::new(format!("http.tls.{}", error.part), error.message);
        identity.map(Some).map_err(wrong)
    }
}

/// Bodies in hand have that much room together, so no single one may need more.
const MOST_BODY: usize = 64 << 20;

impl CallbackConfig {
    fn resolve(
        &self,
        name: &Name,
        around: &Surroundings,
        warnings: &mut Vec<String>,
    ) -> Result<Callback, ConfigError> {
        let at = |key: &str| format!("http.callbacks.{name}.{key}");
        let public_path = check_public_url(&at("public_url"), &self.public_url, warnings)?;
        let path = self.path.clone().unwrap_or(public_path);
        check_path(&at("path"), &path)?;
        check_labels(&at("labels"), &self.labels)?;
        if self.keys.is_empty() && !self.allow_unsigned {
            let message =
                "is empty: give the key that is set at VOD, or set allow_unsigned = true to admit everybody";
            return Err(ConfigError::new(at("keys"), message));
        }
        if self.allow_unsigned {
            warnings.push(allow_unsigned_warning(name, !self.keys.is_empty()));
        }
        let keys = self.keys.iter().enumerate();
        let keys =
            keys.map(|(index, key)| key.resolve(index, &at(&format!("keys[{index}]")), around, warnings));
        Ok(Callback {
            name: name.clone(),
            source: SourceName::callback(name),
            path,
            endpoint: Endpoint { url: self.public_url.clone(), keys: keys.collect::<Result<_, _>>()? },
            max_skew: self.max_skew.0,
            allow_unsigned: self.allow_unsigned,
            labels: Arc::new(self.labels.clone()),
        })
    }
}

impl KeyConfig {
    fn resolve(
        &self,
        index: usize,
        at: &str,
        around: &Surroundings,
        warnings: &mut Vec<String>,
    ) -> Result<NamedKey, ConfigError> {
        let secret = self.secret.resolve(around).map_err(|error| error.within(at))?;
        let key = PrivateKey::new(secret.expose());
        if let Some(violation) = key.rule_violation() {
            warnings.push(format!("{at}: outside the rules that VOD sets for keys: {violation}"));
        }
        let name = self.name.clone().unwrap_or_else(|| (index + 1).to_string());
        Ok(NamedKey { name, key })
    }
}

fn allow_unsigned_warning(name: &Name, has_keys: bool) -> String {
    let proofs =
        if has_keys { "a wrong proof is still refused" } else { "and no key is set, so proofs are ignored" };
    format!("http.callbacks.{name}.allow_unsigned: whoever knows the URL can send events; {proofs}")
}

/// Answers the path of the URL.
fn check_public_url(at: &str, url: &str, warnings: &mut Vec<String>) -> Result<String, ConfigError> {
    let wrong = |what: &str| {
        let message = format!(
            "{what}: write the URL as it is configured at VOD, like https://relay.example.com/vod/callback"
        );
        ConfigError::new(at, message)
    };
    let uri: Uri = url
        .parse()
        .map_err(|error: http::uri::InvalidUri| wrong(&format!("{url:?} is not a URL ({error})")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(wrong(&format!("{url:?} is not an http or https URL")));
    }
    if url.len() > LONGEST_URL {
        warnings.push(format!("{at}: has {} bytes, and VOD takes at most {LONGEST_URL}", url.len()));
    }
    Ok(uri.path().to_owned())
}

fn check_path(at: &str, path: &str) -> Result<(), ConfigError> {
    if path.starts_with('/') && !path.contains(['?', '#', ' ']) {
        return Ok(());
    }
    Err(ConfigError::new(at, format!("{path:?} is not a path: begin with / and leave out ?, # and spaces")))
}

fn check_paths_differ(settings: &Settings) -> Result<(), ConfigError> {
    let mut taken = HashMap::from([(settings.health_path.as_str(), "http.health_path".to_owned())]);
    for callback in &settings.callbacks {
        let at = format!("http.callbacks.{}.path", callback.name);
        if let Some(other) = taken.insert(&callback.path, at.clone()) {
            return Err(ConfigError::new(at, format!("{:?} is also the path of {other}", callback.path)));
        }
    }
    Ok(())
}

/// Its name and where it stands, never what it is.
impl Serialize for KeyConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let file;
        let (form, place) = match &self.secret {
            SecretSource::Plain(_) => ("plain", "***"),
            SecretSource::Env(name) => ("env", name.as_str()),
            SecretSource::File(path) => {
                file = path.display().to_string();
                ("file", file.as_str())
            }
        };
        let name = self.name.as_deref().map(|name| ("name", name));
        name.into_iter().chain([(form, place)]).collect::<BTreeMap<_, _>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

/// A list of keys, or one as a text: that is how the environment gives it.
fn one_or_more_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeyConfig>, D::Error> {
    struct KeysVisitor;

    impl<'de> Visitor<'de> for KeysVisitor {
        type Value = Vec<KeyConfig>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of keys, each {KEY_FORMS}")
        }

        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Vec<KeyConfig>, E> {
            KeyVisitor.visit_str(value).map(|key| vec![key])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<KeyConfig>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(KeysVisitor)
}

struct KeyVisitor;

const KEY_FORMS: &str =
    r#"a key: a string, { env = "NAME" } or { file = "path" }, and name = "…" beside it if you like"#;

// By hand, because an untagged enum says only that nothing matched.
impl<'de> Visitor<'de> for KeyVisitor {
    type Value = KeyConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KEY_FORMS)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<KeyConfig, E> {
        Ok(KeyConfig { name: None, secret: SecretSource::Plain(value.to_owned()) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KeyConfig, A::Error> {
        let wrong = || A::Error::custom(format_args!("expected {KEY_FORMS}"));
        let (mut name, mut secret) = (None, None);
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            let source = match key.as_str() {
                "name" => {
                    name = Some(value);
                    continue;
                }
                "env" => SecretSource::Env(value),
                "file" => SecretSource::File(value.into()),
                "plain" => SecretSource::Plain(value),
                _ => return Err(wrong()),
            };
            if secret.replace(source).is_some() {
                return Err(wrong());
            }
        }
        Ok(KeyConfig { name, secret: secret.ok_or_else(wrong)? })
    }
}
