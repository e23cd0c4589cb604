//! A sink without a device: takes sound exactly as fast as it would be heard.

use std::time::{Duration, Instant};

use super::{AudioSink, SinkNotice};
use crate::media::{CHANNELS, SAMPLE_RATE};

/// Plays into nothing, in real time. Time is an argument, so it is at home in tests too.
#[derive(Clone, Debug, Default)]
pub struct Null {
    /// When what was written will have been played.
    end: Option<Instant>,
    underruns: u64,
}

impl Null {
    /// Nothing was written yet.
    pub const fn new() -> Self {
        Self {
            end: None,
            underruns: 0,
        }
    }
}

impl AudioSink for Null {
    fn rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn write(&mut self, samples: &[f32], now: Instant) -> usize {
        let room = CAPACITY.saturating_sub(self.buffered(now));
        let frames = usize::try_from(room.as_micros() * u128::from(SAMPLE_RATE) / 1_000_000)
            .unwrap_or(0)
            .min(samples.len() / CHANNELS);
        if self.end.is_some_and(|end| end < now) {
            self.underruns += 1;
        }
        let start = self.end.map_or(now, |end| end.max(now));
        self.end = Some(start + duration(frames, SAMPLE_RATE));
        frames
    }

    fn buffered(&self, now: Instant) -> Duration {
        self.end
            .map_or(Duration::ZERO, |end| end.saturating_duration_since(now))
    }

    fn reserve(&self) -> Duration {
        Duration::from_millis(10)
    }

    fn delay(&self, now: Instant) -> Duration {
        self.buffered(now)
    }

    fn rest(&mut self) {
        self.end = None;
    }

    fn underruns(&self) -> u64 {
        self.underruns
    }

    fn poll(&mut self, _now: Instant) -> Option<SinkNotice> {
        None
    }
}

/// How long `frames` play.
pub(super) fn duration(frames: usize, rate: u32) -> Duration {
    let frames = u64::try_from(frames).unwrap_or(u64::MAX);
    Duration::from_nanos(frames.saturating_mul(1_000_000_000) / u64::from(rate.max(1)))
}

/// As much as a speaker's ring holds.
const CAPACITY: Duration = Duration::from_millis(100);

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_taken_as_fast_as_it_would_be_heard() {
        let start = Instant::now();
        let mut null = Null::new();
        let block = vec![0.0; 960 * CHANNELS];
        let mut taken = 0;
        for ms in 0..10_000 {
            taken += null.write(&block, start + Duration::from_millis(ms));
        }
        let expected = 10 * 48_000 + 4_800;
        assert!((expected - 100..=expected).contains(&taken), "{taken}");
        assert_eq!(null.underruns(), 0);
    }

    #[test]
    fn coming_late_is_counted_unless_it_rested() {
        let start = Instant::now();
        let mut null = Null::new();
        null.write(&[0.0; 96], start);
        null.write(&[0.0; 96], start + Duration::from_secs(1));
        assert_eq!(null.underruns(), 1);
        null.rest();
        null.write(&[0.0; 96], start + Duration::from_secs(9));
        assert_eq!(null.underruns(), 1);
    }
}
