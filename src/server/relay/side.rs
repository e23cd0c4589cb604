//! The session of one of a publisher's links, as what is driven.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::pair::Pair;
use crate::drive::{Beside, Endpoint, Turn};
use crate::session::client::{Event, Session};
use crate::session::{Output, SessionError};
use crate::transport::Carrier;

/// A session over its link.
pub(super) struct SideOf<'a> {
    pub(super) pair: &'a mut Pair,
    pub(super) carrier: Carrier,
}

impl SideOf<'_> {
    fn session(&mut self) -> Option<&mut Session> {
        self.pair.session_of(self.carrier)
    }

    fn heard(&mut self, bytes: usize, now: Instant) -> Option<&mut Session> {
        self.pair.hears(self.carrier, bytes, now);
        self.session()
    }
}

impl Endpoint for SideOf<'_> {
    const INBOX: usize = 64 << 10;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.heard(bytes.len(), now)
            .map_or(Ok(()), |session| session.handle(bytes, now))
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        self.heard(datagram.len(), now)
            .map_or(Ok(()), |session| session.handle_datagram(datagram, now))
    }

    fn handle_frame(&mut self, frame: Bytes, now: Instant) -> Result<(), SessionError> {
        self.heard(frame.len(), now)
            .map_or(Ok(()), |session| session.handle_whole(frame, now))
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
            Output::Event(event) => self.pair.event(carrier, event, now),
            Output::Idle(deadline) => Turn::Idle(deadline),
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
        // Whoever drives both asks the pair.
        std::future::pending().await
    }
}

/// A session on which nothing more is to be done than to say goodbye.
pub(super) struct Parting(pub(super) Session);

impl Endpoint for Parting {
    const INBOX: usize = 4 << 10;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.0.handle(bytes, now)
    }

    fn handle_datagram(&mut self, _: Bytes, _: Instant) -> Result<(), SessionError> {
        Ok(())
    }

    fn handle_frame(&mut self, _: Bytes, _: Instant) -> Result<(), SessionError> {
        Ok(())
    }

    fn end(&mut self) {
        self.0.end();
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
        match self.0.poll(now, out) {
            Output::Send => Turn::Sent,
            Output::Event(Event::Closed(_)) => Turn::Closed,
            Output::Event(_) => Turn::Again,
            Output::Idle(deadline) => Turn::Idle(deadline),
        }
    }

    fn beside(&mut self, _: Instant, _: usize, _: &mut BytesMut) -> Beside {
        Beside::Nothing
    }

    async fn woken(&mut self) {
        std::future::pending().await
    }
}
