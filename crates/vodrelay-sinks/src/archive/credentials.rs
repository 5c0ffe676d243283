//! Lends the keys of Alibaba Cloud to a client that signs as S3 does.

use std::sync::Arc;

use aliyun_credentials::CredentialProvider;
use async_trait::async_trait;
use object_store::aws::AwsCredential;

/// Keys that are asked for before every request, so that those which are renewed take effect at once.
#[derive(Debug)]
pub(super) struct Lent(CredentialProvider);

impl Lent {
    pub(super) fn new(provider: CredentialProvider) -> Self {
        Self(provider)
    }
}

#[async_trait]
impl object_store::CredentialProvider for Lent {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let current = self
            .0
            .credentials()
            .await
            .map_err(|error| object_store::Error::Generic { store: "OSS", source: Box::new(error) })?;
        Ok(Arc::new(AwsCredential {
            key_id: current.access_key_id.clone(),
            secret_key: current.access_key_secret.expose().to_owned(),
            token: current.security_token.as_ref().map(|token| token.expose().to_owned()),
        }))
    }
}
