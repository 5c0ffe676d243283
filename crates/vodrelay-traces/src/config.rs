//! The `[traces]` table, and what it comes to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use url::Url;
use vodrelay_core::config::{ConfigError, SecretSource, Surroundings};
use vodrelay_core::{Clock, Tracer};

use crate::exporter::{Exporter, Pace};
use crate::otlp::Resource;

/// The `[traces]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where spans are POSTed; without it nothing is recorded. Of some services it has a token in it, so it is a secret.
    pub endpoint: Option<SecretSource>,
    /// Sent with each request: a token, for example.
    pub headers: BTreeMap<String, SecretSource>,
    /// Which part of all traces is recorded.
    pub sample: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { endpoint: None, headers: BTreeMap::new(), sample: 1.0 }
    }
}

/// The `[traces]` table, checked, with its secrets fetched.
pub struct Settings {
    pub(crate) endpoint: Url,
    pub(crate) client: Client,
    sample: f64,
}

impl Config {
    /// Checks everything and fetches the secrets; nothing where traces are off. Nothing is sent.
    ///
    /// # Errors
    /// With the full path of the first thing that is wrong.
    pub fn resolve(&self, surroundings: &Surroundings) -> Result<Option<Settings>, ConfigError> {
        self.check().and_then(|()| self.settings(surroundings)).map_err(|error| error.within("traces"))
    }

    fn check(&self) -> Result<(), ConfigError> {
        if (0.0..=1.0).contains(&self.sample) {
            return Ok(());
        }
        Err(ConfigError::new("sample", format!("{} is no part: write a number from 0 to 1", self.sample)))
    }

    fn settings(&self, surroundings: &Surroundings) -> Result<Option<Settings>, ConfigError> {
        let Some(endpoint) = &self.endpoint else { return Ok(None) };
        let endpoint = endpoint.resolve(surroundings).map_err(|error| error.within("endpoint"))?;
        let endpoint = parse_endpoint(endpoint.expose())?;
        let headers = self.headers(surroundings)?;
        let client = client(&endpoint, headers).map_err(|error| {
            ConfigError::new("endpoint", format!("no HTTP client could be made: {error}"))
        })?;
        Ok(Some(Settings { endpoint, client, sample: self.sample }))
    }

    fn headers(&self, surroundings: &Surroundings) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let at = format!("headers.{name}");
            let value = value.resolve(surroundings).map_err(|error| error.within(&at))?;
            let header =
                HeaderName::try_from(name).map_err(|_| ConfigError::new(&at, "is no name of a header"))?;
            let mut value = HeaderValue::try_from(value.expose())
                .map_err(|_| ConfigError::new(&at, "has characters that no header may have"))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(headers)
    }
}

impl Settings {
    /// A tracer, and what sends its spans, which is to be run beside it.
    #[must_use]
    pub fn start(self, resource: &Resource, clock: Arc<dyn Clock>) -> (Tracer, Exporter) {
        let (tracer, ended) = Tracer::new(clock, self.sample);
        (tracer, Exporter::new(self, resource, ended, Pace::default()))
    }

    /// Where it leads, without what may be a secret.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{:.0} % of all traces to {}",
            self.sample * 100.0,
            self.endpoint.origin().ascii_serialization()
        )
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({})", self.summary())
    }
}

fn parse_endpoint(text: &str) -> Result<Url, ConfigError> {
    let wrong = |cause: &str| {
        ConfigError::new("endpoint", format!("expected a URL like http://127.0.0.1:4318/v1/traces: {cause}"))
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) if url.path() == "/" => {
            Err(wrong("it has no path; a collector's is /v1/traces as a rule"))
        }
        ("http" | "https", Some(_)) => Ok(url),
        _ => Err(wrong("it is neither http nor https")),
    }
}

fn client(url: &Url, headers: HeaderMap) -> reqwest::Result<Client> {
    // An error says that there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("vodrelay/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .timeout(std::time::Duration::from_secs(10));
    // Without TLS there is nothing to check, and the machine's certificates are megabytes.
    if url.scheme() == "http" { builder.tls_certs_only([]).build() } else { builder.build() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_and_what_is_off_is_nothing() {
        let resolve = |table: &str| {
            let config: Config = toml::from_str(table).unwrap();
            config.resolve(&Surroundings::default()).map_err(|error| error.to_string())
        };
        let check = |table: &str, expect: &str| {
            let said = resolve(table).unwrap_err();
            assert!(said.starts_with(expect), "{said}");
        };
        assert!(resolve("").unwrap().is_none());
        check("endpoint = \"collector:4318\"", "traces.endpoint: expected a URL like");
        check("endpoint = \"http://127.0.0.1:4318\"", "traces.endpoint: expected a URL like");
        check("endpoint = \"http://h/v1/traces\"\nsample = 1.5", "traces.sample: 1.5 is no part");
        let header = "endpoint = \"http://h/v1/traces\"\nheaders = { authorization = { env = \"NOT_SET\" } }";
        check(header, "traces.headers.authorization: the environment variable NOT_SET is not set");
        let good =
            "endpoint = \"http://h:1/v1/traces?key=s3cret\"\nsample = 0.25\nheaders = { x = \"s3cret\" }";
        let settings = resolve(good).unwrap().unwrap();
        assert_eq!(settings.summary(), "25 % of all traces to http://h:1");
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
