//! Whose keys sign the requests to a bucket, each kind lent to the one client that signs as S3 does.

use std::sync::Arc;

use aliyun_credentials::CredentialProvider;
use async_trait::async_trait;
use object_store::Error;
use object_store::aws::{AwsCredential, AwsCredentialProvider};

/// There are no keys to sign with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoKeys(String);

impl From<NoKeys> for Error {
    fn from(error: NoKeys) -> Self {
        Self::Generic { store: "keys", source: Box::new(error) }
    }
}

/// Keys of Alibaba Cloud. They are asked for before every request, so that those which are renewed take effect at once.
#[derive(Debug)]
pub(super) struct OfAlibabaCloud(pub(super) CredentialProvider);

#[async_trait]
impl object_store::CredentialProvider for OfAlibabaCloud {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let current = self.0.credentials().await.map_err(|error| NoKeys(error.to_string()))?;
        Ok(Arc::new(AwsCredential {
            key_id: current.access_key_id.clone(),
            secret_key: current.access_key_secret.expose().to_owned(),
            token: current.security_token.as_ref().map(|token| token.expose().to_owned()),
        }))
    }
}

/// Keys of the ordinary chain of AWS, with an error that says who was asked for them.
#[derive(Debug)]
pub(super) struct OfChain {
    pub(super) keys: AwsCredentialProvider,
    /// Who is asked, a noun.
    pub(super) whence: &'static str,
    /// What to do where there are none.
    pub(super) mend: &'static str,
}

#[async_trait]
impl object_store::CredentialProvider for OfChain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let asked = self.keys.get_credential().await;
        asked.map_err(|error| {
            let cause = super::store::cause(&error);
            NoKeys(format!("{} gives none: {cause}; {}", self.whence, self.mend)).into()
        })
    }
}
