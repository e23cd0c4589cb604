//! How much sound a device is given at a time: as little as this machine manages, which changes with what it does.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::patience::Patience;

/// A step among buffers of rising length.
#[derive(Debug)]
pub(super) struct Fit {
    /// The shortest that the device takes.
    shortest: usize,
    step: usize,
    longest: usize,
    /// How often the device had run dry by the last look.
    seen: u32,
    /// The last times that it did.
    late: VecDeque<Instant>,
    patience: Patience,
}

impl Fit {
    /// Of buffers `0..=longest`, at the shortest.
    pub(super) fn new(longest: usize, now: Instant) -> Self {
        Self {
            shortest: 0,
            step: 0,
            longest,
            seen: 0,
            late: VecDeque::with_capacity(TOO_LATE),
            patience: Patience::new(now),
        }
    }

    /// The buffer to ask for.
    pub(super) const fn step(&self) -> usize {
        self.step
    }

    /// A stream was opened with buffer `step`, the shortest that was not refused from the one asked for on.
    pub(super) fn opened(&mut self, step: usize) {
        if step > self.step {
            self.shortest = step;
        }
        self.step = step;
        self.seen = 0;
        self.late.clear();
    }

    /// `late`: how often the stream has run dry since it was opened. True when it should be opened anew, at another
    /// [`Self::step`].
    pub(super) fn look(&mut self, late: u32, now: Instant) -> bool {
        for _ in 0..late.saturating_sub(self.seen).min(TOO_LATE_COUNT) {
            if self.late.len() >= TOO_LATE {
                self.late.pop_front();
            }
            self.late.push_back(now);
        }
        let new = late > self.seen;
        self.seen = late;
        let often = self.late.len() >= TOO_LATE
            && self
                .late
                .front()
                .is_some_and(|first| now.saturating_duration_since(*first) <= AT_ONCE);
        if often && self.step < self.longest {
            self.patience.trouble(now);
            self.step += 1;
            return true;
        }
        if new {
            self.patience.disturbed(now);
        }
        if self.step > self.shortest && self.patience.dares(now) {
            self.step -= 1;
            return true;
        }
        false
    }
}

/// So often may a device run dry within so long before its buffer is made longer: that costs a moment itself.
const TOO_LATE: usize = 3;
const TOO_LATE_COUNT: u32 = 3;
const AT_ONCE: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_device_that_runs_dry_now_and_then_keeps_its_short_buffer() {
        let start = Instant::now();
        let mut fit = Fit::new(2, start);
        fit.opened(0);
        for n in 0..100 {
            assert!(!fit.look(n, start + SECOND * 6 * n));
        }
        assert_eq!(fit.step(), 0);
    }

    #[test]
    fn a_buffer_grows_in_a_busy_minute_and_is_short_again_after_it() {
        let start = Instant::now();
        let mut fit = Fit::new(2, start);
        fit.opened(0);
        assert!(!fit.look(2, start + SECOND));
        assert!(fit.look(3, start + SECOND * 2));
        fit.opened(1);
        assert!(fit.look(3, start + SECOND * 3));
        fit.opened(2);
        assert!(!fit.look(90, start + SECOND * 4));
        let mut late = 90;
        let changes: Vec<_> = (5..200)
            .filter(|&n| {
                let changed = fit.look(late, start + SECOND * n);
                if changed {
                    fit.opened(fit.step());
                    late = 0;
                }
                changed
            })
            .collect();
        assert_eq!(changes, [34, 64]);
        assert_eq!(fit.step(), 0);
    }

    #[test]
    fn a_machine_that_is_always_busy_is_tried_more_and_more_rarely() {
        let start = Instant::now();
        let mut fit = Fit::new(1, start);
        fit.opened(0);
        let mut shorter = Vec::new();
        let mut late = 0;
        for n in 0..7200_u32 {
            if fit.step() == 0 {
                late += 1;
            }
            if fit.look(late, start + SECOND * n) {
                if fit.step() == 0 {
                    shorter.push(n);
                }
                fit.opened(fit.step());
                late = 0;
            }
        }
        assert!((4..=10).contains(&shorter.len()), "{shorter:?}");
    }

    #[test]
    fn what_a_device_refuses_is_not_asked_for_again() {
        let start = Instant::now();
        let mut fit = Fit::new(2, start);
        fit.opened(1);
        assert!(fit.look(3, start));
        fit.opened(2);
        let changes = (1..10_000)
            .filter(|&n| {
                let changed = fit.look(0, start + SECOND * n);
                if changed {
                    fit.opened(fit.step());
                }
                changed
            })
            .count();
        assert_eq!((changes, fit.step()), (1, 1));
    }
}
