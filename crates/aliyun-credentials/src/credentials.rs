//! What a request to Alibaba Cloud is signed with.

use std::fmt;

use jiff::Timestamp;

use crate::error::{CredentialError, ErrorKind};

/// The keys of one identity, for good or for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The AccessKeyId. It is no secret: it goes out with every request.
    pub access_key_id: String,
    /// The AccessKeySecret, which signs.
    pub access_key_secret: Secret,
    /// The SecurityToken that goes out with temporary keys.
    pub security_token: Option<Secret>,
    /// When they end; absent where they do not, or where nobody said.
    pub expires_at: Option<Timestamp>,
}

impl Credentials {
    /// Keys that do not expire.
    #[must_use]
    pub fn new(access_key_id: impl Into<String>, access_key_secret: impl Into<String>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            access_key_secret: Secret::new(access_key_secret),
            security_token: None,
            expires_at: None,
        }
    }

    /// Whether they can still be used at that moment.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// The same, if each part can stand in a header. A blank that was copied along would otherwise show up only as a
    /// signature that does not match.
    pub(crate) fn checked(self, whence: impl fmt::Display) -> Result<Self, CredentialError> {
        let token = self.security_token.as_ref().map(|token| ("security token", token.expose()));
        let parts = [
            ("access key id", self.access_key_id.as_str()),
            ("access key secret", self.access_key_secret.expose()),
        ];
        for (name, value) in parts.into_iter().chain(token) {
            if value.is_empty() {
                let message = format!("the {name} in {whence} is empty; write it there");
                return Err(CredentialError::new(ErrorKind::Missing, message));
            }
            if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                let message = format!(
                    "the {name} in {whence} has blanks or other characters that no key has; copy it again"
                );
                return Err(CredentialError::new(ErrorKind::Malformed, message));
            }
        }
        Ok(self)
    }
}

/// A secret that does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret with that value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_prints() {
        let credentials =
            Credentials { security_token: Some(Secret::new("t0ken")), ..Credentials::new("id", "s3cret") };
        let text = format!("{credentials:?} {:#?}", credentials.access_key_secret);
        assert!(text.contains("id") && !text.contains("s3cret") && !text.contains("t0ken"), "{text}");
    }

    #[test]
    fn only_what_can_stand_in_a_header_is_a_key() {
        let check = |id: &str, secret: &str, kind: ErrorKind, says: &str| {
            let error = Credentials::new(id, secret).checked("keys.json").unwrap_err();
            assert_eq!(error.kind, kind);
            assert!(error.message.contains(says) && error.message.contains("keys.json"), "{error}");
            assert!(!error.message.contains("s3cret"), "{error}");
        };
        check("", "s3cret", ErrorKind::Missing, "access key id");
        check("id", "", ErrorKind::Missing, "access key secret");
        check("id", "s3cret\n", ErrorKind::Malformed, "access key secret");
        check("my id", "s3cret", ErrorKind::Malformed, "access key id");
        assert!(Credentials::new("id", "s3cret").checked("keys.json").is_ok());
    }
}
