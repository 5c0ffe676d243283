//! Why there are no credentials.

/// Why there are no credentials, and what to do about it. It never has a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CredentialError {
    /// What kind of trouble it is.
    pub kind: ErrorKind,
    /// What is wrong with what, why, and what to do next.
    pub message: String,
}

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There are none where they should be.
    Missing,
    /// What is there cannot be read as credentials.
    Malformed,
    /// Whoever has them did not answer; the next attempt may succeed.
    Unreachable,
    /// Whoever has them does not hand them out.
    Refused,
    /// They have expired, and there are no newer ones.
    Expired,
}

impl CredentialError {
    /// An error of that kind.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
