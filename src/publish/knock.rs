//! What a server says to somebody who wants to publish: one word, and behind a welcome the link has turned.

use bytes::BytesMut;

use crate::session::{CloseReason, Misbehaviour, SessionError};
use crate::wire::limits::PROTOCOL_VERSION;
use crate::wire::{Deframer, Kind, ServerControl};

/// Waits for the first word. A state machine without clock and IO.
#[derive(Debug, Default)]
pub(super) struct Knock {
    deframer: Deframer,
}

/// What the word was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Come in. What is behind it is of the session the other way round.
    Welcome,
    /// No.
    Goodbye(CloseReason),
}

impl Knock {
    /// Takes what has come; `None` while the word is not there.
    ///
    /// # Errors
    /// What has come is no word for somebody who has just said hello.
    pub(super) fn take(&mut self, bytes: &mut BytesMut) -> Result<Option<Answer>, SessionError> {
        let failed = |what: Misbehaviour| SessionError::Misbehaved { at: 0, what };
        self.deframer.push(bytes);
        let pulled = self.deframer.pull().map_err(|err| failed(err.into()))?;
        let Some(raw) = pulled else {
            return Ok(None);
        };
        if Kind::from_wire(raw.kind) != Some(Kind::Control) {
            return Err(failed(Misbehaviour::NoWelcome));
        }
        let said = ServerControl::decode(&raw.body).map_err(|err| failed(err.into()))?;
        match said {
            ServerControl::Welcome { version, .. } if version == PROTOCOL_VERSION => {
                Ok(Some(Answer::Welcome))
            }
            ServerControl::Welcome { version, .. } => Err(failed(Misbehaviour::Version(version))),
            ServerControl::Goodbye { code, reason } => {
                Ok(Some(Answer::Goodbye(CloseReason::Peer { code, reason })))
            }
            ServerControl::Subscribed { .. }
            | ServerControl::Unsubscribed
            | ServerControl::Refused { .. }
            | ServerControl::Rung(_)
            | ServerControl::Source { .. }
            | ServerControl::Ping { .. }
            | ServerControl::Pong { .. }
            | ServerControl::Answer(_)
            | ServerControl::Unknown => Err(failed(Misbehaviour::NoWelcome)),
        }
    }

    /// What has come behind the word.
    pub(super) fn into_rest(self) -> BytesMut {
        self.deframer.into_rest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ClientControl, CloseCode, ResumeSecret, SessionId, Text};

    fn welcome(version: u16) -> BytesMut {
        let mut out = BytesMut::new();
        let welcome = ServerControl::Welcome {
            version,
            agent: Text::new("server"),
            session: SessionId::from_bytes([1; 16]),
            resume: ResumeSecret::from_bytes([2; 32]),
            streams: Vec::new(),
        };
        welcome.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn behind_the_welcome_the_bytes_are_of_the_session_the_other_way_round() {
        let mut bytes = welcome(PROTOCOL_VERSION);
        let mut turned = BytesMut::new();
        ClientControl::Ping { id: 7 }.encode(&mut turned).unwrap();
        bytes.extend_from_slice(&turned);
        for cut in 0..bytes.len() {
            let (mut first, mut second) = (bytes.clone(), bytes.clone());
            first.truncate(cut);
            let mut second = second.split_off(cut);
            let mut knock = Knock::default();
            let early = knock.take(&mut first).unwrap();
            let mut rest = BytesMut::new();
            if early.is_none() {
                assert_eq!(knock.take(&mut second), Ok(Some(Answer::Welcome)), "{cut}");
            } else {
                rest = second;
            }
            let mut behind = knock.into_rest();
            behind.extend_from_slice(&rest);
            assert_eq!(behind, turned, "{cut}");
        }
    }

    #[test]
    fn a_goodbye_is_told_with_its_reason() {
        let mut bytes = BytesMut::new();
        let goodbye = ServerControl::Goodbye {
            code: CloseCode::Taken,
            reason: Text::new("the name is taken"),
        };
        goodbye.encode(&mut bytes).unwrap();
        let answer = Knock::default().take(&mut bytes).unwrap();
        let reason = CloseReason::Peer {
            code: CloseCode::Taken,
            reason: Text::new("the name is taken"),
        };
        assert_eq!(answer, Some(Answer::Goodbye(reason)));
    }

    #[test]
    fn anything_else_is_no_answer() {
        let mut ping = BytesMut::new();
        ServerControl::Ping { id: 1 }.encode(&mut ping).unwrap();
        let media = BytesMut::from(&[2, 0, 0, 0][..]);
        let nonsense = BytesMut::from(&[0, 0, 0, 2, b'{', b'}'][..]);
        let long = BytesMut::from(&[0, 0, 0xff, 0xff][..]);
        for mut bytes in [ping, media, nonsense, long, welcome(2)] {
            assert!(Knock::default().take(&mut bytes).is_err());
        }
    }
}
