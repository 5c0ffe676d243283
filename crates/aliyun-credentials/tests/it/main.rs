//! What can only be seen from outside: every source with real files and sockets, and the provider on a clock of its own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod config;
mod ecs;
mod files;
mod metadata;
mod provider;

use aliyun_credentials::{CredentialError, Credentials, ErrorKind};

/// What each secret of these tests begins with, so that any of them is found in a message.
pub(crate) const SECRET: &str = "s3cret";

/// The error is of that kind, says that, and no secret.
#[track_caller]
pub(crate) fn check_error(result: Result<Credentials, CredentialError>, kind: ErrorKind, says: &str) {
    let error = result.expect_err("credentials came out");
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(says), "{error} does not say {says:?}");
    assert!(!format!("{error} {error:?}").contains(SECRET), "{error} has a secret in it");
}
