//! A server's UDP port, and those who come to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, TokioRuntime};
use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};

use super::{Congestion, only_cipher, settings};
use crate::transport::door::{Door, Place, Seat};
use crate::transport::seldom::Seldom;
use crate::transport::{AcceptError, Link, ListenError, Protocol};

/// A UDP port that viewers come to.
#[derive(Debug)]
pub struct Endpoint {
    quic: quinn::Endpoint,
    local: SocketAddr,
    cipher: Option<&'static str>,
    door: Door,
    over: Seldom,
}

impl Endpoint {
    /// Listens on an address; port 0 takes any that is free, and `[::]` takes IPv4 as well. Call inside tokio.
    ///
    /// `config` is from [`Identity::quic_server_config`](crate::trust::Identity::quic_server_config).
    pub fn bind(
        addr: SocketAddr,
        config: &Arc<ServerConfig>,
        congestion: Congestion,
    ) -> Result<Self, ListenError> {
        socket(addr)
            .and_then(|socket| Self::on(socket, config, congestion))
            .map_err(|source| ListenError::new(Protocol::Udp, addr, source))
    }

    /// Listens on a socket that somebody else has bound, systemd for example. Call inside tokio.
    pub fn on(
        socket: std::net::UdpSocket,
        config: &Arc<ServerConfig>,
        congestion: Congestion,
    ) -> io::Result<Self> {
        let settings =
            settings::server(Arc::clone(config), congestion).ok_or(io::ErrorKind::Unsupported)?;
        let quic = quinn::Endpoint::new(
            EndpointConfig::default(),
            Some(settings),
            socket,
            Arc::new(TokioRuntime),
        )?;
        let local = quic.local_addr()?;
        Ok(Self {
            quic,
            local,
            cipher: only_cipher(config.crypto_provider()),
            door: Door::default(),
            over: Seldom::default(),
        })
    }

    /// The same, letting in no more than this door does.
    #[must_use]
    pub fn behind(self, door: Door) -> Self {
        Self { door, ..self }
    }

    /// The next connection. Says nothing about who it is, but while many wait at once, only those come whose address
    /// is known to be theirs.
    ///
    /// Never fails, and waits for ever if the port is gone, which only the end of the program does to it. Cancel-safe.
    pub async fn accept(&self) -> Incoming {
        loop {
            let Some(quic) = self.quic.accept().await else {
                tracing::warn!(local = %self.local, "no more viewers over UDP");
                return std::future::pending().await;
            };
            let known = quic.remote_address_validated();
            if self.door.waiting() >= CROWDED && !known {
                // Nothing is kept of him until he comes again with what he is sent now.
                let _ = quic.retry();
                continue;
            }
            let peer = quic.remote_address();
            // Whoever writes a stranger's address on his packets shall not use up the stranger's share.
            let place = match self.door.enter(known.then(|| peer.ip())) {
                Ok(place) => place,
                Err(over) => {
                    if let Some(times) = self.over.now() {
                        tracing::warn!(%peer, times, "turned away: {over}");
                    }
                    quic.refuse();
                    continue;
                }
            };
            return Incoming {
                quic,
                peer,
                cipher: self.cipher,
                place,
            };
        }
    }

    /// Resolves when nobody is connected any more and all goodbyes are said.
    pub async fn idle(&self) {
        self.quic.wait_idle().await;
    }

    /// The address, with the port that was taken.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }
}

/// Somebody who wants to begin a connection. Dropped, he is refused.
#[derive(Debug)]
pub struct Incoming {
    quic: quinn::Incoming,
    peer: SocketAddr,
    cipher: Option<&'static str>,
    place: Place,
}

impl Incoming {
    /// Finishes the handshake, and waits for the viewer's first bytes. Belongs into a task of its own: the other side
    /// may be as slow as `within` allows (10 s are usual).
    pub async fn handshake(self, within: Duration) -> Result<Link, AcceptError> {
        let Self {
            quic,
            peer,
            cipher,
            place,
        } = self;
        let work = async {
            let no_quic = |error: quinn::ConnectionError| AcceptError::Quic(error.into());
            let connection = quic.accept().map_err(no_quic)?.await.map_err(no_quic)?;
            place.comes_from(peer.ip()).map_err(AcceptError::Over)?;
            let (send, receive) = connection.accept_bi().await.map_err(no_quic)?;
            Ok::<_, AcceptError>((connection, send, receive))
        };
        let done = place.hold(tokio::time::timeout(within, work)).await?;
        let (connection, send, receive) = done.map_err(|_| AcceptError::Slow)??;
        let link = super::Link::new(connection, send, receive, None, cipher);
        Ok(Link::quic(link))
    }

    /// The other side's address.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The connection's seat, to be kept as long as the connection is.
    pub fn seat(&self) -> Arc<Seat> {
        self.place.seat()
    }
}

fn socket(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let udp = Some(socket2::Protocol::UDP);
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, udp)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// With so many on their way to a link, the next have to show that their address is theirs, at a round trip's cost.
const CROWDED: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::sync::watch;
    use tokio::task::JoinSet;

    use super::*;
    use crate::transport::dial::{self, Progress, Target, Timeouts};
    use crate::trust::{Identity, Policy, quic_client_config};

    #[tokio::test]
    async fn in_a_crowd_the_next_must_show_that_his_address_is_his() {
        let identity = Identity::fresh().unwrap();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = identity.quic_server_config();
        let endpoint = Endpoint::bind(local, &config, Congestion::default()).unwrap();
        let port = endpoint.local().port();
        let policy = Policy::Pinned(identity.pin());
        let viewer = quic_client_config(policy, "127.0.0.1", port).unwrap();
        let mut viewers = JoinSet::new();
        let mut come = || {
            let viewer = viewer.clone();
            viewers.spawn(async move {
                let target = Target {
                    host: "127.0.0.1",
                    port,
                    stream: "cam",
                    proxy: None,
                };
                let progress = watch::Sender::new(Progress::Silent);
                dial::quic(target, &viewer, b"x", Timeouts::default(), &progress).await
            });
        };
        let mut waiting = Vec::new();
        for _ in 0..CROWDED {
            come();
            waiting.push(endpoint.accept().await);
        }
        let validated = |incoming: &Incoming| incoming.quic.remote_address_validated();
        assert!(!waiting.iter().any(validated));
        come();
        let next = endpoint.accept().await;
        assert!(validated(&next));
        assert!(next.handshake(Duration::from_secs(5)).await.is_ok());
    }
}
