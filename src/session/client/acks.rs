//! When to tell the server how far this side has read.
//!
//! About every 20 ms while something comes, at once behind a frame, and early where much comes in that time: the
//! server lets only so much be under way, and judges by these how old frames were.

use std::time::{Duration, Instant};

use crate::wire::Ack;

/// At most so long after something came.
const EVERY: Duration = Duration::from_millis(20);

/// So many bytes are acknowledged at once, unless more than twice as many come in each 20 ms.
const SOON: u64 = 16 << 10;

/// What was read and what was said of it.
#[derive(Debug)]
pub(super) struct Acks {
    /// What was said last.
    said: u64,
    said_at: Instant,
    received: u64,
    received_at: Instant,
    /// When the first of what is unsaid came.
    unsaid_since: Option<Instant>,
    /// Not to be put off.
    now: bool,
    /// So many bytes are not put off.
    soon: u64,
}

impl Acks {
    /// Nothing came yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            said: 0,
            said_at: now,
            received: 0,
            received_at: now,
            unsaid_since: None,
            now: false,
            soon: SOON,
        }
    }

    /// `received` bytes came in all; with `frame` the last of them completed one.
    pub(super) fn came(&mut self, received: u64, frame: bool, now: Instant) {
        if received == self.received {
            return;
        }
        self.received = received;
        self.received_at = now;
        self.unsaid_since.get_or_insert(now);
        self.now |= frame || received - self.said >= self.soon;
    }

    /// A frame is complete.
    pub(super) fn hurry(&mut self) {
        self.now |= self.unsaid_since.is_some();
    }

    /// As [`Self::next`], or at once if there is `news`.
    pub(super) fn next_if(&mut self, news: bool, now: Instant) -> Option<Ack> {
        if news {
            self.unsaid_since.get_or_insert(now);
            self.now = true;
        }
        self.next(now)
    }

    /// When to say something.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.unsaid_since?;
        Some(if self.now { since } else { since + EVERY })
    }

    /// What to say now, if it is time to.
    pub(super) fn next(&mut self, now: Instant) -> Option<Ack> {
        if self.due()? > now {
            return None;
        }
        // On a fast line a message for every few bytes would cost both sides more than it tells.
        let taken = now.saturating_duration_since(self.said_at).max(EVERY / 20);
        let each = (self.received - self.said) as u128 * EVERY.as_micros() / taken.as_micros();
        self.soon = u64::try_from(each / 2)
            .unwrap_or(u64::MAX)
            .clamp(SOON, SOON * 16);
        self.said = self.received;
        self.said_at = now;
        self.unsaid_since = None;
        self.now = false;
        Some(Ack {
            received: self.received,
            held: now.saturating_duration_since(self.received_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn little_is_acknowledged_after_20_ms_and_says_how_long_it_waited() {
        let t0 = start();
        let mut acks = Acks::new(t0);
        assert_eq!(acks.due(), None);
        acks.came(100, false, t0 + ms(5));
        acks.came(200, false, t0 + ms(15));
        assert_eq!(acks.next(t0 + ms(20)), None);
        assert_eq!(acks.due(), Some(t0 + ms(25)));
        let ack = acks.next(t0 + ms(25)).unwrap();
        assert_eq!((ack.received, ack.held), (200, ms(10)));
        assert_eq!(acks.due(), None);
    }

    #[test]
    fn a_frame_s_end_is_acknowledged_at_once() {
        let t0 = start();
        let mut acks = Acks::new(t0);
        acks.came(300, true, t0 + ms(1));
        assert_eq!(acks.next(t0 + ms(1)).unwrap().received, 300);
    }

    #[test]
    fn much_is_acknowledged_at_once_and_on_a_fast_line_in_larger_steps() {
        let t0 = start();
        let mut acks = Acks::new(t0);
        acks.came(20_000, false, t0 + ms(1));
        assert!(
            acks.next(t0 + ms(1)).is_some(),
            "400 kB in 20 ms from here on"
        );
        acks.came(40_000, false, t0 + ms(2));
        assert_eq!(acks.next(t0 + ms(2)), None);
        acks.came(240_000, false, t0 + ms(3));
        assert!(acks.next(t0 + ms(3)).is_some());
    }
}
