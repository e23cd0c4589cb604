//! How much is kept ready in front of a device, beyond what it takes at once.

use std::time::{Duration, Instant};

use super::patience::Patience;

/// A little more after each time that the device found nothing, and less again when that has been long ago.
#[derive(Debug)]
pub(super) struct Lessons {
    seen: u64,
    kept: u32,
    patience: Patience,
}

impl Lessons {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            seen: 0,
            kept: 0,
            patience: Patience::new(now),
        }
    }

    /// `underruns`: all there ever were.
    pub(super) fn look(&mut self, underruns: u64, now: Instant) {
        let new = underruns.saturating_sub(self.seen);
        self.seen = underruns;
        if new > 0 {
            let new = u32::try_from(new).unwrap_or(MOST);
            self.kept = self.kept.saturating_add(new).min(MOST);
            self.patience.trouble(now);
        } else if self.kept > 0 && self.patience.dares(now) {
            self.kept -= 1;
        }
    }

    /// To be kept.
    pub(super) fn margin(&self) -> Duration {
        MARGIN * (1 + self.kept)
    }
}

/// What the scheduler may cost.
const MARGIN: Duration = Duration::from_millis(5);

/// Lessons that are kept in mind.
const MOST: u32 = 6;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_underruns_added_goes_again_when_there_are_none() {
        let start = Instant::now();
        let mut lessons = Lessons::new(start);
        assert_eq!(lessons.margin(), MARGIN);
        lessons.look(3, start);
        assert_eq!(lessons.margin(), MARGIN * 4);
        lessons.look(100, start + SECOND);
        assert_eq!(lessons.margin(), MARGIN * 7);
        for n in 2..=(6 * 30 + 1) {
            lessons.look(100, start + SECOND * n);
        }
        assert_eq!(lessons.margin(), MARGIN);
    }
}
