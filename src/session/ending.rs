//! How a session ends: a goodbye that is written, or one that came, or a link that broke.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::SessionError;
use crate::wire::{CloseCode, Text};

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// This side said goodbye.
    Local(CloseCode),
    /// The peer said goodbye.
    Peer {
        /// For programs.
        code: CloseCode,
        /// For people; may be empty.
        reason: Text,
    },
    /// The link ended without a goodbye: reconnect.
    Cut,
    /// No sign of life for too long: reconnect.
    Silent,
    /// The peer cannot be spoken with.
    Failed(SessionError),
}

/// How far the end of a session has come.
#[derive(Debug, Default)]
pub(super) enum Ending {
    /// It lives.
    #[default]
    No,
    /// A goodbye is to be written.
    Saying {
        code: CloseCode,
        text: Text,
        reason: CloseReason,
        until: Instant,
    },
    /// The goodbye was appended to what the link has yet to write.
    Said { reason: CloseReason, until: Instant },
    /// Nothing is left but to tell.
    Telling(CloseReason),
    /// All is told.
    Over,
}

/// What the end of a session asks for next.
#[derive(Debug)]
pub(super) enum Step {
    Say(CloseCode, Text),
    Tell(CloseReason),
    Wait(Option<Instant>),
}

/// How long a goodbye may take to be written.
const FLUSH: Duration = Duration::from_secs(1);

impl Ending {
    /// Whether the session still takes input.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::No)
    }

    /// Says goodbye, if the session lives.
    pub(super) fn say(&mut self, code: CloseCode, text: Text, reason: CloseReason, now: Instant) {
        if self.is_open() {
            *self = Self::Saying {
                code,
                text,
                reason,
                until: now + FLUSH,
            };
        }
    }

    /// Ends because of `error`, which the peer is told.
    pub(super) fn fail(&mut self, error: SessionError, now: Instant) {
        let reason = match &error {
            SessionError::Silent(_) => CloseReason::Silent,
            SessionError::Misbehaved { .. }
            | SessionError::Incompatible(_)
            | SessionError::Idle(_) => CloseReason::Failed(error.clone()),
        };
        self.say(error.code(), Text::new(&error.to_string()), reason, now);
    }

    /// Ends without a word, because the peer is no longer there to hear it.
    pub(super) fn tell(&mut self, reason: CloseReason) {
        match self {
            Self::No => *self = Self::Telling(reason),
            // Our own reason came first.
            Self::Saying { reason, .. } | Self::Said { reason, .. } => {
                *self = Self::Telling(reason.clone());
            }
            Self::Telling(_) | Self::Over => {}
        }
    }

    /// The next step of an ending that has begun; `out` is what the link has yet to write.
    pub(super) fn poll(&mut self, now: Instant, out: &BytesMut) -> Step {
        match std::mem::replace(self, Self::Over) {
            Self::No => {
                *self = Self::No;
                Step::Wait(None)
            }
            Self::Saying {
                code,
                text,
                reason,
                until,
            } => {
                if out.is_empty() {
                    *self = Self::Said { reason, until };
                    Step::Say(code, text)
                } else if now >= until {
                    Step::Tell(reason)
                } else {
                    *self = Self::Saying {
                        code,
                        text,
                        reason,
                        until,
                    };
                    Step::Wait(Some(until))
                }
            }
            Self::Said { reason, until } => {
                if out.is_empty() || now >= until {
                    Step::Tell(reason)
                } else {
                    *self = Self::Said { reason, until };
                    Step::Wait(Some(until))
                }
            }
            Self::Telling(reason) => Step::Tell(reason),
            Self::Over => Step::Wait(None),
        }
    }
}
