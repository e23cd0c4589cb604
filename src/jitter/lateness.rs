//! How late pictures are, and so how long the sound has to wait for them.

use std::time::{Duration, Instant};

use super::Estimate;
use crate::media::{MediaTime, RungId};

/// Lags of the pictures of one stream, whatever rung they are of.
///
/// The sound does not wait for the slowest of all: one in twenty may be late. While a line is found out, or a better
/// picture is tried on it in vain, many are late for a moment, and that tells nothing of those that follow. So of the
/// rung that is shown only its own pictures count, and only as far as they have not been that late too seldom in the
/// last half minute.
#[derive(Debug)]
pub struct Lateness {
    rung: Option<RungId>,
    /// Of this rung, of late.
    now: Estimate,
    /// Of all rungs, for longer.
    long: Estimate,
}

impl Lateness {
    /// Nothing has come yet. `origin` as for [`Estimate::new`].
    pub fn new(origin: Instant) -> Self {
        Self {
            rung: None,
            now: Estimate::new(origin),
            long: Estimate::over(LONG, origin),
        }
    }

    /// A picture of `rung` that was captured then is complete.
    pub fn add(&mut self, rung: RungId, capture: MediaTime, now: Instant) {
        if self.rung.replace(rung) != Some(rung) {
            self.now.reset();
        }
        self.now.add(capture, now);
        self.long.add(capture, now);
    }

    /// Forgets everything, because another stream begins.
    pub fn reset(&mut self) {
        self.rung = None;
        self.now.reset();
        self.long.reset();
    }

    /// The lag, in microseconds, that pictures seldom exceed; `None` before the first.
    pub fn slowest(&self) -> Option<i64> {
        let slowest = |estimate: &Estimate| {
            let spread = i64::try_from(estimate.spread().as_micros()).unwrap_or(i64::MAX);
            Some(estimate.fastest()?.saturating_add(spread))
        };
        Some(slowest(&self.now)?.min(slowest(&self.long)?))
    }
}

/// What happens for less than a twentieth of this the sound does not wait for.
const LONG: Duration = Duration::from_secs(30);

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Pictures, 25 a second, with lags in milliseconds; the lag to be waited for behind the last.
    fn slowest(lags: &[(RungId, u32, u32)]) -> i64 {
        let start = Instant::now();
        let mut lateness = Lateness::new(start);
        let mut number = 0;
        for (rung, count, lag) in lags {
            for _ in 0..*count {
                let at = MS * 40 * number;
                let capture = MediaTime::ZERO + at;
                lateness.add(*rung, capture, start + at + MS * *lag);
                number += 1;
            }
        }
        lateness.slowest().expect("a picture came") / 1000
    }

    #[test]
    fn pictures_that_have_become_slower_are_waited_for_within_two_seconds() {
        assert_eq!(slowest(&[(1, 750, 70), (1, 45, 150)]), 150);
    }

    #[test]
    fn a_second_of_late_pictures_in_half_a_minute_is_not_waited_for() {
        assert_eq!(slowest(&[(1, 750, 70), (1, 25, 250)]), 70);
        assert_eq!(slowest(&[(1, 750, 70), (2, 25, 250), (1, 1, 70)]), 70);
    }

    #[test]
    fn what_a_rung_was_too_large_for_does_not_hold_back_the_next() {
        assert_eq!(slowest(&[(1, 25, 250), (2, 3, 90)]), 90);
    }

    #[test]
    fn five_seconds_behind_a_slow_line_nothing_is_waited_for() {
        assert_eq!(slowest(&[(1, 250, 250), (1, 130, 70)]), 70);
    }

    #[test]
    fn another_stream_begins_with_nothing() {
        let start = Instant::now();
        let mut lateness = Lateness::new(start);
        assert_eq!(lateness.slowest(), None);
        lateness.add(1, MediaTime::ZERO, start);
        lateness.reset();
        assert_eq!(lateness.slowest(), None);
    }
}
