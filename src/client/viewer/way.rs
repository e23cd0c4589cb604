//! The session of one way, as what is driven over its link.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::Viewer;
use crate::drive::{Beside, Endpoint, Turn};
use crate::links::{moves, place};
use crate::session::client::Session;
use crate::session::{Output, SessionError};
use crate::transport::Carrier;

/// A viewer's session over this way.
pub(in crate::client) struct WayOf<'a> {
    pub(super) viewer: &'a mut Viewer,
    pub(super) carrier: Carrier,
}

/// Bytes set aside for what comes over a link.
pub(in crate::client) const INBOX: usize = 64 << 10;

impl WayOf<'_> {
    const fn session(&mut self) -> Option<&mut Session> {
        self.viewer.ways[place(self.carrier)].as_mut()
    }

    /// Something came.
    fn heard(&mut self, now: Instant) -> Option<&mut Session> {
        self.viewer.tell(moves::Event::Heard(self.carrier), now);
        self.session()
    }
}

impl Endpoint for WayOf<'_> {
    const INBOX: usize = INBOX;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        match self.heard(now) {
            Some(session) => session.handle(bytes, now),
            None => Ok(()),
        }
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        match self.heard(now) {
            Some(session) => session.handle_datagram(datagram, now),
            None => Ok(()),
        }
    }

    fn handle_frame(&mut self, frame: Bytes, now: Instant) -> Result<(), SessionError> {
        match self.heard(now) {
            Some(session) => session.handle_whole(frame, now),
            None => Ok(()),
        }
    }

    fn end(&mut self) {
        if let Some(session) = self.session() {
            session.end();
        }
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
        let carrier = self.carrier;
        let Some(session) = self.session() else {
            return Turn::Closed;
        };
        match session.poll(now, out) {
            Output::Send => Turn::Sent,
            Output::Event(event) => self.viewer.event(carrier, event, now),
            Output::Idle(deadline) => {
                let server = session.server_time(now);
                if self.viewer.is_active(carrier) {
                    self.viewer.desk.playback().set_clock(server, now);
                }
                Turn::Idle(deadline)
            }
        }
    }

    fn beside(&mut self, now: Instant, _room: usize, out: &mut BytesMut) -> Beside {
        let session = self.session();
        match session.is_some_and(|session| session.datagram(now, out)) {
            true => Beside::Datagram,
            false => Beside::Nothing,
        }
    }

    async fn woken(&mut self) {
        // Whoever drives several ways asks the viewer.
        std::future::pending().await
    }
}
