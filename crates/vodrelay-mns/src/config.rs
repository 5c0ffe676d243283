//! The `[mns]` table, and how it becomes the queues that are polled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aliyun_credentials::{Config as Credentials, CredentialProvider};
use mns_client::{Client, Config as ClientConfig, Endpoint, Queue, QueueName};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use vodrelay_core::config::{ConfigError, SecretSource, Span, Surroundings, check_labels};
use vodrelay_core::{Labels, Name, SourceName};

/// The `[mns]` table.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// One for each queue that VOD, or whoever else, writes events to.
    pub queues: BTreeMap<Name, QueueConfig>,
}

/// One `[mns.queues.NAME]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// The endpoint of the account in the queue's region.
    pub endpoint: String,
    /// The queue's name at the service.
    pub queue: String,
    /// The keys that requests are signed with.
    #[serde(serialize_with = "without_secrets")]
    pub credentials: Credentials<SecretSource>,
    /// Labels for routing, metrics and archive keys.
    #[serde(default)]
    pub labels: Labels,
    /// How many polls run at the same time under load. An idle queue has one.
    #[serde(default = "eight")]
    pub max_pollers: usize,
    /// An event is expected at least this often; without it, silence means nothing.
    #[serde(default)]
    pub expect_every: Option<Span>,
}

/// Eight batches in hand keep the journal's group commits filled over a round trip of some tens of milliseconds.
const fn eight() -> usize {
    8
}

/// Beyond that an account is told to poll less.
const MOST_POLLERS: usize = 64;

/// The `[mns]` table, checked, with its keys fetched.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The queues.
    pub queues: Vec<QueueSettings>,
    /// What is allowed and worth a loud word all the same.
    pub warnings: Vec<String>,
}

/// One queue that is polled.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Its name in the configuration.
    pub name: Name,
    /// The source that its events come from.
    pub source: SourceName,
    /// The queue at the service.
    pub queue: Queue,
    /// The labels of its events.
    pub labels: Arc<Labels>,
    /// How many polls run at the same time under load.
    pub max_pollers: usize,
}

impl Config {
    /// Checks everything and fetches the secrets. Nothing is sent yet.
    ///
    /// # Errors
    /// With the full path of the first thing that is wrong.
    pub fn resolve(&self, surroundings: &Surroundings) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        let mut taken = HashMap::new();
        for (name, queue) in &self.queues {
            let resolved = queue.resolve(name, surroundings, &mut settings.warnings)?;
            let place = (queue.endpoint.trim_end_matches('/').to_owned(), queue.queue.clone());
            if let Some(other) = taken.insert(place, name) {
                let message = format!("{:?} is also the queue of mns.queues.{other}", queue.queue);
                return Err(ConfigError::new(format!("mns.queues.{name}.queue"), message));
            }
            settings.queues.push(resolved);
        }
        Ok(settings)
    }
}

impl QueueConfig {
    fn resolve(
        &self,
        name: &Name,
        around: &Surroundings,
        warnings: &mut Vec<String>,
    ) -> Result<QueueSettings, ConfigError> {
        let at = |key: &str| format!("mns.queues.{name}.{key}");
        let endpoint: Endpoint = self
            .endpoint
            .parse()
            .map_err(|error: mns_client::Error| ConfigError::new(at("endpoint"), error.to_string()))?;
        if !endpoint.is_encrypted() && !endpoint.is_loopback() {
            let message = "is plain http: keys stay secret, but events can be read and changed on the way";
            warnings.push(format!("{}: {message}; write https", at("endpoint")));
        }
        let queue =
            QueueName::new(&self.queue).map_err(|error| ConfigError::new(at("queue"), error.to_string()))?;
        if !(1..=MOST_POLLERS).contains(&self.max_pollers) {
            let message = format!("must be between 1 and {MOST_POLLERS}, not {}", self.max_pollers);
            return Err(ConfigError::new(at("max_pollers"), message));
        }
        check_labels(&at("labels"), &self.labels)?;
        let credentials =
            provider(self.credentials.clone(), around).map_err(|error| error.within(&at("credentials")))?;
        let client = Client::new(ClientConfig::new(endpoint), credentials)
            .map_err(|error| ConfigError::new(at("endpoint"), error.to_string()))?;
        Ok(QueueSettings {
            name: name.clone(),
            source: SourceName::queue(name),
            queue: client.queue(queue),
            labels: Arc::new(self.labels.clone()),
            max_pollers: self.max_pollers,
        })
    }
}

fn provider(
    credentials: Credentials<SecretSource>,
    around: &Surroundings,
) -> Result<CredentialProvider, ConfigError> {
    let resolve = |key: &'static str, secret: &SecretSource| {
        let secret = secret.resolve(around).map_err(|error| error.within(key))?;
        Ok(secret.expose().to_owned())
    };
    let source = credentials.into_source(&around.environment, &around.folder, resolve)?;
    Ok(CredentialProvider::new(source))
}

/// The kind, and where its secrets stand, never what they are.
fn without_secrets<S: Serializer>(
    credentials: &Credentials<SecretSource>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    match credentials {
        Credentials::Static { access_key_id, access_key_secret, security_token } => {
            map.serialize_entry("kind", "static")?;
            map.serialize_entry("access_key_id", access_key_id)?;
            map.serialize_entry("access_key_secret", access_key_secret)?;
            map.serialize_entry("security_token", security_token)?;
        }
        Credentials::Environment => map.serialize_entry("kind", "environment")?,
        Credentials::File { path, profile } => {
            map.serialize_entry("kind", "file")?;
            map.serialize_entry("path", path)?;
            map.serialize_entry("profile", profile)?;
        }
        Credentials::StsFile { path } => {
            map.serialize_entry("kind", "sts_file")?;
            map.serialize_entry("path", path)?;
        }
        Credentials::EcsRamRole { role_name } => {
            map.serialize_entry("kind", "ecs_ram_role")?;
            map.serialize_entry("role_name", role_name)?;
        }
        _ => map.serialize_entry("kind", "another")?,
    }
    map.end()
}
