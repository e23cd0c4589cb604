//! The host that a link names when nobody said it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::transport::source_towards;

/// The host under which `bound` is reached from elsewhere: its own address, or, where it is every address, the one
/// from which this machine would send to the internet, or else `localhost`.
pub fn host(bound: SocketAddr) -> String {
    if !bound.ip().is_unspecified() {
        return bound.ip().to_string();
    }
    source_towards(SocketAddr::from((ELSEWHERE_V4, 9)))
        .or_else(|| source_towards(SocketAddr::from((ELSEWHERE_V6, 9))))
        .map_or_else(|| "localhost".to_owned(), |ip| ip.to_string())
}

/// Addresses for documentation (RFC 5737, RFC 3849): nobody's, and routed like any other.
const ELSEWHERE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ELSEWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn an_address_that_was_bound_is_the_host() {
        assert_eq!(host(SocketAddr::from(([127, 0, 0, 1], 8443))), "127.0.0.1");
        assert_eq!(host(SocketAddr::from((Ipv6Addr::LOCALHOST, 8443))), "::1");
    }

    #[test]
    fn every_address_becomes_one_that_can_be_named() {
        let host = host(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)));
        assert!(
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified()),
            "{host}"
        );
    }
}
