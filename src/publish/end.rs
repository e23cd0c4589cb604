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
use crate::media::LevelSet;
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
    taken: Arc<watch::Sender<Taken>>,
    patience: Patience,
    /// Changes when this machine has another address, and that it has.
    addresses: watch::Receiver<()>,
    readdressed: bool,
    one: One,
    reason: Option<CloseReason>,
}

/// How long a link is waited for on which nothing is heard, though the server asks each second.
#[derive(Debug)]
struct Patience {
    carrier: Carrier,
    /// When anything came last.
    heard: Instant,
    /// When this machine got another address, if nothing has come since.
    readdressed: Option<Instant>,
}

impl Patience {
    const fn new(carrier: Carrier, now: Instant) -> Self {
        Self {
            carrier,
            heard: now,
            readdressed: None,
        }
    }

    const fn heard(&mut self, now: Instant) {
        (self.heard, self.readdressed) = (now, None);
    }

    const fn readdressed(&mut self, now: Instant) {
        self.readdressed = Some(now);
    }

    /// When it is over, where it is not the session's own; `beside`: there is another link.
    fn until(&self, beside: bool) -> Option<Instant> {
        let lone = self.carrier == Carrier::Udp && beside;
        let heard = lone.then_some(self.heard);
        let since = heard.into_iter().chain(self.readdressed).min();
        since.map(|since| since + MUTE)
    }
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

/// What the server takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) pictures: Pictures,
    /// By carrier: it goes out coarser or rarer than it is.
    coarser: [bool; 2],
    /// What is wanted beside it.
    pub(super) wanted: LevelSet,
}

impl Taken {
    /// Whether the picture goes out as it is; `None` while it does not at all.
    pub(super) fn goes_well(&self) -> Option<bool> {
        let taken = self.pictures.into_iter().zip(self.coarser);
        let taken = taken.filter(|(taken, _)| *taken);
        taken.map(|(_, coarser)| !coarser).reduce(|a, b| a && b)
    }
}

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
        (taken, count): (Arc<watch::Sender<Taken>>, Arc<AtomicUsize>),
        (stop, addresses): (CancellationToken, watch::Receiver<()>),
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
            patience: Patience::new(carrier, now),
            addresses,
            readdressed: false,
            one: One::of(count),
            reason: None,
        }
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
                self.takes(wanted.video);
            }
            Event::Unsubscribed => {
                self.share = None;
                self.takes(false);
            }
            Event::Step { step, steps } => {
                info!(step, steps, "another picture");
                let at = place(self.carrier);
                self.tell(|taken| taken.coarser[at] = step > 0);
            }
            Event::Levels(wanted) => self.tell(|taken| taken.wanted = wanted),
            // The other side of a turned link is nobody to command anything.
            Event::Report(_) | Event::Command(_) => {}
            Event::Closed(reason) => {
                debug!(?reason, "closed");
                self.share = None;
                self.takes(false);
                self.reason = Some(reason);
                return Turn::Closed;
            }
        }
        Turn::Again
    }

    /// Whether the picture is taken over this link; a new subscription begins with the best.
    fn takes(&self, picture: bool) {
        let at = place(self.carrier);
        self.tell(|taken| (taken.pictures[at], taken.coarser[at]) = (picture, false));
    }

    fn tell(&self, change: impl FnOnce(&mut Taken)) {
        self.taken.send_if_modified(|taken| {
            let before = *taken;
            change(taken);
            *taken != before
        });
    }
}

impl Endpoint for End {
    const INBOX: usize = 4 << 10;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.patience.heard(now);
        self.session.handle(bytes, now)
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        self.patience.heard(now);
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
        if std::mem::take(&mut self.readdressed) {
            self.patience.readdressed(now);
            // Whoever drives this sees to the link.
            return Turn::Left;
        }
        match Share::poll(&mut self.share, &mut self.session, now, out) {
            Output::Send => Turn::Sent,
            Output::Event(event) => self.event(event),
            Output::Idle(deadline) => {
                let beside = self.one.0.load(Ordering::Relaxed) > 1;
                let patience = self.patience.until(beside);
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
            Ok(()) = self.addresses.changed() => self.readdressed = true,
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

/// Whether the end of one link with this means the end of the others.
pub(super) fn is_of_every_link(err: &Error) -> bool {
    matches!(err, Error::Refused { code, .. } if code.is_of_every_link())
}

/// Silence that is not waited for any longer over UDP beside TCP, or from another address.
const MUTE: Duration = Duration::from_millis(2500);
/// How long a server may take for its first word to be whole.
pub(super) const WORDLESS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Text;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_link_that_is_mute_from_another_address_is_given_up_and_one_that_is_heard_is_not() {
        let t0 = start();
        let later = t0 + Duration::from_secs(100);
        for carrier in Carrier::ALL {
            for beside in [false, true] {
                let mut link = Patience::new(carrier, t0);
                link.heard(later);
                let calm = (carrier == Carrier::Udp && beside).then_some(later + MUTE);
                assert_eq!(link.until(beside), calm);
                let change = later + Duration::from_secs(1);
                link.readdressed(change);
                assert_eq!(link.until(beside), calm.or(Some(change + MUTE)));
                let back = change + Duration::from_secs(1);
                link.heard(back);
                assert_eq!(link.until(beside), calm.map(|_| back + MUTE));
            }
        }
    }

    /// As when somebody else has the name now, and this link has yet to hear that.
    #[test]
    fn what_a_server_says_on_one_link_ends_the_others_only_where_it_concerns_them() {
        let said = |code| {
            let reason = CloseReason::Peer {
                code,
                reason: Text::new(""),
            };
            match ended(&reason) {
                Ended::Failed(err) => is_of_every_link(&err),
                Ended::Lost(_) | Ended::Done => panic!("{code}"),
            }
        };
        for code in [
            CloseCode::Taken,
            CloseCode::NoSuchStream,
            CloseCode::Unauthorized,
            CloseCode::Misbehaved,
        ] {
            assert!(!said(code), "{code}");
        }
        for code in [
            CloseCode::Revoked,
            CloseCode::Replaced,
            CloseCode::Dismissed,
            CloseCode::Forbidden,
        ] {
            assert!(said(code), "{code}");
        }
        let failed = CloseReason::Failed(SessionError::Silent(MUTE));
        assert!(matches!(ended(&failed), Ended::Failed(err) if !is_of_every_link(&err)));
    }
}
