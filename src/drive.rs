//! The only loop that joins a session, a link and the real clock.

use std::{
    future::Future,
    io,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
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

    /// Takes a datagram.
    ///
    /// # Errors
    /// As [`Self::handle`].
    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError>;

    /// Takes a frame that came on a stream of its own.
    ///
    /// # Errors
    /// As [`Self::handle`].
    fn handle_frame(&mut self, frame: Bytes, now: Instant) -> Result<(), SessionError>;

    /// The link has ended.
    fn end(&mut self);

    /// One step: appends at most one chunk to `out`, which is what the link has yet to take, or deals with one event,
    /// or says that there is nothing to do.
    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn;

    /// What goes out beside the link's stream, where it has datagrams; the next one has at most `room` bytes. Asked for
    /// when [`Self::poll`] has nothing to do, until there is [`Beside::Nothing`].
    fn beside(&mut self, now: Instant, room: usize, out: &mut BytesMut) -> Beside;

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
    /// The link is given back: another endpoint goes on with it, or this one once something was done to the link.
    Left,
}

/// What came of doing all that there was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// There is more to do then, if nothing comes.
    Idle(Option<Instant>),
    /// The session is over, and the link with it.
    Over,
    /// See [`Turn::Left`].
    Left,
}

/// What goes out beside a link's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing now.
    Nothing,
    /// What was appended is a datagram.
    Datagram,
    /// A frame on a stream of its own: what goes before it, and the frame.
    Frame(Bytes, Bytes),
    /// Something for the stream came up: poll.
    Words,
}

/// What came over a link before it was known that it is the one.
#[derive(Debug, Default)]
pub struct Early {
    /// Over its stream.
    pub stream: BytesMut,
    /// Beside it, in order.
    pub datagrams: Vec<Bytes>,
    /// On streams of their own.
    pub frames: Vec<Bytes>,
}

/// Runs `endpoint` over `link` until the session is over, which the endpoint learns with its reason. Then the link is
/// shut down; it is given back where the endpoint has [left](Turn::Left) it.
pub async fn run<E: Endpoint>(link: Link, endpoint: &mut E) -> Option<Lane> {
    go_on(Lane::new(link, E::INBOX), endpoint).await
}

/// The same over a lane on which something was said before.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub async fn go_on<E: Endpoint>(mut lane: Lane, endpoint: &mut E) -> Option<Lane> {
    loop {
        let deadline = match lane.drain(endpoint) {
            Drained::Idle(deadline) => deadline,
            Drained::Over => {
                lane.farewell().await;
                return None;
            }
            Drained::Left => return Some(lane),
        };
        let sleep = async {
            match deadline {
                Some(deadline) => time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            came = lane.ready() => lane.take(came, endpoint, Instant::now()),
            () = endpoint.woken() => {}
            () = sleep => {}
        }
    }
}

/// A link, and what is between it and a session.
///
/// The session is asked for more only when the link has taken all that it was given before, so that media is chosen
/// at the last moment.
#[derive(Debug)]
pub struct Lane {
    link: Link,
    inbox: BytesMut,
    /// What the link has yet to take.
    pending: BytesMut,
    /// Stands for what the link has taken and the kernel has not: to the session that is yet to be written.
    taken: BytesMut,
    datagram: BytesMut,
    alive: bool,
}

/// What came of waiting for a lane.
pub type Came = io::Result<Ready>;

impl Lane {
    /// With so many bytes set aside for what comes.
    pub fn new(link: Link, inbox: usize) -> Self {
        Self {
            link,
            inbox: BytesMut::with_capacity(inbox),
            pending: BytesMut::new(),
            taken: BytesMut::from(&[0][..]),
            datagram: BytesMut::new(),
            alive: true,
        }
    }

    /// Does all that there is to do now.
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn drain<E: Endpoint>(&mut self, endpoint: &mut E) -> Drained {
        let deadline = loop {
            let out = if self.link.is_clear() {
                if self.pending.capacity() == 0 {
                    self.pending.reserve(PENDING);
                }
                &mut self.pending
            } else {
                &mut self.taken
            };
            match endpoint.poll(Instant::now(), out) {
                Turn::Again | Turn::Sent => {}
                Turn::Idle(deadline) => {
                    let words =
                        self.alive && send_beside(&mut self.link, endpoint, &mut self.datagram);
                    // They wait for what is before them.
                    if !words || !self.pending.is_empty() || !self.link.is_clear() {
                        let full = self.link.datagram_room() == Some(0);
                        // Then it is the link that says when something can be done.
                        break deadline.filter(|_| !full);
                    }
                }
                Turn::Closed => return Drained::Over,
                Turn::Left => return Drained::Left,
            }
        };
        if self.pending.is_empty() {
            // Of many who wait, none keeps room for what he may send.
            self.pending = BytesMut::new();
        }
        Drained::Idle(deadline)
    }

    /// The link has turned: from now on its other side sends frames, which a server's side does not let a viewer do.
    pub fn turned(&self) {
        self.link.let_frames_in();
    }

    /// Waits for the link; never resolves once it has ended. Cancel-safe.
    pub async fn ready(&mut self) -> Came {
        if !self.alive {
            std::future::pending::<()>().await;
        }
        self.link.ready(&mut self.inbox, &mut self.pending).await
    }

    /// Gives the endpoint what came.
    pub fn take<E: Endpoint>(&mut self, came: Came, endpoint: &mut E, now: Instant) {
        match came {
            Ok(Ready::Read(_)) => failing(endpoint.handle(&mut self.inbox, now)),
            Ok(Ready::Datagram(datagram)) => {
                failing(endpoint.handle_datagram(datagram, now));
                // Many come at once, and each way round the loop costs more than to take one.
                for _ in 1..AT_ONCE {
                    let Some(datagram) = self.link.next_datagram() else {
                        break;
                    };
                    failing(endpoint.handle_datagram(datagram, now));
                }
            }
            Ok(Ready::Frame(frame)) => failing(endpoint.handle_frame(frame, now)),
            Ok(Ready::Wrote(_) | Ready::Room) => {}
            Ok(Ready::Eof) => {
                self.alive = false;
                endpoint.end();
            }
            Err(err) => {
                debug!(%err, "the link broke");
                self.alive = false;
                endpoint.end();
            }
        }
    }

    /// Gives the link up, as if it had broken.
    pub fn cut<E: Endpoint>(&mut self, endpoint: &mut E) {
        self.alive = false;
        endpoint.end();
    }

    /// Goes on from the address that this machine has now, if the link can.
    pub fn rebind(&self) {
        let rebound = self.link.rebind();
        debug!(?rebound, "from another address");
    }

    /// Tells the peer's TLS that nothing follows; a peer that does not take it loses nothing.
    pub async fn farewell(self) {
        if self.alive
            && let Err(err) = self.link.shutdown(&[], FAREWELL).await
        {
            debug!(%err, "the link did not close cleanly");
        }
    }
}

/// Sends what goes beside the stream; whether there is something for the stream now.
#[expect(clippy::disallowed_methods, reason = "as above")]
fn send_beside<E: Endpoint>(link: &mut Link, endpoint: &mut E, datagram: &mut BytesMut) -> bool {
    while let Some(room @ 1..) = link.datagram_room() {
        if datagram.capacity() < room {
            // Many datagrams are slices of one buffer.
            datagram.reserve(ARENA);
        }
        match endpoint.beside(Instant::now(), room, datagram) {
            Beside::Nothing => return false,
            Beside::Datagram => {
                // What the link does not take is lost, as anything may be that is sent so.
                let _taken = link.send_datagram(datagram.split().freeze());
            }
            Beside::Frame(head, body) => link.send_frame(head, body),
            Beside::Words => return true,
        }
    }
    false
}

/// Gives an endpoint what came early.
pub fn take_early<E: Endpoint>(mut early: Early, endpoint: &mut E, now: Instant) {
    if !early.stream.is_empty() {
        failing(endpoint.handle(&mut early.stream, now));
    }
    for datagram in early.datagrams {
        failing(endpoint.handle_datagram(datagram, now));
    }
    for frame in early.frames {
        failing(endpoint.handle_frame(frame, now));
    }
}

/// The session says goodbye by itself.
fn failing(handled: Result<(), SessionError>) {
    if let Err(err) = handled {
        debug!(%err, "the session fails");
    }
}

/// Datagrams taken in one go; more would keep what was seen in them waiting.
const AT_ONCE: usize = 32;
/// Some datagrams.
const ARENA: usize = 32 << 10;
/// One chunk.
const PENDING: usize = 16 << 10;
const FAREWELL: Duration = Duration::from_secs(1);
