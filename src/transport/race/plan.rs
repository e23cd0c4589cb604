//! What a race knows before its start.

use std::time::Duration;

use crate::transport::{Carrier, Kind};

/// What is known before the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What may be tried.
    pub ways: Ways,
    /// What is remembered of this network.
    pub udp: Udp,
    /// TLS goes through a proxy. UDP hardly gets out where one is needed, so TLS does not wait for it.
    pub proxied: bool,
    /// For everything together.
    pub within: Duration,
}

impl Default for Plan {
    /// Everything may be tried, nothing is known, ten seconds.
    fn default() -> Self {
        Self {
            ways: Ways::All,
            udp: Udp::Unknown,
            proxied: false,
            within: Duration::from_secs(10),
        }
    }
}

/// Which ways may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// Each.
    All,
    /// Those over this carrier.
    Over(Carrier),
    /// This one, as a person has asked for.
    Only(Kind),
}

impl Ways {
    pub(super) fn allow(self, carrier: Carrier) -> bool {
        match self {
            Self::All => true,
            Self::Over(only) => only == carrier,
            Self::Only(only) => only.carrier() == carrier,
        }
    }

    /// Whether this way may be tried.
    pub fn admit(self, kind: Kind) -> bool {
        match self {
            Self::All => true,
            Self::Over(carrier) => kind.carrier() == carrier,
            Self::Only(only) => kind == only,
        }
    }
}

/// What is remembered of UDP on this network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Udp {
    /// Nothing bad.
    Unknown,
    /// It did not get through so long ago. TLS then goes alone, and QUIC is tried only where TLS fails; where it wins,
    /// QUIC is an upgrade for later.
    Broken {
        /// How long ago that was found.
        ago: Duration,
    },
}
