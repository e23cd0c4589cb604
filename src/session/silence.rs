//! Whether the peer still lives.

use std::time::{Duration, Instant};

/// Silence after which a peer is asked for a sign of life.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two questions; so there are three before the peer is given up.
const PING_GAP: Duration = Duration::from_millis(1_667);

/// Silence after which a peer is given up.
pub(super) const GIVE_UP: Duration = Duration::from_secs(15);

/// Watches one peer. A whole message is a sign of life; single bytes are not, or one byte a second would be.
#[derive(Debug)]
pub(super) struct Silence {
    heard: Instant,
    /// When to ask.
    due: Instant,
}

/// What silence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// A ping.
    Ask,
    /// The end.
    Gone,
}

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            due: now + PATIENCE,
        }
    }

    /// A whole message came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.due = now + PATIENCE;
    }

    pub(super) fn poll(&mut self, now: Instant) -> Verdict {
        if now >= self.heard + GIVE_UP {
            return Verdict::Gone;
        }
        if now < self.due {
            return Verdict::Fine;
        }
        self.due = now + PING_GAP;
        Verdict::Ask
    }

    /// When to poll again.
    pub(super) fn deadline(&self) -> Instant {
        self.due.min(self.heard + GIVE_UP)
    }

    /// When the last whole message came.
    #[cfg(test)]
    pub(super) const fn last_heard(&self) -> Instant {
        self.heard
    }
}
