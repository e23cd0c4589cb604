//! The publisher's end of one link: what is a server's end of a viewer's, since the link has turned.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::drive::{Beside, Endpoint, Turn};
use crate::error::Error;
use crate::hub::Stream;
use crate::links::place;
use crate::server::Share;
use crate::session::server::{Event, Offer, Session};
use crate::session::{CloseReason, Output, SessionError};
use crate::transport::{Carrier, Link};
use crate::wire::CloseCode;

/// A link, and what the server takes over it.
pub(super) struct End {
    session: Session,
    stream: Arc<Stream>,
    share: Option<Share>,
    stop: CancellationToken,
    stopping: bool,
    carrier: Carrier,
    taken: Arc<watch::Sender<Pictures>>,
    /// When anything came last.
    heard: Instant,
    one: One,
    reason: Option<CloseReason>,
}

/// One of all links, as long as it is there.
struct One(Arc<AtomicUsize>);

impl One {
    fn of(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// By carrier: whether the server takes the picture over it.
pub(super) type Pictures = [bool; 2];

/// What the end of a link means.
#[derive(Debug)]
pub(super) enum Ended {
    /// It is to be dialled again; why it was lost.
    Lost(String),
    /// All is over: this side wanted it.
    Done,
    /// All is over: the server will have nothing more of it.
    Failed(Error),
}

impl End {
    pub(super) fn new(
        (link, carrier): (&Link, Carrier),
        offer: Offer,
        stream: Arc<Stream>,
        (taken, count): (Arc<watch::Sender<Pictures>>, Arc<AtomicUsize>),
        stop: CancellationToken,
        (epoch, now): (Instant, Instant),
    ) -> Self {
        let mut session = Session::new(offer, epoch, now);
        if let Some(round_trip) = link.round_trip() {
            session = session.with_round_trip(round_trip);
        }
        if link.kind().has_datagrams() {
            session = session.with_datagrams(now);
        }
        Self {
            session,
            stream,
            share: None,
            stop,
            stopping: false,
            carrier,
            taken,
            heard: now,
            one: One::of(count),
            reason: None,
        }
    }

    /// When UDP is given up, of which nothing is heard though the server asks each second, while there is another link.
    fn patience(&self) -> Option<Instant> {
        let other = self.one.0.load(Ordering::Relaxed) > 1;
        (self.carrier == Carrier::Udp && other).then(|| self.heard + MUTE)
    }

    /// What became of it.
    pub(super) fn ended(self) -> Ended {
        self.reason.map_or_else(
            || Ended::Lost("the connection ended without a reason".to_owned()),
            |reason| ended(&reason),
        )
    }

    fn event(&mut self, event: Event) -> Turn {
        match event {
            Event::Hello(hello) => info!(agent = hello.agent.as_str(), "the link has turned"),
            Event::Subscribed(wanted) => {
                self.share = Some(Share::new(Arc::clone(&self.stream), &wanted));
                self.tell(wanted.video);
            }
            Event::Unsubscribed => {
                self.share = None;
                self.tell(false);
            }
            Event::Step { step, steps } => info!(step, steps, "another picture"),
            // The other side of a turned link is nobody to command anything.
            Event::Report(_) | Event::Command(_) => {}
            Event::Closed(reason) => {
                debug!(?reason, "closed");
                self.share = None;
                self.tell(false);
                self.reason = Some(reason);
                return Turn::Closed;
            }
        }
        Turn::Again
    }

    fn tell(&self, picture: bool) {
        self.taken.send_if_modified(|taken| {
            let news = taken[place(self.carrier)] != picture;
            taken[place(self.carrier)] = picture;
            news
        });
    }
}

impl Endpoint for End {
    const INBOX: usize = 4 << 10;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.heard = now;
        self.session.handle(bytes, now)
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        self.heard = now;
        self.session.handle_datagram(datagram, now)
    }

    fn handle_frame(&mut self, _frame: Bytes, _now: Instant) -> Result<(), SessionError> {
        // Frames go to the server alone.
        Ok(())
    }

    fn beside(&mut self, now: Instant, room: usize, out: &mut BytesMut) -> Beside {
        Share::beside(&mut self.share, &mut self.session, (now, room), out)
    }

    fn end(&mut self) {
        self.session.end();
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
        if self.stop.is_cancelled() && !self.stopping {
            self.stopping = true;
            self.session.close(CloseCode::Done, now);
        }
        match Share::poll(&mut self.share, &mut self.session, now, out) {
            Output::Send => Turn::Sent,
            Output::Event(event) => self.event(event),
            Output::Idle(deadline) => {
                let patience = self.patience();
                if patience.is_some_and(|until| now >= until) {
                    self.session.end();
                    return Turn::Again;
                }
                Turn::Idle(deadline.into_iter().chain(patience).min())
            }
        }
    }

    async fn woken(&mut self) {
        let (stop, stopping) = (&self.stop, self.stopping);
        let stopped = async {
            if stopping {
                std::future::pending::<()>().await;
            }
            stop.cancelled().await;
        };
        tokio::select! {
            () = stopped => {}
            () = Share::changed(&mut self.share) => {}
        }
    }
}

/// What the end of a session means to somebody who publishes.
pub(super) fn ended(reason: &CloseReason) -> Ended {
    match reason {
        CloseReason::Local(_) => Ended::Done,
        CloseReason::Peer { code, reason } => {
            let text = if reason.is_empty() {
                code.to_string()
            } else {
                reason.as_str().to_owned()
            };
            // The server closes a link that carries nothing with "done", and means no more than that link.
            if *code == CloseCode::Done || code.is_worth_retrying() {
                Ended::Lost(text)
            } else {
                Ended::Failed(Error::Refused {
                    code: *code,
                    reason: text,
                })
            }
        }
        CloseReason::Cut => Ended::Lost("the connection was cut".to_owned()),
        CloseReason::Silent => Ended::Lost("no sign of life from the server".to_owned()),
        CloseReason::Failed(err) => Ended::Failed(Error::Session(err.clone())),
    }
}

/// Silence over UDP beside TCP that is not waited for any longer.
const MUTE: Duration = Duration::from_millis(2500);
/// How long a server may take for its first word to be whole.
pub(super) const WORDLESS: Duration = Duration::from_secs(5);
