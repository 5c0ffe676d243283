#![doc = include_str!("../README.md")]

use std::sync::Arc;

use vodrelay_core::{Clock, SinkFactory};

#[cfg(feature = "archive")]
pub mod archive;
#[cfg(any(feature = "webhook", feature = "archive"))]
mod exchange;
#[cfg(any(feature = "webhook", feature = "archive"))]
mod tls;
#[cfg(feature = "webhook")]
pub mod webhook;

/// The factories of every kind of sink that this build has. The clock tells when an attempt is made, which signatures
/// cover.
#[must_use]
pub fn factories(clock: Arc<dyn Clock>) -> Vec<Arc<dyn SinkFactory>> {
    vec![
        #[cfg(feature = "webhook")]
        Arc::new(webhook::Factory::new(Arc::clone(&clock))),
        #[cfg(feature = "archive")]
        Arc::new(archive::Factory::new(clock)),
    ]
}
