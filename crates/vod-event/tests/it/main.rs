//! What can only be seen from outside: every fixture, the vectors of callbacks and URLs, properties, hostile input.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as the test may")]

mod callbacks;
mod fixtures;
mod hostile;
mod properties;
mod schema;
mod urls;
