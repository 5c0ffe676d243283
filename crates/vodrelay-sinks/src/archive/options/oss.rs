//! `oss://`: a bucket of Alibaba Cloud, through the endpoint of OSS that speaks S3.
//!
//! OSS takes the bucket in the host only, and answers 501 to `If-None-Match` on a write. Its own header
//! `x-oss-forbid-overwrite` does the same (PutObject in the OSS API reference; buckets with versioning ignore it).

use std::sync::Arc;

use aliyun_credentials::{Config as Credentials, CredentialProvider};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ClientOptions, HeaderMap, HeaderValue};
use vodrelay_core::Clock;
use vodrelay_core::config::{ConfigError, SecretSource, Surroundings};

use super::s3::Endpoint;
use super::written::Written;
use super::{checked_region, s3};
use crate::archive::credentials::OfAlibabaCloud;
use crate::archive::store::{Asked, Bucket, Place, SparingCompletion, Store};

/// Opens the bucket.
pub(super) fn open(
    written: &Written,
    (bucket, prefix): (String, Path),
    surroundings: &Surroundings,
    clock: &Arc<dyn Clock>,
) -> Result<Store, ConfigError> {
    let (endpoint, region) = endpoint_and_region(written)?;
    let endpoint = Endpoint::read(&endpoint, &bucket, false)?;
    if endpoint.is_bare_address {
        let message = "is an IP address, where no bucket can stand in the host, and OSS takes it nowhere else; \
                       give a name";
        return Err(ConfigError::new("endpoint", message));
    }
    let provider = provider(written, surroundings, Arc::clone(clock))?;
    let client = |headers: HeaderMap| {
        let options = ClientOptions::new().with_allow_http(endpoint.is_plain).with_default_headers(headers);
        let builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket)
            .with_virtual_hosted_style_request(true)
            .with_region(&region)
            .with_endpoint(&endpoint.url)
            .with_http_connector(SparingCompletion::of_oss())
            .with_credentials(Arc::new(OfAlibabaCloud(provider.clone())));
        s3::build(s3::with_client(builder, options, written, surroundings)?)
    };
    let objects = client(HeaderMap::new())?;
    let mut forbid = HeaderMap::new();
    forbid.insert("x-oss-forbid-overwrite", HeaderValue::from_static("true"));
    let create_only = client(forbid)?;
    let beside = Bucket {
        keys: Arc::clone(objects.credentials()),
        refused: Some(provider.clone()),
        create_only: Some(Arc::new(create_only)),
        record_class: s3::record_class(written)?,
        image_class: written.image_storage_class.clone(),
        asked: Asked { host: endpoint.host, mend: "correct region or endpoint" },
    };
    let name = format!("oss://{bucket} at {}", endpoint.origin);
    Ok(Store::new(Arc::new(objects), prefix, name, Place::Bucket(beside)))
}

/// Where the bucket is asked for, and the region that requests are signed for.
fn endpoint_and_region(written: &Written) -> Result<(String, String), ConfigError> {
    // The console shows both `cn-shanghai` and `oss-cn-shanghai`.
    let region = written.region.as_deref().map(|region| region.trim_start_matches("oss-"));
    let region = region.map(checked_region).transpose()?;
    let is_internal = written.internal.unwrap_or(false);
    match (&written.endpoint, region) {
        (Some(_), _) if written.internal.is_some() => {
            Err(ConfigError::new("internal", "belongs to region; endpoint says where to go by itself"))
        }
        (Some(endpoint), Some(region)) => Ok((endpoint.clone(), region.to_owned())),
        (Some(endpoint), None) => match region_within(endpoint) {
            Some(region) => Ok((endpoint.clone(), region.to_owned())),
            None => {
                let message = "is missing, and cannot be told from endpoint; requests are signed for a region, for \
                               example cn-shanghai";
                Err(ConfigError::new("region", message))
            }
        },
        (None, Some(region)) => {
            let internal = if is_internal { "-internal" } else { "" };
            Ok((format!("https://s3.oss-{region}{internal}.aliyuncs.com"), region.to_owned()))
        }
        (None, None) => {
            Err(ConfigError::new("region", "is missing; it is that of the bucket, for example cn-shanghai"))
        }
    }
}

/// The region in a host like `s3.oss-cn-shanghai-internal.aliyuncs.com`.
fn region_within(endpoint: &str) -> Option<&str> {
    let (host, _) = endpoint.split_once(".aliyuncs.com")?;
    let (_, region) = host.split_once("oss-")?;
    let region = region.strip_suffix("-internal").unwrap_or(region);
    region.starts_with(|first: char| first.is_ascii_lowercase()).then_some(region)
}

/// The keys, by default those of the environment, kept fresh.
fn provider(
    written: &Written,
    surroundings: &Surroundings,
    clock: Arc<dyn Clock>,
) -> Result<CredentialProvider, ConfigError> {
    let credentials = written.credentials.clone().unwrap_or(Credentials::Environment);
    let resolve = |key: &'static str, secret: &SecretSource| {
        let secret = secret.resolve(surroundings).map_err(|error| error.within(key))?;
        Ok(secret.expose().to_owned())
    };
    let source = credentials
        .into_source(&surroundings.environment, &surroundings.folder, resolve)
        .map_err(|error: ConfigError| error.within("credentials"))?;
    Ok(CredentialProvider::with_now(source, move || clock.now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_within_an_endpoint() {
        let check = |endpoint: &str, expect: Option<&str>| assert_eq!(region_within(endpoint), expect);
        check("https://s3.oss-cn-shanghai.aliyuncs.com", Some("cn-shanghai"));
        check("http://s3.oss-cn-shanghai-internal.aliyuncs.com/", Some("cn-shanghai"));
        check("https://bucket.s3.oss-eu-west-1.aliyuncs.com", Some("eu-west-1"));
        check("https://s3.oss-accelerate.aliyuncs.com", Some("accelerate"));
        check("https://oss.example.com", None);
        check("https://oss-.aliyuncs.com", None);
    }
}
