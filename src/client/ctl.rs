//! Asking something of a server itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::connect::{Ask, Connector};
use super::list::unfinished;
use crate::config::{AGENT, Watch};
use crate::drive::{self, Beside, Endpoint, Turn, take_early};
use crate::error::Error;
use crate::media::Role;
use crate::session::client::{Event, Session, Want};
use crate::session::{CloseReason, Output, SessionError};
use crate::transport::memory::Memory;
use crate::wire::{Answer, CloseCode, Command, Text};

/// Asks the server of the link, as `role`, for `command`; of a list that comes in several answers gives the whole. Of
/// `config` only what concerns the way to the server is of interest.
///
/// # Errors
/// The server cannot be reached, will not have us, or has answered no.
#[expect(clippy::disallowed_methods, reason = "a session begins now")]
pub async fn ctl(
    config: &Watch,
    role: Role,
    command: Command,
    ask: Arc<dyn Ask>,
) -> Result<Answer, Error> {
    let networks = config.networks.as_deref();
    let memory = networks.map_or_else(Memory::of_user, Memory::open);
    let mut connector = Connector::new(config, ask, memory)?;
    let want = Want {
        agent: Text::new(AGENT),
        role,
        ..Want::default()
    };
    let mut session = Session::new(want, Instant::now());
    let late = || Error::NotReached {
        server: config.link.host.clone(),
    };
    let opening = session.opening(Instant::now()).ok_or_else(late)?;
    let there = connector.dial(opening).await?;
    if there.link.kind().has_datagrams() {
        session.with_datagrams();
    }
    session.linked(Instant::now());
    let mut asking = Asking {
        session,
        command,
        answer: None,
        ended: None,
    };
    take_early(there.early, &mut asking, Instant::now());
    let run = drive::run(there.link, &mut asking);
    timeout(WITHIN, run).await.map_err(|_| late())?;
    let answer = match (asking.answer, asking.ended) {
        (Some(answer), _) => answer,
        (None, Some(end)) => return Err(unfinished(&end, connector.server())),
        (None, None) => return Err(late()),
    };
    if answer.code == CloseCode::Done {
        return Ok(answer);
    }
    Err(Error::Refused {
        code: answer.code,
        reason: answer.reason.as_str().to_owned(),
    })
}

/// A session that asks one thing.
struct Asking {
    session: Session,
    command: Command,
    answer: Option<Answer>,
    ended: Option<CloseReason>,
}

impl Asking {
    fn event(&mut self, event: Event, now: Instant) -> Turn {
        match event {
            Event::Welcome(_) => self.session.command(self.command.clone()),
            Event::Answer(answer) if answer.id == self.command.id => self.answered(*answer, now),
            Event::Closed(reason) => {
                self.ended = Some(reason);
                return Turn::Closed;
            }
            Event::Answer(_)
            | Event::Subscribed { .. }
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Rung(_)
            | Event::Cells { .. }
            | Event::FrameEnd { .. }
            | Event::LateEnd { .. }
            | Event::Audio(_)
            | Event::Source { .. } => {}
        }
        Turn::Again
    }

    fn answered(&mut self, mut more: Answer, now: Instant) {
        if let Some(before) = self.answer.take() {
            more.streams.splice(0..0, before.streams);
            more.viewers.splice(0..0, before.viewers);
        }
        // A list that does not get on has an end all the same.
        let next = more.next.filter(|next| *next > self.command.from);
        self.answer = Some(more);
        match next {
            Some(next) if self.command.id < MOST_ANSWERS => {
                self.command.id += 1;
                self.command.from = next;
                self.session.command(self.command.clone());
            }
            Some(_) | None => self.session.close(CloseCode::Done, now),
        }
    }
}

impl Endpoint for Asking {
    const INBOX: usize = 16 << 10;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.session.handle(bytes, now)
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        self.session.handle_datagram(datagram, now)
    }

    fn handle_frame(&mut self, frame: Bytes, now: Instant) -> Result<(), SessionError> {
        self.session.handle_whole(frame, now)
    }

    fn end(&mut self) {
        self.session.end();
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
        match self.session.poll(now, out) {
            Output::Send => Turn::Sent,
            Output::Event(event) => self.event(event, now),
            Output::Idle(deadline) => Turn::Idle(deadline),
        }
    }

    fn beside(&mut self, now: Instant, _room: usize, out: &mut BytesMut) -> Beside {
        match self.session.datagram(now, out) {
            true => Beside::Datagram,
            false => Beside::Nothing,
        }
    }

    async fn woken(&mut self) {
        std::future::pending().await
    }
}

/// For the answer, once there is a connection.
const WITHIN: Duration = Duration::from_secs(20);
/// The longest list: 16 viewers each.
const MOST_ANSWERS: u64 = 10_000;
