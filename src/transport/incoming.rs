//! A connection that has come in, until it is known what it wants.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::base::Base;
use super::forwarded::Proxies;
use super::link::RECORD;
use super::plain::Table;

/// A TCP connection on which nothing has been said yet.
#[derive(Debug)]
pub struct Incoming {
    tcp: TcpStream,
    peer: SocketAddr,
    place: Place,
    proxies: Proxies,
    sessions: Option<Table>,
}

impl Incoming {
    pub(super) const fn new(
        tcp: TcpStream,
        peer: SocketAddr,
        place: Place,
        proxies: Proxies,
        sessions: Option<Table>,
    ) -> Self {
        Self {
            tcp,
            peer,
            place,
            proxies,
            sessions,
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
            proxies,
            sessions,
        } = self;
        let accept = async {
            let viewer = proxies.in_front(&mut tcp, peer).await;
            let viewer = viewer.map_err(AcceptError::Proxied)?;
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
            proxies,
            sessions,
        })
    }

    /// The other side's address, which may be a proxy's.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// A connection inside TLS, which now speaks HTTP.
#[derive(Debug)]
pub struct Secured {
    pub(super) tls: TlsStream<Base>,
    pub(super) peer: SocketAddr,
    pub(super) place: Place,
    pub(super) proxies: Proxies,
    pub(super) sessions: Option<Table>,
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

/// Those who have not said yet what they want: at most [`MOST`], since each costs a socket and some memory.
///
/// When one too many comes, the one who has taken longest gives way. To keep others out that way takes 512 connections
/// in the time that an honest viewer needs for a handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    places: BTreeMap<u64, Arc<Notify>>,
}

impl Crowd {
    pub(super) fn enter(&self) -> Place {
        let left = Arc::new(Notify::new());
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.next;
        waiting.next += 1;
        waiting.places.insert(number, Arc::clone(&left));
        if waiting.places.len() > MOST
            && let Some((_, oldest)) = waiting.places.pop_first()
        {
            oldest.notify_one();
        }
        Place {
            crowd: self.clone(),
            number,
            left,
        }
    }

    pub(super) fn len(&self) -> usize {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.places.len()
    }
}

/// A place in the crowd, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    number: u64,
    left: Arc<Notify>,
}

impl Place {
    /// Runs `work` for as long as the place is ours.
    pub(super) async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T, AcceptError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.left.notified() => Err(AcceptError::Crowded),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.places.remove(&self.number);
    }
}

/// The most connections that may still be on their way to a link or a page.
const MOST: usize = 512;

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn one_too_many_makes_the_oldest_leave() {
        let crowd = Crowd::default();
        let mut places: Vec<Place> = (0..MOST).map(|_| crowd.enter()).collect();
        drop(places.remove(0));
        places.push(crowd.enter());
        assert!(places[0].hold(ready(())).await.is_ok());
        places.push(crowd.enter());
        assert!(matches!(
            places[0].hold(pending::<()>()).await,
            Err(AcceptError::Crowded)
        ));
        assert!(places[1].hold(ready(())).await.is_ok());
        drop(places);
        assert!(crowd.0.lock().unwrap().places.is_empty());
    }
}
