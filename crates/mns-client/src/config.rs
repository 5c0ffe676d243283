//! Where the service is, and how patient the client is with it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use url::{Host, Url};

use crate::error::{Error, ErrorKind};
use crate::retry::Retry;

/// How a client works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The endpoint of the account in its region.
    pub endpoint: Endpoint,
    /// How long an answer may take, by default 10 seconds. For a long poll it comes on top of the wait.
    pub timeout: Duration,
    /// How long a connection may take to come about, by default 5 seconds.
    pub connect_timeout: Duration,
    /// When requests are made again by themselves.
    pub retry: Retry,
    /// How the client calls itself.
    pub user_agent: String,
}

impl Config {
    /// The defaults, with that endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            retry: Retry::default(),
            user_agent: concat!("mns-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The endpoint of an account in a region, such as `https://1234567890.mns.cn-shanghai.aliyuncs.com`: scheme, host
/// and perhaps a port.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Whether requests go over TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether requests stay on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// The URL of a request target, which must not change on the way: it is signed as it is sent.
    pub(crate) fn url(&self, target: &str) -> Result<Url, Error> {
        let origin = self.to_string();
        let url = Url::parse(&format!("{origin}{target}")).ok();
        url.filter(|url| url.as_str().strip_prefix(&origin) == Some(target)).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("{target:?} cannot be sent as a request target"))
        })
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |what: &str| {
            let message = format!(
                "{what} in the endpoint {text:?}: expected one like https://1234567890.mns.cn-shanghai.aliyuncs.com"
            );
            Err(Error::new(ErrorKind::InvalidInput, message))
        };
        let Ok(url) = Url::parse(text.trim()) else { return wrong("there is no URL") };
        if !["http", "https"].contains(&url.scheme()) {
            return wrong("the scheme is neither http nor https");
        }
        // Not the text itself, which has a password then.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::new(ErrorKind::InvalidInput, "an endpoint has no user and no password"));
        }
        match url.host() {
            Some(Host::Domain("") | Host::Domain(".")) | None => return wrong("there is no host"),
            Some(_) => {}
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return wrong("there is a path or a query");
        }
        Ok(Self(url))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        let check = |text: &str, expected: Result<&str, &str>| match (text.parse::<Endpoint>(), expected) {
            (Ok(endpoint), Ok(expected)) => assert_eq!(endpoint.to_string(), expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (endpoint, expected) => panic!("{text}: {endpoint:?}, not {expected:?}"),
        };
        check("https://1.mns.cn-shanghai.aliyuncs.com", Ok("https://1.mns.cn-shanghai.aliyuncs.com"));
        check("http://127.0.0.1:8400/", Ok("http://127.0.0.1:8400"));
        check("http://[::1]:8400", Ok("http://[::1]:8400"));
        check("1.mns.cn-shanghai.aliyuncs.com", Err("there is no URL"));
        check("ftp://host", Err("neither http nor https"));
        check("https://host/queues", Err("a path or a query"));
        let error = "https://id:s3cret@host".parse::<Endpoint>().unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        let check = |endpoint: &str, expected| {
            assert_eq!(endpoint.parse::<Endpoint>().unwrap().is_loopback(), expected, "{endpoint}");
        };
        check("http://127.0.0.1:8400", true);
        check("http://127.1", true);
        check("http://localhost:8400", true);
        check("http://[::1]:8400", true);
        check("http://127.evil.example", false);
        check("http://localhost.evil.example", false);
        check("http://1.mns.cn-shanghai.aliyuncs.com", false);
    }

    #[test]
    fn a_target_is_sent_as_it_is_or_not_at_all() {
        let endpoint: Endpoint = "http://127.0.0.1:8400".parse().unwrap();
        let url = endpoint.url("/queues/q/messages?ReceiptHandle=1-a%2Bb%3D%3D").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:8400/queues/q/messages?ReceiptHandle=1-a%2Bb%3D%3D");
        assert!(endpoint.url("/queues/../topics").is_err());
        assert!(endpoint.url("/queues/a b").is_err());
    }
}
