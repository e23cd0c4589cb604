//! A connection that has come in, until it is known what it wants.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::base::Base;
use super::door::{Over, Place, Seat};
use super::forwarded::Proxies;
use super::link::RECORD;
use super::plain::Table;

/// A TCP connection on which nothing has been said yet.
#[derive(Debug)]
pub struct Incoming {
    tcp: TcpStream,
    peer: SocketAddr,
    place: Place,
    sessions: Option<Table>,
    proxies: Proxies,
}

impl Incoming {
    pub(super) const fn new(
        tcp: TcpStream,
        peer: SocketAddr,
        place: Place,
        sessions: Option<Table>,
        proxies: Proxies,
    ) -> Self {
        Self {
            tcp,
            peer,
            place,
            sessions,
            proxies,
        }
    }

    /// Speaks TLS. Belongs into a task of its own: the other side may be as slow as `within` allows (10 s are usual).
    pub async fn handshake(
        self,
        config: Arc<ServerConfig>,
        within: Duration,
    ) -> Result<Secured, AcceptError> {
        let Self {
            mut tcp,
            peer,
            place,
            sessions,
            proxies,
        } = self;
        let accept = async {
            let viewer = proxies.in_front(&mut tcp, peer).await;
            let viewer = viewer.map_err(AcceptError::Proxied)?;
            if viewer != peer {
                place.comes_from(viewer.ip()).map_err(AcceptError::Over)?;
            }
            let accept = TlsAcceptor::from(config).accept_with(Base::from(tcp), |session| {
                session.set_buffer_limit(Some(RECORD))
            });
            let tls = accept.await.map_err(AcceptError::Tls)?;
            Ok::<_, AcceptError>((tls, viewer))
        };
        let done = place.hold(tokio::time::timeout(within, accept)).await?;
        let (tls, peer) = done.map_err(|_| AcceptError::Slow)??;
        Ok(Secured {
            tls,
            peer,
            place,
            sessions,
            proxies,
        })
    }

    /// The other side's address, which may be a proxy's.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The connection's seat, to be kept as long as the connection is.
    pub fn seat(&self) -> Arc<Seat> {
        self.place.seat()
    }
}

/// A connection inside TLS, which now speaks HTTP.
#[derive(Debug)]
pub struct Secured {
    pub(super) tls: TlsStream<Base>,
    pub(super) peer: SocketAddr,
    pub(super) place: Place,
    pub(super) sessions: Option<Table>,
    pub(super) proxies: Proxies,
}

impl Secured {
    /// The other side's address, as a trusted proxy in front of TLS has told it.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// Why a connection did not become a link. Nobody's fault but the other side's, so not worth more than a line in the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// It took too long.
    #[error("too slow")]
    Slow,
    /// There are too many already.
    #[error("turned away: {0}")]
    Over(Over),
    /// Too many others came while it was taking its time.
    #[error("gave way to newer connections")]
    Crowded,
    /// A trusted proxy began to say where the viewer is, and did not keep to the PROXY protocol.
    #[error("no PROXY header that is one, from a proxy that is trusted: {0}")]
    Proxied(io::Error),
    /// It spoke no TLS 1.3, or did not like our certificate, or went away.
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// It did not finish QUIC's handshake, or did not like our certificate, or opened no stream, or went away.
    #[error("no QUIC: {0}")]
    Quic(io::Error),
    /// It spoke no HTTP/1.1, or went away.
    #[error("no HTTP: {0}")]
    Http(hyper::Error),
    /// It did not finish the TLS handshake inside WebSocket or HTTP, or did not like our certificate, or went away.
    #[error("no TLS inside: {0}")]
    Sealed(io::Error),
    /// It went away.
    #[error(transparent)]
    Io(#[from] io::Error),
}
