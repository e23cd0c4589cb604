//! Whether to try with less again, after a time without trouble; the longer, the more often that went wrong.

use std::time::{Duration, Instant};

/// Of something that was made longer because a machine was too busy for it shorter.
///
/// A try that goes wrong can be heard, so each that does doubles the calm that the next one waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    calm_since: Instant,
    wait: Duration,
    /// When less was tried last, while it is not known how that went.
    tried: Option<Instant>,
}

impl Patience {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            calm_since: now,
            wait: FIRST,
            tried: None,
        }
    }

    /// It was too little.
    pub(super) fn trouble(&mut self, now: Instant) {
        self.calm_since = now;
        if let Some(tried) = self.tried.take() {
            let soon = now.saturating_duration_since(tried) < self.wait;
            self.wait = if soon {
                (self.wait * 2).min(LAST)
            } else {
                FIRST
            };
        }
    }

    /// Not as calm as it should be for trying less.
    pub(super) const fn disturbed(&mut self, now: Instant) {
        self.calm_since = now;
    }

    /// True once for each time that it has been calm for long enough.
    pub(super) fn dares(&mut self, now: Instant) -> bool {
        let calm = now.saturating_duration_since(self.calm_since) >= self.wait;
        if calm {
            self.calm_since = now;
            self.tried = Some(now);
        }
        calm
    }
}

/// The calm to wait for at first, and at most.
const FIRST: Duration = Duration::from_secs(30);
const LAST: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// In how many seconds, looking each second, less is tried.
    fn until_it_dares(patience: &mut Patience, now: &mut Instant) -> u32 {
        let mut seconds = 0;
        while !patience.dares(*now) {
            *now += SECOND;
            seconds += 1;
            assert!(seconds < 10_000);
        }
        seconds
    }

    #[test]
    fn a_try_that_went_wrong_doubles_the_calm_that_the_next_waits_for() {
        let mut now = Instant::now();
        let mut patience = Patience::new(now);
        for expected in [30, 60, 120, 240, 480, 960, 1800, 1800] {
            assert_eq!(until_it_dares(&mut patience, &mut now), expected);
            now += SECOND;
            patience.trouble(now);
        }
    }

    #[test]
    fn trouble_long_after_a_try_is_a_new_trouble() {
        let mut now = Instant::now();
        let mut patience = Patience::new(now);
        assert_eq!(until_it_dares(&mut patience, &mut now), 30);
        patience.trouble(now);
        assert_eq!(until_it_dares(&mut patience, &mut now), 60);
        now += SECOND * 61;
        patience.trouble(now);
        assert_eq!(until_it_dares(&mut patience, &mut now), 30);
    }

    #[test]
    fn trouble_begins_the_calm_anew() {
        let mut now = Instant::now();
        let mut patience = Patience::new(now);
        now += SECOND * 29;
        patience.trouble(now);
        assert_eq!(until_it_dares(&mut patience, &mut now), 30);
    }
}
