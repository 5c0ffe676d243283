//! `[sinks.NAME.options]` of an archive, from text to a store.

use std::path::Path as FilePath;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use serde::{Deserialize, Deserializer};
use url::Url;
use vodrelay_core::config::{ConfigError, Options, SecretSource, Surroundings};

use super::image_hosts::{self, ImageHosts};
use super::store::Store;

/// The keys as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
    #[serde(default, deserialize_with = "yes_or_no")]
    path_style: Option<bool>,
    access_key_id: Option<SecretSource>,
    secret_access_key: Option<SecretSource>,
    session_token: Option<SecretSource>,
    #[serde(default)]
    image_hosts: Vec<image_hosts::Written>,
}

/// Opens the store that the options name, and makes a client for each of its image hosts. Nothing is sent anywhere yet.
pub(super) fn resolve(options: &Options) -> Result<(Store, ImageHosts), ConfigError> {
    let written: Written = options.parse()?;
    let image_hosts = ImageHosts::resolve(&written.image_hosts, options.surroundings())?;
    Ok((store(&written, options)?, image_hosts))
}

fn store(written: &Written, options: &Options) -> Result<Store, ConfigError> {
    let wrong = |message: String| ConfigError::new("url", message);
    let expected = "expected s3://bucket/prefix, file:///path, or file:path beside the configuration";
    let (scheme, rest) = written
        .url
        .split_once(':')
        .ok_or_else(|| wrong(format!("{:?} has no scheme; {expected}", written.url)))?;
    match scheme {
        "s3" => bucket(written, options.surroundings()),
        "file" => folder(written, rest, options.surroundings()),
        "oss" => {
            let message = "oss:// is not supported yet; OSS takes s3://bucket/prefix with its S3-compatible endpoint, \
                           for example endpoint = \"https://s3.oss-cn-shanghai.aliyuncs.com\"";
            Err(wrong(message.to_owned()))
        }
        other => Err(wrong(format!("{other:?} is no scheme of a store; {expected}"))),
    }
}

fn folder(written: &Written, rest: &str, surroundings: &Surroundings) -> Result<Store, ConfigError> {
    let given = [
        ("endpoint", written.endpoint.is_some()),
        ("region", written.region.is_some()),
        ("path_style", written.path_style.is_some()),
        ("access_key_id", written.access_key_id.is_some()),
        ("secret_access_key", written.secret_access_key.is_some()),
        ("session_token", written.session_token.is_some()),
    ];
    if let Some((key, _)) = given.iter().find(|(_, is_given)| *is_given) {
        return Err(ConfigError::new(*key, "belongs to s3://; a folder has no use for it"));
    }
    let wrong = |message: String| ConfigError::new("url", message);
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err(wrong("expected file:///path with three slashes, or file:path".to_owned())),
        None => rest,
    };
    if path.is_empty() {
        return Err(wrong("expected a path after file:".to_owned()));
    }
    let folder = surroundings.resolve(FilePath::new(path));
    std::fs::create_dir_all(&folder)
        .map_err(|error| wrong(format!("cannot create the folder {}: {error}", folder.display())))?;
    let objects = LocalFileSystem::new_with_prefix(&folder)
        .map_err(|error| wrong(format!("cannot use the folder {}: {error}", folder.display())))?
        // Settled means kept, and what the system has only in memory is not kept.
        .with_fsync(true);
    Ok(Store::new(Box::new(objects), Path::default(), folder.display().to_string()))
}

fn bucket(written: &Written, surroundings: &Surroundings) -> Result<Store, ConfigError> {
    crate::tls::choose_provider();
    let wrong = |message: String| ConfigError::new("url", message);
    let url =
        Url::parse(&written.url).map_err(|error| wrong(format!("expected s3://bucket/prefix: {error}")))?;
    let bucket = url.host_str().ok_or_else(|| wrong("expected a bucket after s3://".to_owned()))?;
    let prefix = Path::from_url_path(url.path())
        .map_err(|error| wrong(format!("the prefix cannot be used: {error}")))?;

    let mut builder = from_environment(surroundings)
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!written.path_style.unwrap_or(false))
        .with_retry(few_and_short_retries());
    if let Some(endpoint) = &written.endpoint {
        builder = builder.with_endpoint(endpoint_url(endpoint, bucket, written.path_style)?);
    }
    let is_plain = written.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    builder = builder.with_client_options(ClientOptions::new().with_allow_http(is_plain));
    if let Some(region) = &written.region {
        builder = builder.with_region(region);
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
    require_both_keys(written)?;
    let objects = builder.build().map_err(|error| wrong(format!("the store cannot be used: {error}")))?;
    Ok(Store::new(Box::new(objects), prefix, format!("s3://{bucket}")))
}

/// The variables that other S3 tools read as well: `AWS_ACCESS_KEY_ID`, `AWS_REGION` and their kin.
fn from_environment(surroundings: &Surroundings) -> AmazonS3Builder {
    let known = surroundings.environment.iter().filter_map(|(name, value)| {
        let key = name.strip_prefix("AWS_").map(|_| name.to_ascii_lowercase())?;
        Some((key.parse::<AmazonS3ConfigKey>().ok()?, value))
    });
    known.fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value))
}

/// The endpoint as the store's client wants it: with the bucket in the host, unless it stands in the path.
fn endpoint_url(text: &str, bucket: &str, path_style: Option<bool>) -> Result<String, ConfigError> {
    let wrong = |cause: String| {
        ConfigError::new("endpoint", format!("expected a URL like https://s3.example.com: {cause}"))
    };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    let host = url.host_str().ok_or_else(|| wrong("it has no host".to_owned()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("{:?} is neither http nor https", url.scheme())));
    }
    if path_style.unwrap_or(false) || host.starts_with(&format!("{bucket}.")) {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{}://{bucket}.{host}{port}", url.scheme()))
}

fn require_both_keys(written: &Written) -> Result<(), ConfigError> {
    match (&written.access_key_id, &written.secret_access_key) {
        (Some(_), None) => Err(ConfigError::new("secret_access_key", "is missing beside access_key_id")),
        (None, Some(_)) => Err(ConfigError::new("access_key_id", "is missing beside secret_access_key")),
        _ => Ok(()),
    }
}

/// The dispatcher tries again for days; the store's client only bridges a hiccup.
fn few_and_short_retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(1), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 2, retry_timeout: Duration::from_secs(10) }
}

/// A boolean, or its text as an environment variable gives it.
fn yes_or_no<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected true or false")]
    enum Given {
        Bool(bool),
        Text(String),
    }
    match Given::deserialize(deserializer)? {
        Given::Bool(value) => Ok(Some(value)),
        Given::Text(text) => match text.as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(serde::de::Error::custom(format!("{text:?} is neither true nor false"))),
        },
    }
}
