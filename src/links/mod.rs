//! Two links that carry one stream: over which of them the picture comes, and what comes over both taken once.
//!
//! Whoever receives decides: a viewer about what he watches, a server about what is published to it. What is here reads
//! no clock and no socket, but for the lanes, which are only kept.

mod merge;
pub(crate) mod moves;

use crate::drive::{Came, Lane};
use crate::transport::Carrier;

pub(crate) use merge::Merge;
pub(crate) use moves::Moves;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use moves::fuzz::fuzz_moves;

/// By carrier, as in [`Carrier::ALL`].
#[derive(Debug, Default)]
pub(crate) struct Lanes([Option<Lane>; 2]);

impl Lanes {
    /// One of them is there.
    pub(crate) fn put(&mut self, carrier: Carrier, lane: Lane) {
        self.0[place(carrier)] = Some(lane);
    }

    /// One of them.
    pub(crate) const fn get(&mut self, carrier: Carrier) -> Option<&mut Lane> {
        self.0[place(carrier)].as_mut()
    }

    /// One of them is gone.
    pub(crate) const fn take(&mut self, carrier: Carrier) -> Option<Lane> {
        self.0[place(carrier)].take()
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Waits for any of them; for ever where there is none. Cancel-safe.
    pub(crate) async fn ready(&mut self) -> (Carrier, Came) {
        let [udp, tcp] = &mut self.0;
        tokio::select! {
            biased;
            came = ready(udp) => (Carrier::Udp, came),
            came = ready(tcp) => (Carrier::Tcp, came),
        }
    }
}

async fn ready(lane: &mut Option<Lane>) -> Came {
    match lane {
        Some(lane) => lane.ready().await,
        None => std::future::pending().await,
    }
}

/// Where what belongs to a way is among those of both.
pub(crate) const fn place(carrier: Carrier) -> usize {
    match carrier {
        Carrier::Udp => 0,
        Carrier::Tcp => 1,
    }
}
