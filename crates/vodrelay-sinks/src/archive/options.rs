//! `[sinks.NAME.options]` of an archive, from text to a store.

mod folder;
mod oss;
mod s3;
mod written;

use std::sync::Arc;

use object_store::path::Path;
use url::Url;
use vodrelay_core::Clock;
use vodrelay_core::config::{ConfigError, Options};

use self::written::Written;
use super::fetches::Fetches;
use super::image_hosts::ImageHosts;
use super::store::Store;

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

/// Opens the store that the options name, and makes a client for each of its image hosts. Nothing is sent anywhere yet.
/// The clock says when keys are to be renewed.
pub(super) fn resolve(
    options: &Options,
    clock: &Arc<dyn Clock>,
) -> Result<(Store, ImageHosts, Fetches), ConfigError> {
    let written: Written = options.parse()?;
    let image_hosts = ImageHosts::resolve(&written.image_hosts, options.surroundings())?;
    let fetches = Fetches::new(written.fetches.unwrap_or(FETCHES));
    Ok((open(&written, options, Purpose::Write, clock)?, image_hosts, fetches))
}

/// Opens the store that the options name, to read what is there.
pub(super) fn store_to_read(options: &Options, clock: &Arc<dyn Clock>) -> Result<Store, ConfigError> {
    open(&options.parse()?, options, Purpose::Read, clock)
}

fn open(
    written: &Written,
    options: &Options,
    purpose: Purpose,
    clock: &Arc<dyn Clock>,
) -> Result<Store, ConfigError> {
    let expected = "expected s3://bucket/prefix, oss://bucket/prefix, file:///path, or file:path beside the configuration";
    let (scheme, rest) = written
        .url
        .split_once(':')
        .ok_or_else(|| ConfigError::new("url", format!("{:?} has no scheme; {expected}", written.url)))?;
    written.refuse_what_is_of_another_scheme(scheme)?;
    match scheme {
        "s3" => s3::open(written, options.surroundings()),
        "oss" => oss::open(written, options.surroundings(), clock),
        "file" => folder::open(rest, purpose, options.surroundings()),
        other => Err(ConfigError::new("url", format!("{other:?} is no scheme of a store; {expected}"))),
    }
}

/// The bucket and the prefix of `s3://bucket/prefix`.
fn bucket_and_prefix(url: &str) -> Result<(String, Path), ConfigError> {
    let wrong = |message: String| ConfigError::new("url", message);
    let scheme = url.split(':').next().unwrap_or_default();
    let url =
        Url::parse(url).map_err(|error| wrong(format!("expected {scheme}://bucket/prefix: {error}")))?;
    let bucket = url.host_str().ok_or_else(|| wrong(format!("expected a bucket after {scheme}://")))?;
    let prefix = Path::from_url_path(url.path())
        .map_err(|error| wrong(format!("the prefix cannot be used: {error}")))?;
    Ok((bucket.to_owned(), prefix))
}
