//! Asking a running relay: what every command that talks to one has in common.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use bytes::Bytes;
use clap::Args as ClapArgs;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vodrelay_core::config::Secret;

use super::client::{client_of_relay, reason, scheme};
use crate::cli::ConfigFile;
use crate::exit::{Code, Failure};

/// The relay answers from counters and by pages, so it is never long at it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Doing something may mean each refused request of a week.
const LONG_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Nothing behind the question mark.
pub(crate) const NOTHING: &[(&str, String)] = &[];

/// Which relay is asked.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Target {
    /// The admin listener of the relay [default: that of the configuration]; its token is that of the configuration,
    /// or $VODRELAY__ADMIN__TOKEN
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    config: ConfigFile,
}

/// Where something listens: an address, or a name for one.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| format!("expected HOST:PORT: {error}"))?;
    found.next().ok_or_else(|| "no address has that name".to_owned())
}

/// A relay that runs.
#[derive(Debug)]
pub(crate) struct RunningRelay {
    client: reqwest::Client,
    scheme: &'static str,
    address: SocketAddr,
    token: Option<Secret>,
}

impl Target {
    /// Whether a relay is meant, be it of this configuration or not.
    pub(crate) fn names_a_relay(&self) -> bool {
        self.admin.is_some()
    }

    /// The configuration.
    pub(crate) fn load(&self) -> Result<crate::config::Loaded, Failure> {
        self.config.load()
    }

    /// The relay, with the token that the configuration has for it.
    pub(crate) fn relay(&self) -> Result<RunningRelay, Failure> {
        let loaded = if self.admin.is_some() { self.config.load_for_another() } else { self.config.load() };
        RunningRelay::of(&loaded?, self.admin)
    }
}

impl RunningRelay {
    /// That of a configuration, or one that listens elsewhere.
    pub(crate) fn of(
        loaded: &crate::config::Loaded,
        admin_address: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let crate::config::Loaded { config, surroundings, .. } = loaded;
        let tls = config.admin.tls.as_ref();
        // The key of its certificate is the relay's, and none of ours.
        let admin = vodrelay_admin::Config { tls: None, ..config.admin.clone() };
        let admin = admin.resolve(surroundings).map_err(|error| {
            Failure::new(Code::Configuration, format!("the configuration is wrong\n  {error}"))
        })?;
        Ok(Self {
            client: client_of_relay(PATIENCE, tls, surroundings)?,
            scheme: scheme(tls),
            address: reachable(admin_address.unwrap_or(admin.listen)),
            token: admin.tokens.strongest().cloned(),
        })
    }
}

/// One that listens on every address is asked on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

impl RunningRelay {
    /// Asks for what stands at a path of the API, like `/sinks`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(impl AsRef<str>, String)],
    ) -> Result<T, Failure> {
        let pairs = query.iter().map(|(name, value)| (name.as_ref(), value));
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.answered(self.request(Method::GET, &format!("{path}?{query}"))).await
    }

    /// The bytes that stand at a path.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Bytes, Failure> {
        self.bytes_of(self.request(Method::GET, path)).await
    }

    /// What it counts, as Prometheus reads it.
    pub(crate) async fn metrics(&self) -> Result<String, Failure> {
        let bytes = self.bytes_of(self.request_at(Method::GET, "/metrics")).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn bytes_of(&self, request: RequestBuilder) -> Result<Bytes, Failure> {
        let answer = self.send(request).await?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer).await);
        }
        answer.bytes().await.map_err(|error| self.unreachable(&error.without_url()))
    }

    /// Has the relay do something.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::new(Code::Internal, format!("no request could be made: {error}")))?;
        let request = self.request(Method::POST, path).header("content-type", "application/json").body(body);
        self.answered(request.timeout(LONG_PATIENCE)).await
    }

    /// Has the relay end something.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.answered(self.request(Method::DELETE, path)).await
    }

    /// A request for a path of the API, with the token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_at(method, &format!("/api/v1{path}"))
    }

    fn request_at(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}://{}{path}", self.scheme, self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| self.unreachable(&error.without_url()))
    }

    async fn answered<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let answer = self.send(request).await?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer).await);
        }
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error.without_url()))?;
        serde_json::from_slice(&body).map_err(|error| {
            let message = format!("what answers at {} is no relay of this version: {error}", self.address);
            Failure::new(Code::Unreachable, message)
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let message = format!(
            "the relay at {} does not answer: {}; is `vodrelay serve` running with this configuration?",
            self.address,
            reason(error)
        );
        Failure::new(Code::Unreachable, message)
    }

    /// What an answer that is no success says.
    pub(crate) async fn refusal(&self, answer: Response) -> Failure {
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_default();
        let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let said = said.as_ref().and_then(|said| said.get("error")).and_then(serde_json::Value::as_str);
        let said = said.map_or_else(|| status.to_string(), str::to_owned);
        let (code, message) = match status {
            StatusCode::UNAUTHORIZED => (
                Code::Permission,
                format!("{said}; no token of [admin] in this configuration is one of the relay"),
            ),
            StatusCode::FORBIDDEN => (Code::Permission, said),
            StatusCode::NOT_FOUND => (Code::Unreadable, said),
            status if status.is_client_error() => (Code::Usage, said),
            _ => (Code::Unreachable, said),
        };
        Failure::new(code, format!("the relay at {} refuses: {message}", self.address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_listens_everywhere_is_asked_here() {
        let check = |listen: &str, expect: &str| {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expect);
        };
        check("0.0.0.0:8081", "127.0.0.1:8081");
        check("[::]:8081", "[::1]:8081");
        check("192.0.2.1:1", "192.0.2.1:1");
    }
}
