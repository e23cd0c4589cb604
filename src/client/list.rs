//! What a server has: a session that looks at the welcome and goes.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::connect::{Ask, Connector};
use super::viewer::{Ended, ended};
use crate::config::{AGENT, Watch};
use crate::drive::{self, Beside, Endpoint, Turn, take_early};
use crate::error::Error;
use crate::session::client::{Event, Session, Want};
use crate::session::{CloseReason, Output, SessionError};
use crate::transport::memory::Memory;
use crate::wire::{CloseCode, StreamInfo, Text};

/// The streams of the link's server, as far as the link's token may see them.
///
/// # Errors
/// It cannot be reached, or refuses.
#[expect(clippy::disallowed_methods, reason = "a session begins now")]
pub async fn list(config: &Watch, ask: Arc<dyn Ask>) -> Result<Vec<StreamInfo>, Error> {
    let networks = config.networks.as_deref();
    let memory = networks.map_or_else(Memory::of_user, Memory::open);
    let mut connector = Connector::new(config, ask, memory)?;
    let want = Want {
        agent: Text::new(AGENT),
        ..Want::default()
    };
    let now = Instant::now();
    let mut session = Session::new(want, now);
    let mut found = Vec::new();
    if let Some(opening) = session.opening(now) {
        let there = connector.dial(opening).await?;
        session.linked(Instant::now());
        let mut look = Look {
            session,
            found: None,
            end: None,
        };
        take_early(there.early, &mut look, Instant::now());
        drive::run(there.link, &mut look).await;
        found = match (look.found, look.end) {
            (Some(found), _) => found,
            (None, Some(end)) => return Err(unfinished(&end, connector.server())),
            (None, None) => Vec::new(),
        };
    }
    Ok(found)
}

/// What it means that a session ended before it had what it was made for. Whatever the server says for itself is a refusal,
/// also one that may be none later.
pub(super) fn unfinished(end: &CloseReason, server: String) -> Error {
    match (end, ended(end, false)) {
        (_, Ended::Failed(err)) => err,
        (CloseReason::Peer { code, .. }, Ended::Lost(reason) | Ended::Done(reason)) => {
            Error::Refused {
                code: *code,
                reason,
            }
        }
        (_, Ended::Lost(why) | Ended::Done(why)) => Error::NoWay { server, why },
    }
}

struct Look {
    session: Session,
    found: Option<Vec<StreamInfo>>,
    end: Option<CloseReason>,
}

impl Endpoint for Look {
    const INBOX: usize = 4 << 10;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.session.handle(bytes, now)
    }

    fn handle_datagram(&mut self, _: Bytes, _: Instant) -> Result<(), SessionError> {
        Ok(())
    }

    fn handle_frame(&mut self, _: Bytes, _: Instant) -> Result<(), SessionError> {
        Ok(())
    }

    fn end(&mut self) {
        self.session.end();
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
        match self.session.poll(now, out) {
            Output::Send => Turn::Sent,
            Output::Idle(deadline) => Turn::Idle(deadline),
            Output::Event(Event::Welcome(welcome)) => {
                self.found = Some(welcome.streams);
                self.session.close(CloseCode::Done, now);
                Turn::Again
            }
            Output::Event(Event::Closed(reason)) => {
                self.end = Some(reason);
                Turn::Closed
            }
            Output::Event(_) => Turn::Again,
        }
    }

    fn beside(&mut self, _: Instant, _: usize, _: &mut BytesMut) -> Beside {
        Beside::Nothing
    }

    async fn woken(&mut self) {
        std::future::pending().await
    }
}
