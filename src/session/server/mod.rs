//! The server's side of a session.

mod ahead;
mod begun;
mod bounds;
mod cap;
mod datagrams;
mod door;
mod ends;
mod event;
mod flight;
mod frames;
mod ledger;
mod pace;
mod parcels;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use self::ahead::Ahead;
use self::bounds::Upward;
use self::cap::Cap;
use self::flight::Flight;
use self::frames::{Complete, Frames};
use self::ledger::Lost;
use self::pace::Pace;
use self::parcels::Parcels;
use super::core::Core;
use super::outbox::Outbox;
use super::{CloseReason, Feature, Feed, Misbehaviour, Output, SessionError};
use crate::media::{MediaTime, Pattern, RungId};
use crate::wire::limits::MAX_ANSWERS;
use crate::wire::{
    Ack, ClientControl, CloseCode, Kind, Message, Raw, ServerControl, SourceState, Text,
};

pub use bounds::Bounds;
pub use datagrams::Whole;
pub use event::{Admission, Event, Offer, Subscription};

/// One viewer's session, as the server has it. See [the contract](super#the-contract).
#[derive(Debug)]
pub struct Session {
    core: Core<Event>,
    offer: Offer,
    /// Somebody else answers the hello.
    asking: bool,
    /// What may be watched at all; without it, everything.
    pattern: Option<Pattern>,
    epoch: Instant,
    state: State,
    answers: VecDeque<ServerControl>,
    /// Commands that wait for their answer.
    commands: usize,
    pongs: VecDeque<(u64, MediaTime)>,
    source: Option<(SourceState, Option<Text>)>,
    /// Asked for by silence, yet to be written.
    ping: bool,
    pings: u64,
    outbox: Outbox,
    /// In place of the outbox, on a link with datagrams.
    parcels: Option<Box<Parcels>>,
    /// Cells that did not come, yet to be told to the feed.
    lost: Vec<(RungId, Lost)>,
    /// How long after their capture nearly all pictures are shown, as the viewer says.
    shown_after: Option<Duration>,
    flight: Flight,
    frames: Frames,
    /// Frames that the viewer has, yet to be judged.
    complete: Vec<Complete>,
    pace: Pace,
    cap: Cap,
    ahead: Ahead,
    bounds: Bounds,
    upward: Upward,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until then a hello must be there.
    Hello {
        until: Instant,
    },
    /// The hello is there; whether it is welcome is yet to be said.
    Door,
    Idle,
    Streaming,
}

/// How long a viewer may take for its hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Pings that wait for their pong; older ones are not worth answering.
const MAX_PONGS: usize = 4;

impl Session {
    /// A viewer's link has just come up. `epoch` is zero of the media clock.
    pub fn new(offer: Offer, epoch: Instant, now: Instant) -> Self {
        let bounds = Bounds::only_hello(HELLO_WITHIN);
        Self {
            core: Core::new(now),
            offer,
            asking: false,
            pattern: None,
            epoch,
            state: State::Hello {
                until: now + HELLO_WITHIN,
            },
            answers: VecDeque::new(),
            commands: 0,
            pongs: VecDeque::new(),
            source: None,
            ping: false,
            pings: 0,
            outbox: Outbox::default(),
            parcels: None,
            lost: Vec::new(),
            shown_after: None,
            flight: Flight::new(now),
            frames: Frames::default(),
            complete: Vec::new(),
            pace: Pace::new(now),
            cap: Cap::default(),
            ahead: Ahead::default(),
            upward: Upward::new(&bounds, now),
            bounds,
        }
    }

    /// The link has datagrams: sound and picture go in them, see [`Self::datagram`].
    pub fn with_datagrams(mut self, now: Instant) -> Self {
        self.parcels = Some(Box::new(Parcels::new(now)));
        self
    }

    /// Takes all of `bytes`, which were read from the link. After an error poll until it is closed.
    pub fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        let within = self.upward.bytes(bytes.len(), now);
        self.core.push(bytes);
        let at = self.core.bytes_received();
        within
            .map_err(|what| SessionError::Misbehaved { at, what })
            .and_then(|()| self.take(now))
            .inspect_err(|error| self.core.fail(error.clone(), now))
    }

    /// The link has ended: nothing more can be read, nor, so it is taken, written.
    pub fn end(&mut self) {
        self.core.end(CloseReason::Cut);
    }

    /// Says goodbye with `code`.
    pub fn close(&mut self, code: CloseCode, now: Instant) {
        self.core.close(code, now);
    }

    /// Tells the viewer how the source is; of several that wait only the last is told.
    pub fn source(&mut self, state: SourceState, notice: Option<Text>) {
        self.source = Some((state, notice));
    }

    /// The next thing to do; `out` is what the link has yet to write.
    pub fn poll(&mut self, now: Instant, feed: &mut dyn Feed, out: &mut BytesMut) -> Output<Event> {
        if let Some(event) = self.core.next_event() {
            return Output::Event(event);
        }
        let wait = self.wait(now);
        let wait_until = wait.as_ref().map(|(until, _)| *until);
        self.ping |= self.core.watch(wait, now);
        if !self.core.is_open() {
            return self.core.end_step::<ServerControl>(now, out, Event::Closed);
        }
        self.look_ahead(feed);
        if self.judge(feed, now) {
            let (step, steps) = (self.pace.step(), feed.steps());
            return Output::Event(Event::Step { step, steps });
        }
        let mut capped = None;
        if out.is_empty() {
            capped = self.fill(now, feed, out);
            if !out.is_empty() {
                if self.parcels.is_none() {
                    self.sent(out.len(), now);
                }
                return Output::Send;
            }
        }
        let streaming = self.state == State::Streaming;
        let parcels = self.parcels.as_mut().filter(|_| streaming);
        let beat = parcels.map(|parcels| parcels.beat(now));
        let deadline = [wait_until, capped, beat, Some(self.core.deadline())];
        Output::Idle(deadline.into_iter().flatten().min())
    }

    /// What the viewer watches has a feed, so that this is worth polling when there is more in it.
    #[cfg(test)]
    pub(super) fn is_streaming(&self) -> bool {
        self.state == State::Streaming
    }

    /// How many of the chunks that were sent are remembered one by one.
    #[cfg(test)]
    pub(super) fn followed(&self) -> usize {
        self.flight.followed()
    }

    fn take(&mut self, now: Instant) -> Result<(), SessionError> {
        while self.state != State::Door
            && let Some((at, raw)) = self.core.pull(now)?
        {
            let within = self.upward.message(now).map_err(Fault::from);
            within
                .and_then(|()| self.message(raw, now))
                .map_err(|fault| fault.into_error(at))?;
        }
        self.bound_waiting()
    }

    fn message(&mut self, raw: Raw, now: Instant) -> Result<(), Fault> {
        let Some(kind) = Kind::from_wire(raw.kind) else {
            return Ok(());
        };
        match Message::decode(raw)? {
            Some(Message::Control(body)) => self.control(ClientControl::decode(&body)?, now),
            Some(Message::Ack(ack)) => Ok(self.acknowledged(ack, now)?),
            Some(
                Message::Audio(_)
                | Message::Cells { .. }
                | Message::CellPart(_)
                | Message::FrameEnd(_)
                | Message::Arrivals(_)
                | Message::Settled(_),
            )
            | None => Err(Misbehaviour::WrongDirection(kind).into()),
        }
    }

    fn control(&mut self, control: ClientControl, now: Instant) -> Result<(), Fault> {
        if let State::Hello { .. } = self.state {
            return match control {
                ClientControl::Hello(hello) => self.hello(hello),
                ClientControl::Goodbye { code, reason } => {
                    self.core.end(CloseReason::Peer { code, reason });
                    Ok(())
                }
                ClientControl::Subscribe { .. }
                | ClientControl::Unsubscribe
                | ClientControl::Ping { .. }
                | ClientControl::Pong { .. }
                | ClientControl::Report(_)
                | ClientControl::Levels { .. }
                | ClientControl::Command(_)
                | ClientControl::Unknown => Err(Misbehaviour::NoHello.into()),
            };
        }
        match control {
            ClientControl::Hello(_) => return Err(Misbehaviour::SecondHello.into()),
            ClientControl::Subscribe {
                stream,
                video,
                audio,
                max_bps,
            } => self.subscribe(stream, video, audio, max_bps, now)?,
            ClientControl::Unsubscribe => {
                self.answer(ServerControl::Unsubscribed)?;
                self.forget();
                if self.state == State::Streaming {
                    self.state = State::Idle;
                    self.core.tell(Event::Unsubscribed);
                }
            }
            ClientControl::Ping { id } => {
                if self.pongs.len() == MAX_PONGS {
                    self.pongs.pop_front();
                }
                self.pongs.push_back((id, self.time(now)));
            }
            ClientControl::Report(report) => {
                let shown_after = report.latency_p95_us.map(Duration::from_micros);
                self.shown_after = shown_after.or(self.shown_after);
                // Of several in one read the newest is enough.
                if let Some(Event::Report(last)) = self.core.last_event() {
                    *last = report;
                } else {
                    self.core.tell(Event::Report(report));
                }
            }
            ClientControl::Levels { wanted } => {
                let wanted = wanted.iter().filter_map(|name| name.level()).collect();
                // As with reports.
                if let Some(Event::Levels(last)) = self.core.last_event() {
                    *last = wanted;
                } else {
                    self.core.tell(Event::Levels(wanted));
                }
            }
            ClientControl::Command(command) => self.command(command)?,
            ClientControl::Goodbye { code, reason } => {
                self.core.end(CloseReason::Peer { code, reason });
            }
            ClientControl::Pong { .. } | ClientControl::Unknown => {}
        }
        Ok(())
    }

    /// What was chosen belongs to a subscription that is over.
    fn forget(&mut self) {
        self.outbox.clear();
        self.lost.clear();
        if let Some(parcels) = &mut self.parcels {
            parcels.clear();
        }
    }

    fn answer(&mut self, control: ServerControl) -> Result<(), Fault> {
        if self.answers.len() == MAX_ANSWERS {
            return Err(Misbehaviour::Flood.into());
        }
        self.answers.push_back(control);
        Ok(())
    }

    /// Appends one chunk to `out`, which is empty. When there is more to send, if that is known.
    fn fill(&mut self, now: Instant, feed: &mut dyn Feed, out: &mut BytesMut) -> Option<Instant> {
        self.core.begin(out);
        while let Some(control) = self.next_control(now) {
            if !self.core.put(&control, out) {
                return None;
            }
        }
        if self.state != State::Streaming {
            return None;
        }
        if self.parcels.is_some() {
            return self.fill_words(now, out);
        }
        let room_at = self.cap.room_at(now);
        let mut picture = usize::try_from(self.flight.room()).unwrap_or(usize::MAX);
        if room_at > now {
            picture = 0;
        }
        self.outbox.fill(feed, picture, now, out);
        if out.is_empty() {
            // Neither the line nor the feed: what is sent next says nothing about the line.
            self.flight.starve();
        }
        (room_at > now).then_some(room_at)
    }

    /// `bytes` were given to the link.
    fn sent(&mut self, bytes: usize, now: Instant) {
        if self.state != State::Streaming {
            // Who watches nothing acknowledges nothing, however long he stays.
            self.flight.forget();
        }
        self.flight.send(bytes, now);
        self.cap.spend(bytes);
        let end = self.flight.sent_bytes();
        if let Some(parcels) = &mut self.parcels {
            for began in parcels.ended() {
                self.frames.sent(began, end);
            }
        }
        for began in self.outbox.ended() {
            self.frames.sent(began, end);
        }
    }

    /// The viewer has these bytes.
    fn acknowledged(&mut self, ack: Ack, now: Instant) -> Result<(), Misbehaviour> {
        self.flight
            .acknowledge(ack.received, ack.held, now)
            .map_err(|_| Misbehaviour::Acknowledged(ack.received))?;
        let on_time = self.flight.on_time();
        while let Some(frame) = self.frames.complete(ack.received, on_time, now) {
            self.complete.push(frame);
        }
        Ok(())
    }

    /// Judges what the viewer has by now; whether that changed the step.
    fn judge(&mut self, feed: &mut dyn Feed, now: Instant) -> bool {
        for (rung, Lost { frame, index, .. }) in self.lost.drain(..) {
            feed.lost(rung, frame, index);
        }
        let before = self.pace.step();
        if self.flight.is_growing(now) {
            self.complete.clear();
        }
        for frame in self.complete.drain(..) {
            self.pace
                .complete(frame.began, frame.age, feed.steps(), now);
        }
        let under_way = match &self.parcels {
            Some(parcels) => parcels.under_way(feed),
            None => self.outbox.under_way(feed),
        };
        let given_up = self.state == State::Streaming
            && under_way.is_some_and(|(began, bytes)| {
                let takes = self.flight.takes(bytes, now);
                takes.is_some_and(|takes| self.pace.give_up(began, takes, feed.steps(), now))
            });
        let step = self.pace.step();
        if step != before {
            feed.set_step(step);
        }
        if given_up && feed.give_up() {
            self.outbox.give_up();
            if let Some(parcels) = &mut self.parcels {
                parcels.give_up();
            }
        }
        step != before
    }

    fn next_control(&mut self, now: Instant) -> Option<ServerControl> {
        if let State::Hello { .. } | State::Door = self.state {
            return None;
        }
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        if let Some((id, received)) = self.pongs.pop_front() {
            return Some(ServerControl::Pong {
                id,
                received_us: received.as_micros(),
                sent_us: self.time(now).as_micros(),
            });
        }
        if std::mem::take(&mut self.ping) {
            self.pings += 1;
            return Some(ServerControl::Ping { id: self.pings });
        }
        if self.state == State::Streaming
            && let Some((state, notice)) = self.source.take()
        {
            return Some(ServerControl::Source { state, notice });
        }
        None
    }

    fn time(&self, now: Instant) -> MediaTime {
        MediaTime::from_duration(now.saturating_duration_since(self.epoch))
    }
}

/// Why a message ends the session.
enum Fault {
    Misbehaviour(Misbehaviour),
    Incompatible(Feature),
}

impl Fault {
    /// With the place of the message in what was read.
    fn into_error(self, at: u64) -> SessionError {
        match self {
            Self::Misbehaviour(what) => SessionError::Misbehaved { at, what },
            Self::Incompatible(feature) => SessionError::Incompatible(feature),
        }
    }
}

impl<T: Into<Misbehaviour>> From<T> for Fault {
    fn from(what: T) -> Self {
        Self::Misbehaviour(what.into())
    }
}
