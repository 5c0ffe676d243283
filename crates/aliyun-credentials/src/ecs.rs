//! The RAM role of an ECS instance, asked of the metadata service that only the instance itself can reach.

mod http;

use std::time::Duration;

use async_trait::async_trait;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};

use self::http::{Answer, Failure, Http};
use crate::credentials::Credentials;
use crate::error::{CredentialError, ErrorKind};
use crate::source::CredentialSource;
use crate::sts;

/// Where each instance finds its metadata service.
const ENDPOINT: &str = "http://100.100.100.200";
const TOKEN_PATH: &str = "/latest/api/token";
const ROLES_PATH: &str = "/latest/meta-data/ram/security-credentials/";
const TOKEN_HEADER: &str = "x-aliyun-ecs-metadata-token";
const TOKEN_TTL_HEADER: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";
/// How long a token of the service is asked to last, in seconds: it is used at once.
const TOKEN_TTL: &str = "60";

/// The temporary keys of the RAM role that is attached to this ECS instance.
///
/// A token is asked for first, as the service's hardened mode wants it, and where none is given the plain mode is
/// tried (paths and headers as in the provider's page on instance metadata). Proxies are not used, redirects not
/// followed.
#[derive(Clone, Debug)]
pub struct EcsRamRole {
    role_name: Option<String>,
    http: Http,
}

impl Default for EcsRamRole {
    fn default() -> Self {
        Self {
            role_name: None,
            http: Http { endpoint: ENDPOINT.to_owned(), time_limit: Duration::from_secs(3) },
        }
    }
}

impl EcsRamRole {
    /// The role that is attached to the instance, whatever its name: the service is asked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The role of that name, which saves a request.
    #[must_use]
    pub fn with_role_name(self, name: impl Into<String>) -> Self {
        Self { role_name: Some(name.into()), ..self }
    }

    /// Another place for the service, `http://host` or `http://host:port`: for a stand-in.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.http.endpoint = endpoint.into();
        self
    }

    /// The limit on each of at most three requests, three seconds if none is given.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.http.time_limit = limit;
        self
    }

    /// A token, or nothing where the service gives none.
    async fn token(&self) -> Result<Option<HeaderValue>, CredentialError> {
        let ttl = (TOKEN_TTL_HEADER, HeaderValue::from_static(TOKEN_TTL));
        match self.http.ask(Method::PUT, TOKEN_PATH, Some(ttl)).await {
            Ok(Answer { status: StatusCode::OK, body }) => Ok(as_token(&body)),
            // An answer that does not come is not for good: a container may be too many hops away for the answer to a
            // PUT, while plain requests work.
            Ok(_) | Err(Failure::NoAnswer(_)) => Ok(None),
            Err(failure) => Err(self.unreachable(&failure)),
        }
    }

    async fn get(&self, path: &str, token: Option<&HeaderValue>) -> Result<Answer, CredentialError> {
        let token = token.map(|token| (TOKEN_HEADER, token.clone()));
        self.http.ask(Method::GET, path, token).await.map_err(|failure| self.unreachable(&failure))
    }

    async fn role_name(&self, token: Option<&HeaderValue>) -> Result<String, CredentialError> {
        if let Some(name) = &self.role_name {
            return Ok(name.clone());
        }
        let answer = self.get(ROLES_PATH, token).await?;
        let names = String::from_utf8_lossy(&answer.body);
        match (answer.status, names.lines().next().map(str::trim)) {
            (StatusCode::OK, Some(name)) if !name.is_empty() => Ok(name.to_owned()),
            (StatusCode::OK | StatusCode::NOT_FOUND, _) => {
                let message = "this instance has no RAM role; attach one to it, or configure another kind of credentials";
                Err(CredentialError::new(ErrorKind::Missing, message))
            }
            (status, _) => Err(self.odd_status(status, token.is_some())),
        }
    }

    fn unreachable(&self, failure: &Failure) -> CredentialError {
        let kind = match failure {
            Failure::NoConnection(_) | Failure::NoAnswer(_) => ErrorKind::Unreachable,
            Failure::TooLarge | Failure::NotAnEndpoint => ErrorKind::Malformed,
        };
        let endpoint = &self.http.endpoint;
        let message = format!(
            "the metadata service at {endpoint} {failure}; it exists only on ECS instances, and in what runs there"
        );
        CredentialError::new(kind, message)
    }

    fn odd_status(&self, status: StatusCode, had_token: bool) -> CredentialError {
        let endpoint = &self.http.endpoint;
        let (kind, next) = match (status.is_server_error(), had_token) {
            (true, _) => (ErrorKind::Unreachable, "it is asked again later"),
            (_, true) => (ErrorKind::Refused, "look after the instance's metadata options"),
            (_, false) => {
                let next = "it gave no token before; in hardened mode, raise the hop limit of the instance's metadata \
                            options if this runs in a container";
                (ErrorKind::Refused, next)
            }
        };
        CredentialError::new(kind, format!("the metadata service at {endpoint} answered {status}; {next}"))
    }
}

#[async_trait]
impl CredentialSource for EcsRamRole {
    async fn fetch(&self) -> Result<Credentials, CredentialError> {
        let token = self.token().await?;
        let name = self.role_name(token.as_ref()).await?;
        check_role_name(&name)?;
        let answer = self.get(&format!("{ROLES_PATH}{name}"), token.as_ref()).await?;
        match answer.status {
            StatusCode::OK => read(&name, &answer.body),
            StatusCode::NOT_FOUND => {
                let message =
                    format!("this instance has no RAM role {name:?}; attach it, or correct the name");
                Err(CredentialError::new(ErrorKind::Missing, message))
            }
            status => Err(self.odd_status(status, token.is_some())),
        }
    }
}

fn read(role_name: &str, body: &[u8]) -> Result<Credentials, CredentialError> {
    let whence = format!("the metadata service's answer for the RAM role {role_name:?}");
    let answer = serde_json::from_slice(body).map_err(|_| {
        let message = format!("{whence} is not JSON; see whether something else answers in its place");
        CredentialError::new(ErrorKind::Malformed, message)
    })?;
    sts::read(&answer, &whence)
}

/// A token is a word; a page that something else answered is none.
fn as_token(body: &[u8]) -> Option<HeaderValue> {
    let word = body.trim_ascii();
    let is_word = !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    let mut token = is_word.then(|| HeaderValue::from_bytes(word).ok()).flatten()?;
    token.set_sensitive(true);
    Some(token)
}

/// By RAM's rule: the name becomes part of a path.
fn check_role_name(name: &str) -> Result<(), CredentialError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if (1..=64).contains(&name.len()) && name.bytes().all(is_allowed) && !name.starts_with('.') {
        return Ok(());
    }
    let message = format!(
        "{:?} is not the name of a RAM role: expected at most 64 letters, digits, dots, hyphens and underscores",
        name.chars().take(80).collect::<String>()
    );
    Err(CredentialError::new(ErrorKind::Malformed, message))
}
