//! What can go wrong in a session, by whose turn it is.

use std::time::Duration;

use crate::media::{CellIndex, RungId};
use crate::wire::{CloseCode, Kind, RungError, WireError};

/// Why a session ends badly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer broke the protocol: close, do not retry.
    #[error("the peer misbehaved at byte {at}: {what}")]
    Misbehaved {
        /// Where in what it sent the message begins.
        at: u64,
        /// How.
        what: Misbehaviour,
    },
    /// Nobody is wrong, but there is nothing that both speak: tell the user.
    #[error("no common {0}")]
    Incompatible(Feature),
    /// The path went quiet: reconnect with growing pauses.
    #[error("no sign of life for {0:?}")]
    Silent(Duration),
    /// It lives, but watches nothing: whoever wants something can come again.
    #[error("nothing was watched for {0:?}")]
    Idle(Duration),
}

/// What both sides must have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// A version of the protocol.
    Version,
}

impl std::fmt::Display for Feature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version => f.write_str("version of the protocol"),
        }
    }
}

/// How a peer broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Bytes that are no message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Something else than a hello came first.
    #[error("the first message is no hello")]
    NoHello,
    /// A second hello.
    #[error("a second hello")]
    SecondHello,
    /// Something else than a welcome or a goodbye came first.
    #[error("the first message is no welcome")]
    NoWelcome,
    /// A second welcome.
    #[error("a second welcome")]
    SecondWelcome,
    /// A version that was not offered.
    #[error("version {0} was not offered")]
    Version(u16),
    /// More versions than a hello may offer, or none.
    #[error("a hello that offers {0} versions")]
    Versions(usize),
    /// An answer to nothing that was asked.
    #[error("an answer to nothing that was asked")]
    NotAsked,
    /// An acknowledgement of bytes that were not sent.
    #[error("it acknowledges {0} bytes, more than were sent")]
    Acknowledged(u64),
    /// Media that were not subscribed to.
    #[error("a {0} message without a subscription")]
    NotSubscribed(Kind),
    /// Media in the wrong direction.
    #[error("a {0} message from a viewer")]
    WrongDirection(Kind),
    /// A rung that cannot be.
    #[error("a rung that cannot be: {0}")]
    Rung(#[from] RungError),
    /// Another rung of the name of one that is remembered.
    #[error("rung {0} is announced again as another")]
    RungChanged(RungId),
    /// A cell outside its picture.
    #[error("cell {index} of a picture with {cells}")]
    CellOutside {
        /// As it came.
        index: CellIndex,
        /// As many as the rung has.
        cells: usize,
    },
    /// A part of a cell that does not follow the one before.
    #[error("a part of a cell that does not follow the one before")]
    PartOutOfOrder,
    /// More wishes than are answered in the time.
    #[error("more messages than can be answered")]
    Flood,
    /// More a second, over some seconds, than anybody needs.
    #[error("more {0} a second than are taken")]
    TooMuch(&'static str),
}

impl SessionError {
    /// What to tell the peer.
    pub(super) const fn code(&self) -> CloseCode {
        match self {
            Self::Misbehaved { .. } => CloseCode::Misbehaved,
            Self::Incompatible(_) => CloseCode::Incompatible,
            Self::Silent(_) => CloseCode::Silent,
            Self::Idle(_) => CloseCode::Done,
        }
    }
}
