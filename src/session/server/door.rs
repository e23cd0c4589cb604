//! Who is let in, and what he may then ask for.

use std::time::Instant;

use super::cap::Cap;
use super::frames::Frames;
use super::pace::Pace;
use super::{Admission, Event, Fault, Session, State, Subscription};
use crate::session::{Feature, Misbehaviour, SessionError};
use crate::wire::limits::{MAX_ANSWERS, MAX_LISTED_STREAMS, MAX_VERSIONS, PROTOCOL_VERSION};
use crate::wire::{Answer, CloseCode, Command, Hello, ServerControl, StreamInfo, StreamName, Text};

/// What a client may have said behind its hello before that is answered; its first chunk has at most a quarter of it.
const MOST_WAITING: usize = 64 << 10;

impl Session {
    /// Somebody else answers the hello, with [`admit`](Self::admit) or [`refuse`](Self::refuse), at once or later; what
    /// the client said behind it waits. Without this every hello is welcome, to all that is offered.
    pub const fn asking(mut self) -> Self {
        self.asking = true;
        self
    }

    /// The hello is welcome: says so, and takes what was said behind it. Nothing unless a hello waits.
    pub fn admit(&mut self, admission: Admission, now: Instant) {
        if self.state != State::Door || !self.core.is_open() {
            return;
        }
        let most = [self.offer.max_bps, admission.max_bps];
        self.offer.max_bps = most.into_iter().flatten().min();
        self.offer.streams = admission.streams;
        self.pattern = Some(admission.pattern);
        let welcomed = self.welcome().map_err(|fault| fault.into_error(0));
        if let Err(error) = welcomed.and_then(|()| self.take(now)) {
            self.core.fail(error, now);
        }
    }

    /// What may be watched is this from now on. Who has a subscription keeps it.
    pub fn offer(&mut self, streams: Vec<StreamInfo>) {
        self.offer.streams = streams;
    }

    /// The hello is not welcome, or what it was admitted to is over: says goodbye with `code`, and `words` for a person.
    pub fn refuse(&mut self, code: CloseCode, words: Text, now: Instant) {
        self.core.part(code, words, now);
    }

    pub(super) fn hello(&mut self, hello: Hello) -> Result<(), Fault> {
        let versions = &hello.versions;
        if versions.is_empty() || versions.len() > MAX_VERSIONS {
            return Err(Misbehaviour::Versions(versions.len()).into());
        }
        if !versions.contains(&PROTOCOL_VERSION) {
            return Err(Fault::Incompatible(Feature::Version));
        }
        self.state = State::Door;
        self.core.tell(Event::Hello(Box::new(hello)));
        if self.asking {
            return Ok(());
        }
        self.welcome()
    }

    /// Nobody fills the memory while he is looked at.
    pub(super) fn bound_waiting(&self) -> Result<(), SessionError> {
        if self.state == State::Door && self.core.waiting() > MOST_WAITING {
            let (at, what) = (self.core.bytes_received(), Misbehaviour::Flood);
            return Err(SessionError::Misbehaved { at, what });
        }
        Ok(())
    }

    fn welcome(&mut self) -> Result<(), Fault> {
        self.state = State::Idle;
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

    pub(super) fn subscribe(
        &mut self,
        stream: StreamName,
        video: bool,
        audio: bool,
        max_bps: Option<u64>,
        now: Instant,
    ) -> Result<(), Fault> {
        let found = self.offer.streams.iter().find(|info| info.name == stream);
        let Some(info) = found else {
            let (code, words) = self.missing(&stream);
            let reason = Text::new(&words);
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
        self.forget();
        self.frames = Frames::default();
        self.pace = Pace::new(now);
        let cap = [max_bps, self.offer.max_bps].into_iter().flatten().min();
        self.cap = Cap::new(cap, now);
        self.state = State::Streaming;
        self.ahead.subscribed(video);
        self.core.tell(Event::Subscribed(Subscription {
            stream,
            video,
            audio,
        }));
        Ok(())
    }

    /// Why there is no such stream for this client. What lies outside what it may watch is not told to be or not to be.
    fn missing(&self, stream: &StreamName) -> (CloseCode, String) {
        match &self.pattern {
            Some(pattern) if !pattern.matches(stream.as_str()) => {
                let words = format!("the link's token is for streams like '{pattern}' alone");
                (CloseCode::Forbidden, words)
            }
            Some(_) | None => {
                let code = CloseCode::NoSuchStream;
                (code, code.to_string())
            }
        }
    }

    pub(super) fn command(&mut self, command: Command) -> Result<(), Fault> {
        if self.commands + self.answers.len() >= MAX_ANSWERS {
            return Err(Misbehaviour::Flood.into());
        }
        self.commands += 1;
        self.core.tell(Event::Command(command));
        Ok(())
    }

    /// Answers a command.
    pub fn answered(&mut self, answer: Answer) {
        if self.core.is_open() && self.commands > 0 {
            self.commands -= 1;
            self.answers
                .push_back(ServerControl::Answer(Box::new(answer)));
        }
    }
}
