//! The part of a server's session that is about datagrams.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{Fault, Session, State};
use crate::media::MediaTime;
use crate::session::outbox::AUDIO_ROOM;
use crate::session::{Feed, Misbehaviour, SessionError};
use crate::wire::limits::{DATAGRAM_HEAD_LEN, MAX_MESSAGE};
use crate::wire::{Ack, Arrivals, Datagram, Kind, Message, put_audio};

/// A picture that goes on a stream of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// What goes before it.
    pub head: Bytes,
    /// The picture.
    pub jpeg: Bytes,
}

/// What a datagram may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes.
    pub(super) most: usize,
    /// The line is short, and surely wide: datagrams of one size are worth more than a few bytes, since the system
    /// takes many of them in one go.
    pub(super) near: bool,
}

impl Session {
    /// Takes a datagram. After an error poll until it is closed.
    pub fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        if !self.core.is_open() {
            return Ok(());
        }
        self.take_datagram(datagram, now)
            .map_err(|fault| fault.into_error(0))
            .inspect_err(|error| self.core.fail(error.clone(), now))
    }

    /// Appends to `out`, which is empty, a datagram of at most `room` bytes to be sent at once. Whether there was any.
    /// To be called, on a link with datagrams, when `poll` gave [`Idle`](crate::session::Output::Idle), until it says
    /// no; then `poll` once more if [`Self::has_words`].
    pub fn datagram(
        &mut self,
        now: Instant,
        feed: &mut dyn Feed,
        room: usize,
        out: &mut BytesMut,
    ) -> bool {
        let soon = self.shown_soon(now);
        let Some(parcels) = &mut self.parcels else {
            return false;
        };
        if self.state != State::Streaming || !self.core.is_open() {
            return false;
        }
        feed.forget(soon);
        let mut picture = usize::try_from(self.flight.room()).unwrap_or(usize::MAX);
        if self.cap.room_at(now) > now {
            picture = 0;
        }
        let near = self.flight.rtt().is_some_and(|rtt| rtt < NEAR);
        parcels.fill(feed, picture, now, Room { most: room, near }, out);
        if out.len() == DATAGRAM_HEAD_LEN {
            self.flight.starve();
        }
        if out.is_empty() {
            if let Some(again) = parcels.next_again(room) {
                out.extend_from_slice(&again);
                self.cap.spend(out.len());
                return true;
            }
            self.flight.starve();
            return false;
        }
        self.sent(out.len(), now);
        true
    }

    /// What was captured before is shown by the time at which something sent now comes.
    fn shown_soon(&self, now: Instant) -> MediaTime {
        let way = self.flight.rtt().unwrap_or_default() / 2;
        let there = self.time(now) + way;
        let shown = self.shown_after.unwrap_or(USUALLY_SHOWN_AFTER);
        MediaTime::from_duration(there.since(MediaTime::ZERO).saturating_sub(shown))
    }

    /// Whether there is a [`Self::whole`].
    pub fn has_whole(&self) -> bool {
        self.parcels
            .as_ref()
            .is_some_and(|parcels| parcels.has_whole())
    }

    /// A whole picture to be sent on a stream of its own, at once, in place of the one before. To be asked behind each
    /// [`Self::datagram`].
    pub fn whole(&mut self, now: Instant) -> Option<Whole> {
        let parcels = self.parcels.as_mut()?;
        let whole = parcels.next_whole()?;
        let length = whole.head.len() + whole.jpeg.len();
        parcels.sent_whole(length);
        self.sent(length, now);
        Some(whole)
    }

    /// Whether `poll` has something for the link's stream that came up while datagrams were filled.
    pub fn has_words(&self) -> bool {
        self.parcels
            .as_ref()
            .is_some_and(|parcels| parcels.has_words())
    }

    /// Appends to `out` what came up while datagrams were filled. When there is room for more of them, if that is known.
    pub(super) fn fill_words(&mut self, now: Instant, out: &mut BytesMut) -> Option<Instant> {
        let parcels = self.parcels.as_mut()?;
        while let Some(rung) = parcels.next_rung() {
            if !self.core.put(&rung, out) {
                return None;
            }
        }
        while MAX_MESSAGE - out.len() >= AUDIO_ROOM
            && let Some(sound) = parcels.next_sound()
        {
            let _ = put_audio(out, &sound);
        }
        let room_at = self.cap.room_at(now);
        (room_at > now).then_some(room_at)
    }

    /// A viewer's datagrams tell what came of the server's. They are no sign of life: those are counted where nothing
    /// is lost.
    fn take_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), Fault> {
        self.upward.bytes(datagram.len(), now)?;
        let mut datagram = Datagram::open(datagram)?;
        while let Some(raw) = datagram.pull()? {
            self.upward.message(now)?;
            let Some(kind) = Kind::from_wire(raw.kind) else {
                continue;
            };
            match Message::decode(raw)? {
                Some(Message::Arrivals(arrivals)) => self.arrived(&arrivals, now)?,
                Some(_) | None => return Err(Misbehaviour::WrongDirection(kind).into()),
            }
        }
        Ok(())
    }

    /// The viewer says which datagrams came.
    fn arrived(&mut self, arrivals: &Arrivals, now: Instant) -> Result<(), Misbehaviour> {
        let Some(parcels) = &mut self.parcels else {
            return Err(Misbehaviour::WrongDirection(Kind::Arrivals));
        };
        let received = parcels
            .arrived(arrivals, &mut self.lost)
            .map_err(|_| Misbehaviour::Acknowledged(arrivals.until))?;
        let ack = Ack {
            received,
            held: arrivals.held,
        };
        self.acknowledged(ack, now)
    }
}

/// How long after its capture a picture is shown, as long as the viewer has not said so.
const USUALLY_SHOWN_AFTER: Duration = Duration::from_millis(100);

/// With so short a round trip there is room for padding.
const NEAR: Duration = Duration::from_millis(5);
