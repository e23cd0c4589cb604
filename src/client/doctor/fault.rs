//! From what ends a viewer to what is wrong with a way.

use super::{Fault, Trouble};
use crate::error::Error;
use crate::transport::dial::DialError;
use crate::trust::Rejection;

impl Fault {
    /// What a viewer that ended so has met.
    pub(super) fn of(error: &Error) -> Self {
        Self {
            trouble: of_viewer(error),
            words: error.to_string(),
        }
    }
}

fn of_viewer(error: &Error) -> Trouble {
    match error {
        Error::Dial(err) => of_dial(err),
        Error::Refused { .. } => Trouble::Denied,
        Error::NotAccepted(_) => Trouble::NoKey,
        Error::NotReached { .. } | Error::NoWay { .. } => Trouble::Silent,
        Error::Session(_) => Trouble::Stranger,
        Error::NoPicture => Trouble::NoMedia,
        Error::Capture(_)
        | Error::Listen(_)
        | Error::Proxy(_)
        | Error::Trust(_)
        | Error::Token(_)
        | Error::Present(_)
        | Error::Snapshot(_)
        | Error::Playback(_)
        | Error::Unnamed
        | Error::NoName
        | Error::NoWindow
        | Error::Runtime(_)
        | Error::Output(_) => Trouble::Here,
        #[cfg(feature = "audio")]
        Error::Speaker(_) => Trouble::Here,
    }
}

fn of_dial(error: &DialError) -> Trouble {
    match error {
        DialError::NoName { .. } => Trouble::NoName,
        DialError::Refused { .. } => Trouble::Refused,
        DialError::TimedOut { .. } => Trouble::Silent,
        DialError::Unreachable { .. } => Trouble::Unreachable,
        DialError::Stripped { .. } | DialError::Plain { .. } => Trouble::Stripped,
        DialError::Inspected { .. } | DialError::Portal { .. } => Trouble::Stranger,
        DialError::Proxy(_) => Trouble::Proxy,
        DialError::Unfinished { .. } | DialError::Slow { .. } => Trouble::Unfinished,
        DialError::Silent { .. }
        | DialError::NotTls { .. }
        | DialError::OldTls { .. }
        | DialError::Alert { .. }
        | DialError::Tls { .. }
        | DialError::NotHttp { .. }
        | DialError::NoAnswer { .. }
        | DialError::NoTunnel { .. }
        | DialError::Unsealed { .. }
        | DialError::NotOurs { .. }
        | DialError::Quic { .. } => Trouble::Stranger,
        DialError::Rejected { rejection, .. } | DialError::Blocked { rejection, .. } => {
            match rejection.as_ref() {
                Rejection::OtherKey { seen, .. }
                | Rejection::Changed { seen, .. }
                | Rejection::Untrusted { seen, .. }
                | Rejection::Private { seen } => Trouble::OtherKey(Box::new(seen.clone())),
                Rejection::Damaged => Trouble::NoKey,
            }
        }
        DialError::Lost { .. } | DialError::Wordless { .. } => Trouble::Cut,
    }
}
