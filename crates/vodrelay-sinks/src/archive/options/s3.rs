//! `s3://`: a bucket of AWS, or of whoever else speaks its protocol.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::path::Path;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use url::{Host, Url};
use vodrelay_core::config::{ConfigError, Surroundings};

use super::checked_region;
use super::written::{Encryption, Written};
use crate::archive::credentials::OfChain;
use crate::archive::store::{Asked, Bucket, Place, SparingCompletion, Store};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the store may take for an answer, the sending of the request included, and for each piece of it. A part of
/// an image has 5 MiB, which this leaves to a line of 0.7 Mbit/s.
const ANSWER: Duration = Duration::from_secs(60);

/// The variables of the ordinary chain, in the order in which they are asked: keys, a web identity, the metadata
/// services of ECS and EKS. Where none of those is set, the instance metadata service is asked.
const CHAIN: [(&str, AmazonS3ConfigKey); 11] = [
    ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
    ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", AmazonS3ConfigKey::MetadataEndpoint),
];

/// Opens the bucket.
pub(super) fn open(
    written: &Written,
    (bucket, prefix): (String, Path),
    surroundings: &Surroundings,
) -> Result<Store, ConfigError> {
    let is_path_style = written.path_style.unwrap_or(false);
    let variable = |names: &[&str]| names.iter().find_map(|name| set(surroundings, name));

    let mut builder = with_keys(AmazonS3Builder::new(), written, surroundings)?
        .with_bucket_name(&bucket)
        .with_http_connector(SparingCompletion::of_s3())
        .with_virtual_hosted_style_request(!is_path_style);
    if let Some(region) =
        written.region.as_deref().or_else(|| variable(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
    {
        builder = builder.with_region(checked_region(region)?);
    }
    let endpoint =
        written.endpoint.as_deref().or_else(|| variable(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
    let endpoint = endpoint.map(|endpoint| Endpoint::read(endpoint, &bucket, is_path_style)).transpose()?;
    let mut name = format!("s3://{bucket}");
    let mut options = ClientOptions::new();
    if let Some(endpoint) = &endpoint {
        if endpoint.is_bare_address {
            let message =
                "the endpoint is an IP address, where no bucket can stand in the host; set path_style = true";
            return Err(ConfigError::new("path_style", message));
        }
        builder = builder.with_endpoint(&endpoint.url);
        options = options.with_allow_http(endpoint.is_plain);
        name = format!("{name} at {}", endpoint.origin);
    }
    let builder = with_client(builder, options, written, surroundings)?;
    let keys = Arc::clone(build(builder.clone())?.credentials());
    let (whence, mend) = whence(surroundings);
    let keys: AwsCredentialProvider = Arc::new(OfChain { keys, whence, mend });
    let objects = build(builder.with_credentials(Arc::clone(&keys)))?;
    let asked = match endpoint {
        Some(endpoint) if is_path_style => Asked { host: endpoint.host, mend: "correct endpoint" },
        Some(endpoint) => Asked {
            host: endpoint.host,
            mend: "correct endpoint, or set path_style = true where the store wants the bucket in the path",
        },
        None => Asked { host: format!("{bucket}.s3 of AWS"), mend: "correct region" },
    };
    let beside = Bucket {
        asked,
        keys,
        refused: None,
        create_only: None,
        record_class: record_class(written)?,
        image_class: written.image_storage_class.clone(),
    };
    Ok(Store::new(Arc::new(objects), prefix, name, Place::Bucket(beside)))
}

/// The keys of the options, or else those of the ordinary chain: never some of these and some of those.
fn with_keys(
    mut builder: AmazonS3Builder,
    written: &Written,
    surroundings: &Surroundings,
) -> Result<AmazonS3Builder, ConfigError> {
    match (&written.access_key_id, &written.secret_access_key, &written.session_token) {
        (None, None, None) => {
            let set = CHAIN.iter().filter_map(|(name, key)| Some((key, set(surroundings, name)?)));
            return Ok(set.fold(builder, |builder, (key, value)| builder.with_config(*key, value)));
        }
        (Some(_), None, _) => {
            return Err(ConfigError::new("secret_access_key", "is missing beside access_key_id"));
        }
        (None, Some(_), _) => {
            return Err(ConfigError::new("access_key_id", "is missing beside secret_access_key"));
        }
        (None, None, Some(_)) => {
            return Err(ConfigError::new("access_key_id", "is missing beside session_token"));
        }
        (Some(_), Some(_), _) => {}
    }
    let secrets = [
        ("access_key_id", &written.access_key_id, AmazonS3ConfigKey::AccessKeyId),
        ("secret_access_key", &written.secret_access_key, AmazonS3ConfigKey::SecretAccessKey),
        ("session_token", &written.session_token, AmazonS3ConfigKey::Token),
    ];
    for (name, source, key) in secrets {
        let Some(source) = source else { continue };
        let secret = source.resolve(surroundings).map_err(|error| error.within(name))?;
        builder = builder.with_config(key, secret.expose());
    }
    Ok(builder)
}

/// Who is asked for keys where neither the options nor the environment have any, and what to do where none are given.
fn whence(surroundings: &Surroundings) -> (&'static str, &'static str) {
    let is_set = |name: &str| set(surroundings, name).is_some();
    if is_set("AWS_WEB_IDENTITY_TOKEN_FILE") && is_set("AWS_ROLE_ARN") {
        let asked = "the security token service, asked with the web identity of AWS_WEB_IDENTITY_TOKEN_FILE,";
        (asked, "see to the role of AWS_ROLE_ARN and whom it trusts")
    } else if is_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || is_set("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    {
        ("the container's own service (AWS_CONTAINER_CREDENTIALS_…)", "give the task or the pod a role")
    } else {
        let asked =
            "the instance metadata service, asked since neither access_key_id nor AWS_ACCESS_KEY_ID is set,";
        (asked, "set access_key_id and secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    }
}

/// A variable that is set to something.
fn set<'s>(surroundings: &'s Surroundings, name: &str) -> Option<&'s str> {
    surroundings.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// How the client behaves towards any bucket.
pub(super) fn with_client(
    builder: AmazonS3Builder,
    options: ClientOptions,
    written: &Written,
    surroundings: &Surroundings,
) -> Result<AmazonS3Builder, ConfigError> {
    crate::tls::choose_provider();
    let mut client = options.with_connect_timeout(CONNECT).with_timeout_disabled().with_read_timeout(ANSWER);
    if let Some(file) = &written.ca_file {
        let file = surroundings.resolve(file);
        let wrong = |error: String| {
            ConfigError::new("ca_file", format!("{} cannot be used: {error}", file.display()))
        };
        let pem = std::fs::read(&file).map_err(|error| wrong(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("it has no certificate in PEM".to_owned()));
        }
        client = certificates.into_iter().fold(client, ClientOptions::with_root_certificate);
    }
    // The one object that is ever taken away, by the check, is asked for by itself: fewer stores know the other way.
    let builder = builder
        .with_retry(few_and_short_retries())
        .with_client_options(client)
        .with_disable_bulk_delete(true);
    with_encryption(builder, written.sse.as_ref())
}

fn with_encryption(
    builder: AmazonS3Builder,
    sse: Option<&Encryption>,
) -> Result<AmazonS3Builder, ConfigError> {
    let kind = match sse {
        None => return Ok(builder),
        Some(Encryption::Kms { key: Some(key) }) => return Ok(builder.with_sse_kms_encryption(key)),
        Some(Encryption::Kms { key: None }) => "aws:kms",
        Some(Encryption::Aes256) => "AES256",
    };
    // The client has no other way to name this setting.
    let setting: AmazonS3ConfigKey = "aws_server_side_encryption"
        .parse()
        .map_err(|error| ConfigError::new("sse", format!("cannot be used: {error}")))?;
    Ok(builder.with_config(setting, kind))
}

/// The dispatcher tries again for days; the store's client only bridges a hiccup.
fn few_and_short_retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(1), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 2, retry_timeout: Duration::from_secs(10) }
}

/// The storage class of records, which repeats and queries read again at any time.
pub(super) fn record_class(written: &Written) -> Result<Option<String>, ConfigError> {
    let class = written.record_storage_class.clone();
    if class.as_ref().is_some_and(|class| ["GLACIER", "DEEP_ARCHIVE"].contains(&class.as_str())) {
        let message = "a record is read again when its event comes again, and an archive class lets nobody read at \
                       once; use STANDARD or STANDARD_IA";
        return Err(ConfigError::new("record_storage_class", message));
    }
    Ok(class)
}

/// The client, ready to send.
pub(super) fn build(builder: AmazonS3Builder) -> Result<AmazonS3, ConfigError> {
    builder.build().map_err(|error| ConfigError::new("url", format!("the store cannot be used: {error}")))
}

/// Where a store is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// As the store's client wants it: with the bucket in the host, unless it stands in the path.
    pub(super) url: String,
    /// As messages show it.
    pub(super) origin: String,
    /// The host that is asked, with the bucket where it stands there.
    pub(super) host: String,
    /// Whether the bucket would have to stand in front of an IP address.
    pub(super) is_bare_address: bool,
    /// Whether plain HTTP is spoken: only where the endpoint says so.
    pub(super) is_plain: bool,
}

impl Endpoint {
    pub(super) fn read(text: &str, bucket: &str, is_path_style: bool) -> Result<Self, ConfigError> {
        let wrong = |cause: String| {
            ConfigError::new("endpoint", format!("expected a URL like https://s3.example.com: {cause}"))
        };
        let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        let host = url.host_str().ok_or_else(|| wrong("it has no host".to_owned()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("{:?} is neither http nor https", url.scheme())));
        }
        let origin = url.origin().ascii_serialization();
        if url.as_str().trim_end_matches('/') != origin {
            return Err(wrong("it has more than scheme, host and port".to_owned()));
        }
        let is_plain = url.scheme() == "http";
        if is_path_style || host.starts_with(&format!("{bucket}.")) {
            let host = host.to_owned();
            return Ok(Self { url: origin.clone(), origin, host, is_bare_address: false, is_plain });
        }
        let is_bare_address = !matches!(url.host(), Some(Host::Domain(_)));
        let host = format!("{bucket}.{host}");
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self { url: format!("{}://{host}{port}", url.scheme()), origin, host, is_bare_address, is_plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_stands_in_the_host_unless_the_path_is_wanted() {
        let check = |text: &str, is_path_style: bool, expect: &str| {
            assert_eq!(Endpoint::read(text, "media", is_path_style).unwrap().url, expect);
        };
        check("https://s3.example.com", false, "https://media.s3.example.com");
        check("https://s3.example.com:9000/", false, "https://media.s3.example.com:9000");
        check("https://media.s3.example.com", false, "https://media.s3.example.com");
        check("http://10.0.0.1:9000/", true, "http://10.0.0.1:9000");
        check("https://[::1]:9000", true, "https://[::1]:9000");
    }

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        for text in ["https://h/path", "https://user:secret@h", "https://h?x", "ftp://h", "h:9000", "h"] {
            let error = Endpoint::read(text, "media", true).unwrap_err();
            assert!(!error.message.contains("secret"), "{error}");
        }
    }
}
