//! How a race ended, in words that a person understands.

use std::fmt;
use std::time::Duration;

use crate::transport::Carrier;

/// Which way won, and why the better one did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<E> {
    /// Where the session goes on.
    pub winner: Carrier,
    /// From the start to the welcome.
    pub took: Duration,
    /// What becomes of the other way.
    pub beside: Beside,
    /// Why it is not QUIC; `None` if it is.
    pub why: Option<Why<E>>,
}

/// The other way, when one has won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// It has failed, or must not be tried.
    Nothing,
    /// It is under way and is not to be stopped: it becomes the one that stands by, or, where it is QUIC, an upgrade.
    GoesOn(Carrier),
    /// It was not started, and may be now: to stand by, or, where it is QUIC, as an upgrade.
    Untried(Carrier),
}

/// Why QUIC did not win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why<E> {
    /// It must not be tried.
    NotAllowed,
    /// No UDP packet has come back so far.
    Silent,
    /// The system or the network says no to UDP.
    Refused,
    /// It was not even tried, as UDP did not get through here not long ago.
    Remembered {
        /// How long ago.
        ago: Duration,
    },
    /// It gets on, but TLS was there first.
    Slower,
    /// It went wrong.
    Failed(E),
    /// What answers there has another key.
    Rejected(E),
}

impl<E: fmt::Display> fmt::Display for Why<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed => f.write_str("QUIC was not to be tried"),
            Self::Silent => f.write_str("UDP is not answered here"),
            Self::Refused => f.write_str("UDP is refused here"),
            Self::Remembered { ago } => {
                f.write_str("UDP was found broken on this network ")?;
                match ago.as_secs() / 60 {
                    0 => f.write_str("less than a minute ago"),
                    1 => f.write_str("1 minute ago"),
                    minutes => write!(f, "{minutes} minutes ago"),
                }
            }
            Self::Slower => f.write_str("QUIC answered but was slower"),
            Self::Failed(reason) | Self::Rejected(reason) => write!(f, "QUIC failed: {reason}"),
        }
    }
}

/// Why there is no way, for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<E> {
    /// What became of QUIC.
    pub quic: Fate<E>,
    /// What became of TLS.
    pub tls: Fate<E>,
    /// From the start to the end.
    pub took: Duration,
}

/// What became of one way in a race that nobody won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate<E> {
    /// It must not be tried.
    NotAllowed,
    /// It was not started.
    Untried,
    /// It was still under way at the end.
    Unfinished,
    /// It went wrong.
    Failed(E),
    /// What answered has a key that a person must be asked about, or be told of.
    Rejected(E),
}

impl<E> Failure<E> {
    /// The reason that matters most: a wrong key before everything else, and TLS before QUIC. `None` if time ran out
    /// before anything went wrong.
    pub fn told(&self) -> Option<(Carrier, &E)> {
        match (&self.tls, &self.quic) {
            (Fate::Rejected(reason), _) => Some((Carrier::Tcp, reason)),
            (_, Fate::Rejected(reason)) => Some((Carrier::Udp, reason)),
            (Fate::Failed(reason), _) => Some((Carrier::Tcp, reason)),
            (_, Fate::Failed(reason)) => Some((Carrier::Udp, reason)),
            _ => None,
        }
    }

    /// The same, for keeps.
    pub fn into_told(self) -> Option<(Carrier, E)> {
        match (self.tls, self.quic) {
            (Fate::Rejected(reason), _) => Some((Carrier::Tcp, reason)),
            (_, Fate::Rejected(reason)) => Some((Carrier::Udp, reason)),
            (Fate::Failed(reason), _) => Some((Carrier::Tcp, reason)),
            (_, Fate::Failed(reason)) => Some((Carrier::Udp, reason)),
            _ => None,
        }
    }

    /// Whether the end was a wrong key.
    pub const fn is_rejection(&self) -> bool {
        matches!(self.tls, Fate::Rejected(_)) || matches!(self.quic, Fate::Rejected(_))
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_rejection()
            && let Some((_, reason)) = self.told()
        {
            return reason.fmt(f);
        }
        let mut comma = "";
        for (carrier, fate) in [(Carrier::Tcp, &self.tls), (Carrier::Udp, &self.quic)] {
            match fate {
                Fate::NotAllowed | Fate::Untried => continue,
                Fate::Unfinished => {
                    write!(
                        f,
                        "{comma}{carrier}: not ready after {} s",
                        self.took.as_secs()
                    )?;
                }
                Fate::Failed(reason) | Fate::Rejected(reason) => {
                    write!(f, "{comma}{carrier}: {reason}")?;
                }
            }
            comma = "; ";
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Failure<E> {}
