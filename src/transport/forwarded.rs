//! Who came to a reverse proxy, as far as the operator trusts that proxy to say so: PROXY protocol, `X-Forwarded-For`.
//!
//! Anybody can write either, so both count from trusted addresses alone.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderMap;
use ppp::{v1, v2};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Addresses that begin alike: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: IpAddr,
    /// So many bits are alike.
    bits: u8,
}

impl Range {
    /// Whether the address is in it; one of IPv4 also as IPv6 writes it (`::ffff:192.0.2.7`).
    pub fn holds(&self, ip: IpAddr) -> bool {
        let alike = |one: u128, other: u128, width: u8| {
            let rest = u32::from(width.saturating_sub(self.bits));
            (one ^ other).checked_shr(rest).unwrap_or_default() == 0
        };
        match (self.first, ip.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                alike(one.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => alike(one.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Range {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let (first, bits) = match text.split_once('/') {
            Some((first, bits)) => (first, Some(bits)),
            None => (text, None),
        };
        let first = first.parse::<IpAddr>().map_err(|_| NoRange)?.to_canonical();
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| NoRange)?,
            None => most,
        };
        if bits > most {
            return Err(NoRange);
        }
        Ok(Self { first, bits })
    }
}

/// No addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address, or several as ADDR/BITS: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32")]
pub struct NoRange;

/// Whom the operator trusts to say where a viewer is. Nobody, by default. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[Range]>);

impl FromIterator<Range> for Proxies {
    fn from_iter<T: IntoIterator<Item = Range>>(ranges: T) -> Self {
        Self(ranges.into_iter().collect())
    }
}

impl Proxies {
    /// Whether what comes from there is believed.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|range| range.holds(ip))
    }

    /// Where the viewer is who has come by way of `peer`: as a PROXY header in front of TLS says, which is read, or `peer`
    /// itself. Fails if a trusted peer begins such a header and does not keep to it.
    pub(super) async fn in_front(
        &self,
        tcp: &mut TcpStream,
        peer: SocketAddr,
    ) -> io::Result<SocketAddr> {
        if !self.trusts(peer.ip()) {
            return Ok(peer);
        }
        // Neither of these begins TLS, so nothing is lost by taking it for PROXY.
        let mut first = [0];
        tcp.peek(&mut first).await?;
        let said = match first {
            [b'\r'] => version_2(tcp).await?,
            [b'P'] => version_1(tcp).await?,
            _ => None,
        };
        Ok(said.unwrap_or(peer))
    }

    /// Where the viewer is whose request has come from `peer`: the last of those in `X-Forwarded-For` who is not trusted
    /// himself. Port 0 where none is said.
    pub(super) fn forwarded(&self, headers: &HeaderMap, peer: SocketAddr) -> SocketAddr {
        let words = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = words.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
        let mut last = peer;
        while self.trusts(last.ip())
            && let Some(hop) = hops.next().and_then(|word| hop(word.trim()))
        {
            last = hop;
        }
        last
    }
}

/// An address, with or without a port.
fn hop(word: &str) -> Option<SocketAddr> {
    if let Ok(addr) = word.parse() {
        return Some(addr);
    }
    let bare = word
        .strip_prefix('[')
        .and_then(|word| word.strip_suffix(']'))
        .unwrap_or(word);
    let ip: IpAddr = bare.parse().ok()?;
    Some(SocketAddr::new(ip.to_canonical(), 0))
}

async fn version_2(tcp: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; HEAD_2];
    tcp.read_exact(&mut head).await?;
    let [.., high, low] = head;
    let rest = u16::from_be_bytes([high, low]);
    if !head.starts_with(v2::PROTOCOL_PREFIX) || rest > MOST_2 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; HEAD_2 + usize::from(rest)];
    bytes[..HEAD_2].copy_from_slice(&head);
    tcp.read_exact(&mut bytes[HEAD_2..]).await?;
    let header = v2::Header::try_from(&bytes[..])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(match (header.command, header.addresses) {
        // A proxy's own look whether we are alive.
        (v2::Command::Local, _) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
            Some((ip.source_address, ip.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
            Some((ip.source_address.to_canonical(), ip.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    })
}

async fn version_1(tcp: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut line = Vec::new();
    // By single bytes: what follows the line belongs to TLS.
    while line.last() != Some(&b'\n') {
        if line.len() == MOST_1 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        line.push(tcp.read_u8().await?);
    }
    let header = v1::Header::try_from(&line[..])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Some((ip.source_address.to_canonical(), ip.source_port).into()),
        v1::Addresses::Unknown => None,
    })
}

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Signature, version, family, length.
const HEAD_2: usize = 16;
/// Addresses, and what else a proxy may want to say.
const MOST_2: u16 = 4096;
/// As the protocol says.
const MOST_1: usize = 107;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::HeaderValue;
    use proptest::prelude::{any, prop_assert, proptest};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn proxies(ranges: &[&str]) -> Proxies {
        ranges.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_range_is_an_address_and_how_much_of_it_counts() {
        let holds = |range: &str, ip: &str| {
            let range: Range = range.parse().unwrap();
            range.holds(ip.parse().unwrap())
        };
        assert!(holds("192.0.2.7", "192.0.2.7"));
        assert!(holds("192.0.2.7", "::ffff:192.0.2.7"));
        assert!(!holds("192.0.2.7", "192.0.2.6"));
        assert!(holds("10.1.2.3/8", "10.255.0.1"));
        assert!(!holds("10.1.2.3/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "203.0.113.1"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        assert!(!holds("2001:db8::/32", "2001:db9::1"));
        for wrong in [
            "",
            "cam",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10/8",
            "10.0.0.0/-1",
        ] {
            assert_eq!(wrong.parse::<Range>(), Err(NoRange), "{wrong}");
        }
    }

    #[test]
    fn the_last_forwarder_who_is_not_trusted_is_the_viewer() {
        let trusted = proxies(&["127.0.0.1", "10.0.0.0/8"]);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 7));
        let from = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(FORWARDED_FOR, value);
            }
            (
                trusted.forwarded(&headers, peer).to_string(),
                Proxies::default().forwarded(&headers, peer),
            )
        };
        for (values, viewer) in [
            (&["192.0.2.9"][..], "192.0.2.9:0"),
            (&["203.0.113.1, 192.0.2.9"], "192.0.2.9:0"),
            (&["203.0.113.1, 192.0.2.9, 10.1.1.1"], "192.0.2.9:0"),
            (&["203.0.113.1", "192.0.2.9 ,10.1.1.1"], "192.0.2.9:0"),
            (&["192.0.2.9:8080"], "192.0.2.9:8080"),
            (&["[2001:db8::1]:8080"], "[2001:db8::1]:8080"),
            (&["[2001:db8::1]"], "[2001:db8::1]:0"),
            (&["2001:db8::1"], "[2001:db8::1]:0"),
            (&["10.1.1.1"], "10.1.1.1:0"),
            (&["192.0.2.9, unknown, 10.1.1.1"], "10.1.1.1:0"),
            (&["192.0.2.9", "\u{fffd}"], "127.0.0.1:7"),
            (&[""], "127.0.0.1:7"),
            (&[], "127.0.0.1:7"),
        ] {
            let (trusting, wary) = from(values);
            assert_eq!(trusting, viewer, "{values:?}");
            assert_eq!(wary, peer);
        }
    }

    /// What is made of a connection that begins with `bytes`, and what is left to read of it.
    async fn begun(trusted: &Proxies, bytes: &[u8]) -> (io::Result<SocketAddr>, Vec<u8>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut there = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        there.write_all(bytes).await.unwrap();
        there.shutdown().await.unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 7));
        let viewer = trusted.in_front(&mut tcp, peer).await;
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).await.unwrap();
        (viewer, rest)
    }

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        let kind = [0x20 | command, family];
        [v2::PROTOCOL_PREFIX, &kind, &length, rest].concat()
    }

    #[tokio::test]
    async fn a_trusted_proxy_says_where_the_viewer_is_and_tls_follows() {
        let trusted = proxies(&["127.0.0.0/8"]);
        let four = [192, 0, 2, 9, 10, 0, 0, 1, 0x10, 0x00, 1, 187, 3, 0, 1, 0];
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        (six[15], six[33]) = (1, 80);
        for (head, viewer) in [
            (header(1, 0x11, &four), "192.0.2.9:4096"),
            (header(1, 0x21, &six), "[2001:db8::1]:80"),
            (header(0, 0x00, &[]), "127.0.0.1:7"),
            (header(1, 0x00, &[1, 2, 3]), "127.0.0.1:7"),
            (
                b"PROXY TCP4 192.0.2.9 10.0.0.1 4096 443\r\n".to_vec(),
                "192.0.2.9:4096",
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1:7"),
            (Vec::new(), "127.0.0.1:7"),
        ] {
            let bytes = [&head[..], b"\x16\x03\x01hello"].concat();
            let (said, rest) = begun(&trusted, &bytes).await;
            assert_eq!(said.unwrap().to_string(), viewer, "{head:?}");
            assert_eq!(rest, b"\x16\x03\x01hello");
        }
    }

    #[tokio::test]
    async fn nobody_else_is_asked_and_a_broken_header_is_an_error() {
        let bytes = header(1, 0x11, &[192, 0, 2, 9, 10, 0, 0, 1, 0x10, 0x00, 1, 187]);
        let (said, rest) = begun(&proxies(&["10.0.0.0/8"]), &bytes).await;
        assert_eq!(said.unwrap().port(), 7);
        assert_eq!(rest, bytes);
        let trusted = proxies(&["127.0.0.1"]);
        for end in 1..bytes.len() {
            let (said, _) = begun(&trusted, &bytes[..end]).await;
            assert!(said.is_err(), "{end}");
        }
        for broken in [
            header(1, 0x11, &[1, 2, 3]),
            header(1, 0x11, &[0; 5000]),
            b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\0".to_vec(),
            b"PROXY TCP4 192.0.2.9\r\n".to_vec(),
            [b"PROXY ".as_slice(), &[b'x'; 200]].concat(),
        ] {
            let (said, _) = begun(&trusted, &broken).await;
            assert!(said.is_err(), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_forwarded_gives_an_address_and_only_a_trusted_peer_is_believed(
            value in any::<Vec<u8>>(),
        ) {
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 7));
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(FORWARDED_FOR, value);
            }
            proxies(&["0.0.0.0/0", "::/0"]).forwarded(&headers, peer);
            prop_assert!(proxies(&["10.0.0.0/8"]).forwarded(&headers, peer) == peer);
        }
    }
}
