//! What can go wrong, by what the caller can do about it.

use std::fmt;

use jiff::Timestamp;

/// Why a request came to nothing. It never has a secret in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Details>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    kind: ErrorKind,
    message: String,
    /// What was tried, for people.
    action: Option<String>,
    code: Option<String>,
    request_id: Option<String>,
    status: Option<u16>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request was wrong before it was sent: a batch too large, a body that XML cannot carry.
    InvalidInput,
    /// There are no credentials to sign with.
    Credentials,
    /// No connection came about, so the service knows nothing of the request.
    Connect,
    /// The certificate of whoever answered is not one of the endpoint, or nobody known has signed it. Nothing was sent.
    Certificate,
    /// The connection ended before the answer was whole. What was asked for may have happened.
    Disconnected,
    /// The answer did not come in time. What was asked for may have happened.
    Timeout,
    /// What came is not an answer of the service, or not one to this request.
    Unreadable,
    /// The service has too much to do; nothing happened. Ask less often, and with fewer callers.
    Throttled,
    /// The service is not at its best. What was asked for may have happened.
    Unavailable,
    /// The service found the date of the request too far from its own. Set the clock of this machine.
    ClockSkew {
        /// What time it is for the service, from the date of its answer.
        server_time: Option<Timestamp>,
    },
    /// The service does not let these credentials do that, or does not know them.
    AccessDenied,
    /// There is no such queue.
    QueueNotExist,
    /// There is a queue of that name with other attributes.
    QueueAlreadyExist,
    /// A queue of that name was deleted a short while ago; it can be created later.
    QueueDeletedRecently,
    /// The handle is good no more: its message was deleted, or has become visible again. There is nothing left to do
    /// with it.
    MessageNotExist,
    /// The handle is none that the service ever gave out. That may be a mistake in the caller.
    ReceiptHandle,
    /// The service turned the request away for another reason; see the code.
    Rejected,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Details { kind, message, action: None, code: None, request_id: None, status: None }))
    }

    pub(crate) fn answered(mut self, status: u16, code: Option<String>, request_id: Option<String>) -> Self {
        self.0.status = Some(status);
        self.0.code = code;
        self.0.request_id = request_id;
        self
    }

    pub(crate) fn during(mut self, action: impl Into<String>) -> Self {
        self.0.action = Some(action.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The service's code, where the service said one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The id of the request, by which the provider finds it, where there was an answer with one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The HTTP status of the answer, where there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Whether what was asked for may have happened all the same.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        crate::retry::leaves_doubt(self.0.kind)
    }

    /// Whether the same request may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.0.kind.is_temporary()
    }
}

impl ErrorKind {
    pub(crate) fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Disconnected
                | Self::Timeout
                | Self::Throttled
                | Self::Unavailable
                | Self::QueueDeletedRecently
        )
    }

    /// The kind of a code, or of the status where the code says nothing known.
    pub(crate) fn of(code: Option<&str>, status: u16) -> Self {
        match code.unwrap_or_default() {
            "TooManyRequests" | "QpsLimitExceeded" => Self::Throttled,
            "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" => Self::AccessDenied,
            // Temporary keys that have run out, or whose token belongs to others; the status may say anything.
            code if code.starts_with("InvalidSecurityToken") || code.starts_with("SecurityToken") => {
                Self::AccessDenied
            }
            "TimeExpired" => Self::ClockSkew { server_time: None },
            "QueueNotExist" => Self::QueueNotExist,
            "QueueAlreadyExist" => Self::QueueAlreadyExist,
            "QueueDeletedRecently" => Self::QueueDeletedRecently,
            "MessageNotExist" => Self::MessageNotExist,
            "ReceiptHandleError" => Self::ReceiptHandle,
            "InternalError" | "InternalServerError" => Self::Unavailable,
            _ => Self::of_status(status),
        }
    }

    fn of_status(status: u16) -> Self {
        match status {
            429 => Self::Throttled,
            401 | 403 => Self::AccessDenied,
            408 | 500.. => Self::Unavailable,
            400..=499 => Self::Rejected,
            _ => Self::Unreadable,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { message, action, code, request_id, status, .. } = &*self.0;
        if let Some(action) = action {
            write!(f, "cannot {action}: ")?;
        }
        f.write_str(message)?;
        let status = status.map(|status| format!("HTTP {status}"));
        let request_id = request_id.as_ref().map(|id| format!("request {id}"));
        let facts: Vec<String> = [code.clone(), status, request_id].into_iter().flatten().collect();
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

/// Why an entry of a batch failed, though the batch as a whole was answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
#[non_exhaustive]
pub struct EntryError {
    /// The service's code.
    pub code: String,
    /// The service's words.
    pub message: String,
}

impl EntryError {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::of(Some(&self.code), 400)
    }
}

impl From<EntryError> for Error {
    /// The entry's error as that of a request which had no other.
    fn from(entry: EntryError) -> Self {
        let mut error = Self::new(entry.kind(), entry.message.trim_end_matches('.'));
        error.0.code = Some(entry.code).filter(|code| !code.is_empty());
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_why_it_failed_and_what_the_provider_calls_it() {
        let error = Error::new(ErrorKind::QueueNotExist, "the queue name you provided is not exist")
            .answered(404, Some("QueueNotExist".to_owned()), Some("6B03".to_owned()))
            .during("receive messages from queue orders");
        assert_eq!(
            error.to_string(),
            "cannot receive messages from queue orders: the queue name you provided is not exist \
             (QueueNotExist, HTTP 404, request 6B03)"
        );
        assert_eq!(
            Error::new(ErrorKind::InvalidInput, "a batch has 1 to 16 entries").to_string(),
            "a batch has 1 to 16 entries"
        );
    }

    #[test]
    fn codes_come_before_statuses() {
        let check = |code: Option<&str>, status, expected| assert_eq!(ErrorKind::of(code, status), expected);
        check(Some("TooManyRequests"), 429, ErrorKind::Throttled);
        check(Some("QpsLimitExceeded"), 400, ErrorKind::Throttled);
        check(Some("TimeExpired"), 400, ErrorKind::ClockSkew { server_time: None });
        check(Some("SignatureDoesNotMatch"), 403, ErrorKind::AccessDenied);
        check(Some("SecurityTokenExpired"), 400, ErrorKind::AccessDenied);
        check(Some("InvalidSecurityToken.Expired"), 400, ErrorKind::AccessDenied);
        check(Some("MalformedXML"), 400, ErrorKind::Rejected);
        check(Some("NeverHeardOf"), 503, ErrorKind::Unavailable);
        check(None, 429, ErrorKind::Throttled);
        check(None, 502, ErrorKind::Unavailable);
        check(None, 403, ErrorKind::AccessDenied);
        check(None, 404, ErrorKind::Rejected);
        check(None, 302, ErrorKind::Unreadable);
    }
}
