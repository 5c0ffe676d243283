//! Who sent a request: the peer of the connection, or, behind a proxy that is trusted, the address it forwards.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;
use vodrelay_core::network::Networks;

/// The sender of a request that `peer` handed over: the right-most forwarded address that is not a trusted proxy
/// itself. What stands further left was written by strangers.
pub(crate) fn sender(trusted_proxies: &Networks, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut sender = peer.to_canonical();
    if trusted_proxies.is_empty() || !trusted_proxies.contain(sender) {
        return sender;
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    for hop in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        let Some(address) = str::from_utf8(hop).ok().and_then(parse_hop) else { return sender };
        sender = address.to_canonical();
        if !trusted_proxies.contain(sender) {
            return sender;
        }
    }
    sender
}

/// Some proxies forward a port as well: `192.0.2.7:4711`, `[2001:db8::1]:4711`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    hop.parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

/// The key under which failures of an address are counted: one IPv6 customer has at least a whole /64.
pub(crate) fn group(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_most_untrusted_address_is_the_sender() {
        let networks = Networks::from_iter(["10.0.0.0/8".parse().unwrap()]);
        let check = |peer: &str, lines: &[&str], expect: &str| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let sender = sender(&networks, peer.parse().unwrap(), &headers);
            assert_eq!(sender, expect.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        };
        check("203.0.113.1", &["198.51.100.1"], "203.0.113.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1", "10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1, nonsense"], "10.0.0.1");
        check("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1");
    }
}
