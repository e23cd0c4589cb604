//! The publisher's end of a link that brings one level below the best picture.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::drive::{Beside, Endpoint, Turn};
use crate::hub::Stream;
use crate::media::Level;
use crate::server::Share;
use crate::session::server::{Event, Offer, Session};
use crate::session::{Output, SessionError};
use crate::transport::Link;
use crate::wire::CloseCode;

/// A link on which nothing is sent but one level.
pub(super) struct Side {
    level: Level,
    session: Session,
    stream: Arc<Stream>,
    share: Option<Share>,
    stop: CancellationToken,
    closed: bool,
}

impl Side {
    pub(super) fn new(
        (link, level): (&Link, Level),
        offer: Offer,
        stream: Arc<Stream>,
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
            level,
            session,
            stream,
            share: None,
            stop,
            closed: false,
        }
    }

    fn close(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.closed, true) {
            self.share = None;
            self.session.close(CloseCode::Done, now);
        }
    }

    fn event(&mut self, event: Event, now: Instant) -> Turn {
        match event {
            Event::Subscribed(wanted) if wanted.video && !self.closed => {
                self.share = Some(Share::of_level(Arc::clone(&self.stream), self.level));
            }
            Event::Subscribed(_) | Event::Unsubscribed => self.share = None,
            Event::Step { .. } => {
                debug!(level = ?self.level, "the line does not take it as well");
                self.close(now);
            }
            Event::Closed(reason) => {
                debug!(level = ?self.level, ?reason, "closed");
                self.share = None;
                return Turn::Closed;
            }
            Event::Hello(_) | Event::Levels(_) | Event::Report(_) | Event::Command(_) => {}
        }
        Turn::Again
    }
}

impl Endpoint for Side {
    const INBOX: usize = 4 << 10;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.session.handle(bytes, now)
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
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
        if self.stop.is_cancelled() {
            self.close(now);
        }
        match Share::poll(&mut self.share, &mut self.session, now, out) {
            Output::Send => Turn::Sent,
            Output::Event(event) => self.event(event, now),
            Output::Idle(deadline) => Turn::Idle(deadline),
        }
    }

    async fn woken(&mut self) {
        let (stop, closed) = (&self.stop, self.closed);
        let stopped = async {
            if closed {
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
