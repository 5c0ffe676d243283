//! The `[alerts]` table, and how it becomes channels.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use url::{Host, Url};
use vodrelay_core::Name;
use vodrelay_core::config::{ConfigError, SecretSource, Surroundings};
use vodrelay_core::routing::OneOrMany;

use crate::channel::Channel;
use crate::kind::Kind;
use crate::robot::Format;

/// The `[alerts]` table: one for each place where people read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Config(pub BTreeMap<Name, ChannelConfig>);

/// One `[alerts.NAME]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// Where to POST. Of a robot it is the key to the group, so it is a secret as a whole.
    pub url: SecretSource,
    /// How an alert is written.
    #[serde(default)]
    pub format: Format,
    /// Signs what a robot is sent, where it wants that.
    #[serde(default)]
    pub secret: Option<SecretSource>,
    /// Kinds of alerts; all where absent.
    #[serde(default)]
    pub kinds: Option<OneOrMany>,
}

/// The `[alerts]` table, checked, with its secrets fetched.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where alerts go.
    pub channels: Vec<Channel>,
    /// What is allowed and worth a loud word all the same.
    pub warnings: Vec<String>,
}

impl Config {
    /// Checks everything and fetches the secrets. Nothing is sent.
    ///
    /// # Errors
    /// With the full path of the first thing that is wrong, and no secret.
    pub fn resolve(&self, surroundings: &Surroundings) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        for (name, channel) in &self.0 {
            let resolved = channel.resolve(name, surroundings, &mut settings.warnings);
            settings.channels.push(resolved.map_err(|error| error.within(&format!("alerts.{name}")))?);
        }
        Ok(settings)
    }
}

impl ChannelConfig {
    fn resolve(
        &self,
        name: &Name,
        around: &Surroundings,
        warnings: &mut Vec<String>,
    ) -> Result<Channel, ConfigError> {
        let url = self.url.resolve(around).map_err(|error| error.within("url"))?;
        let url = parse_url(url.expose())?;
        if url.scheme() == "http" && !is_loopback(&url) {
            let message = "is plain http, so whoever is on the way reads the alerts and the key in the URL";
            warnings.push(format!("alerts.{name}.url: {message}; write https"));
        }
        if self.secret.is_some() && !self.format.signs() {
            let message = "signs what robots of DingTalk and Feishu are sent; leave it out";
            return Err(ConfigError::new("secret", message));
        }
        let secret = self.secret.as_ref().map(|secret| secret.resolve(around)).transpose();
        let secret = secret.map_err(|error| error.within("secret"))?;
        let kinds = self.kinds()?;
        let channel = Channel::new(name.clone(), self.format, kinds, (url, secret));
        channel.map_err(|message| ConfigError::new("url", message))
    }

    fn kinds(&self) -> Result<BTreeSet<Kind>, ConfigError> {
        let Some(OneOrMany(words)) = &self.kinds else { return Ok(BTreeSet::new()) };
        if words.is_empty() {
            return Err(ConfigError::new(
                "kinds",
                "an empty list tells nothing; leave it out to be told all",
            ));
        }
        let kinds =
            words.iter().map(|word| word.parse().map_err(|error: String| ConfigError::new("kinds", error)));
        kinds.collect()
    }
}

/// The message never has the URL in it.
fn parse_url(text: &str) -> Result<Url, ConfigError> {
    let wrong = |cause: &str| {
        ConfigError::new("url", format!("expected a URL like https://example.com/alerts: {cause}"))
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) => Ok(url),
        _ => Err(wrong("it is neither http nor https")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(table: &str) -> Result<Settings, String> {
        let config: Config = toml::from_str(table).map_err(|error| error.message().to_owned())?;
        config.resolve(&Surroundings::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is() {
        let check = |table: &str, expect: &str| {
            let said = resolve(table).unwrap_err();
            assert!(said.contains(expect) && !said.contains("t0ken"), "{said}");
        };
        check("[ops]\nurl = \"/t0ken\"", "alerts.ops.url: expected a URL like");
        check("[ops]\nurl = \"ftp://h/t0ken\"", "alerts.ops.url: expected a URL like");
        check("[ops]\nurl = \"\"", "alerts.ops.url: the secret is empty");
        check(
            "[ops]\nurl = { env = \"NOT_SET\" }",
            "alerts.ops.url: the environment variable NOT_SET is not set",
        );
        check("[ops]\nurl = \"https://h/t0ken\"\nsecret = \"s\"", "alerts.ops.secret: signs what robots");
        check("[ops]\nurl = \"https://h/t0ken\"\nkinds = []", "alerts.ops.kinds: an empty list");
        check(
            "[ops]\nurl = \"https://h/t0ken\"\nkinds = \"sink\"",
            "no kind of alert; there are: sink_down, ",
        );
        check("[ops]\nurl = \"https://h/t0ken\"\nformat = \"slack\"", "unknown variant `slack`");
    }

    #[test]
    fn a_channel_takes_what_it_is_told_to_and_hides_its_url() {
        let table = "[ops]\nurl = \"http://10.0.0.1/robot?access_token=t0ken\"\nkinds = [\"disk_low\"]";
        let settings = resolve(table).unwrap();
        let [channel] = settings.channels.as_slice() else { panic!("{settings:?}") };
        let takes = [Kind::DiskLow, Kind::SinkDown, Kind::Test].map(|kind| channel.takes(kind));
        assert_eq!(takes, [true, false, true]);
        assert_eq!(channel.summary(), "JSON to http://10.0.0.1, of disk_low");
        assert!(settings.warnings.iter().any(|warning| warning.contains("is plain http")));
        assert!(!format!("{settings:?}").contains("t0ken"));
    }
}
