//! What can be said of an archive by its options alone, for people who check a configuration.

use std::sync::Arc;
use std::time::Duration;

use vodrelay_core::Clock;
use vodrelay_core::config::{ConfigError, Options};

use super::options;

/// What an archive is, by its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Where it keeps what it keeps; two archives with the same place write the same objects.
    pub place: String,
    /// Which images are fetched, a fragment.
    pub images: String,
    /// What is most likely not meant, a sentence each.
    pub doubts: Vec<String>,
}

/// Looks at the options of an archive whose deliveries may take `timeout`. Nobody is asked.
///
/// # Errors
/// If the options are wrong, as for the sink.
pub fn survey(options: &Options, timeout: Duration, clock: &Arc<dyn Clock>) -> Result<Survey, ConfigError> {
    let (store, image_hosts) = options::resolve_to_read(options, clock)?;
    Ok(Survey { place: store.place(), images: image_hosts.summary(), doubts: image_hosts.doubts(timeout) })
}
