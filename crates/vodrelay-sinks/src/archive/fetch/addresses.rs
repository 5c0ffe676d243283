//! Which addresses an image may be fetched from: public ones, and those that the host's entry opens.
//!
//! A literal address is judged before it is connected to, since the HTTP client does not look those up. For a name the
//! client asks this resolver before each connection and knows no address but those that it was given, so a name that
//! resolves to another address a moment later is judged again.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use vodrelay_core::network::Networks;

/// Judges addresses.
#[derive(Clone, Debug, Default)]
pub(in crate::archive) struct Guard {
    /// What is opened on top of the public addresses.
    allowed: Arc<Networks>,
}

/// An address that nothing is fetched from, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) struct Refused {
    pub(in crate::archive) address: IpAddr,
    pub(in crate::archive) class: &'static str,
}

impl Guard {
    pub(in crate::archive) fn new(allowed: Networks) -> Self {
        Self { allowed: Arc::new(allowed) }
    }

    /// Lets the address pass.
    ///
    /// # Errors
    /// If it is not public and not opened.
    pub(in crate::archive) fn admit(&self, address: IpAddr) -> Result<(), Refused> {
        match class(address) {
            Some(class) if !self.allowed.contain(address) => Err(Refused { address, class }),
            _ => Ok(()),
        }
    }

    /// Those of a name's addresses that may pass.
    fn admit_some(&self, addresses: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        let (mut admitted, mut refused) = (Vec::new(), None);
        for address in addresses {
            match self.admit(address.ip()) {
                Ok(()) => admitted.push(address),
                Err(error) => refused = Some(error),
            }
        }
        refused.filter(|_| admitted.is_empty()).map_or(Ok(admitted), Err)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted = guard.admit_some(found)?;
            if admitted.is_empty() {
                return Err(io::Error::other("the name has no address").into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

impl Refused {
    /// The refusal among the causes of an error of the HTTP client.
    pub(super) fn among_causes(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(refused) = error.downcast_ref() {
                return Some(*refused);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.address, self.class)
    }
}

impl Error for Refused {}

/// What an address is that is not public (IANA's *Special-Purpose Address Registries*).
fn class(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => class_of_v4(address),
        IpAddr::V6(address) => class_of_v6(address),
    }
}

fn class_of_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "unspecified",
        [127, ..] => "loopback",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        // Alibaba Cloud's metadata service is 100.100.100.200.
        [100, 64..=127, ..] => "shared address space",
        // The metadata service of most other clouds is 169.254.169.254.
        [169, 254, ..] => "link-local",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "for documentation",
        [198, 18..=19, ..] => "for benchmarks",
        [224..=239, ..] => "multicast",
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => "reserved",
        _ => return None,
    })
}

fn class_of_v6(address: Ipv6Addr) -> Option<&'static str> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => "unspecified",
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback",
        [0, 0, 0, 0, 0, 0xffff, ..] => "IPv4 mapped into IPv6",
        // NAT64 and 6to4 lead to the IPv4 address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            return class_of_v4(inner(high, low));
        }
        [0x64, 0xff9b, 1, ..] => "private",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "for documentation",
        [0x2001, 2, 0, ..] => "for benchmarks",
        [0x2001, 0..=0x1ff, ..] => "reserved",
        [0xfc00..=0xfdff, ..] => "unique local",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xff00..=0xffff, ..] => "multicast",
        [0x2000..=0x3fff, ..] => return None,
        _ => "reserved",
    })
}

fn inner(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn refusal(guard: &Guard, address: &str) -> Option<&'static str> {
        guard.admit(address.parse().unwrap()).err().map(|refused| refused.class)
    }

    #[test]
    fn only_public_addresses_are_admitted() {
        let check = |address: &str, expect: &str| {
            assert_eq!(refusal(&Guard::default(), address), Some(expect), "{address}");
        };
        for public in ["8.8.8.8", "47.246.0.1", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1"] {
            assert_eq!(refusal(&Guard::default(), public), None, "{public}");
        }
        for public in
            ["2408:4000::1", "2a00:1450::1", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:4860::8888"]
        {
            assert_eq!(refusal(&Guard::default(), public), None, "{public}");
        }
        check("0.0.0.0", "unspecified");
        check("0.1.2.3", "unspecified");
        check("127.0.0.1", "loopback");
        check("127.255.255.254", "loopback");
        check("10.0.0.1", "private");
        check("172.16.0.1", "private");
        check("172.31.255.255", "private");
        check("192.168.1.1", "private");
        check("100.64.0.0", "shared address space");
        check("100.100.100.200", "shared address space");
        check("169.254.169.254", "link-local");
        check("192.0.2.1", "for documentation");
        check("198.51.100.1", "for documentation");
        check("203.0.113.1", "for documentation");
        check("198.19.0.1", "for benchmarks");
        check("224.0.0.1", "multicast");
        check("192.0.0.192", "reserved");
        check("192.88.99.1", "reserved");
        check("240.0.0.1", "reserved");
        check("255.255.255.255", "reserved");
        check("::", "unspecified");
        check("::1", "loopback");
        check("::ffff:127.0.0.1", "IPv4 mapped into IPv6");
        check("::ffff:8.8.8.8", "IPv4 mapped into IPv6");
        check("::127.0.0.1", "reserved");
        check("64:ff9b::10.0.0.1", "private");
        check("64:ff9b::100.100.100.200", "shared address space");
        check("64:ff9b:1::1", "private");
        check("2002:7f00:1::1", "loopback");
        check("2001::1", "reserved");
        check("2001:db8::1", "for documentation");
        check("3fff::1", "for documentation");
        check("2001:2::1", "for benchmarks");
        check("fd00:ec2::254", "unique local");
        check("fe80::1", "link-local");
        check("fec0::1", "reserved");
        check("ff02::1", "multicast");
        check("4000::1", "reserved");
    }

    #[test]
    fn an_entry_opens_networks() {
        let guard =
            Guard::new(["127.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect());
        for opened in ["127.0.0.1", "::ffff:127.0.0.1", "fd12::1", "8.8.8.8"] {
            assert_eq!(refusal(&guard, opened), None, "{opened}");
        }
        assert_eq!(refusal(&guard, "10.0.0.1"), Some("private"));
        assert_eq!(refusal(&guard, "::1"), Some("loopback"));
    }

    #[test]
    fn every_spelling_of_an_address_is_one_after_parsing() {
        let check = |host: &str, expect: &str| {
            let url = Url::parse(&format!("http://{host}/a.gif")).unwrap();
            let address: IpAddr = match url.host() {
                Some(url::Host::Ipv4(address)) => address.into(),
                Some(url::Host::Ipv6(address)) => address.into(),
                other => panic!("{host} is {other:?}"),
            };
            assert_eq!(refusal(&Guard::default(), &address.to_string()), Some(expect), "{host}");
        };
        for spelling in
            ["2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1.", "①②⑦.0.0.1"]
        {
            check(spelling, "loopback");
        }
        for spelling in ["0", "0x0", "0.0"] {
            check(spelling, "unspecified");
        }
        check("1684300744", "shared address space");
        check("0xa9fea9fe", "link-local");
        check("[::ffff:7f00:1]", "IPv4 mapped into IPv6");
        check("[0:0:0:0:0:0:0:1]", "loopback");
    }

    #[test]
    fn of_a_name_each_look_up_is_judged_and_only_what_is_admitted_is_given() {
        let look_up = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0));
            let admitted = Guard::default().admit_some(addresses);
            admitted
                .map(|admitted| admitted.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(look_up(&["8.8.8.8"]), Ok(vec!["8.8.8.8".to_owned()]));
        let refused = look_up(&["127.0.0.1"]).unwrap_err();
        assert_eq!(refused.to_string(), "127.0.0.1 is loopback");
        assert_eq!(look_up(&["10.0.0.1", "8.8.4.4", "::1"]), Ok(vec!["8.8.4.4".to_owned()]));
        assert_eq!(look_up(&[]), Ok(vec![]));
    }
}
