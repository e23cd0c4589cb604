//! What a session says first.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{ANSWER_WITHIN, Asked, Session, Wish};
use crate::media::Role;
use crate::wire::{ClientControl, Hello, TokenProof};

/// The first words of a session, said anew for each link that may become the session's: what proves a token is of one
/// link alone.
#[derive(Clone, Debug)]
pub struct Opening {
    hello: Hello,
    wish: Option<ClientControl>,
}

impl Opening {
    /// What is to be on the link.
    pub const fn role(&self) -> Role {
        self.hello.role
    }

    /// The name that the proof of a token is bound to; see [`Hello::bound_name`].
    pub fn bound_name(&self) -> &str {
        self.hello.bound_name()
    }

    /// The words, with this proof: hello, and subscribe where the stream is known. Less than 16 KiB.
    pub fn words(&self, token: Option<TokenProof>) -> Bytes {
        let hello = Hello {
            token,
            ..self.hello.clone()
        };
        let mut out = BytesMut::new();
        // Such messages always fit.
        let _ = ClientControl::Hello(hello).encode(&mut out);
        if let Some(wish) = &self.wish {
            let _ = wish.encode(&mut out);
        }
        out.freeze()
    }
}

impl Session {
    /// The first words, where somebody else says them: they may go out before the link stands, together with the request
    /// for it. `None` once they were given, or written by [`poll`](Self::poll).
    pub fn opening(&mut self, now: Instant) -> Option<Opening> {
        let hello = self.hello.take()?;
        let wish = self.next_wish(now);
        Some(Opening { hello, wish })
    }

    /// What is yet to be asked, if it may be.
    pub(super) fn next_wish(&mut self, now: Instant) -> Option<ClientControl> {
        if self.asked.is_some() {
            return None;
        }
        Some(match self.wish.take()? {
            Wish::Subscribe {
                stream,
                video,
                audio,
            } => {
                self.asked = Some((Asked::Subscribe, now + ANSWER_WITHIN));
                ClientControl::Subscribe {
                    stream,
                    video,
                    audio,
                    max_bps: self.max_bps,
                }
            }
            Wish::Unsubscribe => {
                self.asked = Some((Asked::Unsubscribe, now + ANSWER_WITHIN));
                ClientControl::Unsubscribe
            }
        })
    }
}
