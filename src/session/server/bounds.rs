//! How much a viewer may say, and how long it may take.
//!
//! No clock, no IO: time is an argument.

use std::time::{Duration, Instant};

use super::{Session, State};
use crate::session::{Misbehaviour, SessionError};

/// What one session is allowed. By default what a viewer needs many times over; whoever sends pictures needs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For its hello.
    pub hello: Duration,
    /// Without anything that it watches.
    pub idle: Option<Duration>,
    /// Bytes a second on average.
    pub bytes: Option<u64>,
    /// Messages a second on average. A viewer of QUIC sends up to 300.
    pub messages: Option<u64>,
}

impl Bounds {
    /// None but for the hello.
    pub(super) const fn only_hello(hello: Duration) -> Self {
        Self {
            hello,
            idle: None,
            bytes: None,
            messages: None,
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            idle: Some(Duration::from_secs(600)),
            bytes: Some(256 << 10),
            messages: Some(1000),
        }
    }
}

/// Keeps an eye on what one session says.
#[derive(Debug)]
pub(super) struct Upward {
    bytes: Allowance,
    messages: Allowance,
    idle: Option<Instant>,
}

/// So many a second; what was not used in the last while may be used at once.
#[derive(Debug)]
struct Allowance {
    rate: Option<u64>,
    /// In thousand millionths of one.
    left: u128,
    at: Instant,
}

impl Allowance {
    fn new(rate: Option<u64>, now: Instant) -> Self {
        Self {
            rate,
            left: most(rate),
            at: now,
        }
    }

    /// Whether so many more are within it.
    fn take(&mut self, count: usize, now: Instant) -> bool {
        let Some(rate) = self.rate else {
            return true;
        };
        let passed = now.saturating_duration_since(self.at).as_nanos();
        self.at = self.at.max(now);
        let gained = passed.saturating_mul(u128::from(rate));
        self.left = self.left.saturating_add(gained).min(most(self.rate));
        let left = (count as u128)
            .checked_mul(NANOS)
            .and_then(|count| self.left.checked_sub(count));
        self.left = left.unwrap_or_default();
        left.is_some()
    }
}

fn most(rate: Option<u64>) -> u128 {
    u128::from(rate.unwrap_or_default()) * BURST.as_nanos()
}

impl Upward {
    pub(super) fn new(bounds: &Bounds, now: Instant) -> Self {
        Self {
            bytes: Allowance::new(bounds.bytes, now),
            messages: Allowance::new(bounds.messages, now),
            idle: None,
        }
    }

    /// So many bytes came; whether that is still within bounds.
    pub(super) fn bytes(&mut self, count: usize, now: Instant) -> Result<(), Misbehaviour> {
        match self.bytes.take(count, now) {
            true => Ok(()),
            false => Err(Misbehaviour::TooMuch("bytes")),
        }
    }

    /// A message came; whether that is still within bounds.
    pub(super) fn message(&mut self, now: Instant) -> Result<(), Misbehaviour> {
        match self.messages.take(1, now) {
            true => Ok(()),
            false => Err(Misbehaviour::TooMuch("messages")),
        }
    }
}

impl Session {
    /// With these bounds, instead of none but for its hello. Before anything has come.
    pub fn bounded(mut self, bounds: Bounds, now: Instant) -> Self {
        if let State::Hello { until } = &mut self.state {
            *until = now + bounds.hello;
        }
        self.upward = Upward::new(&bounds, now);
        self.bounds = bounds;
        self
    }

    /// What is waited for: a hello, or that something is watched; until when, and for how long in all.
    pub(super) fn wait(&mut self, now: Instant) -> Option<(Instant, SessionError)> {
        let idle = self.bounds.idle;
        match self.state {
            State::Hello { until } => Some((until, SessionError::Silent(self.bounds.hello))),
            State::Idle => {
                let since = *self.upward.idle.get_or_insert(now);
                idle.map(|idle| (since + idle, SessionError::Idle(idle)))
            }
            State::Door | State::Streaming => {
                self.upward.idle = None;
                None
            }
        }
    }
}

/// What may be said at once after a pause, as time at the rate.
const BURST: Duration = Duration::from_secs(4);
const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_rate_may_be_kept_for_ever_and_a_burst_is_forgiven_once() {
        let mut now = now();
        let mut allowance = Allowance::new(Some(1000), now);
        for _ in 0..100_000 {
            now += Duration::from_millis(1);
            assert!(allowance.take(1, now));
        }
        assert!(allowance.take(3999, now));
        assert!(!allowance.take(1, now));
        now += Duration::from_secs(3600);
        assert!(allowance.take(4000, now));
        assert!(!allowance.take(usize::MAX, now));
        let mut endless = Allowance::new(None, now);
        assert!(endless.take(usize::MAX, now));
    }
}
