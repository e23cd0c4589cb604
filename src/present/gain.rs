//! Loudness, changed without a click.

use crate::media::CHANNELS;

/// A factor on samples that moves to its new value within 10 ms.
#[derive(Clone, Copy, Debug)]
pub struct Gain {
    now: f32,
    goal: f32,
}

impl Gain {
    /// Starts at `gain` (1.0: as it is).
    pub const fn new(gain: f32) -> Self {
        Self {
            now: gain,
            goal: gain,
        }
    }

    /// From now on move towards `gain`, 0.0 to 1.0.
    pub const fn set(&mut self, gain: f32) {
        self.goal = gain.clamp(0.0, 1.0);
    }

    /// Be at `gain` at once.
    pub const fn jump(&mut self, gain: f32) {
        self.set(gain);
        self.now = self.goal;
    }

    /// Applies it to interleaved stereo.
    pub fn apply(&mut self, samples: &mut [f32]) {
        if self.is_one() {
            return;
        }
        for frame in samples.chunks_mut(CHANNELS) {
            self.now += (self.goal - self.now).clamp(-STEP, STEP);
            for sample in frame {
                *sample *= self.now;
            }
        }
    }

    #[expect(
        clippy::float_cmp,
        reason = "both are set to exactly 1.0, and the last step ends exactly there"
    )]
    fn is_one(self) -> bool {
        self.now == 1.0 && self.goal == 1.0
    }
}

/// From silent to full in 480 frames: 10 ms at 48 kHz.
const STEP: f32 = 1.0 / 480.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn muting_ramps_and_arrives() {
        let mut gain = Gain::new(1.0);
        gain.set(0.0);
        let mut samples = vec![1.0_f32; 960 * CHANNELS];
        gain.apply(&mut samples);
        let largest = samples
            .chunks(CHANNELS)
            .zip(samples.chunks(CHANNELS).skip(1))
            .map(|(a, b)| (a[0] - b[0]).abs())
            .fold(0.0_f32, f32::max);
        assert!(largest <= STEP * 1.01, "{largest}");
        assert!(samples[959 * CHANNELS].abs() < 1e-6);
    }

    #[test]
    fn full_volume_changes_nothing() {
        let mut gain = Gain::new(0.0);
        gain.set(1.0);
        gain.apply(&mut vec![0.5; 2_000 * CHANNELS]);
        let mut samples = vec![0.3_f32; 64];
        gain.apply(&mut samples);
        assert_eq!(samples, vec![0.3; 64]);
    }
}
