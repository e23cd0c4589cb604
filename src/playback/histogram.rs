//! Percentiles of durations in bounded memory.

use std::time::Duration;

/// Counts durations in bins: 0.1 ms wide to 200 ms, 1 ms to 2 s, 10 ms to 20 s. The greatest is kept exactly.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    bins: Vec<u32>,
    count: u64,
    max: Duration,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            bins: vec![0; FINE + MIDDLE + COARSE + 1],
            count: 0,
            max: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, value: Duration) {
        if let Some(bin) = self.bins.get_mut(index(value)) {
            *bin = bin.saturating_add(1);
        }
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub(super) fn clear(&mut self) {
        self.bins.fill(0);
        self.count = 0;
        self.max = Duration::ZERO;
    }

    pub(super) fn max(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.max)
    }

    /// The value that `percent` of all are not above, as exactly as the bins are.
    pub(super) fn percentile(&self, percent: u64) -> Option<Duration> {
        let wanted = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.bins
            .iter()
            .position(|bin| {
                seen += u64::from(*bin);
                seen >= wanted
            })
            .map(|at| middle(at).min(self.max))
    }
}

fn index(value: Duration) -> usize {
    let tenths = usize::try_from(value.as_micros() / 100).unwrap_or(usize::MAX);
    if tenths < FINE {
        tenths
    } else if tenths < 20_000 {
        FINE + (tenths - FINE) / 10
    } else {
        (FINE + MIDDLE + (tenths - 20_000) / 100).min(FINE + MIDDLE + COARSE)
    }
}

fn middle(at: usize) -> Duration {
    let tenths = |n: usize| Duration::from_micros(u64::try_from(n).unwrap_or(u64::MAX) * 100);
    if at < FINE {
        tenths(at) + Duration::from_micros(50)
    } else if at < FINE + MIDDLE {
        tenths(FINE + (at - FINE) * 10 + 5)
    } else if at < FINE + MIDDLE + COARSE {
        tenths(20_000 + (at - FINE - MIDDLE) * 100 + 50)
    } else {
        Duration::MAX
    }
}

/// Bins of 0.1 ms, of 1 ms, of 10 ms.
const FINE: usize = 2_000;
const MIDDLE: usize = 1_800;
const COARSE: usize = 1_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_as_exact_as_their_bins() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(50), None);
        for ms in 1..=100 {
            histogram.add(Duration::from_millis(ms));
        }
        let near = |percent: u64, ms: u64| {
            let got = histogram.percentile(percent).expect("not empty");
            assert!(
                got.abs_diff(Duration::from_millis(ms)) <= Duration::from_micros(50),
                "{got:?}"
            );
        };
        near(50, 50);
        near(95, 95);
        near(100, 100);
        assert_eq!(histogram.max(), Some(Duration::from_millis(100)));
    }

    #[test]
    fn every_duration_has_a_bin_and_the_longest_is_exact() {
        let mut histogram = Histogram::new();
        for value in [
            0,
            199_999,
            200_000,
            1_999_999,
            2_000_000,
            19_999_999,
            u64::MAX,
        ] {
            let value = Duration::from_micros(value);
            let back = middle(index(value));
            assert!(back == Duration::MAX || back.abs_diff(value) <= Duration::from_millis(5));
            histogram.add(value);
        }
        histogram.add(Duration::MAX);
        assert_eq!(histogram.percentile(99), Some(Duration::MAX));
        histogram.clear();
        assert_eq!(histogram.max(), None);
    }
}
