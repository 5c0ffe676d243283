//! The sinks against real servers and real folders.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod archive;
mod bucket;
mod image_store;
mod images;
mod images_fetched;
mod images_in_bucket;
mod images_kept;
mod images_later;
mod images_refused;
mod options;
mod protocol;
mod reader;
mod s3;
mod script;
mod seaweedfs;
mod server;
mod webhook;

use std::sync::Arc;

use vodrelay_core::config::{Options, Surroundings};
use vodrelay_core::testing::ManualClock;
use vodrelay_core::{Name, Sink};

/// Builds a sink of that kind from options in TOML's sister JSON; the clock stands at 2023-11-14T22:13:20Z.
fn build(
    kind: &str,
    options: serde_json::Value,
    surroundings: Surroundings,
) -> Result<Arc<dyn Sink>, String> {
    build_at(Arc::new(ManualClock::default()), kind, options, surroundings)
}

fn build_at(
    clock: Arc<ManualClock>,
    kind: &str,
    options: serde_json::Value,
    surroundings: Surroundings,
) -> Result<Arc<dyn Sink>, String> {
    let factories = vodrelay_sinks::factories(clock);
    let factory = factories.iter().find(|factory| factory.kind() == kind).unwrap();
    let built = factory.build(Name::new("test").unwrap(), Options::new(options, surroundings));
    built.map_err(|error| error.to_string())
}
