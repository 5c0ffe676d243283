//! How a host wants its URLs signed, from the table `auth` to a signed URL.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use url::Url;
use vod_event::{CdnAuth, CdnAuthType, OssAuth, PrivateKey, UrlAuthError};
use vodrelay_core::config::{ConfigError, Secret, SecretSource, Surroundings};

/// How long a pre-signed URL of OSS is good. It is used at once; an hour leaves room for a clock that is off.
const OSS_VALIDITY: Duration = Duration::from_secs(3600);

/// The keys as they are written. Which of them belong together depends on `type`, so they are told apart by hand, and
/// what is wrong is said with its path.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table like { type = \"A\", key = … }")]
pub(super) struct Written {
    r#type: Option<String>,
    key: Option<SecretSource>,
    keys: Option<Vec<SecretSource>>,
    access_key_id: Option<SecretSource>,
    access_key_secret: Option<SecretSource>,
    security_token: Option<SecretSource>,
    bucket: Option<String>,
    region: Option<String>,
}

/// Signs the URLs of a host.
#[derive(Clone)]
pub(in crate::archive) enum Auth {
    /// URLs are asked for as they are.
    None,
    Cdn(CdnAuth),
    Oss(Box<Oss>),
}

/// Who signs, as far as that explains a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Signer {
    Nobody,
    Cdn,
    Oss,
}

/// Keys of Alibaba Cloud, and the bucket where the host does not tell it.
#[derive(Clone)]
pub(in crate::archive) struct Oss {
    access_key_id: Secret,
    access_key_secret: Secret,
    security_token: Option<Secret>,
    bucket_and_region: Option<(String, String)>,
}

/// Which of a domain's keys signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Key {
    Primary,
    Secondary,
}

impl Auth {
    /// Whether it signs for a bucket of VOD's own.
    pub(in crate::archive) fn is_of_vod(&self) -> bool {
        let Self::Oss(oss) = self else { return false };
        oss.bucket_and_region.as_ref().is_some_and(|(bucket, _)| bucket.starts_with("outin-"))
    }

    pub(in crate::archive) fn signer(&self) -> Signer {
        match self {
            Self::None => Signer::Nobody,
            Self::Cdn(_) => Signer::Cdn,
            Self::Oss(_) => Signer::Oss,
        }
    }

    /// The URL as it is to be asked for.
    pub(in crate::archive) fn sign(&self, url: &Url, now: Timestamp) -> Result<Url, UrlAuthError> {
        match self {
            Self::None => Ok(url.clone()),
            Self::Cdn(auth) => parsed(&auth.sign(url.as_str(), now)?),
            Self::Oss(oss) => parsed(&oss.sign(url, now)?),
        }
    }

    /// The same with the secondary key, where there is one.
    pub(in crate::archive) fn sign_with_secondary(
        &self,
        url: &Url,
        now: Timestamp,
    ) -> Result<Option<Url>, UrlAuthError> {
        let Self::Cdn(auth) = self else { return Ok(None) };
        auth.sign_with_secondary(url.as_str(), now)?.map(|signed| parsed(&signed)).transpose()
    }
}

/// What was signed is a URL already; should it ever not be one, there is no host in it to ask.
fn parsed(signed: &str) -> Result<Url, UrlAuthError> {
    Url::parse(signed).map_err(|_| UrlAuthError::BadHost)
}

impl Oss {
    fn sign(&self, url: &Url, now: Timestamp) -> Result<String, UrlAuthError> {
        let of_bucket = self.bucket_and_region.as_ref();
        let auth = OssAuth {
            access_key_id: self.access_key_id.expose(),
            access_key_secret: self.access_key_secret.expose(),
            security_token: self.security_token.as_ref().map(Secret::expose),
            bucket_and_region: of_bucket.map(|(bucket, region)| (bucket.as_str(), region.as_str())),
            sign_host: false,
        };
        auth.presign_get(url.as_str(), now, OSS_VALIDITY)
    }
}

impl fmt::Debug for Auth {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Cdn(auth) => write!(f, "Cdn({})", auth.auth_type()),
            Self::Oss(_) => f.write_str("Oss"),
        }
    }
}

impl Written {
    pub(super) fn resolve(&self, surroundings: &Surroundings) -> Result<Auth, ConfigError> {
        let wrong = |message: String| ConfigError::new("type", message);
        let name = self.r#type.as_deref();
        let name = name.ok_or_else(|| wrong("is missing: expected A, B, C (or C1), C2 or oss".to_owned()))?;
        if name == "oss" {
            return self.oss(surroundings);
        }
        let auth_type: CdnAuthType = name.parse().map_err(|_| {
            wrong(format!("{name:?} is no type of signing: expected A, B, C (or C1), C2 or oss"))
        })?;
        self.cdn(auth_type, surroundings)
    }

    fn cdn(&self, auth_type: CdnAuthType, surroundings: &Surroundings) -> Result<Auth, ConfigError> {
        let of_oss = [
            ("access_key_id", self.access_key_id.is_some()),
            ("access_key_secret", self.access_key_secret.is_some()),
            ("security_token", self.security_token.is_some()),
            ("bucket", self.bucket.is_some()),
            ("region", self.region.is_some()),
        ];
        refuse(&of_oss, "belongs to type = \"oss\"; types of the CDN take key or keys")?;
        let (path, sources) = match (&self.key, &self.keys) {
            (Some(key), None) => ("key", std::slice::from_ref(key)),
            (None, Some(keys)) => ("keys", keys.as_slice()),
            (None, None) => {
                return Err(ConfigError::new("key", "is missing: the key of the domain's URL signing"));
            }
            (Some(_), Some(_)) => {
                return Err(ConfigError::new("keys", "stands beside key; write one of them"));
            }
        };
        let resolve = |source: &SecretSource| {
            let secret = source.resolve(surroundings).map_err(|error| error.within(path))?;
            Ok(PrivateKey::new(secret.expose()))
        };
        let keys = sources.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        let auth = |primary: &PrivateKey| CdnAuth::new(auth_type, primary.clone());
        match keys.as_slice() {
            [primary] => Ok(Auth::Cdn(auth(primary))),
            [primary, secondary] => Ok(Auth::Cdn(auth(primary).with_secondary(secondary.clone()))),
            other => {
                let message =
                    format!("expected the primary and the secondary key, not {} of them", other.len());
                Err(ConfigError::new("keys", message))
            }
        }
    }

    fn oss(&self, surroundings: &Surroundings) -> Result<Auth, ConfigError> {
        let of_cdn = [("key", self.key.is_some()), ("keys", self.keys.is_some())];
        refuse(
            &of_cdn,
            "belongs to the types of the CDN; type = \"oss\" takes access_key_id and access_key_secret",
        )?;
        let resolve = |path: &str, source: &SecretSource| {
            source.resolve(surroundings).map_err(|error| error.within(path))
        };
        let required = |path: &'static str, source: &Option<SecretSource>| {
            let source = source
                .as_ref()
                .ok_or_else(|| ConfigError::new(path, "is missing: type = \"oss\" needs it"))?;
            resolve(path, source)
        };
        let token = self.security_token.as_ref();
        let bucket_and_region = match (&self.bucket, &self.region) {
            (Some(bucket), Some(region)) => Some((bucket.clone(), region.clone())),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::new("region", "is missing beside bucket")),
            (None, Some(_)) => return Err(ConfigError::new("bucket", "is missing beside region")),
        };
        Ok(Auth::Oss(Box::new(Oss {
            access_key_id: required("access_key_id", &self.access_key_id)?,
            access_key_secret: required("access_key_secret", &self.access_key_secret)?,
            security_token: token.map(|source| resolve("security_token", source)).transpose()?,
            bucket_and_region,
        })))
    }
}

/// Refuses the first of these keys that is given.
fn refuse(given: &[(&'static str, bool)], why: &str) -> Result<(), ConfigError> {
    given.iter().find(|(_, is_given)| *is_given).map_or(Ok(()), |(key, _)| Err(ConfigError::new(*key, why)))
}
