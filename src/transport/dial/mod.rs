//! From a viewer to a server: name, address, TCP, TLS, upgrade; or name, address, QUIC. Every wrong peer has its own
//! words.

mod ask;
pub(in crate::transport) mod connect;
mod error;
mod handshake;
mod portal;
mod quic;
mod sealed;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::Instant;

use self::ask::{Asked, ask};
pub(in crate::transport) use self::error::quoted;
pub use self::error::{DialError, Looks};
pub use self::portal::portal;
pub use self::quic::{Progress, quic};
pub use self::sealed::{Ahead, http, page, websocket};
use super::answer::Wanted;
use super::base::Base;
use super::proxy::{self, Proxy};
use super::upgrade::PROTOCOL;
use super::{First, Kind, Link, first};

/// How long a viewer waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For each address to take the connection, or, of UDP, to say anything.
    pub connect: Duration,
    /// For the first byte of an answer, once connected over TCP.
    pub silence: Duration,
    /// For everything together.
    pub overall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(5),
            overall: Duration::from_secs(10),
        }
    }
}

/// Who is dialled, as a link says it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// A name or an address, without brackets.
    pub host: &'a str,
    /// Of TCP, or of UDP.
    pub port: u16,
    /// The path of the request, without the slash in front: the stream's name, behind what a reverse proxy has there.
    pub stream: &'a str,
    /// What leads there, for the ways over TCP; `None`: directly.
    pub proxy: Option<&'a Proxy>,
}

impl Target<'_> {
    /// TCP to there, or what stands for it.
    async fn connect(
        self,
        timeouts: Timeouts,
        deadline: Instant,
        server: &str,
    ) -> Result<Base, DialError> {
        let Self { host, port, .. } = self;
        match self.proxy {
            Some(proxy) => Ok(proxy::connect(proxy, host, port, timeouts.connect, deadline).await?),
            None => {
                let tcp = connect::connect(host, port, timeouts.connect, deadline, server).await?;
                Ok(tcp.into())
            }
        }
    }
}

/// Connects to the target, through its proxy if it has one, and says nothing.
pub async fn tcp(target: Target<'_>, timeouts: Timeouts) -> Result<(), DialError> {
    let deadline = Instant::now() + timeouts.overall;
    let server = authority(target.host, target.port, Port::Always);
    let connected = target.connect(timeouts, deadline, &server).await;
    connected.map(drop)
}

/// Connects over TLS and asks to upgrade.
///
/// `first`, the session's first bytes (at most 16 KiB), go out together with that request, so they cost no round trip
/// of their own. `config` is from [`client_config`](crate::trust::client_config) for the same host and port. Whoever
/// drops the future drops the connection.
pub async fn tls(
    target: Target<'_>,
    config: Arc<ClientConfig>,
    first: &dyn First,
    timeouts: Timeouts,
) -> Result<Link, DialError> {
    let Target {
        host, port, stream, ..
    } = target;
    let deadline = Instant::now() + timeouts.overall;
    let server = authority(host, port, Port::Always);
    let base = target.connect(timeouts, deadline, &server).await?;
    let mut tls =
        handshake::handshake(base, host, config, timeouts.silence, deadline, &server).await?;
    let mut request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n\r\n",
        path(stream),
        authority(host, port, Port::IfUnusual),
    )
    .into_bytes();
    let exporter = tls
        .get_ref()
        .1
        .export_keying_material([0; 32], first::LABEL, None);
    request.extend_from_slice(&first.bytes(exporter.ok()));
    let asked = ask(&mut tls, &request, Wanted::Tunnel, deadline, &server).await?;
    let early = match asked {
        Asked::Granted { early } => early,
        Asked::Refused { status, title } => {
            return Err(DialError::NoTunnel {
                server,
                status,
                title,
            });
        }
    };
    match tls.get_ref().0.peer() {
        Ok(peer) => Ok(Link::tls(tls.into(), early, peer, Kind::Tls)),
        Err(source) => Err(DialError::Lost { server, source }),
    }
}

/// When a port is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Port {
    Always,
    IfUnusual,
}

/// A host and a port as HTTP writes them.
pub(in crate::transport) fn authority(host: &str, port: u16, when: Port) -> String {
    let brackets = if host.contains(':') {
        ["[", "]"]
    } else {
        [""; 2]
    };
    let name = format!("{}{host}{}", brackets[0], brackets[1]);
    if when == Port::IfUnusual && port == 443 {
        name
    } else {
        format!("{name}:{port}")
    }
}

/// The path of a request; what cannot stand in one is escaped.
fn path(stream: &str) -> String {
    let mut path = String::from("/");
    for byte in stream.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_streams_name_and_cannot_break_the_request() {
        assert_eq!(path("cam.hd_2"), "/cam.hd_2");
        assert_eq!(path("a b\r\nX: y?#ä"), "/a%20b%0D%0AX%3A%20y%3F%23%C3%A4");
    }

    #[test]
    fn addresses_of_ipv6_stand_in_brackets_and_the_usual_port_is_left_out_of_http() {
        assert_eq!(authority("::1", 443, Port::Always), "[::1]:443");
        assert_eq!(authority("cam", 443, Port::IfUnusual), "cam");
        assert_eq!(authority("cam", 8443, Port::IfUnusual), "cam:8443");
    }
}
