//! The port: bound with words for what goes wrong, accepting whatever happens.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use super::door::Door;
use super::forwarded::Proxies;
use super::incoming::Incoming;
use super::plain::Table;
use super::seldom::Seldom;
use super::tcp;

/// A TCP port that viewers come to.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    local: SocketAddr,
    door: Door,
    sessions: Option<Table>,
    proxies: Proxies,
    over: Seldom,
    stuck: Seldom,
}

impl Listener {
    /// Listens on an address; port 0 takes any that is free, and `[::]` takes IPv4 as well. Call inside tokio.
    pub fn bind(addr: SocketAddr) -> Result<Self, ListenError> {
        socket(addr)
            .and_then(Self::on)
            .map_err(|source| ListenError::new(Protocol::Tcp, addr, source))
    }

    /// Listens on a socket that somebody else has bound, systemd for example. Call inside tokio.
    pub fn on(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let tcp = TcpListener::from_std(socket)?;
        Ok(Self {
            local: tcp.local_addr()?,
            tcp,
            door: Door::default(),
            over: Seldom::default(),
            stuck: Seldom::default(),
            sessions: None,
            proxies: Proxies::default(),
        })
    }

    /// Listens on every address of this machine, of IPv6 and IPv4, or of IPv4 alone where there is no IPv6.
    pub fn bind_all(port: u16) -> Result<Self, ListenError> {
        match Self::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(ListenError::NoSuchAddress { .. } | ListenError::Other { .. }) => {
                Self::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            }
            done => done,
        }
    }

    /// Lets sessions inside plain HTTP come in as well, whichever listener of this table they come to.
    pub fn with_sessions(mut self, table: Table) -> Self {
        self.sessions = Some(table);
        self
    }

    /// The same, believing these proxies where viewers are.
    #[must_use]
    pub fn trusting(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// The same, letting in no more than this door does.
    #[must_use]
    pub fn behind(self, door: Door) -> Self {
        Self { door, ..self }
    }

    /// The next connection. Says nothing about who it is: nothing has been read yet.
    ///
    /// Never fails: what goes wrong with one connection is not ours to worry about, who is one too many is turned away
    /// here, and when the system has no more sockets this waits and tries again. Cancel-safe.
    pub async fn accept(&self) -> Incoming {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.tcp.accept().await {
                Ok((stream, peer)) => {
                    let place = match self.door.enter(Some(peer.ip())) {
                        Ok(place) => place,
                        Err(over) => {
                            if let Some(times) = self.over.now() {
                                tracing::warn!(%peer, times, "turned away: {over}");
                            }
                            continue;
                        }
                    };
                    if let Err(error) = tcp::tune(&stream) {
                        tracing::debug!(%peer, %error, "gone before it was accepted");
                        continue;
                    }
                    let (sessions, proxies) = (self.sessions.clone(), self.proxies.clone());
                    return Incoming::new(stream, peer, place, sessions, proxies);
                }
                Err(error) if is_about_one_connection(&error) => {
                    tracing::debug!(%error, "gone before it was accepted");
                }
                Err(error) => {
                    if let Some(times) = self.stuck.now() {
                        tracing::warn!(%error, times, "cannot accept viewers: trying again");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The address, with the port that was taken.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }
}

fn socket(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    // A server that restarts finds its port although old connections are still dying. On Windows the option would let
    // two servers share the port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
    )
}

/// What a port is a port of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// For TLS.
    Tcp,
    /// For QUIC.
    Udp,
}

/// In front of a port; TCP is what everybody means who says nothing.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "",
            Self::Udp => "UDP ",
        })
    }
}

/// Why an address cannot be listened on. Each is one line for a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Somebody else has the port.
    #[error("{protocol}port {port} on {ip} is in use by another program: stop that, or choose another with --listen", port = .addr.port(), ip = .addr.ip())]
    InUse {
        /// Of what.
        protocol: Protocol,
        /// As asked for.
        addr: SocketAddr,
    },
    /// A port below 1024, and no right to it.
    #[error(
        "no right to listen on {protocol}port {port}: choose one above 1023 (--listen {there}), or give the program the right (`sudo setcap cap_net_bind_service=+ep {program}`), or let systemd start it (AmbientCapabilities=CAP_NET_BIND_SERVICE)",
        port = .addr.port(), there = SocketAddr::new(.addr.ip(), 8443), program = own_path()
    )]
    Forbidden {
        /// Of what.
        protocol: Protocol,
        /// As asked for.
        addr: SocketAddr,
    },
    /// The address belongs to another machine.
    #[error("{ip} is no address of this machine: choose one of its own, or 0.0.0.0 or [::] for all", ip = .addr.ip())]
    NoSuchAddress {
        /// As asked for.
        addr: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {protocol}{addr}: {source}")]
    Other {
        /// Of what.
        protocol: Protocol,
        /// As asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl ListenError {
    pub(super) fn new(protocol: Protocol, addr: SocketAddr, source: io::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest has one variant")]
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { protocol, addr },
            io::ErrorKind::PermissionDenied => Self::Forbidden { protocol, addr },
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress { addr },
            _ => Self::Other {
                protocol,
                addr,
                source,
            },
        }
    }
}

fn own_path() -> String {
    std::env::current_exe().map_or_else(
        |_| String::from("tunnelcast"),
        |path| path.display().to_string(),
    )
}

/// Viewers that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let error = Listener::bind(first.local()).unwrap_err();
        let port = first.local().port();
        assert!(
            error
                .to_string()
                .starts_with(&format!("port {port} on 127.0.0.1 is in use")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_port_is_free_again_as_soon_as_its_listener_is_gone() {
        let first = Listener::bind_all(0).unwrap();
        let addr = first.local();
        drop(first);
        Listener::bind(addr).unwrap();
    }

    #[test]
    fn a_forbidden_port_comes_with_the_remedies() {
        let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443));
        let denied = io::ErrorKind::PermissionDenied.into();
        let text = ListenError::new(Protocol::Tcp, addr, denied).to_string();
        for remedy in [
            "--listen 0.0.0.0:8443",
            "setcap cap_net_bind_service=+ep /",
            "systemd",
        ] {
            assert!(text.contains(remedy), "{text}");
        }
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused() {
        let error = Listener::bind(SocketAddr::from(([192, 0, 2, 1], 0))).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("192.0.2.1 is no address of this machine")
        );
    }
}
