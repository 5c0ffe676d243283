//! The answers: each has one status, one word for logs and metrics, and next to nothing in its body.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Answer {
    /// The event is durable, and was not there before.
    Accepted,
    /// The event was durable already.
    Duplicate,
    /// A probe of an operator, and no event.
    Probe,
    /// Admitted without proof, and not an event.
    Unreadable,
    /// The proof is missing, wrong or stale.
    Unproven,
    /// No such path.
    UnknownPath,
    /// Neither POST, …
    NotPost,
    /// … nor, for the health path, GET or HEAD.
    NotGet,
    /// The client was too slow with the body.
    SlowBody,
    /// The body ended early or broke the rules; nobody may be there to read this.
    BrokenBody,
    /// The body is above the limit.
    TooLarge,
    /// The body is encoded.
    Encoded,
    /// The head is above the limit.
    HeadTooLarge,
    /// The journal cannot take it.
    JournalDown,
    /// The time would be, or was, spent on our side.
    Busy,
    /// The health path, all well.
    Healthy,
    /// The health path, shutting down.
    Draining,
}

impl Answer {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::Draining as usize + 1;

    /// All, in order.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Accepted,
        Self::Duplicate,
        Self::Probe,
        Self::Unreadable,
        Self::Unproven,
        Self::UnknownPath,
        Self::NotPost,
        Self::NotGet,
        Self::SlowBody,
        Self::BrokenBody,
        Self::TooLarge,
        Self::Encoded,
        Self::HeadTooLarge,
        Self::JournalDown,
        Self::Busy,
        Self::Healthy,
        Self::Draining,
    ];

    /// Whether it answers a callback, or what may be meant as one; else a question after the health.
    pub(crate) const fn is_of_a_callback(self) -> bool {
        !matches!(self, Self::Healthy | Self::Draining | Self::NotGet)
    }

    /// The status. The provider counts 200 as success and everything else as failure, redirects and 204 included.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Accepted | Self::Duplicate | Self::Probe | Self::Healthy => StatusCode::OK,
            Self::Unreadable | Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::Unproven => StatusCode::UNAUTHORIZED,
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::NotPost | Self::NotGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::JournalDown | Self::Busy | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word for logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Probe => "probe",
            Self::Unreadable => "unreadable",
            Self::Unproven => "unproven",
            Self::UnknownPath => "unknown_path",
            Self::NotPost | Self::NotGet => "method",
            Self::SlowBody => "slow_body",
            Self::BrokenBody => "broken_body",
            Self::TooLarge => "too_large",
            Self::Encoded => "encoded",
            Self::HeadTooLarge => "head_too_large",
            Self::JournalDown => "journal_down",
            Self::Busy => "busy",
            Self::Healthy => "healthy",
            Self::Draining => "draining",
        }
    }

    /// The response; with `close` the connection ends after it.
    pub(crate) fn response(self, close: bool) -> Response<Full<Bytes>> {
        let body = if self == Self::Healthy { Bytes::from_static(b"ok") } else { Bytes::new() };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status();
        let allow = match self {
            Self::NotPost => Some("POST"),
            Self::NotGet => Some("GET, HEAD"),
            _ => None,
        };
        if let Some(allow) = allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        if close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
