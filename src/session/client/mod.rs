//! The viewer's side of a session.

mod acks;
mod datagrams;
mod event;
mod opening;
mod receive;
mod sounds;
mod tracker;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use self::acks::Acks;
use self::datagrams::Mail;
use self::receive::Receiver;
use super::clock::Clock;
use super::core::Core;
use super::{CloseReason, Misbehaviour, Output, SessionError};
use crate::media::{LevelSet, MediaTime};
use crate::wire::limits::{MAX_LISTED_STREAMS, PROTOCOL_VERSION};
use crate::wire::{
    ClientControl, CloseCode, Command, Hello, Kind, LevelName, Message, Raw, Report, ServerControl,
    StreamName,
};

pub use event::{Event, Want, Welcome};
pub use opening::Opening;
pub use sounds::Sounds;

/// A viewer's session, as the viewer has it. See [the contract](super#the-contract).
#[derive(Debug)]
pub struct Session {
    core: Core<Event>,
    state: State,
    /// The link stands.
    linked: bool,
    clock: Clock,
    receiver: Receiver,
    hello: Option<Hello>,
    wish: Option<Wish>,
    /// With the time until which it must be answered.
    asked: Option<(Asked, Instant)>,
    /// The last one that the server asked with.
    pong: Option<u64>,
    report: Option<Report>,
    /// What the other side of a turned link is to be told, once.
    levels: Option<LevelSet>,
    acks: Acks,
    /// On a link with datagrams.
    datagrams: bool,
    mail: Mail,
    max_bps: Option<u64>,
    commands: VecDeque<Command>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until then a welcome must be there.
    Welcome {
        until: Instant,
    },
    Idle,
    Streaming,
}

/// What is yet to be asked.
#[derive(Clone, Debug)]
enum Wish {
    Subscribe {
        stream: StreamName,
        video: bool,
        audio: bool,
    },
    Unsubscribe,
}

/// What the server has yet to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Subscribe,
    Unsubscribe,
}

/// How long a server may take for its welcome.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// How long a server may take to answer a subscription; media may be under way before its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

impl Session {
    /// Begins: the first poll gives hello and subscribe in one chunk, which may go out before the link stands,
    /// together with the request for it. As soon as it stands call [`linked`](Self::linked).
    pub fn new(want: Want, now: Instant) -> Self {
        let wish = want.stream.map(|stream| Wish::Subscribe {
            stream,
            video: want.video,
            audio: want.audio,
        });
        Self {
            core: Core::new(now),
            state: State::Welcome {
                until: now + WELCOME_WITHIN,
            },
            linked: false,
            clock: Clock::new(now),
            receiver: Receiver::default(),
            hello: Some(Hello {
                versions: vec![PROTOCOL_VERSION],
                agent: want.agent,
                role: want.role,
                token: None,
                publish: want.publish,
                resume: want.resume,
            }),
            wish,
            asked: None,
            pong: None,
            report: None,
            levels: None,
            acks: Acks::new(now),
            datagrams: false,
            mail: Mail::default(),
            max_bps: want.max_bps,
            commands: VecDeque::new(),
        }
    }

    /// The link has datagrams: what came is told in them, see [`Self::datagram`].
    pub const fn with_datagrams(&mut self) {
        self.datagrams = true;
    }

    /// The link has just come up, however long that took: time-outs count from now, and pings begin, since one that was
    /// written earlier would tell of the time that the link took to come up. Bytes that come say the same.
    pub fn linked(&mut self, now: Instant) {
        if std::mem::replace(&mut self.linked, true) {
            return;
        }
        self.core.linked(now);
        self.clock.restart(now);
        if let State::Welcome { until } = &mut self.state {
            *until = now + WELCOME_WITHIN;
        }
        if let Some((_, until)) = &mut self.asked {
            *until = now + ANSWER_WITHIN;
        }
    }

    /// Takes all of `bytes`, which were read from the link. After an error poll until it is closed.
    pub fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.linked(now);
        self.core.push(bytes);
        let frame = self
            .take(now)
            .inspect_err(|error| self.core.fail(error.clone(), now))?;
        if self.datagrams {
            return self
                .look_again(now)
                .inspect_err(|error| self.core.fail(error.clone(), now));
        }
        if self.state == State::Streaming {
            self.acks.came(self.core.bytes_received(), frame, now);
        }
        Ok(())
    }

    /// The link has ended: nothing more can be read, nor, so it is taken, written.
    pub fn end(&mut self) {
        self.core.end(CloseReason::Cut);
    }

    /// Says goodbye with `code`.
    pub fn close(&mut self, code: CloseCode, now: Instant) {
        self.core.close(code, now);
    }

    /// Watches this, in place of what was watched or wished before.
    pub fn subscribe(&mut self, stream: StreamName, video: bool, audio: bool) {
        self.wish = Some(Wish::Subscribe {
            stream,
            video,
            audio,
        });
    }

    /// Watches nothing.
    pub fn unsubscribe(&mut self) {
        self.wish = Some(Wish::Unsubscribe);
    }

    /// Asks something of the server itself; it answers when it likes.
    pub fn command(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    /// Asks the server for a sign of life, at once.
    pub fn ask(&mut self, now: Instant) {
        self.clock.hurry(now);
    }

    /// Whether the server has yet to answer what was asked of it last.
    pub const fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether the server has said welcome.
    pub const fn is_welcome(&self) -> bool {
        matches!(self.state, State::Idle | State::Streaming)
    }

    /// Tells the server how it looks here, about once a second; of several that wait only the last is told.
    pub const fn report(&mut self, report: Report) {
        self.report = Some(report);
    }

    /// Tells a publisher which levels are wanted beside the best; of several that wait only the last is told.
    pub const fn levels(&mut self, wanted: LevelSet) {
        self.levels = Some(wanted);
    }

    /// The next thing to do; `out` is what the link has yet to write.
    pub fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Output<Event> {
        if let Some(event) = self.core.next_event() {
            return Output::Event(event);
        }
        // A ping goes out each second, so there is no need to ask for a sign of life.
        let _ask = self.core.watch(
            self.waits()
                .map(|(until, length)| (until, SessionError::Silent(length))),
            now,
        );
        if !self.core.is_open() {
            return self.core.end_step::<ClientControl>(now, out, Event::Closed);
        }
        let room = out.is_empty();
        if room {
            self.fill(now, out);
            if !out.is_empty() {
                return Output::Send;
            }
        }
        // A ping that cannot be written now is no reason to wake up.
        let ping = (room && self.linked).then_some(self.clock.due());
        let ack = match (self.datagrams, room) {
            (true, _) => self.datagram_due(now),
            (false, true) => self.acks.due(),
            (false, false) => None,
        };
        let until = self.waits().map(|(until, _)| until);
        let first = [until, ping, ack].into_iter().flatten().min();
        let silence = self.core.deadline();
        Output::Idle(Some(first.map_or(silence, |first| first.min(silence))))
    }

    /// The server's media clock at `now`, as well as it is known; `None` before the first pong.
    pub fn server_time(&self, now: Instant) -> Option<MediaTime> {
        self.clock.server_time(now)
    }

    /// Since when the server has not answered; `None` where nothing was asked that it has not.
    pub fn unanswered(&self) -> Option<Instant> {
        self.clock.waiting()
    }

    /// The least round trip of the last 10 s; `None` before the first pong.
    pub fn rtt(&self) -> Option<Duration> {
        self.clock.rtt()
    }

    /// How far the newest round trip is above that: what waits on the way, in queues and in boxes.
    pub fn held(&self) -> Option<Duration> {
        self.clock.held()
    }

    /// When the last whole message came.
    #[cfg(test)]
    pub(super) const fn last_heard(&self) -> Instant {
        self.core.last_heard()
    }

    /// Bytes of messages that came.
    pub const fn bytes_received(&self) -> u64 {
        self.core.bytes_received() + self.mail.bytes()
    }

    /// Takes what is there; whether a frame is complete by it.
    fn take(&mut self, now: Instant) -> Result<bool, SessionError> {
        let mut frame = false;
        while let Some((at, raw)) = self.core.pull(now)? {
            frame |= raw.kind == Kind::FrameEnd as u8;
            self.message(raw, now)
                .map_err(|what| SessionError::Misbehaved { at, what })?;
        }
        Ok(frame)
    }

    fn message(&mut self, raw: Raw, now: Instant) -> Result<(), Misbehaviour> {
        let Some(kind) = Kind::from_wire(raw.kind) else {
            return Ok(());
        };
        match kind {
            Kind::Control => self.control(ServerControl::decode(&raw.body)?, now),
            Kind::Ack | Kind::Arrivals | Kind::Settled => Err(Misbehaviour::WrongDirection(kind)),
            Kind::Audio | Kind::Cells | Kind::CellPart | Kind::FrameEnd => match self.state {
                State::Welcome { .. } => Err(Misbehaviour::NoWelcome),
                State::Idle => Err(Misbehaviour::NotSubscribed(kind)),
                State::Streaming => {
                    if let Some(message) = Message::decode(raw)?
                        && let Some(event) = self.receiver.media(message)?
                    {
                        self.core.tell(event);
                    }
                    Ok(())
                }
            },
        }
    }

    fn control(&mut self, control: ServerControl, now: Instant) -> Result<(), Misbehaviour> {
        if let State::Welcome { .. } = self.state {
            return match control {
                ServerControl::Welcome {
                    version,
                    agent,
                    session,
                    resume,
                    mut streams,
                } => {
                    if version != PROTOCOL_VERSION {
                        return Err(Misbehaviour::Version(version));
                    }
                    streams.truncate(MAX_LISTED_STREAMS);
                    self.state = State::Idle;
                    self.core.tell(Event::Welcome(Welcome {
                        version,
                        agent,
                        session,
                        resume,
                        streams,
                    }));
                    Ok(())
                }
                ServerControl::Goodbye { code, reason } => {
                    self.core.end(CloseReason::Peer { code, reason });
                    Ok(())
                }
                ServerControl::Subscribed { .. }
                | ServerControl::Unsubscribed
                | ServerControl::Refused { .. }
                | ServerControl::Rung(_)
                | ServerControl::Source { .. }
                | ServerControl::Answer(_)
                | ServerControl::Ping { .. }
                | ServerControl::Pong { .. }
                | ServerControl::Unknown => Err(Misbehaviour::NoWelcome),
            };
        }
        match control {
            ServerControl::Welcome { .. } => return Err(Misbehaviour::SecondWelcome),
            ServerControl::Subscribed {
                stream,
                video,
                audio,
            } => {
                self.answered(Asked::Subscribe)?;
                self.receiver = Receiver::default();
                self.new_mail();
                self.state = State::Streaming;
                self.core.tell(Event::Subscribed {
                    stream,
                    video,
                    audio,
                });
            }
            ServerControl::Unsubscribed => {
                self.answered(Asked::Unsubscribe)?;
                self.receiver = Receiver::default();
                self.new_mail();
                self.state = State::Idle;
                self.core.tell(Event::Unsubscribed);
            }
            ServerControl::Refused {
                stream,
                code,
                reason,
            } => {
                self.answered(Asked::Subscribe)?;
                self.core.tell(Event::Refused {
                    stream,
                    code,
                    reason,
                });
            }
            ServerControl::Rung(info) => {
                if self.state != State::Streaming {
                    return Err(Misbehaviour::NotSubscribed(Kind::Control));
                }
                if let Some(rung) = self.receiver.rung(&info)? {
                    self.core.tell(Event::Rung(rung));
                }
            }
            ServerControl::Source { state, notice } => {
                if self.state == State::Streaming {
                    self.core.tell(Event::Source { state, notice });
                }
            }
            ServerControl::Answer(answer) => self.core.tell(Event::Answer(answer)),
            ServerControl::Ping { id } => self.pong = Some(id),
            ServerControl::Pong {
                id,
                received_us,
                sent_us,
            } => self.clock.pong(id, received_us, sent_us, now),
            ServerControl::Goodbye { code, reason } => {
                self.core.end(CloseReason::Peer { code, reason });
            }
            ServerControl::Unknown => {}
        }
        Ok(())
    }

    fn answered(&mut self, asked: Asked) -> Result<(), Misbehaviour> {
        match self.asked.take() {
            Some((last, _)) if last == asked => Ok(()),
            Some(_) | None => Err(Misbehaviour::NotAsked),
        }
    }

    /// Until when the server must have said something in particular, and how long it had.
    fn waits(&self) -> Option<(Instant, Duration)> {
        match self.state {
            State::Welcome { until } => Some((until, WELCOME_WITHIN)),
            State::Idle | State::Streaming => self.asked.map(|(_, until)| (until, ANSWER_WITHIN)),
        }
    }

    /// Appends one chunk to `out`, which is empty.
    fn fill(&mut self, now: Instant, out: &mut BytesMut) {
        self.core.begin(out);
        if !self.datagrams
            && let Some(ack) = self.acks.next(now)
        {
            // Such a message always fits.
            let _ = Message::Ack(ack).encode(out);
        }
        while let Some(control) = self.next_control(now)
            && self.core.put(&control, out)
        {}
    }

    fn next_control(&mut self, now: Instant) -> Option<ClientControl> {
        if let Some(hello) = self.hello.take() {
            return Some(ClientControl::Hello(hello));
        }
        let wish = self.next_wish(now);
        if wish.is_some() {
            return wish;
        }
        if let State::Idle | State::Streaming = self.state
            && let Some(command) = self.commands.pop_front()
        {
            return Some(ClientControl::Command(command));
        }
        if self.is_welcome()
            && let Some(wanted) = self.levels.take()
        {
            let wanted = wanted.iter().filter_map(LevelName::of).collect();
            return Some(ClientControl::Levels { wanted });
        }
        if let Some(id) = self.pong.take() {
            return Some(ClientControl::Pong { id });
        }
        if self.linked && now >= self.clock.due() {
            let id = self.clock.ping(now);
            return Some(ClientControl::Ping { id });
        }
        self.report.take().map(ClientControl::Report)
    }
}
