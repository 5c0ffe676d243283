//! One small HTTP/1.1 exchange: no proxy, no redirect, a time limit, a bounded body.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The largest answer that is read, in bytes; real ones have about 1,500.
const BODY_LIMIT: usize = 64 * 1024;
/// The instance's own network answers in milliseconds, so a connection that takes a second is none.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Whom to ask, and how long to wait for the answer.
#[derive(Clone, Debug)]
pub(super) struct Http {
    pub(super) endpoint: String,
    pub(super) time_limit: Duration,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why nothing came back, as what the service did.
#[derive(Debug)]
pub(super) enum Failure {
    NotAnEndpoint,
    NoConnection(String),
    NoAnswer(String),
    TooLarge,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnEndpoint => f.write_str("cannot be asked: its endpoint is not like http://host:port"),
            Self::NoConnection(cause) => write!(f, "cannot be reached: {cause}"),
            Self::NoAnswer(cause) => write!(f, "does not answer: {cause}"),
            Self::TooLarge => write!(f, "answered more than {BODY_LIMIT} bytes"),
        }
    }
}

impl Http {
    /// Sends a request without a body, with that header.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        header: Option<(&'static str, HeaderValue)>,
    ) -> Result<Answer, Failure> {
        let uri = self.endpoint.parse().ok().filter(is_endpoint).ok_or(Failure::NotAnEndpoint)?;
        let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16());
        // An IPv6 address has brackets in a URL and in the header, and none to the system.
        let connect = TcpStream::connect((host.trim_matches(['[', ']']), port.unwrap_or(80)));
        let stream = within(CONNECT_LIMIT.min(self.time_limit), connect)
            .await
            .map_err(Failure::NoConnection)?
            .map_err(|error| Failure::NoConnection(error.to_string()))?;
        let host = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).map_err(|error| Failure::NoAnswer(error.to_string()))?;
        within(self.time_limit, exchange(stream, request)).await.map_err(Failure::NoAnswer)?
    }
}

fn is_endpoint(uri: &Uri) -> bool {
    let is_root = uri.path_and_query().is_none_or(|path| path == "/");
    uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty()) && is_root
}

async fn exchange(stream: TcpStream, request: Request<Empty<Bytes>>) -> Result<Answer, Failure> {
    let broken = |error: hyper::Error| Failure::NoAnswer(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends when the sender is dropped, which happens at the end of this function or of the time limit.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await.map_err(|error| {
        let is_too_large = error.is::<LengthLimitError>();
        if is_too_large { Failure::TooLarge } else { Failure::NoAnswer(error.to_string()) }
    })?;
    Ok(Answer { status, body: body.to_bytes() })
}

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(limit, future).await.map_err(|_| format!("{} ms have passed", limit.as_millis()))
}
