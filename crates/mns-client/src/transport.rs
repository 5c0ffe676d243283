//! Sends requests: signed at the moment they go out, on connections that are kept, and again where that is safe.

use std::fmt;

use aliyun_credentials::{CredentialProvider, Credentials};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use reqwest::Response;
use tokio::time::{Instant, sleep};

use crate::answer::{self, Answer};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::request::Request;
use crate::retry::{Retry, leaves_doubt};

/// Sixteen bodies of 64 KiB with every character escaped stay below this.
const BODY_LIMIT: usize = 8 << 20;

pub(crate) struct Transport {
    pub(crate) config: Config,
    credentials: CredentialProvider,
    http: reqwest::Client,
}

impl Transport {
    pub(crate) fn new(config: Config, credentials: CredentialProvider) -> Result<Self, Error> {
        crate::tls::choose_provider();
        let builder = reqwest::Client::builder()
            .user_agent(&config.user_agent)
            // A signed request is meant for the one it was signed for.
            .redirect(reqwest::redirect::Policy::none())
            // Where requests go is the caller's word, not the environment's.
            .no_proxy()
            .http1_only()
            .connect_timeout(config.connect_timeout)
            // Shorter than services keep idle connections, so that a send seldom meets one that is being closed.
            .pool_idle_timeout(std::time::Duration::from_secs(20));
        // Without TLS there is nothing to check, and the machine's certificates are megabytes.
        let builder = if config.endpoint.is_encrypted() { builder } else { builder.tls_certs_only([]) };
        let http = builder.build().map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("no HTTP client could be made: {}", innermost(&error)),
            )
        })?;
        Ok(Self { config, credentials, http })
    }

    /// Has a request answered. Dropped before that, it closes the connection, and with it ends a long poll.
    pub(crate) async fn send(&self, request: &Request, retry: &Retry) -> Result<Answer, Error> {
        let (mut attempt, mut after_loss) = (1, false);
        loop {
            let error = match self.attempt(request).await {
                Ok(answer) => return Ok(Answer { after_loss, ..answer }),
                Err(error) => error,
            };
            // An earlier try may have deleted it.
            if after_loss && request.is_deletion() && error.kind() == ErrorKind::MessageNotExist {
                return Ok(Answer { status: 204, ..Answer::default() });
            }
            after_loss |= leaves_doubt(error.kind());
            let wait = retry.wait(attempt, request.repeat, error.kind(), rand::random());
            let Some(wait) = wait else { return Err(error) };
            tracing::debug!(mns.target = request.target, attempt, error = %error, "a request is made again");
            sleep(wait).await;
            attempt += 1;
        }
    }

    /// One attempt; where the credentials are refused and there are newer ones, a second with these.
    async fn attempt(&self, request: &Request) -> Result<Answer, Error> {
        let credentials = self.credentials().await?;
        let result = self.exchange(request, &credentials).await;
        let Err(error) = &result else { return result };
        if error.kind() != ErrorKind::AccessDenied {
            return result;
        }
        self.credentials.invalidate(&credentials);
        let newer = self.credentials().await?;
        if newer == credentials { result } else { self.exchange(request, &newer).await }
    }

    async fn credentials(&self) -> Result<std::sync::Arc<Credentials>, Error> {
        let credentials = self.credentials.credentials().await;
        credentials.map_err(|error| Error::new(ErrorKind::Credentials, error.to_string()))
    }

    async fn exchange(&self, request: &Request, credentials: &Credentials) -> Result<Answer, Error> {
        let url = self.config.endpoint.url(&request.target)?;
        let headers = header_map(request.headers(credentials, Timestamp::now()))?;
        let mut builder = self.http.request(request.method.clone(), url).headers(headers);
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let started = Instant::now();
        let builder = builder.timeout(request.wait + self.config.timeout);
        let response = builder.send().await.map_err(|error| self.lost(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.read(response, status).await?;
        let took = started.elapsed();
        match answer::read(status, &headers, &body) {
            Err(error) if request.may_find_nothing && error.kind() == ErrorKind::MessageNotExist => {
                let date = answer::date(&headers);
                Ok(Answer { status: status.as_u16(), found_nothing: true, took, date, ..Answer::default() })
            }
            Err(error)
                if request.has_one_message
                    && status.is_success()
                    && error.kind() == ErrorKind::Unreadable =>
            {
                answer::salvage(&headers, &body).map(|answer| Answer { took, ..answer }).ok_or(error)
            }
            read => read.map(|answer| Answer { took, ..answer }),
        }
    }

    async fn read(&self, mut response: Response, status: StatusCode) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_LIMIT {
                let message = format!("the answer is longer than {BODY_LIMIT} bytes");
                return Err(Error::new(ErrorKind::Unreadable, message).answered(status.as_u16(), None, None));
            }
        }
        Ok(body)
    }

    /// No answer, or not all of it.
    fn lost(&self, error: reqwest::Error) -> Error {
        let endpoint = &self.config.endpoint;
        let (kind, what) = if is_about_a_certificate(&error) {
            (ErrorKind::Certificate, "no trust in")
        } else if error.is_connect() {
            (ErrorKind::Connect, "cannot connect to")
        } else if error.is_timeout() {
            (ErrorKind::Timeout, "no answer in time from")
        } else {
            (ErrorKind::Disconnected, "no whole answer from")
        };
        Error::new(kind, format!("{what} {endpoint}: {}", innermost(&error.without_url())))
    }
}

impl Request {
    fn is_deletion(&self) -> bool {
        self.method == http::Method::DELETE
    }
}

fn header_map(headers: Vec<(&'static str, String)>) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            Error::new(ErrorKind::InvalidInput, format!("the value of {name} cannot stand in a header"))
        })?;
        value.set_sensitive(["authorization", "security-token"].contains(&name));
        map.insert(HeaderName::from_static(name), value);
    }
    Ok(map)
}

fn is_about_a_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref() {
        return matches!(error, rustls::Error::InvalidCertificate(_));
    }
    // An I/O error steps over what it holds when it is asked for its source.
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let below = held.map(|held| held as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    below.is_some_and(is_about_a_certificate)
}

/// The cause below all others, which is the one that says something.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("config", &self.config)
            .field("credentials", &self.credentials)
            .finish()
    }
}
