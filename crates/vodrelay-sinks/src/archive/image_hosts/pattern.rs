//! The name of an entry: one host, or all below a domain; with a port or without.

use std::fmt;

use serde::{Deserialize, Deserializer};
use url::{Host, Url};

/// `vod.example.com`, `*.example.com`, `192.0.2.7`, `cdn.example.com:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::archive) struct HostPattern {
    /// As it was written, for messages.
    written: String,
    /// Whether hosts below it are meant, and not itself.
    is_above: bool,
    host: Host,
    /// Without one, the port of the URL's scheme is meant and no other.
    port: Option<u16>,
}

impl HostPattern {
    /// Whether the URL's host and port are meant.
    pub(in crate::archive) fn matches(&self, url: &Url) -> bool {
        let port_matches = match self.port {
            Some(port) => url.port_or_known_default() == Some(port),
            None => url.port().is_none(),
        };
        port_matches && self.matches_host(url)
    }

    /// Whether the URL's host is meant, whatever its port.
    pub(in crate::archive) fn matches_host(&self, url: &Url) -> bool {
        match (&self.host, url.host()) {
            (Host::Domain(above), Some(Host::Domain(host))) if self.is_above => host
                .strip_suffix(above.as_str())
                .is_some_and(|before| before.len() > 1 && before.ends_with('.')),
            (host, Some(of_url)) => *host == of_url.to_owned(),
            _ => false,
        }
    }

    /// Whether every URL that the other one matches is matched by this one.
    pub(in crate::archive) fn covers(&self, other: &Self) -> bool {
        let port_covers = self.port == other.port;
        let host_covers = match (&self.host, &other.host) {
            (Host::Domain(above), Host::Domain(host)) if self.is_above => {
                host.strip_suffix(above.as_str()).is_some_and(|before| before.ends_with('.'))
                    || other.is_above && above == host
            }
            (host, of_other) => host == of_other && !other.is_above,
        };
        port_covers && host_covers
    }

    /// Whether the host is a bucket of VOD's own.
    pub(in crate::archive) fn is_of_vod(&self) -> bool {
        matches!(&self.host, Host::Domain(name) if !self.is_above && name.starts_with("outin-"))
    }

    /// A URL that matches.
    pub(in crate::archive) fn sample(&self) -> Option<Url> {
        let below = if self.is_above { "bucket." } else { "" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        Url::parse(&format!("http://{below}{}{port}/image.gif", self.host)).ok()
    }

    /// The address, where it names one and not a name.
    pub(in crate::archive) fn address(&self) -> Option<std::net::IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    fn parse(written: &str) -> Option<Self> {
        let is_above = written.starts_with("*.");
        let rest = written.strip_prefix("*.").unwrap_or(written);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !rest.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (rest, None),
        };
        let host = Host::parse(host).ok()?;
        let is_name = matches!(&host, Host::Domain(name) if !name.contains('*'));
        let fits = is_name || (!is_above && !matches!(host, Host::Domain(_)));
        fits.then(|| Self { written: written.to_owned(), is_above, host, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        Self::parse(&written).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "{written:?} is no host: write vod.example.com, *.example.com, or either with a port behind it"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, host: &str, expect: bool) {
        let url = Url::parse(&format!("http://{host}/a.gif")).unwrap();
        let pattern = HostPattern::parse(pattern).unwrap();
        assert_eq!(pattern.matches(&url), expect, "{pattern} {host}");
        assert!(pattern.matches(&pattern.sample().unwrap()), "{pattern}");
    }

    #[test]
    fn a_name_is_exact_or_all_below_a_domain() {
        check("vod.example.com", "vod.example.com", true);
        check("VOD.example.com", "vod.EXAMPLE.com", true);
        check("vod.example.com", "a.vod.example.com", false);
        check("*.example.com", "vod.example.com", true);
        check("*.example.com", "a.vod.example.com", true);
        check("*.example.com", "example.com", false);
        check("*.example.com", "badexample.com", false);
        check("*.example.com", ".example.com", false);
        check("*.example.com", "example.com.evil.net", false);
        check("*.example.com", "vod.example.com.", false);
        check("bücher.example", "xn--bcher-kva.example", true);
    }

    #[test]
    fn addresses_are_names_of_their_own() {
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "2130706433", true);
        check("0x7f.1", "127.0.0.1", true);
        check("[::1]", "[0:0::1]", true);
        check("localhost", "127.0.0.1", false);
    }

    #[test]
    fn without_a_port_only_the_usual_one_is_meant() {
        check("vod.example.com", "vod.example.com:80", true);
        check("vod.example.com", "vod.example.com:9200", false);
        check("vod.example.com:9200", "vod.example.com:9200", true);
        check("vod.example.com:80", "vod.example.com", true);
        check("vod.example.com:9200", "vod.example.com", false);
        check("[::1]:8080", "[::1]:8080", true);
        check("*.example.com:8080", "vod.example.com:8080", true);
    }

    #[test]
    fn one_may_cover_another() {
        let check = |one: &str, other: &str, expect: bool| {
            let (one, other) = (HostPattern::parse(one).unwrap(), HostPattern::parse(other).unwrap());
            assert_eq!(one.covers(&other), expect, "{one} {other}");
        };
        check("vod.example.com", "VOD.example.com", true);
        check("*.example.com", "vod.example.com", true);
        check("*.example.com", "*.example.com", true);
        check("*.example.com", "*.vod.example.com", true);
        check("*.vod.example.com", "*.example.com", false);
        check("*.example.com", "example.com", false);
        check("*.example.com", "badexample.com", false);
        check("vod.example.com", "*.example.com", false);
        check("example.com", "*.example.com", false);
        check("*.example.com", "vod.example.com:8080", false);
        check("*.example.com:8080", "vod.example.com:8080", true);
        check("127.0.0.1", "0x7f.1", true);
        check("127.0.0.1", "[::1]", false);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for odd in [
            "",
            "*",
            "*.",
            "a.*.example.com",
            "**.example.com",
            "*.127.0.0.1",
            "http://a",
            "a/b",
            "a:b",
            "a b",
            "a:99999",
            "::1",
        ] {
            assert_eq!(HostPattern::parse(odd), None, "{odd}");
        }
    }
}
