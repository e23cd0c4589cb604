//! Whether a coarse picture goes ahead of a viewer's first.
//!
//! Of what is sent before the first acknowledgement a line takes only little: TCP ten packets (RFC 6928), and we do not
//! let it be much more (see [`flight`](super::flight)). The best picture is larger. On a long way the rest of it comes
//! round trips later, so there a coarse one goes ahead, which comes at once. It is no step of [`pace`](super::pace):
//! the best one is behind it.
//!
//! No clock, no IO: time is an argument.

use std::time::Duration;

use super::{Session, State};
use crate::session::Feed;

/// What is known when the first picture is asked for.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// As it was while the link came up.
    round_trip: Option<Duration>,
    turn: Turn,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    /// No picture was asked for.
    #[default]
    Before,
    /// It was, and the feed is to be told.
    Now,
    /// A picture that is asked for anew follows one that is seen: it shall not be a coarser one.
    Past,
}

impl Ahead {
    /// Something was subscribed to, perhaps with its picture.
    pub(super) fn subscribed(&mut self, video: bool) {
        if video && self.turn == Turn::Before {
            self.turn = Turn::Now;
        }
    }
}

impl Session {
    /// The link's round trip is known.
    pub const fn with_round_trip(mut self, round_trip: Duration) -> Self {
        self.ahead.round_trip = Some(round_trip);
        self
    }

    /// Tells the feed, once, where a coarse picture should go ahead.
    pub(super) fn look_ahead(&mut self, feed: &mut dyn Feed) {
        if self.state != State::Streaming || self.ahead.turn != Turn::Now {
            return;
        }
        self.ahead.turn = Turn::Past;
        let round_trip = self.flight.rtt().or(self.ahead.round_trip);
        if round_trip.is_some_and(|round_trip| round_trip >= FAR) {
            feed.ahead(match self.parcels {
                Some(_) => DATAGRAMS_AT_ONCE,
                None => TCP_AT_ONCE,
            });
        }
    }
}

/// From here on the way is long. On a shorter one the best picture is whole within a tenth of a second more.
const FAR: Duration = Duration::from_millis(30);

/// Of the first ten packets of TCP some have what comes before the picture, and the first sound.
const TCP_AT_ONCE: usize = 10 << 10;

/// As much as may be under way at first, less the heads of datagrams and the first sound.
const DATAGRAMS_AT_ONCE: usize = 28 << 10;
