//! URLs that a file can be fetched by: `FileURL` comes unsigned, and a CDN or bucket that is not public answers it 403.

mod cdn;
mod oss;
mod parts;

use thiserror::Error;

pub use cdn::{CdnAuth, CdnAuthType};
pub use oss::OssAuth;

/// Why a URL cannot be signed. It never has the URL in it, which may be signed already, nor a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UrlAuthError {
    /// The URL has another scheme, or none.
    #[error("the URL does not begin with http:// or https://")]
    NotHttp,
    /// What stands in the host's place is none.
    #[error("the URL has no host in ASCII after its scheme, or a user name before it")]
    BadHost,
    /// The path has a segment `.` or `..`, which a client would take out, so that another path would be requested
    /// than the one that was signed.
    #[error("the URL's path has a segment . or .., which clients take out before they ask for it")]
    DotSegment,
    /// The type is not one of the CDN's.
    #[error("there is no URL signing of type {0:?}; expected A, B, C1 (or C) or C2")]
    UnknownType(String),
    /// `rand` or `uid` would break the parameter that it becomes a part of.
    #[error("{what} is not 1 to 64 ASCII letters and digits (of a UUID, leave the hyphens out)")]
    BadWord {
        /// Which of the two.
        what: &'static str,
    },
    /// The time cannot be written in a signature.
    #[error("the time of the signature is before 1970")]
    BeforeEpoch,
    /// OSS takes another span.
    #[error("a pre-signed URL is valid for 1 s to 7 days, not for {seconds} s")]
    BadExpiry {
        /// The span that was asked for.
        seconds: u64,
    },
    /// A signature for a bucket itself would let its reader list it.
    #[error("the URL names a bucket and no object in it")]
    NoObject,
    /// The host does not tell what has to be signed.
    #[error("the host is not like BUCKET.oss-REGION.aliyuncs.com, so bucket and region have to be given")]
    UnknownBucket,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
