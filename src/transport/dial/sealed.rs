//! Links inside a TLS connection that ends elsewhere: the outer one opened, HTTP spoken, the inner one sealed.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::ask::{Asked, ask};
use super::{DialError, Port, Target, Timeouts, authority, handshake, path};
use crate::transport::answer::Wanted;
use crate::transport::base::Base;
use crate::transport::plain::{self, Held, Mode};
use crate::transport::sealed::{seal, websocket};
use crate::transport::upgrade::PROTOCOL;
use crate::transport::{First, Kind, Link};
use crate::trust::{Outer, OuterClient, Rejection};

/// Connects over WebSocket, through whatever ends TLS at the target's address, and seals a TLS session inside.
///
/// `first`, the session's first bytes (at most 16 KiB), go out inside, together with the end of that session's handshake.
/// `outer` is for the same host ([`outer_client_config`](crate::trust::outer_client_config)), `inner` from
/// [`sealed_client_config`](crate::trust::sealed_client_config) for the same host and port. What the outer connection has
/// shown comes with the link. Whoever drops the future drops the connection.
///
/// # Errors
/// [`DialError::Stripped`] where WebSocket does not get through, [`DialError::Rejected`] where the server's own key, inside,
/// is not the one that was meant, [`DialError::Unsealed`] where there is no TLS session inside; otherwise those of
/// [`tls`](super::tls()).
pub async fn websocket(
    target: Target<'_>,
    outer: &OuterClient,
    inner: Arc<ClientConfig>,
    first: &dyn First,
    timeouts: Timeouts,
) -> Result<(Link, Outer), DialError> {
    let Target {
        host, port, stream, ..
    } = target;
    let deadline = Instant::now() + timeouts.overall;
    let server = authority(host, port, Port::Always);
    let (mut tls, shown) = open(target, outer, timeouts, deadline).await?;
    let (key, accept) = websocket::challenge();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {AGENT}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n",
        path(stream),
        authority(host, port, Port::IfUnusual),
    );
    let wanted = Wanted::WebSocket { accept: &accept };
    let asked = ask(&mut tls, request.as_bytes(), wanted, deadline, &server).await?;
    let early = match asked {
        Asked::Granted { early } => early,
        Asked::Refused { status, title } => {
            return Err(DialError::Stripped {
                server,
                status,
                title,
            });
        }
    };
    let base = Base::websocket(websocket::WebSocket::client(tls, early).await);
    let kind = Kind::WebSocket;
    let link = seal::client(base, kind, host, inner, first, deadline, &server).await?;
    Ok((link, shown))
}

/// Outer connections that are opened before it is known whether they are needed: where WebSocket does not get through,
/// HTTP need not wait for its own. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ahead(Arc<Mutex<Shelf<Opened>>>);

/// A connection, and what it has shown.
type Opened = (TlsStream<Base>, Outer);

/// What was made ready, and when.
#[derive(Debug)]
struct Shelf<T>(Vec<(Instant, T)>);

impl Ahead {
    /// Opens as many as HTTP cannot begin without, as far as they can be opened. Whoever drops the future opens no more.
    pub async fn open(&self, target: Target<'_>, outer: &OuterClient, timeouts: Timeouts) {
        let one = || async {
            let deadline = Instant::now() + timeouts.overall;
            if let Ok(opened) = open(target, outer, timeouts, deadline).await {
                self.lock().put(opened, Instant::now());
            }
        };
        tokio::join!(one(), one());
    }

    fn take(&self) -> Option<Opened> {
        self.lock().take(Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Shelf<Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Shelf<T> {
    fn put(&mut self, what: T, now: Instant) {
        self.0.push((now, what));
    }

    /// What was put there last. What has become old is dropped.
    fn take(&mut self, now: Instant) -> Option<T> {
        self.0
            .retain(|(at, _)| now.saturating_duration_since(*at) < OLD);
        self.0.pop().map(|(_, what)| what)
    }
}

/// Connects in plain requests and answers of HTTP, through whatever ends TLS at the target's address, and seals a TLS
/// session inside. Tells too how the bytes come down: in pieces where `held` knows that long answers are held back, or
/// learns it. What was opened `ahead` is taken first. All else is as with [`websocket`]; what does not get through is [`DialError::Plain`].
pub async fn http(
    target: Target<'_>,
    outer: &OuterClient,
    inner: Arc<ClientConfig>,
    first: &dyn First,
    held: &Held,
    ahead: &Ahead,
    timeouts: Timeouts,
) -> Result<(Link, Outer, Mode), DialError> {
    let Target {
        host, port, stream, ..
    } = target;
    let deadline = Instant::now() + timeouts.overall;
    let server = authority(host, port, Port::Always);
    let (show, mut shown) = watch::channel(None);
    let open = {
        let (host, stream, outer) = (host.to_owned(), stream.to_owned(), outer.clone());
        let (show, proxy) = (Arc::new(show), target.proxy.cloned());
        let ahead = ahead.clone();
        move || {
            let (host, stream, outer) = (host.clone(), stream.clone(), outer.clone());
            let proxy = proxy.clone();
            let (show, ahead) = (Arc::clone(&show), ahead.take());
            async move {
                let target = Target {
                    host: &host,
                    port,
                    stream: &stream,
                    proxy: proxy.as_ref(),
                };
                // Later ones have as long as the first.
                let deadline = Instant::now() + timeouts.overall;
                let (tls, what) = match ahead {
                    Some(opened) => opened,
                    None => open(target, &outer, timeouts, deadline).await?,
                };
                if let Ok(peer) = tls.get_ref().0.peer() {
                    show.send_if_modified(|shown| {
                        let first = shown.is_none();
                        shown.get_or_insert((what, peer));
                        first
                    });
                }
                Ok::<_, DialError>(tls)
            }
        }
    };
    let open = Arc::new(open);
    let name = authority(host, port, Port::IfUnusual);
    let failed = |error| {
        if let plain::Error::Open(error) = error {
            return error;
        }
        DialError::Plain {
            server: server.clone(),
            why: error.to_string(),
        }
    };
    loop {
        let began = Instant::now();
        let mode = if held.is() {
            Mode::Finite
        } else {
            Mode::Streamed
        };
        let way = plain::start(&open, &name, &path(stream), mode, held).map_err(failed)?;
        let (end, inner) = (way.end, Arc::clone(&inner));
        // From the first connection on: what the handshake begins with goes up together with the first request.
        let sealed = async {
            let known = shown.wait_for(Option::is_some).await;
            let known = known.ok().and_then(|known| known.clone());
            let Some((what, peer)) = known else {
                return Err(DialError::Lost {
                    server: server.clone(),
                    source: io::ErrorKind::NotConnected.into(),
                });
            };
            let base = Base::inside(end, peer);
            let link = seal::client(base, Kind::Http, host, inner, first, deadline, &server);
            link.await.map(|link| (link, what, mode))
        };
        let mut sealed = pin!(sealed);
        let stands = tokio::select! {
            biased;
            stands = way.stands.wait(deadline) => stands,
            // Not before the way stands, unless there is none.
            done = &mut sealed => return done,
        };
        match stands {
            Err(plain::Error::HeldBack) => {
                held.set();
                continue;
            }
            stands => stands.map_err(failed)?,
        }
        let until = match mode {
            // A round trip or two; getting here has taken more.
            Mode::Streamed => deadline.min(Instant::now() + began.elapsed() + HANDSHAKE),
            Mode::Finite => deadline,
        };
        match timeout_at(until, sealed).await {
            // Its first bytes came, and then no more.
            Err(_) if until < deadline => held.set(),
            Ok(Err(DialError::Unsealed { .. })) if until < deadline && held.is() => {}
            Ok(done) => return done,
            Err(late) => {
                return Err(DialError::Unsealed {
                    server: server.clone(),
                    kind: Kind::Http,
                    source: late.into(),
                });
            }
        }
    }
}

/// Asks for the page that everybody gets. Then a box on the way has a connection to the server that is free when more is to
/// be said than what is asked for first, which keeps its own: to make another takes the box two round trips.
pub async fn page(target: Target<'_>, outer: &OuterClient, timeouts: Timeouts) {
    let deadline = Instant::now() + timeouts.overall;
    let Ok((mut tls, _)) = open(target, outer, timeouts, deadline).await else {
        return;
    };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {AGENT}\r\nConnection: close\r\n\r\n",
        path(target.stream),
        authority(target.host, target.port, Port::IfUnusual),
    );
    let read = async {
        tls.write_all(request.as_bytes()).await?;
        tls.flush().await?;
        copy(&mut tls.take(MOST_PAGE), &mut sink()).await
    };
    // What it says is all the same.
    let _page = timeout_at(deadline, read).await;
}

/// Opens an outer connection, and tells what it has shown. Nothing but HTTP and sealed bytes may be written into it.
pub(super) async fn open(
    target: Target<'_>,
    outer: &OuterClient,
    timeouts: Timeouts,
    deadline: Instant,
) -> Result<(TlsStream<Base>, Outer), DialError> {
    let Target { host, port, .. } = target;
    let server = authority(host, port, Port::Always);
    let base = target.connect(timeouts, deadline, &server).await?;
    let (config, silence) = (outer.tls(), timeouts.silence);
    let tls = handshake::handshake(base, host, config, silence, deadline, &server).await?;
    let shown = tls.get_ref().1.peer_certificates();
    match shown.and_then(|chain| outer.verdict(chain)) {
        Some(shown) => Ok((tls, shown)),
        None => Err(DialError::Rejected {
            server,
            rejection: Box::new(Rejection::Damaged),
        }),
    }
}

/// A page that is longer is none of ours.
const MOST_PAGE: u64 = 64 * 1024;
/// A connection on which nothing is said for so long may have been closed on the way.
const OLD: Duration = Duration::from_secs(2);
/// What the handshake inside may take beyond its round trips, where it comes as it is sent.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// What we call ourselves to whoever reads our HTTP.
pub(super) const AGENT: &str = concat!("tunnelcast/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_ready_long_ago_is_not_used() {
        let now = Instant::now();
        let mut shelf = Shelf::default();
        shelf.put("old", now);
        shelf.put("new", now + OLD / 2);
        assert_eq!(shelf.take(now + OLD), Some("new"));
        assert_eq!(shelf.take(now + OLD), None);
        shelf.put("old", now);
        assert_eq!(shelf.take(now + OLD), None);
    }
}
