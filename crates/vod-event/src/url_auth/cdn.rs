//! The URL signing of Alibaba's CDN, which VOD's accelerated domains use: types A, B and C, the last in two forms.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::Offset;
use md5::{Digest, Md5};

use super::parts::Parts;
use super::{UrlAuthError, hex};
use crate::proof::PrivateKey;

/// How a domain of the CDN wants its URLs signed (provider's pages *Type A signing*, *Type B signing*, *Type C
/// signing*).
///
/// The signature covers the path and the time, neither scheme nor host nor query: a URL can be upgraded to https
/// before or after.
#[derive(Clone, Debug)]
pub struct CdnAuth {
    auth_type: CdnAuthType,
    primary: PrivateKey,
    secondary: Option<PrivateKey>,
    rand: String,
    uid: String,
}

/// Where the signature stands, and how its time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CdnAuthType {
    /// `/path?auth_key=TIME-RAND-UID-MD5`, the time in seconds since 1970.
    A,
    /// `/TIME/MD5/path`, the time as `yyyyMMddHHmm` in UTC+8.
    B,
    /// `/MD5/TIME/path`, the time in seconds since 1970, in hex.
    C1,
    /// `/path?KEY1=MD5&KEY2=TIME`, the time as in C1.
    C2,
}

/// The CDN's own time zone, whatever the domain's region is.
const UTC_8: Offset = jiff::tz::offset(8);

impl CdnAuth {
    /// Signing of that type with the domain's primary key.
    #[must_use]
    pub fn new(auth_type: CdnAuthType, primary: PrivateKey) -> Self {
        let zero = || "0".to_owned();
        Self { auth_type, primary, secondary: None, rand: zero(), uid: zero() }
    }

    /// The same, with the domain's secondary key as well. The CDN takes either, so that a key can be changed: what the
    /// primary has signed is invalid as soon as it is another.
    #[must_use]
    pub fn with_secondary(self, secondary: PrivateKey) -> Self {
        Self { secondary: Some(secondary), ..self }
    }

    /// The same, with a random word in signatures of type A, which have `0` there otherwise.
    ///
    /// # Errors
    /// If it is not made of letters and digits: a hyphen would end it.
    pub fn with_rand(self, rand: impl Into<String>) -> Result<Self, UrlAuthError> {
        Ok(Self { rand: word("rand", rand.into())?, ..self })
    }

    /// The same, with that user in signatures of type A. The provider's documents want the `0` that stands there
    /// otherwise.
    ///
    /// # Errors
    /// If it is not made of letters and digits.
    pub fn with_uid(self, uid: impl Into<String>) -> Result<Self, UrlAuthError> {
        Ok(Self { uid: word("uid", uid.into())?, ..self })
    }

    /// Which type it is.
    #[must_use]
    pub fn auth_type(&self) -> CdnAuthType {
        self.auth_type
    }

    /// The URL, signed with the primary key as of that time.
    ///
    /// The URL lives for as long after that time as the domain's validity period says (30 minutes unless it was
    /// changed); a later time makes it live longer, an earlier one shorter. Type B cuts the seconds off. Whatever
    /// signature of the same type stands in the query is replaced.
    ///
    /// # Errors
    /// If the URL is not one that a client would request as it stands, or the time is before 1970.
    pub fn sign(&self, url: &str, at: Timestamp) -> Result<String, UrlAuthError> {
        self.sign_with(&self.primary, url, at)
    }

    /// The same with the secondary key, where there is one: for a CDN that calls the first signature invalid.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    pub fn sign_with_secondary(&self, url: &str, at: Timestamp) -> Result<Option<String>, UrlAuthError> {
        self.secondary.as_ref().map(|key| self.sign_with(key, url, at)).transpose()
    }

    fn sign_with(&self, key: &PrivateKey, url: &str, at: Timestamp) -> Result<String, UrlAuthError> {
        let parts = Parts::read(url)?;
        let time = self.auth_type.write_time(at)?;
        let (path, key, rand, uid) = (parts.path.as_str(), key.expose(), &self.rand, &self.uid);
        Ok(match self.auth_type {
            CdnAuthType::A => {
                let digest = md5(&[path, "-", &time, "-", rand, "-", uid, "-", key]);
                parts.signed("", &[("auth_key", format!("{time}-{rand}-{uid}-{digest}"))])
            }
            CdnAuthType::B => {
                let digest = md5(&[key, &time, path]);
                parts.signed(&format!("/{time}/{digest}"), &[])
            }
            CdnAuthType::C1 => {
                let digest = md5(&[key, path, &time]);
                parts.signed(&format!("/{digest}/{time}"), &[])
            }
            CdnAuthType::C2 => {
                let digest = md5(&[key, path, &time]);
                parts.signed("", &[("KEY1", digest), ("KEY2", time)])
            }
        })
    }
}

impl CdnAuthType {
    fn write_time(self, at: Timestamp) -> Result<String, UrlAuthError> {
        let seconds = u64::try_from(at.as_second()).map_err(|_| UrlAuthError::BeforeEpoch)?;
        Ok(match self {
            Self::A => seconds.to_string(),
            Self::B => UTC_8.to_datetime(at).strftime("%Y%m%d%H%M").to_string(),
            Self::C1 | Self::C2 => format!("{seconds:08X}"),
        })
    }
}

impl FromStr for CdnAuthType {
    type Err = UrlAuthError;

    /// `C` is the first form of C, as the CDN's console has it.
    fn from_str(text: &str) -> Result<Self, UrlAuthError> {
        match text.to_ascii_uppercase().as_str() {
            "A" => Ok(Self::A),
            "B" => Ok(Self::B),
            "C" | "C1" => Ok(Self::C1),
            "C2" => Ok(Self::C2),
            _ => Err(UrlAuthError::UnknownType(text.to_owned())),
        }
    }
}

impl fmt::Display for CdnAuthType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C1 => "C1",
            Self::C2 => "C2",
        })
    }
}

fn md5(parts: &[&str]) -> String {
    let digest = parts.iter().fold(Md5::new(), |md5, part| md5.chain_update(part));
    hex(&digest.finalize())
}

fn word(what: &'static str, text: String) -> Result<String, UrlAuthError> {
    let is_word = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word { Ok(text) } else { Err(UrlAuthError::BadWord { what }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn auth(auth_type: CdnAuthType) -> CdnAuth {
        CdnAuth::new(auth_type, PrivateKey::new("aliyunvodexp1234"))
    }

    fn sign(auth_type: CdnAuthType, url: &str, at: i64) -> Result<String, UrlAuthError> {
        auth(auth_type).sign(url, Timestamp::from_second(at).unwrap())
    }

    #[test]
    fn the_query_stays_and_an_older_signature_goes() {
        let path = "http://vod.example.com/a/b.gif";
        for (auth_type, stale) in
            [(CdnAuthType::A, "auth_key=1-0-0-x"), (CdnAuthType::C2, "KEY1=x&KEY2=1"), (CdnAuthType::B, "")]
        {
            let once = sign(auth_type, &format!("{path}?x=1&y"), NOW).unwrap();
            assert_eq!(sign(auth_type, &format!("{path}?x=1&{stale}&y#z"), NOW).unwrap(), once);
            assert!(once.contains("?x=1&y"), "{once}");
        }
        let once = sign(CdnAuthType::A, path, NOW).unwrap();
        assert_eq!(sign(CdnAuthType::A, &once, NOW).unwrap(), once);
    }

    #[test]
    fn a_time_is_written_as_the_type_wants_it() {
        let check = |auth_type: CdnAuthType, at: i64, expect: &str| {
            let at = Timestamp::from_second(at).unwrap();
            assert_eq!(auth_type.write_time(at).as_deref(), Ok(expect));
        };
        check(CdnAuthType::A, NOW, "1700000000");
        // 22:13:20 of the day before in UTC.
        check(CdnAuthType::B, NOW, "202311150613");
        check(CdnAuthType::B, NOW + 39, "202311150613");
        check(CdnAuthType::B, NOW + 40, "202311150614");
        check(CdnAuthType::C1, NOW, "6553F100");
        check(CdnAuthType::C2, 0, "00000000");
        for auth_type in [CdnAuthType::A, CdnAuthType::B, CdnAuthType::C1, CdnAuthType::C2] {
            assert_eq!(sign(auth_type, "http://a.example/", -1), Err(UrlAuthError::BeforeEpoch));
            assert!(auth_type.write_time(Timestamp::MAX).is_ok());
        }
    }

    #[test]
    fn either_key_signs() {
        let now = Timestamp::from_second(NOW).unwrap();
        let other = PrivateKey::new("aliyunvodexp5678");
        let both = auth(CdnAuthType::A).with_secondary(other.clone());
        let url = "http://vod.example.com/a/b.gif";
        assert_eq!(both.sign(url, now), auth(CdnAuthType::A).sign(url, now));
        let second = CdnAuth::new(CdnAuthType::A, other).sign(url, now);
        assert_eq!(both.sign_with_secondary(url, now), second.map(Some));
        assert_eq!(auth(CdnAuthType::A).sign_with_secondary(url, now), Ok(None));
    }

    #[test]
    fn rand_and_uid_cannot_break_the_parameter() {
        let long = "a".repeat(65);
        for odd in ["", "477b3bbc-253f-467b-8def-6711128c7bec", "a&b", "ä", &long] {
            assert_eq!(
                auth(CdnAuthType::A).with_rand(odd).unwrap_err(),
                UrlAuthError::BadWord { what: "rand" }
            );
            assert_eq!(
                auth(CdnAuthType::A).with_uid(odd).unwrap_err(),
                UrlAuthError::BadWord { what: "uid" }
            );
        }
        let signed =
            auth(CdnAuthType::A).with_uid("7").unwrap().sign("http://a.example/b", Timestamp::UNIX_EPOCH);
        assert!(signed.unwrap().starts_with("http://a.example/b?auth_key=0-0-7-"));
    }

    #[test]
    fn types_go_by_their_names() {
        for (text, name) in [("a", "A"), ("B", "B"), ("C", "C1"), ("c1", "C1"), ("C2", "C2")] {
            assert_eq!(text.parse::<CdnAuthType>().unwrap().to_string(), name);
        }
        assert!(
            "F".parse::<CdnAuthType>().unwrap_err().to_string().contains("expected A, B, C1 (or C) or C2")
        );
    }

    #[test]
    fn no_key_prints() {
        let auth = auth(CdnAuthType::A).with_secondary(PrivateKey::new("aliyunvodexp5678"));
        assert!(!format!("{auth:?}").contains("aliyunvodexp"));
    }
}
