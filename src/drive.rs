//! The only loop that joins a session, a link and the real clock.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::time;
use tracing::debug;

use crate::{
    session::SessionError,
    transport::{Link, Ready},
};

/// One end of a session, with whatever it feeds and informs.
pub trait Endpoint: Send {
    /// Bytes set aside for what comes.
    const INBOX: usize;

    /// Takes what has come.
    ///
    /// # Errors
    /// The peer cannot be spoken with; the session says goodbye by itself.
    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError>;

    /// The link has ended.
    fn end(&mut self);

    /// One step: appends at most one chunk to `out`, which is what the link has yet to take, or deals with one event,
    /// or says that there is nothing to do.
    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn;

    /// Resolves when there may be something to do that did not come over the link. Cancel-safe.
    fn woken(&mut self) -> impl Future<Output = ()> + Send;
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something happened; ask again.
    Again,
    /// Bytes were appended.
    Sent,
    /// Nothing to do before this moment, unless something comes.
    Idle(Option<Instant>),
    /// The session is over.
    Closed,
}

/// Runs `endpoint` over `link` until the session is over, which the endpoint learns with its reason. Then the link is
/// shut down.
///
/// The session is asked for more only when the link has taken all that it was given before, so that media is chosen
/// at the last moment.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub async fn run<E: Endpoint>(mut link: Link, endpoint: &mut E) {
    let mut inbox = BytesMut::with_capacity(E::INBOX);
    let mut pending = BytesMut::new();
    // Stands for what the link has taken and the kernel has not: to the session that is yet to be written.
    let mut taken = BytesMut::from(&[0][..]);
    let mut alive = true;
    loop {
        let deadline = loop {
            let out = if link.is_clear() {
                if pending.capacity() == 0 {
                    pending.reserve(PENDING);
                }
                &mut pending
            } else {
                &mut taken
            };
            match endpoint.poll(Instant::now(), out) {
                Turn::Again | Turn::Sent => {}
                Turn::Idle(deadline) => break deadline,
                Turn::Closed => {
                    farewell(link, alive).await;
                    return;
                }
            }
        };
        if pending.is_empty() {
            // Of many who wait, none keeps room for what he may send.
            pending = BytesMut::new();
        }
        let sleep = async {
            match deadline {
                Some(deadline) => time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ready = link.ready(&mut inbox, &mut pending), if alive => match ready {
                Ok(Ready::Read(_)) => {
                    if let Err(err) = endpoint.handle(&mut inbox, Instant::now()) {
                        debug!(%err, "the session fails");
                    }
                }
                // The session speaks over the stream alone, so nothing of these is waited for, and none of them comes.
                Ok(Ready::Wrote(_) | Ready::Datagram(_) | Ready::Frame(_) | Ready::Room) => {}
                Ok(Ready::Eof) => {
                    alive = false;
                    endpoint.end();
                }
                Err(err) => {
                    debug!(%err, "the link broke");
                    alive = false;
                    endpoint.end();
                }
            },
            () = endpoint.woken() => {}
            () = sleep => {}
        }
    }
}

/// Tells the peer's TLS that nothing follows; a peer that does not take it loses nothing.
async fn farewell(link: Link, alive: bool) {
    if alive && let Err(err) = link.shutdown(&[], FAREWELL).await {
        debug!(%err, "the link did not close cleanly");
    }
}

/// One chunk.
const PENDING: usize = 16 << 10;
const FAREWELL: Duration = Duration::from_secs(1);
