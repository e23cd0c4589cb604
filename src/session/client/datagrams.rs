//! The part of a viewer's session that is about datagrams.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::sounds::Sounds;
use super::tracker::Tracker;
use super::{Event, Session, State};
use crate::media::RungId;
use crate::session::{Misbehaviour, SessionError};
use crate::wire::limits::{DATAGRAM_HEAD_LEN, HEAD_LEN, MOMENT_LEN};
use crate::wire::{Datagram, Kind, Message, Moment, Settled, WireError, begin_datagram};

/// What came in datagrams, and what waits.
#[derive(Debug, Default)]
pub(super) struct Mail {
    tracker: Tracker,
    /// Datagrams that came before what they need was said on the link's stream; not counted as come.
    early: VecDeque<Bytes>,
    early_bytes: usize,
    /// Frames that are not known to be complete, in order.
    unsettled: VecDeque<Settled>,
    /// Of which pictures come now.
    rung: Option<RungId>,
    /// The newest frame that is complete.
    complete: Option<(u64, RungId)>,
    /// The newest ones of this rung that were told as complete, in order; at most [`MOST_TOLD`].
    told: VecDeque<u64>,
    sounds: Sounds,
    /// What was told last is told again.
    again: bool,
    /// Where the next datagram of ours stands.
    position: u64,
    /// Bytes that came.
    bytes: u64,
}

impl Session {
    /// Takes a datagram. After an error poll until it is closed.
    pub fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        if !self.core.is_open() {
            return Ok(());
        }
        self.linked(now);
        self.take_datagram(datagram, now)
            .inspect_err(|error| self.core.fail(error.clone(), now))
    }

    /// Takes all that came on a stream of its own: a whole picture.
    pub fn handle_whole(&mut self, mut whole: Bytes, now: Instant) -> Result<(), SessionError> {
        if !self.core.is_open() {
            return Ok(());
        }
        if whole.len() <= DATAGRAM_HEAD_LEN + HEAD_LEN + MOMENT_LEN {
            let error = at_message(0, WireError::Datagram.into());
            self.core.fail(error.clone(), now);
            return Err(error);
        }
        let length = whole.len();
        let jpeg = whole.split_off(DATAGRAM_HEAD_LEN + HEAD_LEN + MOMENT_LEN);
        let taken = self.take_whole(whole, length, jpeg, now);
        taken.inspect_err(|error| self.core.fail(error.clone(), now))
    }

    /// Appends to `out`, which is empty, a datagram to be sent at once. Whether there was any. To be called, on a link
    /// with datagrams, when `poll` gave [`Output::Idle`](crate::session::Output::Idle).
    pub fn datagram(&mut self, now: Instant, out: &mut BytesMut) -> bool {
        if !self.core.is_open() || self.state != State::Streaming {
            return false;
        }
        let mail = &mut self.mail;
        let news = mail.tracker.has_news(now);
        self.acks.came(mail.tracker.until(now), news, now);
        let Some(ack) = self.acks.next_if(news || mail.again, now) else {
            return false;
        };
        // A loss is told twice at once: on a line that loses, that may be lost too.
        mail.again = news;
        begin_datagram(mail.position, out);
        let arrivals = mail.tracker.tell(ack.held, now);
        // Such a message always fits.
        let _ = Message::Arrivals(arrivals).encode(out);
        mail.position += out.len() as u64;
        true
    }

    /// When a datagram should be asked for, though nothing comes.
    pub(super) fn datagram_due(&self, now: Instant) -> Option<Instant> {
        let late = self.mail.tracker.due(now);
        [late, self.acks.due()].into_iter().flatten().min()
    }

    /// The subscription is another: what came for the one before is void.
    pub(super) fn new_mail(&mut self) {
        let mail = &mut self.mail;
        mail.unsettled.clear();
        mail.told.clear();
        (mail.rung, mail.complete, mail.sounds) = (None, None, Sounds::default());
    }

    /// What is said on the stream may be what datagrams waited for.
    pub(super) fn look_again(&mut self, now: Instant) -> Result<(), SessionError> {
        let waiting = self.mail.early.len();
        for _ in 0..waiting {
            let Some(datagram) = self.mail.early.pop_front() else {
                break;
            };
            self.mail.early_bytes -= datagram.len();
            self.take_datagram(datagram, now)?;
        }
        Ok(())
    }

    fn take_datagram(&mut self, bytes: Bytes, now: Instant) -> Result<(), SessionError> {
        let fail = |what: WireError| at_message(0, what.into());
        let mut datagram = Datagram::open(bytes.clone()).map_err(fail)?;
        let span = datagram.span.clone();
        let fail = |what: WireError| at_message(span.start, what.into());
        let mut messages = Vec::with_capacity(4);
        while let Some(raw) = datagram.pull().map_err(fail)? {
            let kind = Kind::from_wire(raw.kind);
            let message = Message::decode(raw).map_err(fail)?;
            if let (Some(kind @ (Kind::Control | Kind::Ack | Kind::Arrivals)), _) = (kind, &message)
            {
                let what = Misbehaviour::WrongDirection(kind);
                return Err(at_message(span.start, what));
            }
            messages.extend(message);
        }
        if !self.understands(&messages) {
            self.mail.put_aside(bytes);
            return Ok(());
        }
        if !self.mail.tracker.came(span.clone(), now) {
            return Ok(());
        }
        self.mail.bytes += bytes.len() as u64;
        for message in messages {
            self.take_message(message)
                .map_err(|what| at_message(span.start, what))?;
        }
        let until = self.mail.tracker.until(now);
        self.acks.came(until, false, now);
        self.settle();
        Ok(())
    }

    /// Whether all that these need was said on the stream.
    fn understands(&self, messages: &[Message]) -> bool {
        self.state == State::Streaming
            && messages.iter().all(|message| match message {
                Message::Cells { moment, .. } => self.receiver.knows(moment.rung),
                Message::CellPart(part) => self.receiver.knows(part.moment.rung),
                Message::Settled(settled) => self.receiver.knows(settled.moment.rung),
                Message::FrameEnd(moment) => self.receiver.knows(moment.rung),
                Message::Control(_)
                | Message::Audio(_)
                | Message::Ack(_)
                | Message::Arrivals(_) => true,
            })
    }

    /// Whether what comes of this rung is of use: once there is something of the next, nothing is. What is complete of the
    /// one before is told before that.
    fn follows(&mut self, rung: RungId) -> bool {
        if self.mail.rung == Some(rung) {
            return true;
        }
        let now = self.mail.rung;
        if now.is_some_and(|now| self.receiver.is_before(rung, now)) {
            return false;
        }
        self.settle();
        self.mail.unsettled.clear();
        self.mail.told.clear();
        self.mail.rung = Some(rung);
        true
    }

    fn take_message(&mut self, message: Message) -> Result<(), Misbehaviour> {
        let rung = match &message {
            Message::Cells { moment, .. } | Message::FrameEnd(moment) => Some(moment.rung),
            Message::CellPart(part) => Some(part.moment.rung),
            Message::Settled(settled) => Some(settled.moment.rung),
            Message::Audio(_) | Message::Control(_) | Message::Ack(_) | Message::Arrivals(_) => {
                None
            }
        };
        if rung.is_some_and(|rung| !self.follows(rung)) {
            return Ok(());
        }
        match message {
            Message::Settled(settled) => self.mail.unsettled(settled),
            Message::Audio(packet) => {
                if self.mail.sounds.is_new(packet.seq) {
                    self.core.tell(Event::Audio(packet));
                }
            }
            Message::CellPart(part) => {
                if let Some(event) = self.receiver.loose_part(part)? {
                    self.core.tell(event);
                }
            }
            Message::Control(_)
            | Message::Cells { .. }
            | Message::FrameEnd(_)
            | Message::Ack(_)
            | Message::Arrivals(_) => {
                if let Some(event) = self.receiver.media(message)? {
                    self.core.tell(event);
                }
            }
        }
        Ok(())
    }

    fn take_whole(
        &mut self,
        head: Bytes,
        length: usize,
        jpeg: Bytes,
        now: Instant,
    ) -> Result<(), SessionError> {
        let fail = |what: WireError| at_message(0, what.into());
        let mut head = Datagram::open(head).map_err(fail)?;
        let start = head.span.start;
        let raw = head.pull().map_err(fail)?;
        let message = raw.map(Message::decode).transpose().map_err(fail)?;
        let Some(Some(Message::FrameEnd(moment))) = message else {
            return Err(fail(WireError::Datagram));
        };
        self.mail
            .tracker
            .came(start..start.saturating_add(length as u64), now);
        self.mail.bytes += length as u64;
        let until = self.mail.tracker.until(now);
        self.acks.came(until, true, now);
        let known = self.state == State::Streaming && self.receiver.knows(moment.rung);
        if !known || !self.follows(moment.rung) || !self.mail.is_news(&moment) {
            return Ok(());
        }
        let cells = Message::Cells {
            moment,
            cells: vec![(0, jpeg)],
        };
        let told = self.receiver.media(cells);
        let told = told.map_err(|what| at_message(start, what))?;
        if let Some(event) = told {
            self.core.tell(event);
        }
        self.complete(moment);
        Ok(())
    }

    /// Tells which frames are complete by now, the oldest first.
    fn settle(&mut self) {
        let is_done = |mail: &Mail, settled: &Settled| mail.tracker.has(&settled.needs);
        let next = |mail: &Mail| mail.unsettled.iter().position(|one| is_done(mail, one));
        while let Some(at) = next(&self.mail) {
            if let Some(settled) = self.mail.unsettled.remove(at) {
                self.complete(settled.moment);
            }
        }
    }

    fn complete(&mut self, moment: Moment) {
        let Moment {
            rung,
            frame,
            capture,
        } = moment;
        let event = if self.mail.is_news(&moment) {
            self.mail.complete = Some((frame, rung));
            Event::FrameEnd {
                rung,
                frame,
                capture,
            }
        } else if self.mail.is_late(&moment) {
            Event::LateEnd {
                rung,
                frame,
                capture,
            }
        } else {
            return;
        };
        self.mail.told(frame);
        self.acks.hurry();
        self.core.tell(event);
    }
}

impl Mail {
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether this frame is newer than the one that is complete, or the same on the rung that has followed.
    fn is_news(&self, moment: &Moment) -> bool {
        self.complete.is_none_or(|(frame, rung)| {
            moment.frame > frame || (moment.frame == frame && moment.rung != rung)
        })
    }

    /// Whether this frame was passed over, and not long ago.
    fn is_late(&self, moment: &Moment) -> bool {
        let passed = self.told.front().is_some_and(|first| *first < moment.frame);
        passed && self.told.binary_search(&moment.frame).is_err()
    }

    /// A frame was told as complete.
    fn told(&mut self, frame: u64) {
        let at = self.told.partition_point(|told| *told < frame);
        self.told.insert(at, frame);
        if self.told.len() > MOST_TOLD {
            self.told.pop_front();
        }
        let oldest = self.told.front().copied();
        while let Some(first) = self.unsettled.front()
            && Some(first.moment.frame) < oldest
        {
            self.unsettled.pop_front();
        }
    }

    /// The newest word about a frame counts.
    fn unsettled(&mut self, settled: Settled) {
        let frame = settled.moment.frame;
        if !self.is_news(&settled.moment) && !self.is_late(&settled.moment) {
            return;
        }
        let at = self
            .unsettled
            .partition_point(|held| held.moment.frame < frame);
        match self.unsettled.get_mut(at) {
            Some(held) if held.moment.frame == frame => *held = settled,
            Some(_) | None => self.unsettled.insert(at, settled),
        }
        if self.unsettled.len() > MOST_UNSETTLED {
            self.unsettled.pop_front();
        }
    }

    /// Keeps a datagram for later; what is too much has not come.
    fn put_aside(&mut self, datagram: Bytes) {
        if self.early_bytes + datagram.len() <= MOST_EARLY {
            self.early_bytes += datagram.len();
            self.early.push_back(datagram);
        }
    }
}

fn at_message(at: u64, what: Misbehaviour) -> SessionError {
    SessionError::Misbehaved { at, what }
}

/// Frames whose end is known and that lack something.
const MOST_UNSETTLED: usize = 8;

/// Frames known as complete: what of those between them is not will be shown no more when so many newer ones are.
const MOST_TOLD: usize = 4;

/// Bytes of datagrams that wait for a word on the stream; a first picture's.
const MOST_EARLY: usize = 1 << 20;
