//! Pre-signed URLs of OSS, version 4: for a bucket that is not public, where no CDN stands before it.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::tz::Offset;
use sha2::{Digest, Sha256};

use super::parts::{Parts, decode, encode_bytes};
use super::{UrlAuthError, hex};

const ALGORITHM: &str = "OSS4-HMAC-SHA256";
/// The longest that OSS takes, in seconds.
const LONGEST: u64 = 604_800;
/// Signatures of this and the older version, which a new one takes the place of.
const OLD_SIGNATURES: [&str; 11] = [
    "x-oss-signature-version",
    "x-oss-credential",
    "x-oss-date",
    "x-oss-expires",
    "x-oss-signature",
    "x-oss-security-token",
    "x-oss-additional-headers",
    "OSSAccessKeyId",
    "Expires",
    "Signature",
    "security-token",
];

/// Who signs for OSS, and for which bucket (provider's page *V4 signatures in presigned URLs*).
///
/// The keys have to be entitled to read the object. Those of an ordinary user are not for the buckets whose names begin
/// with `outin-`: they belong to VOD itself.
#[derive(Clone, Copy)]
pub struct OssAuth<'a> {
    /// The AccessKeyId.
    pub access_key_id: &'a str,
    /// The AccessKeySecret.
    pub access_key_secret: &'a str,
    /// The SecurityToken that goes with temporary keys. The URL ends when they do, if that is sooner.
    pub security_token: Option<&'a str>,
    /// Bucket and region (`cn-shanghai`), in that order, for a host that does not tell them: a domain of one's own. Such
    /// a host stands for the bucket, as `BUCKET.oss-REGION.aliyuncs.com` and its `-internal` do.
    pub bucket_and_region: Option<(&'a str, &'a str)>,
    /// Whether the signature covers the host, so that the URL is good for this one alone.
    pub sign_host: bool,
}

impl OssAuth<'_> {
    /// The URL of an object, signed for GET from that time on, for that long (whole seconds, 1 s to 7 days). The path
    /// is taken as the object's key, decoded once and encoded once; the query is signed as well, but for whatever
    /// signature stands there, which is replaced.
    ///
    /// # Errors
    /// If the URL is not one that a client would request as it stands, its bucket is not known, or the span is one that
    /// OSS does not take.
    pub fn presign_get(&self, url: &str, at: Timestamp, valid_for: Duration) -> Result<String, UrlAuthError> {
        let seconds = valid_for.as_secs();
        if !(1..=LONGEST).contains(&seconds) {
            return Err(UrlAuthError::BadExpiry { seconds });
        }
        let parts = Parts::read(url)?.with_path_as_key()?;
        let (bucket, region) = self
            .bucket_and_region
            .or_else(|| of_host(&parts.authority))
            .ok_or(UrlAuthError::UnknownBucket)?;
        let time = SigningTime::new(at)?;
        let mut query: Vec<(String, String)> =
            parts.parameters(&OLD_SIGNATURES).into_iter().map(encoded_pair).filter(says_something).collect();
        query.extend(
            self.parameters(&time, region, seconds).map(|(name, value)| {
                (encode_bytes(name.as_bytes(), b""), encode_bytes(value.as_bytes(), b""))
            }),
        );
        let query = canonical_query(query);
        let (headers, names) = if self.sign_host {
            (format!("host:{}\n", parts.authority), "host")
        } else {
            (String::new(), "")
        };
        let path = &parts.path;
        let request = format!("GET\n/{bucket}{path}\n{query}\n{headers}\n{names}\nUNSIGNED-PAYLOAD");
        let signature = sign(self.access_key_secret, &time, region, &request);
        Ok(parts.with_query("", &format!("{query}&x-oss-signature={signature}")))
    }

    fn parameters(
        &self,
        time: &SigningTime,
        region: &str,
        seconds: u64,
    ) -> impl Iterator<Item = (&'static str, String)> {
        let always = [
            ("x-oss-signature-version", ALGORITHM.to_owned()),
            ("x-oss-credential", format!("{}/{}", self.access_key_id, time.scope(region))),
            ("x-oss-date", time.whole.clone()),
            ("x-oss-expires", seconds.to_string()),
        ];
        let token = self.security_token.map(|token| ("x-oss-security-token", token.to_owned()));
        let host = self.sign_host.then(|| ("x-oss-additional-headers", "host".to_owned()));
        always.into_iter().chain(token).chain(host)
    }
}

impl fmt::Debug for OssAuth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OssAuth")
            .field("access_key_id", &self.access_key_id)
            .field("bucket_and_region", &self.bucket_and_region)
            .field("sign_host", &self.sign_host)
            .finish_non_exhaustive()
    }
}

/// A time as signatures have it.
struct SigningTime {
    /// `20231114T221320Z`
    whole: String,
    /// `20231114`
    day: String,
}

impl SigningTime {
    fn new(at: Timestamp) -> Result<Self, UrlAuthError> {
        if at < Timestamp::UNIX_EPOCH {
            return Err(UrlAuthError::BeforeEpoch);
        }
        let time = Offset::UTC.to_datetime(at);
        Ok(Self {
            whole: time.strftime("%Y%m%dT%H%M%SZ").to_string(),
            day: time.strftime("%Y%m%d").to_string(),
        })
    }

    fn scope(&self, region: &str) -> String {
        format!("{}/{region}/oss/aliyun_v4_request", self.day)
    }
}

/// The two that a virtual-hosted endpoint names.
fn of_host(authority: &str) -> Option<(&str, &str)> {
    let host = authority.split_once(':').map_or(authority, |(host, _)| host);
    let (bucket, endpoint) = host.strip_suffix(".aliyuncs.com")?.split_once(".oss-")?;
    let region = endpoint.strip_suffix("-internal").unwrap_or(endpoint);
    // A dot is in neither, and the endpoint for acceleration is of every region.
    let is_name = |name: &str| !name.is_empty() && !name.contains('.');
    (is_name(bucket) && is_name(region) && !region.starts_with("accelerate")).then_some((bucket, region))
}

/// A parameter as it came, decoded and encoded. A `+` in a query is a blank.
fn encoded_pair(parameter: &str) -> (String, String) {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let again = |text: &str| encode_bytes(&decode(&text.replace('+', "%20")), b"");
    (again(name), again(value))
}

/// A lone `=` is neither a name nor a value, and in the canonical form would be nothing between two `&`.
fn says_something((name, value): &(String, String)) -> bool {
    !name.is_empty() || !value.is_empty()
}

/// Sorted by name; an empty value has no `=`.
fn canonical_query(mut encoded: Vec<(String, String)>) -> String {
    encoded.sort();
    let write =
        |(name, value): (String, String)| if value.is_empty() { name } else { format!("{name}={value}") };
    encoded.into_iter().map(write).collect::<Vec<_>>().join("&")
}

fn string_to_sign(time: &SigningTime, region: &str, request: &str) -> String {
    let digest = hex(&Sha256::digest(request));
    format!("{ALGORITHM}\n{}\n{}\n{digest}", time.whole, time.scope(region))
}

fn sign(secret: &str, time: &SigningTime, region: &str, request: &str) -> String {
    let text = string_to_sign(time, region, request);
    let first = format!("aliyun_v4{secret}").into_bytes();
    let steps = [time.day.as_str(), region, "oss", "aliyun_v4_request", &text];
    hex(&steps.into_iter().fold(first, |key, step| hmac(&key, step)))
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests;
