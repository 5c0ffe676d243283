//! The port that credentials come in by, and the two sources that need nothing but memory.

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;

use crate::credentials::{Credentials, Secret};
use crate::error::{CredentialError, ErrorKind};

/// Where credentials come from. A source keeps nothing fresh; the [`CredentialProvider`] before it does.
///
/// [`CredentialProvider`]: crate::CredentialProvider
#[async_trait]
pub trait CredentialSource: Send + Sync + fmt::Debug {
    /// Fetches them anew. It ends by itself: a source that waits for others has a time limit.
    ///
    /// # Errors
    /// If there are none.
    async fn fetch(&self) -> Result<Credentials, CredentialError>;

    /// Whether they have changed since they were fetched, as far as can be told at little cost. It is asked every few
    /// seconds at most.
    async fn has_changed(&self) -> bool {
        false
    }
}

/// Keys that were handed over.
#[derive(Clone, Debug)]
pub struct Static(Credentials);

impl Static {
    /// A source of these credentials.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self(credentials)
    }
}

#[async_trait]
impl CredentialSource for Static {
    async fn fetch(&self) -> Result<Credentials, CredentialError> {
        self.0.clone().checked("the configuration")
    }
}

/// Keys in the environment, under the names that Alibaba's own tools read as well.
#[derive(Clone, Debug)]
pub struct Environment {
    access_key_id: Option<String>,
    access_key_secret: Option<Secret>,
    security_token: Option<Secret>,
}

impl Environment {
    /// The variable with the AccessKeyId.
    pub const ACCESS_KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
    /// The variable with the AccessKeySecret.
    pub const ACCESS_KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
    /// The variable with the SecurityToken; temporary keys have one.
    pub const SECURITY_TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";

    /// Takes the three variables out of an environment. One that is empty counts as not set.
    #[must_use]
    pub fn new(environment: &HashMap<String, String>) -> Self {
        let value = |name| environment.get(name).filter(|value| !value.is_empty()).cloned();
        Self {
            access_key_id: value(Self::ACCESS_KEY_ID),
            access_key_secret: value(Self::ACCESS_KEY_SECRET).map(Secret::new),
            security_token: value(Self::SECURITY_TOKEN).map(Secret::new),
        }
    }
}

#[async_trait]
impl CredentialSource for Environment {
    async fn fetch(&self) -> Result<Credentials, CredentialError> {
        let access_key_id = self.access_key_id.clone().ok_or_else(|| not_set(Self::ACCESS_KEY_ID))?;
        let access_key_secret =
            self.access_key_secret.clone().ok_or_else(|| not_set(Self::ACCESS_KEY_SECRET))?;
        let security_token = self.security_token.clone();
        let credentials = Credentials { access_key_id, access_key_secret, security_token, expires_at: None };
        credentials.checked("the environment")
    }
}

fn not_set(name: &str) -> CredentialError {
    let message = format!(
        "the environment variable {name} is not set; set it, or configure another kind of credentials"
    );
    CredentialError::new(ErrorKind::Missing, message)
}
