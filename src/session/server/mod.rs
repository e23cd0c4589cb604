//! The server's side of a session.

mod event;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::core::Core;
use super::outbox::Outbox;
use super::{CloseReason, Feature, Feed, Misbehaviour, Output, SessionError};
use crate::media::MediaTime;
use crate::wire::limits::{MAX_ANSWERS, MAX_LISTED_STREAMS, MAX_VERSIONS, PROTOCOL_VERSION};
use crate::wire::{
    ClientControl, CloseCode, Kind, Message, Raw, ServerControl, SourceState, StreamName, Text,
};

pub use event::{Event, Offer, Subscription};

/// One viewer's session, as the server has it. See [the contract](super#the-contract).
#[derive(Debug)]
pub struct Session {
    core: Core<Event>,
    offer: Offer,
    epoch: Instant,
    state: State,
    answers: VecDeque<ServerControl>,
    pongs: VecDeque<(u64, MediaTime)>,
    source: Option<(SourceState, Option<Text>)>,
    /// Asked for by silence, yet to be written.
    ping: bool,
    pings: u64,
    outbox: Outbox,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until then a hello must be there.
    Hello {
        until: Instant,
    },
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
        Self {
            core: Core::new(now),
            offer,
            epoch,
            state: State::Hello {
                until: now + HELLO_WITHIN,
            },
            answers: VecDeque::new(),
            pongs: VecDeque::new(),
            source: None,
            ping: false,
            pings: 0,
            outbox: Outbox::default(),
        }
    }

    /// Takes all of `bytes`, which were read from the link. After an error poll until it is closed.
    pub fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.core.push(bytes);
        self.take(now)
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
        let hello = match self.state {
            State::Hello { until } => Some((until, HELLO_WITHIN)),
            State::Idle | State::Streaming => None,
        };
        self.ping |= self.core.watch(hello, now);
        if !self.core.is_open() {
            return self.core.end_step::<ServerControl>(now, out, Event::Closed);
        }
        if out.is_empty() {
            self.fill(now, feed, out);
            if !out.is_empty() {
                return Output::Send;
            }
        }
        let silence = self.core.deadline();
        Output::Idle(Some(hello.map_or(silence, |(until, _)| until.min(silence))))
    }

    /// What the viewer watches has a feed, so that this is worth polling when there is more in it.
    #[cfg(test)]
    pub(super) fn is_streaming(&self) -> bool {
        self.state == State::Streaming
    }

    fn take(&mut self, now: Instant) -> Result<(), SessionError> {
        while let Some((at, raw)) = self.core.pull(now)? {
            self.message(raw, now).map_err(|fault| match fault {
                Fault::Misbehaviour(what) => SessionError::Misbehaved { at, what },
                Fault::Incompatible(feature) => SessionError::Incompatible(feature),
            })?;
        }
        Ok(())
    }

    fn message(&mut self, raw: Raw, now: Instant) -> Result<(), Fault> {
        let Some(kind) = Kind::from_wire(raw.kind) else {
            return Ok(());
        };
        match Message::decode(raw)? {
            Some(Message::Control(body)) => self.control(ClientControl::decode(&body)?, now),
            Some(
                Message::Audio(_)
                | Message::Cells { .. }
                | Message::CellPart(_)
                | Message::FrameEnd(_),
            )
            | None => Err(Misbehaviour::WrongDirection(kind).into()),
        }
    }

    fn control(&mut self, control: ClientControl, now: Instant) -> Result<(), Fault> {
        if let State::Hello { .. } = self.state {
            return match control {
                ClientControl::Hello { versions, agent } => self.hello(&versions, agent),
                ClientControl::Goodbye { code, reason } => {
                    self.core.end(CloseReason::Peer { code, reason });
                    Ok(())
                }
                ClientControl::Subscribe { .. }
                | ClientControl::Unsubscribe
                | ClientControl::Ping { .. }
                | ClientControl::Pong { .. }
                | ClientControl::Report(_)
                | ClientControl::Unknown => Err(Misbehaviour::NoHello.into()),
            };
        }
        match control {
            ClientControl::Hello { .. } => return Err(Misbehaviour::SecondHello.into()),
            ClientControl::Subscribe {
                stream,
                video,
                audio,
            } => self.subscribe(stream, video, audio)?,
            ClientControl::Unsubscribe => {
                self.answer(ServerControl::Unsubscribed)?;
                self.outbox.clear();
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
                // Of several in one read the newest is enough.
                if let Some(Event::Report(last)) = self.core.last_event() {
                    *last = report;
                } else {
                    self.core.tell(Event::Report(report));
                }
            }
            ClientControl::Goodbye { code, reason } => {
                self.core.end(CloseReason::Peer { code, reason });
            }
            ClientControl::Pong { .. } | ClientControl::Unknown => {}
        }
        Ok(())
    }

    fn hello(&mut self, versions: &[u16], agent: Text) -> Result<(), Fault> {
        if versions.is_empty() || versions.len() > MAX_VERSIONS {
            return Err(Misbehaviour::Versions(versions.len()).into());
        }
        if !versions.contains(&PROTOCOL_VERSION) {
            return Err(Fault::Incompatible(Feature::Version));
        }
        self.state = State::Idle;
        self.core.tell(Event::Hello { agent });
        self.answer(ServerControl::Welcome {
            version: PROTOCOL_VERSION,
            agent: self.offer.agent.clone(),
            session: self.offer.session,
            resume: self.offer.resume.clone(),
            streams: self
                .offer
                .streams
                .iter()
                .take(MAX_LISTED_STREAMS)
                .cloned()
                .collect(),
        })
    }

    fn subscribe(&mut self, stream: StreamName, video: bool, audio: bool) -> Result<(), Fault> {
        let found = self.offer.streams.iter().find(|info| info.name == stream);
        let Some(info) = found else {
            let code = CloseCode::NoSuchStream;
            let reason = Text::new(&code.to_string());
            return self.answer(ServerControl::Refused {
                stream,
                code,
                reason,
            });
        };
        let (video, audio) = (video && info.video, audio && info.audio);
        self.answer(ServerControl::Subscribed {
            stream: stream.clone(),
            video,
            audio,
        })?;
        self.outbox.clear();
        self.state = State::Streaming;
        self.core.tell(Event::Subscribed(Subscription {
            stream,
            video,
            audio,
        }));
        Ok(())
    }

    fn answer(&mut self, control: ServerControl) -> Result<(), Fault> {
        if self.answers.len() == MAX_ANSWERS {
            return Err(Misbehaviour::Flood.into());
        }
        self.answers.push_back(control);
        Ok(())
    }

    /// Appends one chunk to `out`, which is empty.
    fn fill(&mut self, now: Instant, feed: &mut dyn Feed, out: &mut BytesMut) {
        self.core.begin(out);
        while let Some(control) = self.next_control(now) {
            if !self.core.put(&control, out) {
                return;
            }
        }
        if self.state == State::Streaming {
            self.outbox.fill(feed, out);
        }
    }

    fn next_control(&mut self, now: Instant) -> Option<ServerControl> {
        if let State::Hello { .. } = self.state {
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

impl<T: Into<Misbehaviour>> From<T> for Fault {
    fn from(what: T) -> Self {
        Self::Misbehaviour(what.into())
    }
}
