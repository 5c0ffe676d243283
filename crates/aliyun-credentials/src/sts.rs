//! Temporary keys in the provider's own JSON, as STS AssumeRole and the metadata service of ECS answer it.

use std::path::PathBuf;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::credentials::{Credentials, Secret};
use crate::error::{CredentialError, ErrorKind};
use crate::source::CredentialSource;
use crate::watched::Watched;

/// A file that something else keeps renewing, for example a side-car that calls AssumeRole.
///
/// It has `AccessKeyId`, `AccessKeySecret`, `SecurityToken` and `Expiration` (RFC 3339), at its top or, as AssumeRole
/// answers, inside `Credentials`. It is read again before `Expiration`, and soon after its modification time changes.
#[derive(Debug)]
pub struct StsFile(Watched);

impl StsFile {
    /// A source that reads this file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Watched::new(path))
    }
}

#[async_trait]
impl CredentialSource for StsFile {
    async fn fetch(&self) -> Result<Credentials, CredentialError> {
        let answer = self.0.read().await?;
        read(&answer, &format!("the file {}", self.0.name()))
    }

    async fn has_changed(&self) -> bool {
        self.0.has_changed().await
    }
}

/// Reads the answer that came from there.
pub(crate) fn read(answer: &Value, whence: &str) -> Result<Credentials, CredentialError> {
    if let Some(code) = answer.get("Code").and_then(Value::as_str).filter(|code| *code != "Success") {
        // A code is a word or two; what is longer is not shown, since it may be anything.
        let code = if code.len() <= 64 { code } else { "…" };
        let message =
            format!("{whence} has no keys but the code {code:?}; look that code up at the provider");
        return Err(CredentialError::new(ErrorKind::Refused, message));
    }
    let keys = answer.get("Credentials").unwrap_or(answer);
    let text = |name: &str| {
        keys.get(name).and_then(Value::as_str).ok_or_else(|| {
            let message = format!(
                "{name} is missing in {whence}, or is not text; expected AccessKeyId, AccessKeySecret, SecurityToken \
                 and Expiration"
            );
            CredentialError::new(ErrorKind::Malformed, message)
        })
    };
    let expires_at = text("Expiration")?.parse::<Timestamp>().map_err(|_| {
        let message = format!("Expiration in {whence} is not a time; expected one like 2026-11-24T12:00:00Z");
        CredentialError::new(ErrorKind::Malformed, message)
    })?;
    let credentials = Credentials {
        access_key_id: text("AccessKeyId")?.to_owned(),
        access_key_secret: Secret::new(text("AccessKeySecret")?),
        security_token: Some(Secret::new(text("SecurityToken")?)),
        expires_at: Some(expires_at),
    };
    credentials.checked(whence)
}
