//! Which pictures are left out so that there are not too many a second.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// Lets so many pictures a second pass, evenly by the times of their capture: of those that come too often the ones that
/// are nearest to an even beat.
#[derive(Debug)]
pub(super) struct Pace {
    period: Duration,
    /// When the next one should be captured; `None` before the first.
    due: Option<Instant>,
}

impl Pace {
    /// At most `fps` a second.
    pub(super) fn new(fps: NonZeroU32) -> Self {
        Self {
            period: Duration::from_secs(1) / fps.get(),
            due: None,
        }
    }

    /// Whether the picture captured at `at` passes; the first always does.
    pub(super) fn takes(&mut self, at: Instant) -> bool {
        let slack = self.period / 2;
        let due = self.due.unwrap_or(at);
        if due.saturating_duration_since(at) > slack {
            return false;
        }
        // Behind a pause the beat begins anew; otherwise it goes on, so that jitter does not add up.
        let beat = if at.saturating_duration_since(due) > slack {
            at
        } else {
            due
        };
        self.due = Some(beat + self.period);
        true
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    /// Of pictures that come every `interval_us`, up to 3 ms early or late, in 20 s: when those that pass do.
    fn passed(interval_us: u64, fps: u32) -> Vec<Duration> {
        let start = Instant::now();
        let mut pace = Pace::new(NonZeroU32::new(fps).unwrap());
        (0..20_000_000 / interval_us)
            .map(|n| {
                let jitter = n.wrapping_mul(2_654_435_761) % 6000;
                Duration::from_micros(10_000 + n * interval_us + jitter)
            })
            .filter(|at| pace.takes(start + *at))
            .collect()
    }

    #[test]
    fn the_rate_is_never_above_what_was_asked_for() {
        for (interval_us, fps) in [
            (16_667, 30),
            (16_667, 25),
            (33_333, 20),
            (10_000, 60),
            (40_000, 24),
        ] {
            let passed = passed(interval_us, fps);
            let most = 20 * fps as usize;
            assert!(
                passed.len() <= most + 1,
                "{interval_us} {fps}: {}",
                passed.len()
            );
            assert!(
                passed.len() * 100 >= most * 97,
                "{interval_us} {fps}: {}",
                passed.len()
            );
            for (from, first) in passed.iter().enumerate() {
                let second = Duration::from_secs(1);
                let within = passed[from..]
                    .iter()
                    .take_while(|at| **at < *first + second);
                assert!(within.count() <= fps as usize + 1);
            }
        }
    }

    #[test]
    fn a_source_that_is_not_faster_loses_nothing() {
        for (interval_us, fps) in [(40_000, 25), (40_000, 30), (33_400, 30), (1_000_000, 5)] {
            assert_eq!(
                passed(interval_us, fps).len() as u64,
                20_000_000 / interval_us
            );
        }
    }

    #[test]
    fn behind_a_pause_pictures_come_no_faster() {
        let start = Instant::now();
        let mut pace = Pace::new(NonZeroU32::new(10).unwrap());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert!(pace.takes(at(0)));
        assert!(!pace.takes(at(20)));
        assert!(pace.takes(at(5000)));
        assert!(!pace.takes(at(5020)));
        assert!(!pace.takes(at(5049)));
        assert!(pace.takes(at(5100)));
    }
}
