//! `[sinks.NAME.options]` of an archive, from text to a store.

mod folder;
mod oss;
mod s3;
mod written;

use std::sync::Arc;

use object_store::path::Path;
use vodrelay_core::Clock;
use vodrelay_core::config::{ConfigError, Options};

use self::written::Written;
use super::fetches::Fetches;
use super::image_hosts::ImageHosts;
use super::store::{Store, ThreadsOfFolders};

/// What a URL of a store looks like.
const EXPECTED: &str =
    "expected s3://bucket/prefix, oss://bucket/prefix, file:///path, or file:path beside the configuration";
/// Deliveries that fetch images at a time, where `fetches` does not say.
const FETCHES: usize = 3;

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To write to it; a folder is made where there is none.
    Write,
    /// Only to read what is there.
    Read,
}

/// Opens the store that the options name, and makes a client for each of its image hosts. Nothing is sent anywhere yet,
/// and no folder is looked at. The clock says when keys are to be renewed.
pub(super) fn resolve(
    options: &Options,
    clock: &Arc<dyn Clock>,
    folders: &ThreadsOfFolders,
) -> Result<(Store, ImageHosts, Fetches), ConfigError> {
    let written: Written = options.parse()?;
    let image_hosts = ImageHosts::resolve(&written.image_hosts, options.surroundings())?;
    let fetches = Fetches::new(written.fetches.unwrap_or(FETCHES));
    Ok((open(&written, options, Purpose::Write, clock, folders)?, image_hosts, fetches))
}

/// Opens the store that the options name, to read what is there. A folder has to be.
pub(super) fn store_to_read(options: &Options, clock: &Arc<dyn Clock>) -> Result<Store, ConfigError> {
    let store = store_unseen(options, clock, &ThreadsOfFolders::default())?;
    store.look_for_folder().map_err(|message| ConfigError::new("url", message))?;
    Ok(store)
}

/// The same, and nobody looks whether a folder is there.
pub(super) fn store_unseen(
    options: &Options,
    clock: &Arc<dyn Clock>,
    folders: &ThreadsOfFolders,
) -> Result<Store, ConfigError> {
    open(&options.parse()?, options, Purpose::Read, clock, folders)
}

/// The same as [`resolve`], for somebody who writes nothing.
pub(super) fn resolve_to_read(
    options: &Options,
    clock: &Arc<dyn Clock>,
) -> Result<(Store, ImageHosts), ConfigError> {
    let written: Written = options.parse()?;
    let image_hosts = ImageHosts::resolve(&written.image_hosts, options.surroundings())?;
    Ok((open(&written, options, Purpose::Read, clock, &ThreadsOfFolders::default())?, image_hosts))
}

fn open(
    written: &Written,
    options: &Options,
    purpose: Purpose,
    clock: &Arc<dyn Clock>,
    folders: &ThreadsOfFolders,
) -> Result<Store, ConfigError> {
    let wrong = |message: String| ConfigError::new("url", message);
    let url = written.url.as_deref().ok_or_else(|| wrong(format!("is missing; {EXPECTED}")))?;
    let (scheme, rest) =
        url.split_once(':').ok_or_else(|| wrong(format!("{url:?} has no scheme; {EXPECTED}")))?;
    written.refuse_what_is_of_another_scheme(scheme)?;
    match scheme {
        "s3" => s3::open(written, bucket_and_prefix(scheme, rest)?, options.surroundings()),
        "oss" => oss::open(written, bucket_and_prefix(scheme, rest)?, options.surroundings(), clock),
        "file" => folder::open(rest, purpose, options.surroundings(), clock, folders),
        other => Err(wrong(format!("{other:?} is no scheme of a store; {EXPECTED}"))),
    }
}

/// The bucket and the prefix of `s3://bucket/prefix`, by what follows the scheme. What is wrong is not repeated: it may
/// be a key.
fn bucket_and_prefix(scheme: &str, rest: &str) -> Result<(String, Path), ConfigError> {
    let wrong = |message: String| Err(ConfigError::new("url", message));
    let Some(rest) = rest.strip_prefix("//") else {
        return wrong(format!("expected {scheme}://bucket/prefix"));
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return wrong(format!("expected a bucket after {scheme}://"));
    }
    if bucket.contains('@') {
        let keys = if scheme == "oss" { "credentials" } else { "access_key_id and secret_access_key" };
        return wrong(format!("has keys in it, which stand in {keys}; expected {scheme}://bucket/prefix"));
    }
    if rest.contains(['?', '#']) {
        return wrong(format!("has a ? or # in it, which no prefix has; expected {scheme}://bucket/prefix"));
    }
    if !is_name_of_bucket(bucket) {
        return wrong(
            "does not name a bucket: a name has 3 to 63 lower-case letters, digits, dots and hyphens, the first and \
             the last of them a letter or a digit"
                .to_owned(),
        );
    }
    if prefix.split('/').any(|part| [".", ".."].contains(&part)) {
        return wrong(
            "has a . or .. in its prefix, which leads nowhere in a bucket; write the prefix out".to_owned(),
        );
    }
    match Path::from_url_path(prefix) {
        Ok(prefix) => Ok((bucket.to_owned(), prefix)),
        Err(error) => wrong(format!("has a prefix that cannot be used: {error}")),
    }
}

/// The rules of S3 (*Bucket naming rules* in its user guide), which those of OSS are within.
fn is_name_of_bucket(name: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| is_plain(byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(is_plain)
        && bytes.last().is_some_and(is_plain)
}

/// A region of a bucket, as requests are signed for it.
fn checked_region(region: &str) -> Result<&str, ConfigError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.is_empty() && region.bytes().all(fits) {
        return Ok(region);
    }
    let message =
        format!("{region:?} is no region: expected lower-case letters, digits and hyphens, like eu-west-1");
    Err(ConfigError::new("region", message))
}
