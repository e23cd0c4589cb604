//! What happens to links, and what is to be done about them.

use std::time::{Duration, Instant};

use crate::transport::Carrier;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A link stands on which the server has answered.
    Stands(Carrier),
    /// A link has ended.
    Gone(Carrier),
    /// A link could not be had.
    Failed(Carrier),
    /// Something came over this link.
    Heard(Carrier),
    /// A frame is complete over this link, so long after it was captured.
    Frame(Carrier, Duration),
    /// What is said over UDP is not answered any more, while what is said over TCP is.
    Unheard,
    /// This machine has another address.
    Network,
    /// The first picture that was asked for anew over this link is complete: it can be seen.
    Ready(Carrier),
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Get a link.
    Dial(Carrier),
    /// Ask the server for a sign of life.
    Ask(Carrier),
    /// Have media come over this link, beside those that are seen, and throw them away.
    Try(Carrier),
    /// Have the picture come over this link from the start, and see it when it is complete; until then, what there is.
    Fetch(Carrier),
    /// See what comes over this link, for this reason; over the other one comes the sound.
    Move(Carrier, Reason),
    /// Go on from the address that this machine has now.
    Rebind(Carrier),
    /// Close this link.
    Drop(Carrier),
    /// This link is dead, though nobody has said so: give it up.
    Cut(Carrier),
    /// Nothing until then.
    Wait(Option<Instant>),
}

/// Why a viewer moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// QUIC says nothing any more, and TLS does.
    Silent,
    /// The server hears nothing over QUIC any more.
    Unheard,
    /// The link was closed or broke.
    Broken,
    /// QUIC gets through.
    Better,
}

impl Reason {
    /// As `--json` says it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Silent => "nothing comes over UDP any more",
            Self::Unheard => "nothing is answered over UDP any more",
            Self::Broken => "the connection broke",
            Self::Better => "UDP gets through",
        }
    }
}
