//! Why somebody says goodbye.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a session was closed or a wish refused. The number is what stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u16", into = "u16")]
pub enum CloseCode {
    /// 0: all is done; do not come back by yourself.
    Done,
    /// 1: something of ours failed; try again.
    Internal,
    /// 2: the peer broke the protocol; trying again would do the same.
    Misbehaved,
    /// 3: no version of the protocol in common.
    Incompatible,
    /// 4: no stream of that name.
    NoSuchStream,
    /// 5: no sign of life for too long; try again.
    Silent,
    /// 6: the server stops; it may be back soon.
    Going,
    /// 7: as many viewers as the server takes; try again later.
    Busy,
    /// 8: not allowed.
    Forbidden,
    /// 9: no token, or none that this server takes.
    Unauthorized,
    /// 10: the token was taken back, or its time is over.
    Revoked,
    /// 11: somebody who may has sent him away.
    Dismissed,
    /// 12: somebody else publishes under that name.
    Taken,
    /// 13: somebody else publishes in his place from now on.
    Replaced,
    /// A code of a newer peer.
    Other(u16),
}

impl CloseCode {
    /// Every code that has a meaning, with its number.
    pub const ALL: [(u16, Self); 14] = [
        (0, Self::Done),
        (1, Self::Internal),
        (2, Self::Misbehaved),
        (3, Self::Incompatible),
        (4, Self::NoSuchStream),
        (5, Self::Silent),
        (6, Self::Going),
        (7, Self::Busy),
        (8, Self::Forbidden),
        (9, Self::Unauthorized),
        (10, Self::Revoked),
        (11, Self::Dismissed),
        (12, Self::Taken),
        (13, Self::Replaced),
    ];

    /// Whether to come back by oneself makes sense.
    pub const fn is_worth_retrying(self) -> bool {
        match self {
            Self::Internal | Self::Silent | Self::Going | Self::Busy => true,
            Self::Done
            | Self::Misbehaved
            | Self::Incompatible
            | Self::NoSuchStream
            | Self::Forbidden
            | Self::Unauthorized
            | Self::Revoked
            | Self::Dismissed
            | Self::Taken
            | Self::Replaced
            | Self::Other(_) => false,
        }
    }
}

impl From<u16> for CloseCode {
    fn from(number: u16) -> Self {
        Self::ALL
            .into_iter()
            .find(|(known, _)| *known == number)
            .map_or(Self::Other(number), |(_, code)| code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        match code {
            CloseCode::Other(number) => number,
            known @ (CloseCode::Done
            | CloseCode::Internal
            | CloseCode::Misbehaved
            | CloseCode::Incompatible
            | CloseCode::NoSuchStream
            | CloseCode::Silent
            | CloseCode::Going
            | CloseCode::Busy
            | CloseCode::Forbidden
            | CloseCode::Unauthorized
            | CloseCode::Revoked
            | CloseCode::Dismissed
            | CloseCode::Taken
            | CloseCode::Replaced) => CloseCode::ALL
                .into_iter()
                .find(|(_, code)| *code == known)
                .map_or(Self::MAX, |(number, _)| number),
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Internal => "internal error",
            Self::Misbehaved => "the protocol was broken",
            Self::Incompatible => "no common version of the protocol",
            Self::NoSuchStream => "no such stream",
            Self::Silent => "no sign of life",
            Self::Going => "the server is stopping",
            Self::Busy => "the server takes no more viewers",
            Self::Forbidden => "not allowed",
            Self::Unauthorized => "no token that this server takes",
            Self::Revoked => "the token was taken back, or its time is over",
            Self::Dismissed => "sent away",
            Self::Taken => "somebody else publishes under that name",
            Self::Replaced => "somebody else publishes in its place now",
            Self::Other(number) => return write!(f, "code {number}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_number_and_comes_back_from_it() {
        for (at, (number, code)) in CloseCode::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(number), at);
            assert_eq!(u16::from(code), number);
            assert_eq!(CloseCode::from(number), code);
        }
        assert_eq!(u16::from(CloseCode::from(4711)), 4711);
    }
}
